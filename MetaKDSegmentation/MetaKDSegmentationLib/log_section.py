"""The log pane, and the text for a bug report."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import slicer

from MetaKDSegmentationLib.torch_setup import torch_version


class LogSection:
    """What the worker says beside its protocol; no volume's name is ever written here."""

    def __init__(self, ui: SimpleNamespace, state: Callable[[], dict[str, str]]) -> None:
        self._ui, self._state = ui, state
        ui.copyDiagnosticsButton.clicked.connect(lambda *_: self.copy_diagnostics())

    def write(self, text: str) -> None:
        """Append lines."""
        self._ui.logText.appendPlainText(text)

    def copy_diagnostics(self) -> str:
        """Versions, settings and the log, on the clipboard; also returned."""
        facts = {
            "Slicer": f"{slicer.app.applicationVersion} {slicer.app.platform}",
            "System": platform.platform(),
            "Python": platform.python_version(),
            "PyTorch": torch_version() or "not installed",
            **self._state(),
        }
        lines = [f"{name}: {value}" for name, value in facts.items()]
        text = "\n".join([*lines, "", self._ui.logText.plainText])
        text = text.replace(str(Path.home()), "~")
        slicer.app.clipboard().setText(text)
        return text
