"""MRML observers that end with the widget which listens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakMethod

import vtk


class Observers:
    """Those of one widget. They do not keep it alive, and a destroyed widget hears nothing."""

    def __init__(self) -> None:
        self._tags: dict[Any, list[int]] = {}

    def add(self, subject: Any, event: Any, method: Callable[..., None]) -> None:
        """Call `method(subject)`, or `method(node)` for the scene's events about nodes."""
        weak = WeakMethod(method)

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def heard(caller: Any, _event: Any, data: Any) -> None:
            listening = weak()
            if listening is not None:
                listening(data if data is not None else caller)

        def heard_plain(caller: Any, _event: Any) -> None:
            heard(caller, _event, None)

        with_node = subject.IsA("vtkMRMLScene") and event in (
            subject.NodeAddedEvent,
            subject.NodeAboutToBeRemovedEvent,
        )
        tag = subject.AddObserver(event, heard if with_node else heard_plain)
        self._tags.setdefault(subject, []).append(tag)

    def __contains__(self, subject: Any) -> bool:
        return subject in self._tags

    def remove(self, subject: Any) -> None:
        for tag in self._tags.pop(subject, []):
            subject.RemoveObserver(tag)

    def clear(self, *_: Any) -> None:
        for subject in list(self._tags):
            self.remove(subject)
