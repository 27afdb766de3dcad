"""Enumeration values as PythonQt gives them: integers."""

from __future__ import annotations

import enum
from typing import Any


class EnumValue(int):
    """An integer that remembers the PySide6 value, which Qt 6's methods insist on."""

    member: enum.Enum

    def __new__(cls, member: enum.Enum) -> EnumValue:
        value = super().__new__(cls, member.value)
        value.member = member
        return value

    def __or__(self, other: int) -> int:
        if isinstance(other, EnumValue) and isinstance(self.member, enum.Flag):
            return EnumValue(self.member | other.member)
        return int(self) | other


class EnumType:
    """`qt.QProcess.ProcessState`: makes values from integers."""

    def __init__(self, qt_enum: type[enum.Enum]) -> None:
        self._qt_enum = qt_enum

    def __call__(self, value: int) -> EnumValue:
        return EnumValue(self._qt_enum(int(value)))

    def __getattr__(self, name: str) -> EnumValue:
        return EnumValue(self._qt_enum[name])


def find(qt_class: type, name: str) -> Any:
    """The value or the type called `name` among the enumerations of a class, or None."""
    for owner in qt_class.__mro__:
        for nested in vars(owner).values():
            if isinstance(nested, enum.EnumMeta):
                if nested.__name__ == name:
                    return EnumType(nested)
                if name in nested.__members__:
                    return EnumValue(nested[name])
    return None
