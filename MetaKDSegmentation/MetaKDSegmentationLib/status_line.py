"""The line below the Apply button, for what is going on beside a run and what went wrong."""

from __future__ import annotations

from html import escape
from types import SimpleNamespace

from MetaKDSegmentationLib.protocol import Failure


class StatusLine:
    """One message at a time; a run's progress stands in its place while there is a run."""

    def __init__(self, ui: SimpleNamespace) -> None:
        self._label = ui.statusText
        self._message = self._progress = ""

    def say(self, text: str) -> None:
        """What is going on, or has been done."""
        self._message = escape(text)
        self._show()

    def complain(self, failure: Failure) -> None:
        """Why something asked for did not happen, and what to do; a cancelled thing is no news."""
        if failure.kind == "cancelled":
            self.clear()
            return
        hint = f"<br/>{escape(failure.hint)}" if failure.hint else ""
        self._message = f'<span style="color:#b3261e">{escape(failure.message)}</span>{hint}'
        self._show()

    def progress(self, text: str) -> None:
        """Where the run stands; empty without one."""
        self._progress = escape(text)
        self._show()

    def clear(self) -> None:
        """Nothing to say any more."""
        self._message = ""
        self._show()

    def _show(self) -> None:
        text = self._progress or self._message
        self._label.setText(text)
        self._label.setVisible(bool(text))
