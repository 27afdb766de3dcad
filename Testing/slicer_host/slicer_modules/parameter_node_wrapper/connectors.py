"""Which widget shows which type of parameter, as Slicer pairs them; any other pair is an error."""

from __future__ import annotations

import abc
import enum
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

import ctk
import qt
import slicer

from .values import Choice, Maximum, Minimum, WithinRange, first, is_node, split


class Connector(abc.ABC):
    """Ties a widget's value to a callback. `signal` is the widget's that says it changed."""

    signal: str | None

    def __init__(self, widget: Any, annotated: Any) -> None:
        self._widget = widget
        self.kind, self.annotations = split(annotated)
        self._callback: Callable[[], None] | None = None

    @classmethod
    @abc.abstractmethod
    def fits(cls, widget: Any, kind: Any) -> bool:
        """Whether this widget can show a parameter of this type."""

    def widget(self) -> Any:
        return self._widget

    def onChanged(self, callback: Callable[[], None] | None) -> None:
        self._callback = callback
        if self.signal is None:
            return
        signal = getattr(self._widget, self.signal)
        if callback is None:
            signal.disconnect(self.changed)
        else:
            signal.connect(self.changed)

    def changed(self) -> None:
        if self._callback:
            self._callback()

    @abc.abstractmethod
    def read(self) -> Any:
        """The widget's value as the parameter's type."""

    @abc.abstractmethod
    def write(self, value: Any) -> None:
        """Show a parameter's value."""


class _Checked(Connector):
    signal = "toggled"

    @classmethod
    def fits(cls, widget: Any, kind: Any) -> bool:
        return kind is bool and type(widget) in (qt.QCheckBox, ctk.ctkCheckBox, qt.QPushButton)

    def __init__(self, widget: Any, annotated: Any) -> None:
        super().__init__(widget, annotated)
        if type(widget) is qt.QPushButton:
            widget.checkable = True

    def read(self) -> bool:
        return self._widget.checked

    def write(self, value: bool) -> None:
        self._widget.checked = value


class _Number(Connector):
    signal = "valueChanged"

    @classmethod
    def fits(cls, widget: Any, kind: Any) -> bool:
        whole = (qt.QSlider, qt.QSpinBox)
        broken = (
            qt.QDoubleSpinBox,
            ctk.ctkSliderWidget,
            ctk.ctkDoubleSpinBox,
            slicer.qMRMLSliderWidget,
            slicer.qMRMLSpinBox,
        )
        return (kind is int and type(widget) in whole + broken) or (
            kind is float and type(widget) in broken
        )

    def __init__(self, widget: Any, annotated: Any) -> None:
        super().__init__(widget, annotated)
        if self.kind is int and "decimals" in dir(widget):
            widget.decimals = 0
        within = first(self.annotations, WithinRange)
        low, high = first(self.annotations, Minimum), first(self.annotations, Maximum)
        sliders = (qt.QSlider, ctk.ctkSliderWidget, slicer.qMRMLSliderWidget)
        if type(widget) in sliders and not (within or (low and high)):
            raise RuntimeError(f"Cannot connect an unbounded number to {type(widget).__name__}")
        whole = type(widget) in (qt.QSlider, qt.QSpinBox)
        lowest, highest = (-(2**31), 2**31 - 1) if whole else (float("-inf"), float("inf"))
        widget.minimum = within.minimum if within else low.minimum if low else lowest
        widget.maximum = within.maximum if within else high.maximum if high else highest

    def read(self) -> float:
        return self.kind(self._widget.value)

    def write(self, value: float) -> None:
        self._widget.value = value


class _Chosen(Connector):
    """A combo box; its items are made anew."""

    signal = "currentIndexChanged"

    @classmethod
    def fits(cls, widget: Any, kind: Any) -> bool:
        if type(widget) not in (qt.QComboBox, ctk.ctkComboBox):
            return False
        return kind in (int, float, str, bool) or issubclass(kind, enum.Enum)

    def __init__(self, widget: Any, annotated: Any) -> None:
        super().__init__(widget, annotated)
        if issubclass(self.kind, enum.Enum):
            self._values = list(self.kind)
            label = getattr(self.kind, "label", lambda member: member.name)
            labels = [label(member) for member in self._values]
            current = widget.currentIndex
        else:
            choice = first(self.annotations, Choice)
            if choice is None:
                raise RuntimeError("A combo box of plain values needs the Choice annotation.")
            self._values = list(choice.choices)
            labels, current = [str(value) for value in self._values], 0
        widget.clear()
        for text in labels:
            widget.addItem(text)
        self.write(self._values[current])

    def read(self) -> Any:
        return self._values[self._widget.currentIndex]

    def write(self, value: Any) -> None:
        if value not in self._values:
            raise ValueError(f"Unable to find value {value} in choices {self._values}")
        self._widget.currentIndex = self._values.index(value)


class _Text(Connector):
    signal = "textChanged"

    @classmethod
    def fits(cls, widget: Any, kind: Any) -> bool:
        return kind is str and type(widget) is qt.QLineEdit

    def read(self) -> str:
        return self._widget.text

    def write(self, value: str) -> None:
        if value != self._widget.text:  # else the cursor would jump to the end
            self._widget.text = value


class _Label(_Text):
    signal = None

    @classmethod
    def fits(cls, widget: Any, kind: Any) -> bool:
        return kind is str and type(widget) is qt.QLabel


class _LongText(Connector):
    signal = "textChanged"

    @classmethod
    def fits(cls, widget: Any, kind: Any) -> bool:
        return kind is str and type(widget) is qt.QTextEdit

    def read(self) -> str:
        return self._widget.toPlainText()

    def write(self, value: str) -> None:
        self._widget.setPlainText(value)


class _PathEdit(Connector):
    signal = "currentPathChanged"

    @classmethod
    def fits(cls, widget: Any, kind: Any) -> bool:
        return type(widget) is ctk.ctkPathLineEdit and issubclass(kind, PurePath)

    def read(self) -> PurePath:
        return self.kind(self._widget.currentPath)

    def write(self, value: PurePath) -> None:
        self._widget.currentPath = str(value)


class _Node(Connector):
    """A node selector; it gets the parameter's type for its own."""

    signal = "currentNodeChanged"

    @classmethod
    def fits(cls, widget: Any, kind: Any) -> bool:
        return is_node(kind) and type(widget) is slicer.qMRMLNodeComboBox

    def __init__(self, widget: Any, annotated: Any) -> None:
        super().__init__(widget, annotated)
        widget.nodeTypes = [self.kind().GetClassName()]

    def read(self) -> Any:
        return self._widget.currentNode()

    def write(self, value: Any) -> None:
        self._widget.setCurrentNode(value)


_CONNECTORS = (_Checked, _Number, _Chosen, _Text, _Label, _LongText, _PathEdit, _Node)


def createGuiConnector(widget: Any, datatype: Any) -> Connector:
    """Raises `RuntimeError` for a pair that Slicer does not know."""
    if isinstance(widget, Connector):
        return widget
    kind = split(datatype)[0]
    for connector in _CONNECTORS:
        if connector.fits(widget, kind):
            return connector(widget, datatype)
    raise RuntimeError(
        f"Unable to create GUI connector from datatype '{datatype}'"
        f" to widget type '{type(widget)}'."
    )
