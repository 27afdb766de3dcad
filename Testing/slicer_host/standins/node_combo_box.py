"""`qMRMLNodeComboBox`: a combo box that follows the scene.

As in Slicer it is a widget with a `QComboBox` in it, whose rows are *None*, the nodes, and the
actions, and Qt itself decides what is current when a row goes: the node after it, not *None*.
While the scene closes or imports nothing is followed; when it is done, all nodes are taken out and
put in again, which leaves nothing selected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from .base import standin
from .node_filter import NodeFilter
from .observers import Observers

_NODE_ID = QtCore.Qt.ItemDataRole.UserRole + 1
_ACTION = QtCore.Qt.ItemDataRole.UserRole + 2
_NODE_SIGNALS = (
    "nodeActivated",
    "nodeAdded",
    "nodeAddedByUser",
    "nodeAddedByUserAction",
    "nodeAboutToBeRemoved",
    "nodeAboutToBeEdited",
)


def _same(node: Any) -> Any:
    return node


def _is_some(node: Any) -> bool:
    return node is not None


def _setting(kind: Any, name: str, changed: Callable[[Any], None]) -> QtCore.Property:
    """A property that is kept in the widget's `name`, or in its filter's (`filter.name`)."""
    owner, _, attribute = name.rpartition(".")

    def target(self: Any) -> Any:
        return getattr(self, owner) if owner else self

    def write(self: Any, value: Any) -> None:
        if getattr(target(self), attribute) != value:
            setattr(target(self), attribute, value)
            changed(self)

    return QtCore.Property(kind, lambda self: getattr(target(self), attribute), write)


@standin
class qMRMLNodeComboBox(QtWidgets.QWidget):  # noqa: N801
    currentNodeChanged = QtCore.Signal(object)
    currentNodeIDChanged = QtCore.Signal(str)
    currentNodeRenamed = QtCore.Signal(str)
    nodeActivated = QtCore.Signal(object)
    nodeAdded = QtCore.Signal(object)
    nodeAddedByUser = QtCore.Signal(object)
    nodeAddedByUserAction = QtCore.Signal(object)
    nodeAboutToBeRemoved = QtCore.Signal(object)
    nodeAboutToBeEdited = QtCore.Signal(object)

    # The overloads in C++, with what each makes of the node.
    SIGNALS = {"currentNodeChanged": {"vtkMRMLNode*": _same, "bool": _is_some}} | {
        name: {"vtkMRMLNode*": _same} for name in _NODE_SIGNALS
    }

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: slicer.vtkMRMLScene | None = None
        self._observers = Observers()
        self.destroyed.connect(self._observers.clear)
        self._filter = NodeFilter()
        self._requested = ""
        self._type_labels: dict[str, str] = {}
        self._base_name, self._none, self._none_display = "", False, "None"
        self._add = self._remove = self._select_new = True
        self._edit = self._rename = False
        self._box = QtWidgets.QComboBox(self)
        self._model = QtGui.QStandardItemModel(self)
        self._box.setModel(self._model)
        policy = QtWidgets.QSizePolicy.Policy
        self._box.setSizePolicy(policy.Expanding, policy.Preferred)
        self._box.setMinimumContentsLength(8)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._box.currentTextChanged.connect(self._current_changed)
        self._box.activated.connect(self._activated)
        self.setEnabled(False)

    # The scene

    def setMRMLScene(self, scene: slicer.vtkMRMLScene | None) -> None:
        if scene is self._scene:
            return
        current = self._current_id() or self._requested
        self._observers.clear()
        self._scene, self._requested = scene, ""
        if scene is not None:
            for event, method in (
                (scene.NodeAddedEvent, self._node_added),
                (scene.NodeAboutToBeRemovedEvent, self._node_leaving),
                (scene.EndCloseEvent, self._take_all_anew),
                (scene.EndImportEvent, self._take_all_anew),
            ):
                self._observers.add(scene, event, method)
        self._rebuild(current)
        self.setEnabled(scene is not None)

    def mrmlScene(self) -> slicer.vtkMRMLScene | None:
        return self._scene

    def _nodes(self) -> Iterator[slicer.vtkMRMLNode]:
        nodes = self._scene.GetNodes() if self._scene is not None else vtk.vtkCollection()
        return (nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems()))

    def _node_added(self, node: slicer.vtkMRMLNode) -> None:
        if not self._scene.IsImporting():
            self._watch(node)
            if self._filter.accepts(node):
                self._insert(node)

    def _node_leaving(self, node: slicer.vtkMRMLNode) -> None:
        self._observers.remove(node)
        row = self._row(node.GetID())
        if row >= 0 and not self._scene.IsClosing():
            self.nodeAboutToBeRemoved.emit(node)
            self._take_out(row)

    def _node_modified(self, node: slicer.vtkMRMLNode) -> None:
        if self._scene.IsClosing() or self._scene.IsImporting() or node.GetScene() is None:
            return
        row, accepted = self._row(node.GetID()), self._filter.accepts(node)
        if row >= 0 and not accepted:
            self._take_out(row)
        elif row < 0 and accepted:
            self._insert(node)
        elif row >= 0 and self._model.item(row).text() != node.GetName():
            self._model.item(row).setText(node.GetName())

    def _take_all_anew(self, _scene: Any) -> None:
        self._take_out(self._first_row(), self.nodeCount())
        for node in self._nodes():
            self._node_added(node)

    def _watch(self, node: slicer.vtkMRMLNode) -> None:
        if node not in self._observers and self._filter.is_of_type(node):
            self._observers.add(node, vtk.vtkCommand.ModifiedEvent, self._node_modified)

    # Rows

    def _first_row(self) -> int:
        return 1 if self._none and self._scene is not None else 0

    def _none_row(self) -> int:
        return self._first_row() - 1

    def _row(self, node_id: str) -> int:
        rows = range(self._model.rowCount())
        return next((row for row in rows if self._model.item(row).data(_NODE_ID) == node_id), -1)

    def _node_at(self, row: int) -> slicer.vtkMRMLNode | None:
        item = self._model.item(row) if row >= 0 else None
        node_id = item.data(_NODE_ID) if item else None
        return self._scene.GetNodeByID(node_id) if node_id and self._scene else None

    def nodeCount(self) -> int:
        rows = range(self._model.rowCount())
        return sum(self._model.item(row).data(_NODE_ID) is not None for row in rows)

    def nodeFromIndex(self, index: int) -> slicer.vtkMRMLNode | None:
        return self._node_at(index + self._first_row())

    def _insert(self, node: slicer.vtkMRMLNode) -> None:
        """In the scene's order."""
        before = 0
        for other in self._nodes():
            if other is node:
                break
            before += self._row(other.GetID()) >= 0
        item = QtGui.QStandardItem(node.GetName() or "")
        item.setData(node.GetID(), _NODE_ID)
        self._model.insertRow(self._first_row() + before, item)
        self.nodeAdded.emit(node)

    def _rebuild(self, current: str | None = None) -> None:
        """Make all rows anew with the same node current; tell only if that is not possible."""
        before = self.currentNode()
        wanted = self._current_id() if current is None else current
        blockers = QtCore.QSignalBlocker(self._box), QtCore.QSignalBlocker(self)
        self._model.removeRows(0, self._model.rowCount())
        if self._first_row():
            self._model.appendRow(QtGui.QStandardItem(self._none_display))
        for text, action in self._actions() if self._scene is not None else []:
            item = QtGui.QStandardItem(text)
            item.setData(action, _ACTION)
            self._model.appendRow(item)
        for node in self._nodes():
            self._node_added(node)
        row = self._row(wanted) if wanted else -1
        self._box.setCurrentIndex(row if row >= 0 else self._none_row())
        for blocker in blockers:
            blocker.unblock()
        if self.currentNode() is not before:
            self._current_changed()

    def _actions(self) -> list[tuple[str, str]]:
        types = self._filter.types
        label = self.nodeTypeLabel(types[0] if len(types) == 1 else "")
        actions = [(f"Rename current {label}", "rename")] if self._rename else []
        actions += [(f"Edit current {label}", "edit")] if self._edit else []
        if self._add:
            actions += [
                (f"Create new {self.nodeTypeLabel(name)}", f"create {name}") for name in types
            ]
        actions += [(f"Delete current {label}", "delete")] if self._remove else []
        return [("", "separator"), *actions] if actions else []

    # The current node

    def currentNode(self) -> slicer.vtkMRMLNode | None:
        return self._node_at(self._box.currentIndex())

    def setCurrentNode(self, node: slicer.vtkMRMLNode | None) -> None:
        self.setCurrentNodeID(node.GetID() if node is not None else "")

    def _current_id(self) -> str:
        node = self.currentNode()
        return node.GetID() if node is not None else ""

    def setCurrentNodeID(self, node_id: str) -> None:
        if self._scene is None:
            self._requested = node_id or ""
            return
        row = self._row(node_id) if node_id else -1
        self._box.setCurrentIndex(row if row >= 0 else self._none_row())

    def setCurrentNodeIndex(self, index: int) -> None:
        self._box.setCurrentIndex((-1 if index >= self.nodeCount() else index) + self._first_row())

    def _current_changed(self, _text: str = "") -> None:
        node = self.currentNode()
        if node is None and self._box.currentIndex() not in (-1, self._none_row()):  # an action
            if self.nodeCount():
                self.setCurrentNode(self.nodeFromIndex(self.nodeCount() - 1))
            return
        self.currentNodeChanged.emit(node)
        self.currentNodeIDChanged.emit(node.GetID() if node is not None else "")

    def _take_out(self, row: int, count: int = 1) -> None:
        self._model.removeRows(row, count)
        if self.currentNode() is None:
            self.setCurrentNode(None)

    # What the user does

    def _activated(self, row: int) -> None:
        action = self._model.item(row).data(_ACTION) or ""
        if action.startswith("create "):
            self.nodeAddedByUserAction.emit(self.addNode(action.removeprefix("create ")))
        elif action == "delete":
            self.removeCurrentNode()
        elif not action:
            self.nodeActivated.emit(self._node_at(row))

    def addNode(self, node_type: str | None = None) -> slicer.vtkMRMLNode | None:
        node_type = node_type or next(iter(self._filter.types), None)
        if node_type not in self._filter.types:
            return None
        name = self._base_name or self.nodeTypeLabel(node_type)
        node = self._scene.AddNewNodeByClass(node_type, self._scene.GenerateUniqueName(name))
        for attribute, value in self._filter.attributes.get(node_type, {}).items():
            node.SetAttribute(attribute, "" if value is None else str(value))
        if self._select_new:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        if self.currentNode() is not None:
            self._scene.RemoveNode(self.currentNode())

    # What is offered

    def addAttribute(self, node_type: str, name: str, value: Any = None) -> None:
        self._filter.attributes.setdefault(node_type, {})[name] = value
        self._rebuild()

    def removeAttribute(self, node_type: str, name: str) -> None:
        self._filter.attributes.get(node_type, {}).pop(name, None)
        self._rebuild()

    def nodeTypeLabel(self, node_type: str) -> str:
        label = self._type_labels.get(node_type)
        if label is None and self._scene is not None:
            label = self._scene.GetTypeDisplayNameByClassName(node_type)
        return label or "node"

    def setNodeTypeLabel(self, label: str, node_type: str) -> None:
        self._type_labels[node_type] = label
        self._rebuild()

    currentNodeID = QtCore.Property(str, _current_id, setCurrentNodeID)
    nodeTypes = _setting("QStringList", "_filter.types", _rebuild)
    hideChildNodeTypes = _setting("QStringList", "_filter.hidden_types", _rebuild)
    showChildNodeTypes = _setting(bool, "_filter.with_children", _rebuild)
    showHidden = _setting(bool, "_filter.with_hidden", _rebuild)
    noneEnabled = _setting(bool, "_none", _rebuild)
    noneDisplay = _setting(str, "_none_display", _rebuild)
    addEnabled = _setting(bool, "_add", _rebuild)
    removeEnabled = _setting(bool, "_remove", _rebuild)
    editEnabled = _setting(bool, "_edit", _rebuild)
    renameEnabled = _setting(bool, "_rename", _rebuild)
    selectNodeUponCreation = _setting(bool, "_select_new", lambda self: None)
    baseName = _setting(str, "_base_name", lambda self: None)
