"""Apply and Cancel, and the progress bar."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import qt

from MetaKDSegmentationLib.panel_state import apply_state, progress_state
from MetaKDSegmentationLib.parameter_node import ParameterNode
from MetaKDSegmentationLib.protocol import Failure
from MetaKDSegmentationLib.segmentation_logic import SegmentationLogic
from MetaKDSegmentationLib.status_line import StatusLine

_TICK_MS = 500  # the time left counts down between two units of work
_DOUBLE_CLICK_SECONDS = 0.5  # a second click on Apply is no Cancel


class RunSection:
    """One button that starts and ends the run, and the run's progress."""

    def __init__(
        self,
        ui: SimpleNamespace,
        logic: SegmentationLogic,
        status: StatusLine,
        on_done: Callable[[], None],
    ) -> None:
        self._ui, self._logic, self._status, self._on_done = ui, logic, status, on_done
        self._parameters: ParameterNode | None = None
        self._started = 0.0
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
        self._status.progress(progress.text)
        if progress.visible != self._timer.isActive():
            self._timer.start() if progress.visible else self._timer.stop()

    def stop(self) -> None:
        """No more ticks."""
        self._timer.stop()

    def _pressed(self) -> None:
        if self._logic.job.is_running:
            if time.monotonic() - self._started > _DOUBLE_CLICK_SECONDS:
                self._logic.cancel()
        elif self._parameters is not None:
            self._status.clear()
            self._logic.segment(self._parameters, lambda _: self._on_done(), self._failed)
            self._started = time.monotonic()  # the volumes are written: clicks had to wait

    def _failed(self, failure: Failure) -> None:
        self._status.complain(failure)
        if failure.kind == "cancelled":
            self._status.say("Cancelled; nothing in the scene has changed.")
