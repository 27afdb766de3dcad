"""Calling PySide6 with the conversions that PythonQt makes."""

from __future__ import annotations

import enum
import types
from collections.abc import Callable, Iterator
from typing import Any

import PySide6.support  # noqa: F401  (makes the signatures available)
from shibokensupport.signature import get_signature


def call(function: Callable[..., Any], arguments: list[Any], where: str = "") -> Any:
    """Call a function of Qt or of a stand-in.

    An integer goes in for an enumeration's value, and anything at all for a text, None as "None":
    so does PythonQt, where nothing fits better.

    Raises:
        ValueError: the arguments do not fit.
    """
    if isinstance(function, (types.FunctionType, types.MethodType)):
        return function(*arguments)
    if any(item is None for item in arguments):
        arguments = _without_none_for_text(function, arguments)
    try:
        return function(*arguments)
    except (TypeError, NotImplementedError) as error:
        for converted in _conversions(function, arguments):
            try:
                return function(*converted)
            except TypeError:
                continue
        name = where or getattr(function, "__name__", repr(function))
        raise ValueError(f"Called {name} with wrong arguments: {tuple(arguments)}") from error


def _overloads(function: Callable[..., Any], count: int) -> list[list[Any]]:
    """The types of the parameters of each overload that takes so many arguments."""
    owner = getattr(function, "__self__", None)
    of_class = getattr(type(owner), function.__name__, function) if owner is not None else function
    signatures = get_signature(of_class)  # of a bound method it is not always known
    found = []
    for signature in signatures if isinstance(signatures, list) else [signatures]:
        parameters = signature.parameters.values() if signature else []
        kinds = [item.annotation for item in parameters if item.name != "self"]
        if len(kinds) >= count:
            found.append(kinds)
    return found


def _without_none_for_text(function: Callable[..., Any], arguments: list[Any]) -> list[Any]:
    overloads = _overloads(function, len(arguments))
    return [
        "None"
        if item is None and overloads and all(kinds[at] is str for kinds in overloads)
        else item
        for at, item in enumerate(arguments)
    ]


def _conversions(function: Callable[..., Any], arguments: list[Any]) -> Iterator[list[Any]]:
    for kinds in _overloads(function, len(arguments)):
        try:
            converted = [_fitted(item, kind) for item, kind in zip(arguments, kinds, strict=False)]
        except ValueError:  # no such value in the enumeration
            continue
        if any(new is not old for new, old in zip(converted, arguments, strict=True)):
            yield converted


def _fitted(value: Any, kind: Any) -> Any:
    if isinstance(kind, enum.EnumMeta) and type(value) is int:
        return kind(value)
    return str(value) if kind is str and not isinstance(value, str) else value
