"""What the panel shows, worked out from what it knows: no widget, no scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from MetaKDSegmentationLib.assignment import Assignment, Undecided
from MetaKDSegmentationLib.findings import Finding, Level
from MetaKDSegmentationLib.job import Job

_COLOURS = {Level.NOTE: "#5a6b7b", Level.CAUTION: "#b06000", Level.BLOCKING: "#b3261e"}
_MARKS = {Level.NOTE: "•", Level.CAUTION: "▲", Level.BLOCKING: "✖"}

_MOST_LEFT_OUT = 4  # lines; a scene may hold dozens of volumes


@dataclass(frozen=True)
class ApplyState:
    """The one button that starts and ends a run."""

    text: str
    enabled: bool
    tool_tip: str


@dataclass(frozen=True)
class ProgressState:
    """The bar and the line below it; a bar of 0 of 0 runs to and fro."""

    visible: bool
    done: int
    total: int
    text: str


def reasons_against(
    findings: Sequence[Finding], *, torch_problem: str, model_problem: str
) -> tuple[str, ...]:
    """Every reason why a run cannot start; empty when it can."""
    reasons = [finding.text for finding in findings if finding.level is Level.BLOCKING]
    reasons += [f"{torch_problem}: see Set-up at the top"] if torch_problem else []
    return (*reasons, model_problem) if model_problem else tuple(reasons)


def apply_state(job: Job, reasons: Sequence[str]) -> ApplyState:
    """The button: Cancel during a run, else Apply, which says why it is disabled."""
    if job.is_running:
        return ApplyState("Cancel", True, "End the run; nothing in the scene changes.")
    if reasons:
        return ApplyState("Apply", False, "Not yet:\n" + "\n".join(f"– {r}" for r in reasons))
    return ApplyState("Apply", True, "Segment in the background; Slicer stays usable.")


def progress_state(job: Job, now: float) -> ProgressState:
    """The progress bar at a time of the job's clock."""
    return ProgressState(job.is_running, job.done, job.total, job.text(now))


def findings_html(findings: Sequence[Finding]) -> str:
    """Findings as rich text, one line each."""
    lines = [
        f'<span style="color:{_COLOURS[finding.level]}">{_MARKS[finding.level]}'
        f"&nbsp;{escape(finding.text)}</span>"
        for finding in findings
    ]
    return "<br/>".join(lines)


def assignment_html(assignment: Assignment, names: dict[str, str]) -> str:
    """What *Auto-assign* did: each slot with its confidence and reason, and what fills none.

    Args:
        names: by volume id.
    """
    lines = [
        f"<b>{contrast.label}</b>: {escape(names.get(volume, volume))} "
        f"({assignment.guesses[contrast].confidence:.0%}, "
        f"{escape(assignment.guesses[contrast].reason)})"
        for contrast, volume in assignment.slots.items()
    ]
    lines += _left_out(assignment.undecided, _COLOURS[Level.CAUTION], "left to you")
    lines += _left_out(assignment.passed_over, _COLOURS[Level.NOTE], "passed over")
    return "<br/>".join(lines) or "No volume of the scene could be assigned."


def _left_out(volumes: Sequence[Undecided], colour: str, what: str) -> list[str]:
    """A line for each of the first few volumes that fill no slot, with the reason."""
    lines = [
        f'<span style="color:{colour}">{escape(left.name)}: {escape(left.reason)}</span>'
        for left in volumes[:_MOST_LEFT_OUT]
    ]
    more = len(volumes) - len(lines)
    return [*lines, f"… and {more} more {what}"] if more > 0 else lines
