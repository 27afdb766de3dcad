"""Apply and Cancel, the progress bar, and what went wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from html import escape
from types import SimpleNamespace

import qt

from MetaKDSegmentationLib.panel_state import apply_state, progress_state
from MetaKDSegmentationLib.parameter_node import ParameterNode
from MetaKDSegmentationLib.protocol import Failure
from MetaKDSegmentationLib.segmentation_logic import SegmentationLogic

_TICK_MS = 500  # the time left counts down between two units of work


class RunSection:
    """One button that starts and ends the run; its progress; the last failure in words."""

    def __init__(
        self, ui: SimpleNamespace, logic: SegmentationLogic, on_done: Callable[[], None]
    ) -> None:
        self._ui, self._logic, self._on_done = ui, logic, on_done
        self._parameters: ParameterNode | None = None
        self._message = ""
        self._timer = qt.QTimer()
        self._timer.setInterval(_TICK_MS)
        self._timer.timeout.connect(self.show_progress)
        ui.applyButton.clicked.connect(lambda *_: self._pressed())

    def refresh(self, parameters: ParameterNode, reasons: Sequence[str]) -> None:
        """Show the button and the progress as they are now."""
        self._parameters = parameters
        state = apply_state(self._logic.job, reasons)
        self._ui.applyButton.setText(state.text)
        self._ui.applyButton.setEnabled(state.enabled)
        self._ui.applyButton.setToolTip(state.tool_tip)
        self.show_progress()

    def show_progress(self) -> None:
        """The bar and the line below it."""
        progress = progress_state(self._logic.job, time.monotonic())
        self._ui.progressBar.setVisible(progress.visible)
        self._ui.progressBar.setRange(0, progress.total)
        self._ui.progressBar.setValue(progress.done)
        self._ui.statusText.setText(progress.text or self._message)
        self._ui.statusText.setVisible(bool(progress.text or self._message))
        if progress.visible != self._timer.isActive():
            self._timer.start() if progress.visible else self._timer.stop()

    def complain(self, failure: Failure) -> None:
        """Say why something asked for did not happen, beside the button."""
        if failure.kind == "cancelled":
            self._message = "Cancelled; nothing in the scene has changed."
        else:
            hint = f"<br/>{escape(failure.hint)}" if failure.hint else ""
            self._message = f'<span style="color:#b3261e">{escape(failure.message)}</span>{hint}'
        self.show_progress()

    def stop(self) -> None:
        """No more ticks."""
        self._timer.stop()

    def _pressed(self) -> None:
        if self._logic.job.is_running:
            self._logic.cancel()
        elif self._parameters is not None:
            self._message = ""
            self._logic.segment(self._parameters, lambda _: self._on_done(), self.complain)
