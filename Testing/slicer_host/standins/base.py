"""How a stand-in gets the properties that were recorded but that it does nothing with."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore

from ..record import record

STANDINS: dict[str, type] = {}
"""Class name in Slicer → the PySide6 class that stands in for it."""


def standin(cls: type) -> type:
    """Class decorator: registers, and adds the recorded properties that the class does not define.

    Those keep what is assigned, so that a `.ui` file may set them.
    """
    recorded: set[str] = set()
    for group in ("ctk", "slicer_widgets"):
        recorded |= set(record()[group].get(cls.__name__, {}).get("properties", []))
    meta_object = cls.staticMetaObject
    missing = {name for name in recorded if meta_object.indexOfProperty(name) < 0}
    made = type(cls.__name__, (cls,), {name: _kept(name) for name in missing})
    STANDINS[cls.__name__] = made
    return made


def _kept(name: str) -> QtCore.Property:
    def read(self: Any) -> Any:
        return self.__dict__.get(f"_kept_{name}")

    def write(self: Any, value: Any) -> None:
        self.__dict__[f"_kept_{name}"] = value

    return QtCore.Property("QVariant", read, write)
