"""How a parameter's value is checked, and written into and read from the node."""

from __future__ import annotations

import abc
import enum
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import slicer


class Validator(abc.ABC):
    """Raises from `validate` for a value that a parameter must not have."""

    @abc.abstractmethod
    def validate(self, value: Any) -> None:
        """Raise `ValueError` for a value that the parameter must not have."""


class NotNone(Validator):
    def validate(self, value: Any) -> None:
        if value is None:
            raise ValueError("Value must not be None")


@dataclass(frozen=True)
class WithinRange(Validator):
    minimum: float
    maximum: float

    def validate(self, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(
                f"Value must be within range [{self.minimum}, {self.maximum}], is {value}"
            )


@dataclass(frozen=True)
class Minimum(Validator):
    minimum: float

    def validate(self, value: Any) -> None:
        if value < self.minimum:
            raise ValueError(f"Value must be at least {self.minimum}, is {value}")


@dataclass(frozen=True)
class Maximum(Validator):
    maximum: float

    def validate(self, value: Any) -> None:
        if value > self.maximum:
            raise ValueError(f"Value must be at most {self.maximum}, is {value}")


class Choice(Validator):
    def __init__(self, choices: list[Any]) -> None:
        self.choices = choices

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"Value is {value}, but must be one of {self.choices}")


class Default:
    """Annotation: the value that a parameter starts with."""

    def __init__(self, value: Any = None, *, generator: Callable[[], Any] | None = None) -> None:
        self._value, self._generator = value, generator

    @property
    def value(self) -> Any:
        return self._generator() if self._generator else self._value


def split(annotated: Any) -> tuple[Any, list[Any]]:
    """A type and its annotations."""
    if typing.get_origin(annotated) is typing.Annotated:
        kind, *annotations = typing.get_args(annotated)
        return kind, annotations
    return annotated, []


def first(annotations: list[Any], kind: type) -> Any:
    return next((item for item in annotations if isinstance(item, kind)), None)


def is_node(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode)


@dataclass(frozen=True)
class Parameter:
    """One parameter: where it is in the node, of what type, and with which values."""

    name: str
    annotated: Any
    default: Any

    @property
    def kind(self) -> Any:
        return split(self.annotated)[0]

    def check(self, value: Any) -> None:
        kind, annotations = split(self.annotated)
        if value is None and not is_node(kind):
            raise ValueError("Value must not be None")
        allowed = (int, float) if kind is float else kind
        if value is not None and not isinstance(value, allowed):
            raise TypeError(
                f"Value must be of type '{allowed}', is type '{type(value)}' value '{value}'"
            )
        for item in annotations:
            if isinstance(item, Validator):
                item.validate(value)

    def is_in(self, node: Any) -> bool:
        return bool(node.HasParameter(self.name))

    def write(self, node: Any, value: Any) -> None:
        self.check(value)
        if is_node(self.kind):
            node.SetParameter(self.name, "")  # None is a value too: this says that there is one
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
        else:
            node.SetParameter(self.name, value.name if isinstance(value, enum.Enum) else str(value))

    def read(self, node: Any) -> Any:
        if not self.is_in(node):
            self.write(node, self.default)
        if is_node(self.kind):
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if self.kind is bool:
            return text == "True"
        return self.kind[text] if issubclass(self.kind, enum.Enum) else self.kind(text)


def parameters_of(cls: type) -> dict[str, Parameter]:
    """The parameters that a class declares. Raises for a type that cannot be kept in a node."""
    found = {}
    for name, annotated in typing.get_type_hints(cls, include_extras=True).items():
        kind, annotations = split(annotated)
        known = isinstance(kind, type) and (
            kind in (bool, int, float, str) or issubclass(kind, (enum.Enum, PurePath))
        )
        if not known and not is_node(kind):
            raise Exception(f"Unable to create serializer for {cls} member {name}")
        annotation = first(annotations, Default)
        start = annotation.value if annotation else _start(kind)
        found[name] = Parameter(name, annotated, getattr(cls, name, start))
    return found


def _start(kind: Any) -> Any:
    if is_node(kind):
        return None
    if issubclass(kind, enum.Enum):
        return next(iter(kind))
    return Path() if issubclass(kind, PurePath) else kind()
