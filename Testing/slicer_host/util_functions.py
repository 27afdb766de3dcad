"""What `slicer.util` of `slicer-core` cannot do here and the host does instead."""

from __future__ import annotations

import re
import tempfile
from typing import Any

import slicer
import slicer.util

from . import ui_file

selected_modules: list[str] = []
"""What `selectModule` was called with."""

status_messages: list[str] = []


def install() -> None:
    slicer.util.loadUI = lambda path: ui_file.load(path)
    slicer.util.tempDirectory = _temp_directory
    slicer.util.selectModule = _select_module
    slicer.util.showStatusMessage = _show_status_message
    slicer.util.exit = slicer.util.quit = slicer.util.restart = _refuse_to_end


def _temp_directory(
    key: str = "__SlicerTemp__",
    tempDir: Any = None,
    includeDateTime: bool = True,
) -> str:
    """A new folder; the date and time in its name are a random text here."""
    folder = str(tempDir or slicer.app.temporaryPath)
    return tempfile.mkdtemp(prefix=re.sub(r"\W", "_", key), dir=folder)


def _select_module(module: Any) -> None:
    name = module if isinstance(module, str) else module.name
    selected_modules.append(name)


def _show_status_message(message: str, duration: int = 0) -> bool:
    status_messages.append(message)
    return True


def _refuse_to_end(status: int = 0) -> None:
    raise RuntimeError("a module must not end the application")
