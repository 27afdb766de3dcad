"""PythonQt's wrappers, around PySide6 objects: one class for each class of the record.

As in PythonQt the classes do not derive from each other: `isinstance(button, qt.QWidget)` is False.
"""

from __future__ import annotations

import enum
import types
from pathlib import PurePath
from typing import Any, ClassVar
from weakref import WeakValueDictionary

import shiboken6
from PySide6 import QtCore

from . import members, problems
from .calls import call
from .enums import EnumValue
from .record import Names


class ProxyType(type):
    """Gives the names of a class itself: enumeration values, static functions, signals."""

    _qt_class: type
    _names: Names

    def __getattr__(cls, name: str) -> Any:
        return members.get_from_class(cls, name)

    def __dir__(cls) -> list[str]:
        return sorted(cls._names.properties | cls._names.others)


class Proxy(metaclass=ProxyType):
    """A wrapper of one PySide6 object, which is its `_object`."""

    _qt_class: ClassVar[type] = object
    _names: ClassVar[Names] = Names()
    _of_the_module: ClassVar[bool] = False
    _object: Any

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "_qt_class" not in vars(cls):  # a class of the module's own
            cls._of_the_module = True
            cls._qt_class = members.with_overrides(cls)

    def __init__(self, *arguments: Any) -> None:
        created = call(type(self)._qt_class, [unwrap(value) for value in arguments])
        object.__setattr__(self, "_object", created)
        _remember(self)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_object":
            raise AttributeError(name)
        return members.get(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        members.set_(self, name, value)

    def __dir__(self) -> list[str]:
        return sorted(self._names.properties | self._names.others)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Proxy):
            return False
        return _identity(self._object) == _identity(other._object)

    def __hash__(self) -> int:
        return hash(_identity(self._object))

    def __repr__(self) -> str:
        return members.describe(self)


class Unrecorded(Proxy):
    """Something of which nothing was recorded: it can be passed on, and has no names."""


classes: dict[str, type[Proxy]] = {}
"""The proxy classes of the record by name."""

_alive: WeakValueDictionary[int, Proxy] = WeakValueDictionary()
_kept: dict[int, Proxy] = {}


def make_class(name: str, names: Names, qt_class: type, module: str) -> type[Proxy]:
    """A proxy class, which from now on is what objects of `qt_class` are wrapped in."""
    namespace = {"_qt_class": qt_class, "_names": names, "__module__": module}
    classes[name] = ProxyType(name, (Proxy,), namespace)
    return classes[name]


def _address(qt_object: Any) -> int:
    return shiboken6.getCppPointer(qt_object)[0]


def _identity(qt_object: Any) -> Any:
    """What two proxies share exactly when they are equal."""
    if isinstance(qt_object, QtCore.QObject):
        return _address(qt_object) if shiboken6.isValid(qt_object) else id(qt_object)
    try:
        hash(qt_object)
    except TypeError:
        return repr(qt_object)
    return qt_object


def _remember(proxy: Proxy) -> None:
    qt_object = proxy._object
    if not isinstance(qt_object, QtCore.QObject):
        return
    address = _address(qt_object)
    _alive[address] = proxy
    if proxy._of_the_module:
        _kept[address] = proxy  # attributes of a Python class last as long as the C++ object
        qt_object.destroyed.connect(lambda *_: _kept.pop(address, None))


def wrap(value: Any) -> Any:
    """A value that comes out of Qt, as PythonQt gives it."""
    if isinstance(value, (bool, int, float, str, bytes, types.NoneType)) and not isinstance(
        value, enum.Enum
    ):
        return value
    if isinstance(value, enum.Enum) and isinstance(value.value, int):
        return EnumValue(value)
    if isinstance(value, (list, tuple)):
        return tuple(wrap(item) for item in value)
    if isinstance(value, dict):
        return {wrap(key): wrap(item) for key, item in value.items()}
    if isinstance(value, shiboken6.Object):
        return _wrap_object(value)
    return value  # MRML, VTK and plain Python objects travel through Qt as they are


def _wrap_object(value: Any) -> Proxy | None:
    is_qobject = isinstance(value, QtCore.QObject)
    if is_qobject:
        if not shiboken6.isValid(value):
            return None
        known = _alive.get(_address(value))
        if known is not None and shiboken6.isValid(known._object):
            return known
    proxy = Proxy.__new__(_class_for(type(value)))
    object.__setattr__(proxy, "_object", value)
    if is_qobject:
        _alive[_address(value)] = proxy
    return proxy


def _class_for(qt_class: type) -> type[Proxy]:
    for candidate in qt_class.__mro__:
        found = classes.get(candidate.__name__)
        if found is not None and found._qt_class is candidate:
            return found
    return Unrecorded


def unwrap(value: Any) -> Any:
    """A value on its way into Qt, as PySide6 takes it.

    Raises `ValueError` for a `Path`: PythonQt does not know it.
    """
    if isinstance(value, Proxy):
        return value._object
    if isinstance(value, EnumValue):
        return value.member
    if isinstance(value, PurePath):
        raise ValueError(f"PythonQt does not take a Path for a string: pass str({value!r})")
    if isinstance(value, ProxyType):
        return value._qt_class
    if isinstance(value, (list, tuple)):
        return [unwrap(item) for item in value]
    if isinstance(value, dict):
        return {key: unwrap(item) for key, item in value.items()}
    if isinstance(value, (types.FunctionType, types.MethodType, members.BoundMethod)):
        return problems.reported(value)  # Qt is going to call it
    return value
