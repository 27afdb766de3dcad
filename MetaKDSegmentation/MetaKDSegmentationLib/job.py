"""Where a run stands: its phase, its units of work, the time that is left."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from MetaKDSegmentationLib.protocol import Progress

_STAGES = {
    "read": "Reading the images",
    "register": "Registering the contrasts",
    "brain": "Finding the brain",
    "prepare": "Preparing the brain",
    "encode": "Looking at each contrast",
    "decode": "Finding the tumour",
    "finish": "Bringing it back to the scan",
    "write": "Writing the result",
}


class Phase(Enum):
    """What is going on, in order."""

    IDLE = "idle"
    SENDING = "Handing the volumes over"
    STARTING = "Starting PyTorch"
    RUNNING = "Segmenting"
    SHOWING = "Showing the result"


@dataclass(frozen=True)
class Job:
    """One run, from Apply to the result on screen.

    Attributes:
        done, total: units of work (a contrast encoded, a window decoded); 0 of 0 before the first.
        started_at: when this phase began, in seconds of any clock.
        last_unit_at: when the latest unit was done.
    """

    phase: Phase = Phase.IDLE
    stage: str = ""
    done: int = 0
    total: int = 0
    started_at: float = 0.0
    last_unit_at: float = 0.0

    @property
    def is_running(self) -> bool:
        return self.phase is not Phase.IDLE

    def enter(self, phase: Phase, now: float) -> Job:
        """The same run in its next phase; work is timed from here."""
        return replace(self, phase=phase, started_at=now, last_unit_at=now)

    def advance(self, progress: Progress, now: float) -> Job:
        """One more unit is done. When memory ran out the units start anew, smaller."""
        again = progress.done < self.done
        return replace(
            self,
            phase=Phase.RUNNING,
            stage=progress.stage,
            done=progress.done,
            total=progress.total,
            started_at=now if again or self.phase is not Phase.RUNNING else self.started_at,
            last_unit_at=now,
        )

    def seconds_left(self, now: float) -> float | None:
        """Estimate from the units done so far; `None` before there is anything to go by."""
        spent = self.last_unit_at - self.started_at
        if self.phase is not Phase.RUNNING or self.done < 2 or spent <= 0:
            return None
        left = spent / self.done * (self.total - self.done)
        return max(left - (now - self.last_unit_at), 0.0)

    def text(self, now: float) -> str:
        """One line for beside the progress bar."""
        if self.phase is not Phase.RUNNING:
            return f"{self.phase.value} …" if self.is_running else ""
        stage = _STAGES.get(self.stage, self.stage) or self.phase.value
        left = self.seconds_left(now)
        return f"{stage} …" if left is None else f"{stage} … about {_spoken(left)} left"


def _spoken(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{max(round(seconds), 1)} s"
