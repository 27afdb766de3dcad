"""Signals as PythonQt offers them, in both styles.

`button.clicked.connect(f)` takes the overload that is declared first, `button.connect("clicked()",
f)` the one that is named. A function is given as many arguments as it takes.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import shiboken6
from PySide6 import QtCore

from . import problems

if TYPE_CHECKING:
    from .proxy import Proxy

_FIRST_IN_QT5 = {("QProcess", "finished"): "int"}


@dataclass
class _Connection:
    signature: str
    function: Callable[..., Any]
    relay: Callable[..., None]


_connections: dict[int, list[_Connection]] = {}


class BoundSignal:
    """A signal of one object."""

    def __init__(self, proxy: Proxy, name: str) -> None:
        self._proxy, self._name = proxy, name

    def connect(self, function: Callable[..., Any]) -> bool:
        return _connect(self._proxy, self._name, self._first(), function)

    def disconnect(self, function: Callable[..., Any] | None = None) -> bool:
        return _disconnect(self._proxy, self._name, self._first(), function)

    def emit(self, *arguments: Any) -> None:
        from .proxy import unwrap

        getattr(self._proxy._object, self._name).emit(*map(unwrap, arguments))

    __call__ = emit

    def _first(self) -> str:
        return overloads(self._proxy._object, self._name)[0]


def _meta_overloads(meta_object: QtCore.QMetaObject, name: str) -> tuple[str, ...]:
    found = []
    for index in range(meta_object.methodCount()):
        method = meta_object.method(index)
        if method.methodType() == QtCore.QMetaMethod.MethodType.Signal and method.name() == name:
            found.append(bytes(method.methodSignature().data()).decode())
    return tuple(signature[len(name) + 1 : -1] for signature in found)


def overloads(qt_object: Any, name: str) -> tuple[str, ...]:
    """The argument lists of the signal `name`, the first declared first; none: not a signal."""
    if not isinstance(qt_object, QtCore.QObject):
        return ()
    declared = getattr(type(qt_object), "SIGNALS", {}).get(name)
    if declared:
        return tuple(declared)
    found = _meta_overloads(qt_object.metaObject(), name)
    for owner in type(qt_object).__mro__:
        first = _FIRST_IN_QT5.get((owner.__name__, name))
        if first is not None:
            return (first, *(arguments for arguments in found if arguments != first))
    return found


def connect(proxy: Proxy, signal: str, *receiver: Any) -> bool:
    """`connect("clicked(bool)", f)`, or with a receiver and the name of its slot."""
    name, arguments = _parse(proxy, signal)
    return _connect(proxy, name, arguments, _target(*receiver))


def disconnect(proxy: Proxy, signal: str, *receiver: Any) -> bool:
    name, arguments = _parse(proxy, signal)
    return _disconnect(proxy, name, arguments, _target(*receiver) if receiver else None)


def _target(receiver: Any, slot: str | None = None) -> Callable[..., Any]:
    return receiver if slot is None else getattr(receiver, slot.partition("(")[0])


def _parse(proxy: Proxy, signal: str) -> tuple[str, str]:
    """Name and argument list. Raises `AttributeError` where Slicer would only print a line."""
    normalized = bytes(QtCore.QMetaObject.normalizedSignature(signal).data()).decode()
    name, _, arguments = normalized.removesuffix(")").partition("(")
    if name not in type(proxy)._names or arguments not in overloads(proxy._object, name):
        cls = type(proxy).__name__
        raise AttributeError(f"QObject::connect() signal '{signal}' does not exist on {cls}")
    return name, arguments


def _connect(proxy: Proxy, name: str, arguments: str, function: Callable[..., Any]) -> bool:
    qt_object = proxy._object
    signal = getattr(qt_object, name)
    adapt = getattr(type(qt_object), "SIGNALS", {}).get(name, {}).get(arguments)
    relay = _relay(function, len(arguments.split(",")) if arguments else 0, adapt)
    signal.connect(relay)
    address = shiboken6.getCppPointer(qt_object)[0]
    if address not in _connections:
        _connections[address] = []
        qt_object.destroyed.connect(lambda *_: _connections.pop(address, None))
    _connections[address].append(_Connection(f"{name}({arguments})", function, relay))
    return True


def _disconnect(
    proxy: Proxy, name: str, arguments: str, function: Callable[..., Any] | None
) -> bool:
    qt_object = proxy._object
    connections = _connections.get(shiboken6.getCppPointer(qt_object)[0], [])
    signature = f"{name}({arguments})"
    found = [
        item
        for item in connections
        if item.signature == signature and (function is None or item.function == function)
    ]
    for item in found if function is None else found[:1]:
        getattr(qt_object, name).disconnect(item.relay)
        connections.remove(item)
    return bool(found)


def _relay(
    function: Callable[..., Any], sent: int, adapt: Callable[[Any], Any] | None
) -> Callable[..., None]:
    from .proxy import wrap

    taken = min(sent, _arguments_taken(function))
    reported = problems.reported(function)

    def relay(*arguments: Any) -> None:
        values = [adapt(value) if adapt else wrap(value) for value in arguments]
        reported(*values[:taken])

    return _WITH_ARGUMENTS[sent](relay)


# PySide6 sends as many arguments as a function names.
_WITH_ARGUMENTS: tuple[Callable[..., Callable[..., None]], ...] = (
    lambda relay: lambda: relay(),
    lambda relay: lambda a: relay(a),
    lambda relay: lambda a, b: relay(a, b),
    lambda relay: lambda a, b, c: relay(a, b, c),
    lambda relay: lambda a, b, c, d: relay(a, b, c, d),
)


def _arguments_taken(function: Callable[..., Any]) -> int:
    """PythonQt counts for functions and methods, and gives everything else all there is."""
    inner = getattr(function, "__func__", function)
    code = getattr(inner, "__code__", None)
    if code is None or code.co_flags & inspect.CO_VARARGS:
        return sys.maxsize
    return code.co_argcount - (1 if inspect.ismethod(function) else 0)
