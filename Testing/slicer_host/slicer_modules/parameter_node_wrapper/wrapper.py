"""The class decorator."""

from __future__ import annotations

import weakref
from typing import Any

import qt
import slicer
import vtk

from .connectors import Connector, createGuiConnector
from .values import Parameter, parameters_of


class _Cached:
    """A parameter's value, read again when the node changes."""

    def __init__(self, parameter: Parameter, node: Any) -> None:
        self.parameter, self._node, self._writing = parameter, node, False
        self.value = parameter.read(node)
        weak = weakref.ref(self)
        self._tag = node.AddObserver(
            vtk.vtkCommand.ModifiedEvent, lambda *_: weak() and weak()._changed()
        )

    def __del__(self) -> None:
        self._node.RemoveObserver(self._tag)

    def _changed(self) -> None:
        if not self._writing:
            self.value = self.parameter.read(self._node)

    def write(self, value: Any) -> None:
        self._writing = True
        try:
            with slicer.util.NodeModify(self._node):
                self.parameter.write(self._node, value)
                self.value = self.parameter.read(self._node)  # before any observer asks for it
        finally:
            self._writing = False


def _property(name: str) -> property:
    return property(
        lambda self: self._cached[name].value, lambda self, value: self._cached[name].write(value)
    )


class _Wrapper:
    """What the decorator adds to a class of parameters."""

    allParameters: dict[str, Parameter]
    _is_parameter_node_wrapper = True

    def __init__(self, parameterNode: Any, prefix: str | None = None) -> None:
        if prefix:
            raise NotImplementedError("the test host's wrapper has no prefixes")
        self.parameterNode = parameterNode
        self._guis: dict[int, dict[str, Connector]] = {}
        self._gui_tags: dict[int, int] = {}
        self._next_tag = 0
        self._updating = False
        for parameter in self.allParameters.values():
            if not parameter.is_in(parameterNode):
                parameter.write(parameterNode, parameter.default)
        self._cached = {
            name: _Cached(parameter, parameterNode)
            for name, parameter in self.allParameters.items()
        }

    def __del__(self) -> None:
        """Without this VTK would call an observer that the garbage collector has emptied."""
        for tag in self._gui_tags.values():
            self.RemoveObserver(tag)

    def default(self, name: str) -> Any:
        return self._parameter(name).default

    @classmethod
    def dataType(cls, name: str) -> Any:
        return cls._parameter(name).annotated

    def getValue(self, name: str) -> Any:
        self._parameter(name)
        return self._cached[name].value

    def setValue(self, name: str, value: Any) -> None:
        self._parameter(name)
        self._cached[name].write(value)

    def isCached(self, name: str) -> bool:
        self._parameter(name)
        return True

    @classmethod
    def _parameter(cls, name: str) -> Parameter:
        if name not in cls.allParameters:
            raise ValueError(
                f"Cannot find a param with the given name: {name}"
                f"\n  Found parameters {list(cls.allParameters)}"
            )
        return cls.allParameters[name]

    # Widgets

    def connectGui(self, gui: Any) -> None:
        """Tie the widgets that name a parameter to it.

        As in Slicer 5.12 it returns no tag, so that these widgets cannot be disconnected again.
        """
        is_widget = getattr(gui, "isWidgetType", lambda: False)()
        widgets = gui.findChildren(qt.QWidget) if is_widget else vars(gui).values()
        named = {widget.property("SlicerParameterName"): widget for widget in widgets}
        named.pop(None, None)
        self.connectParametersToGui(named)

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        """Tie each parameter to its widget; the number is for `disconnectGui`."""
        for name in mapping:
            self._parameter(name)
        connectors = {
            name: createGuiConnector(widget, self.dataType(name))
            for name, widget in mapping.items()
        }
        tag, self._next_tag = self._next_tag, self._next_tag + 1
        self._guis[tag] = connectors
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.onChanged(self._writer(name, connector))
        weak = weakref.ref(self)
        self._gui_tags[tag] = self.AddObserver(
            vtk.vtkCommand.ModifiedEvent, lambda *_: weak() and weak()._update_guis()
        )
        return tag

    def disconnectGui(self, guiTag: int) -> None:
        for connector in self._guis.pop(guiTag, {}).values():
            connector.onChanged(None)
        if guiTag in self._gui_tags:
            self.RemoveObserver(self._gui_tags.pop(guiTag))

    def _writer(self, name: str, connector: Connector) -> Any:
        def write() -> None:
            with slicer.util.NodeModify(self):
                if not self._updating:
                    self.setValue(name, connector.read())

        return write

    def _update_guis(self) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            with slicer.util.NodeModify(self):
                for connectors in list(self._guis.values()):
                    for name, connector in connectors.items():
                        connector.write(self.getValue(name))
        finally:
            self._updating = False

    # The node's own

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified: int) -> int:
        return self.parameterNode.EndModify(wasModified)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()


def parameterNodeWrapper(classtype: type | None = None) -> Any:
    """Class decorator, with or without parentheses."""
    return _wrap if classtype is None else _wrap(classtype)


def _wrap(cls: type) -> type:
    parameters = parameters_of(cls)
    added = {name: value for name, value in vars(_Wrapper).items() if name[:2] != "__"}
    for name in added:
        if hasattr(cls, name):
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
    added |= {name: _property(name) for name in parameters}
    added |= {"allParameters": parameters, "__init__": _Wrapper.__init__}
    added["__del__"] = _Wrapper.__del__
    for name, value in added.items():
        setattr(cls, name, value)
    return cls


def isParameterNodeWrapper(classOrObj: Any) -> bool:
    return getattr(classOrObj, "_is_parameter_node_wrapper", False)
