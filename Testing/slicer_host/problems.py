"""Exceptions that Python code raised inside a slot or an observer.

Slicer prints these and goes on; a test has to know of them.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

from PySide6 import QtCore

seen: list[str] = []
"""The tracebacks since the last `seen.clear()`."""


def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    seen.append("".join(traceback.format_exception(kind, error, trace)))
    sys.__excepthook__(kind, error, trace)


def listen() -> None:
    """VTK hands exceptions of its observers to `sys.excepthook`."""
    sys.excepthook = report
    QtCore.qInstallMessageHandler(_print_message)


def _print_message(_kind: QtCore.QtMsgType, _context: object, text: str) -> None:
    if "propagateSizeHints" not in text:  # says no more than that there is no display
        print(text, file=sys.stderr)


def reported(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, its exceptions reported and not raised, as when Qt calls it."""

    def guarded(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception:
            report(*sys.exc_info())
            return None

    return guarded
