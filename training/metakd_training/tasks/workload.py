"""What a run asks of the task that it serves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import torch
from metakd.any_subset import AnySubsetNet
from torch import Tensor

from metakd_training.methods.method import Batch, Task
from metakd_training.subsets import SubsetSampler

Drawn = Any
"""Samples of a batch as the workload's own loader has them."""


class Workload(Protocol):
    """Network, losses and samples of a run, behind names that every task has.

    Attributes:
        modalities: their names, N.
        outputs: names of what is scored, R; one empty name if there is just one.
        metric: of the scores, in a word.
        split: list → names of its samples; ``train`` and ``held_out`` at least.
        fingerprint: of the samples' values, where a change of them would go unnoticed; `None`
            where they are known by the content of their files anyway.
    """

    task: Task
    modalities: tuple[str, ...]
    outputs: tuple[str, ...]
    metric: str
    split: dict[str, list[str]]
    fingerprint: str | None

    def network(self) -> AnySubsetNet:
        """A new network."""

    def prepare(self) -> None:
        """What the first process does before the others load. Raises `ValueError`."""

    def load(self) -> None:
        """Make the samples ready to be drawn."""

    def draw(self, numbers: Iterable[Sequence[int]], purpose: str) -> Iterator[Drawn]:
        """The samples of these numbers, a batch each.

        Args:
            purpose: ``train`` or ``held_out``, the list they are drawn from.
        """

    def batch(
        self, drawn: Drawn, sampler: SubsetSampler, *, step: int, device: torch.device
    ) -> Batch:
        """What was drawn, augmented, each sample with a subset of its modalities."""

    def whole(
        self, key: str, device: torch.device, share: tuple[int, int] = (0, 1)
    ) -> Iterator[Batch]:
        """The samples of a list, unchanged and with all they have, in order.

        Args:
            share: (k, n) for the k-th of n processes' part of them.
        """

    def pictures(self, network: AnySubsetNet, device: torch.device) -> dict[str, Tensor]:
        """What a network in evaluation mode makes of a held-out sample: (3, H, W) in 0 to 1."""
