"""The objects that `slicer.app` hands out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
import slicer_app
from PySide6 import QtCore, QtGui

from .standins.base import STANDINS
from .standins.mrml import qMRMLWidget


def part(cls: type) -> type:
    """Class decorator: the class stands in for Slicer's of the same name."""
    STANDINS[cls.__name__] = cls
    return cls


def _stored(kind: Any, name: str) -> QtCore.Property:
    def write(self: Any, value: Any) -> None:
        self.values[name] = value

    return QtCore.Property(kind, lambda self: self.values[name], write)


@part
class qSlicerScriptedLoadableModule(QtCore.QObject):  # noqa: N801
    """What a module's own class gets as its `parent`."""

    def __init__(self, name: str, path: str, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        texts = ("title", "helpText", "acknowledgementText")
        lists = ("categories", "dependencies", "contributors", "associatedNodeTypes")
        self.values: dict[str, Any] = dict.fromkeys(texts, "") | {key: [] for key in lists}
        self.values |= {"icon": QtGui.QIcon(), "hidden": False, "index": -1, "extensions": {}}
        self._name, self._path = name, path
        self.widget: Any = None

    name = QtCore.Property(str, lambda self: self._name)
    path = QtCore.Property(str, lambda self: self._path)
    title = _stored(str, "title")
    helpText = _stored(str, "helpText")
    acknowledgementText = _stored(str, "acknowledgementText")
    categories = _stored("QStringList", "categories")
    dependencies = _stored("QStringList", "dependencies")
    contributors = _stored("QStringList", "contributors")
    associatedNodeTypes = _stored("QStringList", "associatedNodeTypes")
    icon = _stored(QtGui.QIcon, "icon")
    hidden = _stored(bool, "hidden")
    index = _stored(int, "index")
    extensions = _stored("QVariantMap", "extensions")

    def widgetRepresentation(self) -> Any:
        return self.widget


@part
class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):  # noqa: N801
    """What a module's widget class gets as its `parent`."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name, self.entered = name, False
        self.python: Any = None

    isEntered = QtCore.Property(bool, lambda self: self.entered)
    moduleName = QtCore.Property(str, lambda self: self._name)

    def self(self) -> Any:
        return self.python


@part
class qSlicerModuleFactoryManager(QtCore.QObject):  # noqa: N801
    def loadedModuleNames(self) -> list[str]:
        return list(self.parent().modules)


@part
class qSlicerModuleManager(QtCore.QObject):  # noqa: N801
    moduleLoaded = QtCore.Signal(str)
    moduleAboutToBeUnloaded = QtCore.Signal(str)
    moduleUnloaded = QtCore.Signal(str)

    def __init__(self, parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self.modules: dict[str, Any] = {}
        self._factory = qSlicerModuleFactoryManager(self)

    def module(self, name: str) -> Any:
        return self.modules.get(name)

    def factoryManager(self) -> Any:
        return self._factory


@part
class qSlicerCommandOptions(QtCore.QObject):  # noqa: N801
    noMainWindow = QtCore.Property(bool, lambda self: True)


@part
class qMRMLSliceWidget(QtCore.QObject):  # noqa: N801
    def __init__(self, name: str, parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self._name = name

    def sliceLogic(self) -> Any:
        return slicer_app.start().slice_logics[self._name]

    def mrmlSliceNode(self) -> Any:
        return self.sliceLogic().GetSliceNode()

    def fitSliceToBackground(self) -> None:
        self.sliceLogic().FitSliceToBackground()


@part
class qMRMLThreeDView(QtCore.QObject):  # noqa: N801
    """Counts what it is told: nothing is drawn here."""

    def __init__(self, parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self.calls: list[str] = []

    def mrmlViewNode(self) -> Any:
        return slicer_app.start().view_logic.GetViewNode()

    def resetFocalPoint(self) -> None:
        self.calls.append("resetFocalPoint")

    def resetCamera(self) -> None:
        self.calls.append("resetCamera")

    def forceRender(self) -> None:
        self.calls.append("forceRender")


@part
class qMRMLThreeDWidget(QtCore.QObject):  # noqa: N801
    def __init__(self, parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self._view = qMRMLThreeDView(self)

    def threeDView(self) -> Any:
        return self._view

    def mrmlViewNode(self) -> Any:
        return self._view.mrmlViewNode()

    def viewLogic(self) -> Any:
        return slicer_app.start().view_logic


@part
class qSlicerLayoutManager(QtCore.QObject):  # noqa: N801
    """The views of `slicer_app`: Red, Green, Yellow and one in 3D."""

    def __init__(self, parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self._slices = {name: qMRMLSliceWidget(name, self) for name in slicer_app.SLICE_VIEWS}
        self._threed = qMRMLThreeDWidget(self)
        self._layout = 3

    def setLayout(self, layout: int) -> None:
        self._layout = int(layout)

    layout = QtCore.Property(int, lambda self: self._layout, setLayout)
    threeDViewCount = QtCore.Property(int, lambda self: 1)
    tableViewCount = QtCore.Property(int, lambda self: 0)
    plotViewCount = QtCore.Property(int, lambda self: 0)

    def sliceViewNames(self) -> list[str]:
        return list(self._slices)

    def sliceWidget(self, name: str) -> Any:
        return self._slices.get(name)

    def threeDWidget(self, index: int) -> Any:
        return self._threed if index == 0 else None

    def mrmlSliceLogics(self) -> Any:
        return slicer_app.start().logic.GetSliceLogics()

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def resetSliceViews(self) -> None:
        for widget in self._slices.values():
            widget.fitSliceToBackground()

    def resetThreeDViews(self) -> None:
        self._threed.threeDView().resetFocalPoint()


@part
class qSlicerCoreIOManager(QtCore.QObject):  # noqa: N801
    """Reads and writes through the real logics and storage nodes."""

    def fileType(self, path: Any) -> str:
        name = str(path).lower()
        if name.endswith((".mrml", ".mrb")):
            return "SceneFile"
        if name.endswith((".seg.nrrd", ".seg.nhdr")):
            return "SegmentationFile"
        if name.endswith((".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd")):
            return "VolumeFile"
        return "NoFile"

    def loadNodes(
        self, kind: str, properties: dict[str, Any], loaded: Any, _messages: Any = None
    ) -> bool:
        path = str(properties["fileName"])
        name = properties.get("name") or Path(path).name.partition(".")[0]
        if not Path(path).is_file():
            return False
        if kind == "SceneFile":
            return _load_scene(path, bool(properties.get("clear")))
        if kind == "VolumeFile":
            options = 1 if properties.get("labelmap") else 0
            node = slicer.modules.volumes.logic().AddArchetypeVolume(path, name, options)
        elif kind == "SegmentationFile":
            logic = slicer.modules.segmentations.logic()
            node = logic.LoadSegmentationFromFile(path, True, name)
        else:
            raise NotImplementedError(f"the test host does not read a {kind}")
        if node is not None and loaded is not None:
            loaded.AddItem(node)
        return node is not None

    def fileWriterFileType(self, node: Any, _format: str = "") -> str:
        return "SegmentationFile" if node.IsA("vtkMRMLSegmentationNode") else "VolumeFile"

    def saveNodes(self, kind: str, properties: dict[str, Any], _messages: Any = None) -> bool:
        path = str(properties["fileName"])
        if kind == "SceneFile":
            return save_scene(path)
        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        storage = node.CreateDefaultStorageNode()
        storage.UnRegister(None)
        storage.SetFileName(path)
        return bool(storage.WriteData(node))


def _load_scene(path: str, clear: bool) -> bool:
    scene = slicer.mrmlScene
    if path.lower().endswith(".mrb"):
        return bool(scene.ReadFromMRB(path, clear))
    scene.SetURL(path)
    return bool(scene.Connect() if clear else scene.Import())


def save_scene(path: str) -> bool:
    """Write the scene: a `.mrb` with its data, a `.mrml` without."""
    scene = slicer.mrmlScene
    if path.lower().endswith(".mrb"):
        return bool(scene.WriteToMRB(path))
    scene.SetURL(path)
    scene.SetRootDirectory(str(Path(path).parent))
    return bool(scene.Commit())
