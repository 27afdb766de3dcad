"""The qMRML widgets other than the node combo box, and what `slicer.app` hands out for views."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from .base import standin
from .collapsible import ctkCollapsibleButton
from .node_combo_box import qMRMLNodeComboBox
from .numbers import NumberWidget
from .observers import Observers

_SCENE_SIGNAL = {"mrmlSceneChanged": {"vtkMRMLScene*": lambda scene: scene}}


class _InScene:
    """The scene of a widget: `setMRMLScene` tells through `mrmlSceneChanged`."""

    _scene: slicer.vtkMRMLScene | None = None

    def setMRMLScene(self, scene: slicer.vtkMRMLScene | None) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> slicer.vtkMRMLScene | None:
        return self._scene


@standin
class qMRMLWidget(_InScene, QtWidgets.QWidget):  # noqa: N801
    SIGNALS = _SCENE_SIGNAL
    mrmlSceneChanged = QtCore.Signal(object)


@standin
class qMRMLCollapsibleButton(_InScene, ctkCollapsibleButton):  # noqa: N801
    SIGNALS = _SCENE_SIGNAL
    mrmlSceneChanged = QtCore.Signal(object)


@standin
class qMRMLSpinBox(_InScene, NumberWidget):  # noqa: N801
    mrmlSceneChanged = QtCore.Signal(object)


@standin
class qMRMLSliderWidget(_InScene, NumberWidget):  # noqa: N801
    mrmlSceneChanged = QtCore.Signal(object)
    with_slider = True


@standin
class qMRMLSegmentSelectorWidget(_InScene, QtWidgets.QWidget):  # noqa: N801
    SIGNALS = _SCENE_SIGNAL
    mrmlSceneChanged = QtCore.Signal(object)


@standin
class qMRMLSegmentsTableView(_InScene, QtWidgets.QWidget):  # noqa: N801
    SIGNALS = _SCENE_SIGNAL
    mrmlSceneChanged = QtCore.Signal(object)


@standin
class qMRMLVolumeInfoWidget(_InScene, QtWidgets.QWidget):  # noqa: N801
    SIGNALS = _SCENE_SIGNAL
    mrmlSceneChanged = QtCore.Signal(object)


@standin
class qMRMLSubjectHierarchyComboBox(QtWidgets.QComboBox):  # noqa: N801
    pass


@standin
class qMRMLSubjectHierarchyTreeView(QtWidgets.QTreeView):  # noqa: N801
    pass


@standin
class qMRMLSegmentationShow3DButton(QtWidgets.QPushButton):  # noqa: N801
    """Makes the closed surface of its segmentation and shows it while it is checked."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node: slicer.vtkMRMLSegmentationNode | None = None
        self.setText("Show 3D")
        self.setCheckable(True)
        self.setEnabled(False)
        self.toggled.connect(self._show)

    def segmentationNode(self) -> slicer.vtkMRMLSegmentationNode | None:
        return self._node

    def setSegmentationNode(self, node: slicer.vtkMRMLSegmentationNode | None) -> None:
        self._node = node
        self.setEnabled(node is not None)
        shown = bool(node) and node.GetSegmentation().ContainsRepresentation("Closed surface")
        self.blockSignals(True)
        self.setChecked(shown and bool(node.GetDisplayNode().GetVisibility3D()))
        self.blockSignals(False)

    def _show(self, shown: bool) -> None:
        if self._node is None:
            return
        if shown:
            self._node.CreateClosedSurfaceRepresentation()
        self._node.CreateDefaultDisplayNodes()
        self._node.GetDisplayNode().SetVisibility3D(shown)


@standin
class qMRMLTableView(_InScene, QtWidgets.QTableView):  # noqa: N801
    """Shows a table node."""

    SIGNALS = _SCENE_SIGNAL
    mrmlSceneChanged = QtCore.Signal(object)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node: slicer.vtkMRMLTableNode | None = None
        self._observers = Observers()
        self.destroyed.connect(self._observers.clear)

    def mrmlTableNode(self) -> slicer.vtkMRMLTableNode | None:
        return self._node

    def setMRMLTableNode(self, node: slicer.vtkMRMLTableNode | None) -> None:
        self._observers.clear()
        self._node = node
        if node is not None:
            self._observers.add(node, vtk.vtkCommand.ModifiedEvent, self._fill)
        self._fill(node)

    def _fill(self, node: Any) -> None:
        model = QtGui.QStandardItemModel(self)
        table = node.GetTable() if node is not None else vtk.vtkTable()
        columns, rows = table.GetNumberOfColumns(), table.GetNumberOfRows()
        for row in range(rows):
            values = [table.GetValue(row, column).ToString() for column in range(columns)]
            model.appendRow([QtGui.QStandardItem(value) for value in values])
        model.setHorizontalHeaderLabels([table.GetColumnName(column) for column in range(columns)])
        self.setModel(model)


@standin
class qMRMLColorTableComboBox(qMRMLNodeComboBox):  # noqa: N801
    pass


@standin
class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):  # noqa: N801
    checkedNodesChanged = QtCore.Signal()
