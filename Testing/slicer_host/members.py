"""How PythonQt looks up, sets and calls the names of an object, if they were recorded."""

from __future__ import annotations

import enum
import math
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import shiboken6
from PySide6 import QtCore, QtGui

from . import enums, signals
from .calls import call

if TYPE_CHECKING:
    from .proxy import Proxy, ProxyType

_KEYWORDS = {"raise", "print", "del"}  # PySide6 appends an underscore to these
_PLAIN = {"bool": bool, "QString": str, "double": float, "int": math.floor, "QStringList": list}

replaced: dict[tuple[str, str], Callable[..., Any]] = {}
"""(class, name) → what the host does instead; called with the proxy, or with its class."""


def get(proxy: Proxy, name: str) -> Any:
    """The attribute of an object. Raises `AttributeError` with PythonQt's own text."""
    cls, qt_object = type(proxy), proxy._object
    if not shiboken6.isValid(qt_object):
        raise ValueError(f"Trying to read '{name}' from a destroyed {cls.__name__} object")
    name = _resolve(proxy, name)
    if name in cls._names.properties and not (cls.__name__ == "QTimer" and name == "singleShot"):
        return _read(proxy, name)
    if name in cls._names:
        return _other(proxy, name)
    if isinstance(qt_object, QtCore.QObject):
        if name.encode() in [bytes(key.data()) for key in qt_object.dynamicPropertyNames()]:
            return _wrap(qt_object.property(name))
        child = qt_object.findChild(
            QtCore.QObject, name, QtCore.Qt.FindChildOption.FindDirectChildrenOnly
        )
        if child is not None:
            return _wrap(child)
    raise AttributeError(f"{cls.__name__} has no attribute named '{name}'")


def set_(proxy: Proxy, name: str, value: Any) -> None:
    """Assign a property. Raises `AttributeError` with PythonQt's own text for anything else."""
    cls, qt_object = type(proxy), proxy._object
    if not shiboken6.isValid(qt_object):
        raise AttributeError(
            f"Trying to set property '{name}' on a destroyed {cls.__name__} object"
        )
    name = _resolve(proxy, name)
    if name in cls._names.others or (cls.__name__ == "QTimer" and name == "singleShot"):
        raise AttributeError(f"Slot '{name}' can not be overwritten on {cls.__name__} object")
    if name in cls._names.properties:
        _write(proxy, name, value)
    elif isinstance(qt_object, QtCore.QObject) and qt_object.property(name) is not None:
        qt_object.setProperty(name, _unwrap(value))
    elif not cls._of_the_module:
        raise AttributeError(
            f"'{name}' does not exist on {cls.__name__}"
            " and creating new attributes on C++ objects is not allowed"
        )
    else:
        object.__setattr__(proxy, name, value)


def get_from_class(cls: ProxyType, name: str) -> Any:
    """An enumeration's value, or a function: static, or to be called with the object first."""
    if name.startswith("__") or name not in cls._names.others | cls._names.properties:
        raise AttributeError(f"{cls.__name__} has no attribute named '{name}'")
    value = enums.find(cls._qt_class, name)
    if value is not None:
        return value
    instead = _replacement(cls, name)
    if instead is not None:
        return types.MethodType(instead, cls)
    function = getattr(cls._qt_class, name, None)
    if not callable(function):
        raise _absent(cls, name)
    return lambda *arguments: _wrap(call(function, [_unwrap(item) for item in arguments]))


class BoundMethod:
    """A method of one object. Two of the same are equal, so that either can be disconnected."""

    def __init__(self, proxy: Proxy, name: str, function: Callable[..., Any]) -> None:
        self.__self__, self.__name__, self._function = proxy, name, function

    def __call__(self, *arguments: Any) -> Any:
        where = f"{type(self.__self__).__name__}.{self.__name__}"
        return _wrap(call(self._function, [_unwrap(item) for item in arguments], where))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BoundMethod) and (self.__self__, self.__name__) == (
            other.__self__,
            other.__name__,
        )

    def __hash__(self) -> int:
        return hash((self.__self__, self.__name__))


