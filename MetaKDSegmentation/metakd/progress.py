"""How a long run is followed and stopped from outside."""

from __future__ import annotations

from collections.abc import Callable

OnProgress = Callable[[str, int, int], None]
"""Called after each unit of work with the stage's name, units done, units in all.

What is done only grows; units in all change only when an attempt failed for want of memory and
the next one needs more units.
"""

IsCancelled = Callable[[], bool]


class Cancelled(Exception):  # noqa: N818 - a request carried out, not an error
    """The caller asked to stop."""


class Part:
    """Progress of a part of a run that has units `before` it and `after` it, as the whole run's.

    `done` and `total` are where the whole run stands.
    """

    def __init__(self, whole: OnProgress, *, before: int = 0, after: int = 0) -> None:
        self.done, self.total = before, before + after
        self._whole, self._before, self._after = whole, before, after

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.done, self.total = self._before + done, self._before + total + self._after
        self._whole(stage, self.done, self.total)
