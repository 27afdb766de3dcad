"""The MRML half of a running Slicer, on `slicer-core`: one application for all tests of a process.

`start()` gives the scene, the module logics, the views' nodes and the subject hierarchy as Slicer
has them; `clear()` closes the scene as *File > Close scene* does; `render_slice` and `render_3d`
draw the views through Slicer's own displayable managers into PNG files. Nothing here needs Qt.
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

# Without a display VTK would try X first and complain; EGL falls back to OSMesa by itself.
if sys.platform == "linux" and not os.environ.get("DISPLAY"):
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")

import slicer
import vtk

SLICE_VIEWS = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}
"""The slice views: layout name → orientation."""

_MODULE_LOGICS = {
    "Volumes": slicer.vtkSlicerVolumesLogic,
    "Segmentations": slicer.vtkSlicerSegmentationsModuleLogic,
    "Terminologies": slicer.vtkSlicerTerminologiesModuleLogic,
    "SubjectHierarchy": slicer.vtkSlicerSubjectHierarchyModuleLogic,
    "Tables": slicer.vtkSlicerTablesLogic,
    "Markups": slicer.vtkSlicerMarkupsLogic,
    "Transforms": slicer.vtkSlicerTransformLogic,
    "Models": slicer.vtkSlicerModelsLogic,
}

_SLICE_MANAGERS = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
)
_3D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
)


@dataclass
class SlicerApp:
    """What lives as long as the process.

    Attributes:
        logic: the `vtkSlicerApplicationLogic`; the logics of the modules are registered with it.
        logics: module name (`"Volumes"`, …) → its logic; `slicer.modules.volumes.logic()` too.
        slice_logics: layout name → `vtkMRMLSliceLogic`.
        view_logic: of the 3D view "1".
    """

    logic: slicer.vtkSlicerApplicationLogic
    logics: dict[str, slicer.vtkMRMLAbstractLogic]
    slice_logics: dict[str, slicer.vtkMRMLSliceLogic]
    view_logic: slicer.vtkMRMLViewLogic
    views: dict[str, _View] = field(default_factory=dict)

    @property
    def scene(self) -> slicer.vtkMRMLScene:
        return slicer.mrmlScene


_app: SlicerApp | None = None
_empty_folder = tempfile.TemporaryDirectory(prefix="slicer_share_")


def start() -> SlicerApp:
    """The application, started by the first call."""
    global _app
    if _app is None:
        with _quiet():  # Slicer's own terminology files are not part of slicer-core
            _app = _start()
    return _app


def clear() -> None:
    """Close the scene: the same scene object, its events fired, singleton nodes kept and reset."""
    scene = start().scene
    scene.Clear(0)
    scene.SetURL("")
    scene.SetRootDirectory(tempfile.gettempdir())
    _orient_slices(start().slice_logics)


def _start() -> SlicerApp:
    scene = slicer.mrmlScene = slicer.vtkMRMLScene()
    cache, files = slicer.vtkCacheManager(), slicer.vtkDataIOManager()  # reading a .mrb needs them
    cache.SetRemoteCacheDirectory(tempfile.gettempdir())
    cache.SetMRMLScene(scene)
    files.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(files)
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetMRMLScene(scene)
    logic.SetTemporaryPath(tempfile.gettempdir())
    logic.SetSliceLogics(vtk.vtkCollection())
    logic.SetViewLogics(vtk.vtkCollection())
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
    colors = logic.GetColorLogic()  # not vtkSlicerColorLogic, which looks for Slicer's home
    colors.SetMRMLScene(scene)
    colors.AddDefaultColorNodes()
    logics = {"Colors": colors}
    for name, make in _MODULE_LOGICS.items():
        logics[name] = make()
        if name == "Terminologies":
            logics[name].SetModuleShareDirectory(_empty_folder.name)
            logics[name].SetUserContextsPath(_empty_folder.name)
        logics[name].SetMRMLScene(scene)
    for name, module_logic in logics.items():
        module_logic.SetMRMLApplicationLogic(logic)
        logic.SetModuleLogic(name, module_logic)
    slicer.modules = SimpleNamespace(
        **{name.lower(): _Module(module_logic) for name, module_logic in logics.items()}
    )
    _keep_subject_hierarchy(scene)
    slices = {name: _slice_logic(logic, name) for name in SLICE_VIEWS}
    _orient_slices(slices)
    return SlicerApp(logic, logics, slices, _view_logic(logic))


class _Module:
    """What tests need of `slicer.modules.<name>`."""

    def __init__(self, logic: slicer.vtkMRMLAbstractLogic) -> None:
        self._logic = logic

    def logic(self) -> slicer.vtkMRMLAbstractLogic:
        return self._logic


def _slice_logic(app_logic, name: str) -> slicer.vtkMRMLSliceLogic:
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(app_logic)
    app_logic.GetSliceLogics().AddItem(logic)
    logic.SetMRMLScene(app_logic.GetMRMLScene())
    logic.AddSliceNode(name)
    return logic


def _orient_slices(logics: dict[str, slicer.vtkMRMLSliceLogic]) -> None:
    for name, orientation in SLICE_VIEWS.items():
        logics[name].GetSliceNode().SetOrientation(orientation)


def _view_logic(app_logic) -> slicer.vtkMRMLViewLogic:
    logic = slicer.vtkMRMLViewLogic()
    logic.SetMRMLApplicationLogic(app_logic)
    app_logic.GetViewLogics().AddItem(logic)
    logic.SetName("1")  # by it the node is found again after the scene was closed
    logic.SetMRMLScene(app_logic.GetMRMLScene())
    logic.AddViewNode("1")
    return logic


def _keep_subject_hierarchy(scene: slicer.vtkMRMLScene) -> None:
    """Items come and go with their nodes: in Slicer the Qt plugins of the hierarchy do that."""
    shown = ("vtkMRMLDisplayableNode", "vtkMRMLTableNode", "vtkMRMLTextNode")

    def belongs(node):
        return any(map(node.IsA, shown)) and not node.GetHideFromEditors()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def added(scene, _event, node):
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        # While a scene is read, the items come with it.
        if belongs(node) and not scene.IsImporting() and not hierarchy.GetItemByDataNode(node):
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def removed(scene, _event, node):
        if scene.IsClosing() or not belongs(node):
            return
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        item = hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.RemoveItem(item, False, False)

    def closing(scene, _event):
        slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene).RemoveAllItems(False)

    scene.AddObserver(scene.StartCloseEvent, closing)
    scene.AddObserver(scene.NodeAddedEvent, added)
    scene.AddObserver(scene.NodeAboutToBeRemovedEvent, removed)


@contextmanager
def _quiet():
    vtk.vtkObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        vtk.vtkObject.GlobalWarningDisplayOn()


@contextmanager
def vtk_errors():
    """The errors that VTK and MRML print while inside, as a list of texts."""
    heard: list[str] = []

    @vtk.calldata_type(vtk.VTK_STRING)
    def hear(_window, _event, text):
        heard.append(text.strip())

    window = vtk.vtkOutputWindow.GetInstance()
    tag = window.AddObserver(vtk.vtkCommand.ErrorEvent, hear)
    try:
        yield heard
    finally:
        window.RemoveObserver(tag)


class _View:
    """One offscreen window with a group of displayable managers."""

    def __init__(self, factory, managers: tuple[str, ...], node, image_actor=None) -> None:
        self.renderer = vtk.vtkRenderer()
        if image_actor:  # first, so that what the managers add is drawn over it
            self.renderer.GetActiveCamera().ParallelProjectionOn()
            self.renderer.AddViewProp(image_actor)
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(0)
        self.window.AddRenderer(self.renderer)
        self._interactor = vtk.vtkRenderWindowInteractor()
        self._interactor.SetRenderWindow(self.window)
        self._interactor.Initialize()
        factory.SetMRMLApplicationLogic(start().logic)
        for manager in managers:
            if not factory.IsDisplayableManagerRegistered(manager):
                factory.RegisterDisplayableManager(manager)
        self._group = slicer.vtkMRMLDisplayableManagerGroup()
        self._group.SetRenderer(self.renderer)
        self._group.Initialize(factory, self.renderer)
        self._group.SetMRMLDisplayableNode(node)

    def save(self, path: Path) -> Path:
        self.window.Render()
        grabber = vtk.vtkWindowToImageFilter()
        grabber.SetInput(self.window)
        grabber.ReadFrontBufferOff()
        writer = vtk.vtkPNGWriter()
        writer.SetFileName(str(path))
        writer.SetInputConnection(grabber.GetOutputPort())
        writer.Write()
        return path


def _slice_view(name: str) -> _View:
    logic = start().slice_logics[name]
    mapper = vtk.vtkImageMapper()
    mapper.SetColorWindow(255)
    mapper.SetColorLevel(127.5)
    mapper.SetInputConnection(logic.GetImageDataConnection())
    actor = vtk.vtkActor2D()
    actor.SetMapper(mapper)
    actor.GetProperty().SetDisplayLocationToBackground()
    factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
    return _View(factory, _SLICE_MANAGERS, logic.GetSliceNode(), actor)


def _view_3d() -> _View:
    factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
    return _View(factory, _3D_MANAGERS, start().view_logic.GetViewNode())


def render_slice(node_name: str, path: Path, size: tuple[int, int] = (400, 400)) -> Path:
    """Draw a slice view (`"Red"`, `"Green"` or `"Yellow"`) as it stands into a PNG file.

    The field of view is fitted to the background volume; the slice's offset stays.
    """
    app = start()
    if node_name not in app.views:
        app.views[node_name] = _slice_view(node_name)
    view, logic = app.views[node_name], app.slice_logics[node_name]
    view.window.SetSize(*size)
    position = logic.GetSliceOffset()
    logic.ResizeSliceNode(*size)
    logic.FitSliceToBackground()
    logic.SetSliceOffset(position)
    return view.save(path)


def render_3d(path: Path, size: tuple[int, int] = (400, 400)) -> Path:
    """Draw the 3D view, its camera reset to all that is shown, into a PNG file."""
    app = start()
    if "3D" not in app.views:
        app.views["3D"] = _view_3d()
    view = app.views["3D"]
    view.window.SetSize(*size)
    view.renderer.ResetCamera()
    return view.save(path)