def with_overrides(cls: ProxyType) -> type:
    """A PySide6 class that calls the Python methods which override virtual ones."""
    base = cls.__mro__[1]._qt_class
    if not issubclass(base, QtCore.QObject):
        return base
    overridden = [
        name
        for name, value in vars(cls).items()
        if isinstance(value, types.FunctionType)
        and name in cls._names
        and callable(getattr(base, name, None))
    ]

    def forward(name: str) -> Callable[..., Any]:
        def method(qt_object: Any, *arguments: Any) -> Any:
            proxy = _wrap(qt_object)
            if not proxy._of_the_module:  # Qt calls while the object is still being made
                return getattr(base, name)(qt_object, *arguments)
            return _unwrap(getattr(proxy, name)(*map(_wrap, arguments)))

        return method

    return type(cls.__name__, (base,), {name: forward(name) for name in overridden})


def describe(proxy: Proxy) -> str:
    name, qt_object = type(proxy).__name__, proxy._object
    if not shiboken6.isValid(qt_object):
        return f"{name} (destroyed)"
    if isinstance(qt_object, QtGui.QPixmap):
        return f"{name} (Pixmap {qt_object.width()}, {qt_object.height()},)"
    return f"{name} ({qt_object!r})"


def _resolve(proxy: Proxy, name: str) -> str:
    """PythonQt's own aliases: `name` for `objectName`, and a trailing underscore is dropped."""
    known = type(proxy)._names
    if name == "name" and name not in known and "objectName" in known.properties:
        return "objectName"
    if name.endswith("_") and name not in known and name[:-1] in known.others:
        return name[:-1]
    return name


def _read(proxy: Proxy, name: str) -> Any:
    qt_object = proxy._object
    if qt_object.metaObject().indexOfProperty(name) < 0:
        raise _absent(type(proxy), name)
    return _wrap(qt_object.property(name))


def _write(proxy: Proxy, name: str, value: Any) -> None:
    qt_object, cls = proxy._object, type(proxy).__name__
    meta_object = qt_object.metaObject()
    index = meta_object.indexOfProperty(name)
    if index < 0:
        raise _absent(type(proxy), name)
    meta = meta_object.property(index)
    if not meta.isWritable():
        raise AttributeError(f"Property '{name}' of {cls} object is not writable")
    try:
        plain = _PLAIN.get(meta.typeName(), _unwrap)(value)
        written = qt_object.setProperty(name, plain)
    except (TypeError, ValueError):
        written = False
    if not written:
        raise AttributeError(
            f"Property '{name}' of type '{meta.typeName()}' does not accept an object of type"
            f" {type(value).__name__} ({value})"
        )


def _other(proxy: Proxy, name: str) -> Any:
    cls, qt_object = type(proxy), proxy._object
    instead = _replacement(cls, name)
    if instead is not None:
        return types.MethodType(instead, proxy)
    if signals.overloads(qt_object, name):
        return signals.BoundSignal(proxy, name)
    function = getattr(qt_object, f"{name}_" if name in _KEYWORDS else name, None)
    if callable(function) and not isinstance(function, enum.EnumMeta):
        return BoundMethod(proxy, name, function)
    value = enums.find(type(qt_object), name)
    if value is not None:
        return value
    setter = name[3:4].lower() + name[4:]
    if name.startswith("set") and setter in cls._names.properties:
        return lambda value: _write(proxy, setter, value)
    raise _absent(cls, name)


def _replacement(cls: ProxyType, name: str) -> Callable[..., Any] | None:
    for owner in cls._qt_class.__mro__:
        if (owner.__name__, name) in replaced:
            return replaced[owner.__name__, name]
    return None


def _absent(cls: type, name: str) -> NotImplementedError:
    return NotImplementedError(
        f"Slicer has {cls.__name__}.{name}, the test host has not:"
        " Qt 6 dropped it, or it is not built yet"
    )


def _wrap(value: Any) -> Any:
    from .proxy import wrap

    return wrap(value)


def _unwrap(value: Any) -> Any:
    from .proxy import unwrap

    return unwrap(value)
