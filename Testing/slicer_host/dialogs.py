"""Dialogs never block a test: what they would show is recorded, what the user does is scripted."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from typing import Any

import slicer

from . import members


@dataclass(frozen=True)
class Shown:
    """A message: `kind` is error, warning, info, question, message, file or dialog."""

    kind: str
    text: str
    title: str = ""
    details: str = ""


_KINDS = {logging.ERROR: "error", logging.WARNING: "warning", logging.INFO: "info"}
_YES_AND_NO = (("Ok", "Cancel"), ("Yes", "No"), ("Retry", "Close"))


class Dialogs:
    """What was shown, newest last, and the answers to come, first first."""

    def __init__(self) -> None:
        self.shown: list[Shown] = []
        self.opened_urls: list[str] = []
        self._answers: deque[Any] = deque()

    def answer(self, *answers: Any) -> None:
        """Script what the user does in the next dialogs.

        True or False for a confirmation; a path for a file dialog; a button's value for a message
        box; a function of the dialog, whose result is the dialog's, for any other.
        """
        self._answers.extend(answers)

    def clear(self) -> None:
        self.shown.clear()
        self.opened_urls.clear()
        self._answers.clear()

    def texts(self, kind: str) -> list[str]:
        return [message.text for message in self.shown if message.kind == kind]

    def install(self) -> None:
        """Take the place of everything that opens a dialog."""
        slicer.util._messageDisplay = self._display
        slicer.util.messageBox = self._message_box
        for name in ("question", "information", "warning", "critical"):
            members.replaced["QMessageBox", name] = self._static_message
        for name in (
            "getExistingDirectory",
            "getOpenFileName",
            "getOpenFileNames",
            "getSaveFileName",
        ):
            members.replaced["QFileDialog", name] = self._file_dialog
        members.replaced["QDialog", "exec"] = self._exec
        members.replaced["QMenu", "exec"] = self._exec
        members.replaced["QDesktopServices", "openUrl"] = self._open_url

    def _display(
        self,
        level: int,
        text: str,
        testing_value: Any,
        windowTitle: str = "",
        **options: Any,
    ) -> Any:
        """What `errorDisplay`, `confirmOkCancelDisplay` and the like end in."""
        logging.log(level, text)
        kind = "question" if testing_value is not None else _KINDS[level]
        details = options.get("detailedText", "")
        self.shown.append(Shown(kind, text, windowTitle or "", details))
        if kind != "question" or not self._answers:
            return testing_value  # as a Slicer that runs with --testing
        return _button(self._answers.popleft(), options["standardButtons"])

    def _message_box(self, text: str, parent: Any = None, **options: Any) -> Any:
        title, details = options.get("windowTitle", ""), options.get("detailedText", "")
        self.shown.append(Shown("message", text, title, details))
        import qt

        return self._answers.popleft() if self._answers else qt.QMessageBox.Ok

    def _static_message(self, _cls: Any, _parent: Any, title: str, text: str, *_: Any) -> Any:
        self.shown.append(Shown("message", text, title))
        return self._next(f"message box '{title}'")

    def _file_dialog(self, _cls: Any, _parent: Any = None, title: str = "", *_: Any) -> Any:
        self.shown.append(Shown("file", title, title))
        return self._next(f"file dialog '{title}'")

    def _exec(self, dialog: Any, *_: Any) -> Any:
        text = dialog._object.property("text") or ""
        self.shown.append(Shown("dialog", text, dialog._object.windowTitle()))
        answer = self._next(f"{type(dialog).__name__} '{dialog._object.windowTitle()}'")
        return answer(dialog) if callable(answer) else answer

    def _open_url(self, _cls: Any, url: Any) -> bool:
        self.opened_urls.append(url._object.toString())
        return True

    def _next(self, what: str) -> Any:
        if not self._answers:
            raise RuntimeError(f"{what} would wait for the user: script it with dialogs.answer()")
        return self._answers.popleft()


def _button(answer: Any, buttons: int) -> Any:
    """The button that a yes or a no means among those of a confirmation."""
    if not isinstance(answer, bool):
        return answer
    import qt

    for yes, no in _YES_AND_NO:
        accept = getattr(qt.QMessageBox, yes)
        if int(buttons) & int(accept):
            return accept if answer else getattr(qt.QMessageBox, no)
    raise ValueError(f"neither yes nor no among the buttons {buttons}")
