"""Comparison with a reference segmentation."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from MetaKDSegmentationLib.parameter_node import ParameterNode
from MetaKDSegmentationLib.protocol import Failure
from MetaKDSegmentationLib.results import scores_html
from MetaKDSegmentationLib.segment_layers import fingerprint
from MetaKDSegmentationLib.segmentation_logic import SegmentationLogic
from MetaKDSegmentationLib.status_line import StatusLine


class VerifySection:
    """Dice and HD95 per region against an expert's segmentation, for example."""

    def __init__(self, ui: SimpleNamespace, logic: SegmentationLogic, status: StatusLine) -> None:
        self._ui, self._logic, self._status = ui, logic, status
        self._parameters: ParameterNode | None = None
        self._scored: tuple[str, ...] | None = None
        ui.compareButton.clicked.connect(lambda *_: self.compare())

    def refresh(self, parameters: ParameterNode) -> None:
        """Enable the button when there are two segmentations; drop scores of others."""
        self._parameters = parameters
        pair = self._pair()
        self._ui.compareButton.setEnabled(pair is not None and not self._logic.job.is_running)
        if pair != self._scored:
            self._ui.scoresText.setText("")

    def compare(self) -> None:
        """Score in the background."""
        pair = self._pair()
        if pair is None or self._parameters is None:
            return
        self._ui.scoresText.setText("Comparing …")
        self._scored = pair

        def done(scores: Mapping[str, Any], remark: str) -> None:
            if self._pair() == pair:  # else one of them is another by now
                self._ui.scoresText.setText(scores_html(scores, remark))

        def failed(failure: Failure) -> None:
            self._ui.scoresText.setText("")
            self._status.complain(failure)

        self._logic.compare(self._parameters, done, failed)

    def _pair(self) -> tuple[str, ...] | None:
        """Equal as long as both segmentations are as they were."""
        ours = self._parameters.output_segmentation if self._parameters else None
        theirs = self._parameters.reference_segmentation if self._parameters else None
        if ours is None or theirs is None or ours is theirs:
            return None
        return ours.GetID(), theirs.GetID(), fingerprint(ours), fingerprint(theirs)
