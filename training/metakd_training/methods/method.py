"""What every method has in common: a batch goes in, losses come out.

A method knows nothing of the task but its losses, and nothing of the network but that it encodes
each modality, generates what is absent, and decodes. Another method is one more file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

Pyramid = list[Tensor]


@dataclass  # not frozen: Fabric refuses to look for tensors in a frozen one
class Batch:
    """Samples of a step.

    Attributes:
        inputs: of each of the N modalities, (B, …).
        target: what the task's loss compares with, (B, …).
        present: (B, N) booleans, what each sample has.
        available: (B, N) booleans, the part of it that the network may use.
    """

    inputs: list[Tensor]
    target: Tensor
    present: Tensor
    available: Tensor


class Task(Protocol):
    """What a method asks of a task."""

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(B, R): the loss of each sample and output."""

    def agreement(self, logits: Tensor, teacher: Tensor) -> Tensor:
        """(B, R): how far logits are from a teacher's."""

    def score(self, logits: Tensor, target: Tensor) -> Tensor:
        """(B, R): how good, in 0 to 1."""

    def parts(self, target: Tensor, features: Tensor) -> Tensor:
        """(B, R, …): where each output's truth lies, at the features' resolution."""


@dataclass(frozen=True)
class Surroundings:
    """What a run offers a method between two steps.

    Attributes:
        step: steps made so far.
        learning_rate: that the network's last step had.
        batch: that the network's last step had.
        held_out: number → a batch of samples that the network is never trained on.
        validate: subsets (S, N) → mean scores (S, R) on the held-out samples.
        average: a tensor → its mean over the processes of the run.
    """

    step: int
    learning_rate: float
    batch: Batch
    held_out: Callable[[int], Batch]
    validate: Callable[[Tensor], Tensor]
    average: Callable[[Tensor], Tensor]


class Method(nn.Module):
    """Learns the task from the available modalities; what else it does, its subclasses say.

    Args:
        network: with `encode_where`, `generate`, `decode`, as `metakd.any_subset.AnySubsetNet`.
        full_pass: learn from everything the sample has as well, in the same step.
    """

    def __init__(self, network: nn.Module, task: Task, *, full_pass: bool) -> None:
        super().__init__()
        self.network, self.task, self.full_pass = network, task, full_pass

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Scalars by name; ``loss`` is what the step lowers, the others are its parts."""
        features = self.encode(batch)
        logits = self.decode(features, batch.available)
        task = self.task.loss(logits, batch.target).mean()
        if self.full_pass:
            full = self.decode(features, batch.present)
            task = (task + self.task.loss(full, batch.target).mean()) / 2
        taught = self.teach(features, logits, batch)
        return {"loss": task + sum(taught.values()), "task": task, **taught}

    def teach(
        self, features: list[Pyramid | None], logits: Tensor, batch: Batch
    ) -> dict[str, Tensor]:
        """What is added to the task's loss, by name. Nothing here."""
        return {}

    def between_steps(self, run: Surroundings) -> dict[str, float]:
        """What else is due after a step; numbers for the record."""
        return {}

    @property
    def encodes_all(self) -> bool:
        """Whether modalities left out of the subset are encoded too."""
        return self.full_pass

    def encode(self, batch: Batch) -> list[Pyramid | None]:
        """Features of each modality, for the samples in which it is needed."""
        wanted = batch.present if self.encodes_all else batch.available
        return [
            self.network.encode_where(i, values, wanted[:, i])
            for i, values in enumerate(batch.inputs)
        ]

    def decode(self, features: list[Pyramid | None], available: Tensor) -> Tensor:
        """Logits from the available modalities' features."""
        return self.network.decode(self.network.generate(features, available))
