"""Loading a `.ui` file written for Slicer; anything in it that Slicer does not know is an error.

Qt itself turns an unknown property into a dynamic one and prints a line for a connection that
cannot be made; here both raise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from PySide6 import QtCore, QtUiTools

from . import signals
from .modules import names_of, qt_class
from .proxy import wrap

_MARGINS = {f"{side}Margin" for side in ("left", "top", "right", "bottom")}
_SPACINGS = {"spacing", "horizontalSpacing", "verticalSpacing"}
_LAYOUT_PROPERTIES = frozenset(_MARGINS | _SPACINGS | {"margin", "stretch", "sizeConstraint"})
_LINE_PROPERTIES = frozenset(["orientation", "frameShadow", "frameShape", "lineWidth"])


class UiError(RuntimeError):
    """The file names something that Slicer does not have."""


def load(path: str) -> Any:
    """The file's root widget.

    Raises:
        RuntimeError: there is no such file, as `slicer.util.loadUI` says it.
        UiError: a class, property, signal or name in it is not one of Slicer's.
    """
    if not Path(path).is_file():
        raise RuntimeError(f"Could not load UI file: file not found {path}")
    root = ElementTree.parse(path).getroot()  # noqa: S314  (our own file)
    _check(root, Path(path).name)
    connections = root.find("connections")
    if connections is not None:
        root.remove(connections)
    text = QtCore.QBuffer()
    text.setData(ElementTree.tostring(root))
    widget = _Loader().load(text)
    if widget is None:
        raise RuntimeError(f"Could not load UI file: {path}")
    for connection in connections if connections is not None else []:
        _connect(wrap(widget), connection, Path(path).name)
    return wrap(widget)


class _Loader(QtUiTools.QUiLoader):
    def createWidget(self, class_name: str, parent: Any = None, name: str = "") -> Any:
        cls = qt_class(class_name) if class_name != "Line" else None
        if cls is None or cls.__module__.startswith("PySide6"):
            return super().createWidget(class_name, parent, name)
        widget = cls(parent)
        widget.setObjectName(name)
        return widget


def _check(root: ElementTree.Element, file: str) -> None:
    seen: set[str] = set()
    for widget in root.iter("widget"):
        cls, name = widget.get("class", ""), widget.get("name", "")
        if name in seen:
            raise UiError(f"{file}: two widgets are called '{name}'")
        seen.add(name)
        known = _LINE_PROPERTIES if cls == "Line" else _properties(cls, file)
        _check_properties(widget, known | {"geometry"}, f"{file}: {cls} '{name}'")
    for layout in root.iter("layout"):
        where = f"{file}: {layout.get('class')} '{layout.get('name')}'"
        _check_properties(
            layout, _LAYOUT_PROPERTIES | _properties(layout.get("class", ""), file), where
        )


def _properties(cls: str, file: str) -> frozenset[str]:
    known = names_of(cls)
    if known is None:
        raise UiError(f"{file}: there is no class '{cls}' in the record of a running Slicer")
    return known.properties


def _check_properties(
    element: ElementTree.Element, known: frozenset[str] | set[str], where: str
) -> None:
    for item in element.findall("property"):
        name = item.get("name", "")
        if item.get("stdset") != "0" and name not in known:
            raise UiError(f"{where} has no property '{name}'; a dynamic one needs stdset=\"0\"")


def _connect(root: Any, connection: ElementTree.Element, file: str) -> None:
    texts = {child.tag: child.text or "" for child in connection}
    sender, receiver = (_find(root, texts[role], file) for role in ("sender", "receiver"))
    slot = texts["slot"].partition("(")[0]
    if slot not in type(receiver)._names:
        raise UiError(f"{file}: {type(receiver).__name__} has no slot '{texts['slot']}'")
    try:
        signals.connect(sender, texts["signal"], getattr(receiver, slot))
    except AttributeError as error:
        raise UiError(f"{file}: {error}") from error


def _find(root: Any, name: str, file: str) -> Any:
    if root.objectName == name:
        return root
    found = root._object.findChild(QtCore.QObject, name)
    if found is None:
        raise UiError(f"{file}: a connection names '{name}', which is not there")
    return wrap(found)
