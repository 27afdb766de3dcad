"""Samples of a classification task, all in memory, drawn a batch at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from metakd.any_subset import AnySubsetNet
from torch import Tensor

from metakd_training.classifier import ClassifierNet
from metakd_training.config.classification import AVMNIST, ClassificationConfig
from metakd_training.data.avmnist import load_avmnist
from metakd_training.data.chance import Chance, rows
from metakd_training.data.samples import Samples
from metakd_training.data.warp import CHANCES, warped
from metakd_training.methods.method import Batch
from metakd_training.subsets import SubsetSampler
from metakd_training.tasks.classification import Classification


@dataclass(frozen=True)
class DrawnSamples:
    """Numbers of a batch's samples, and their places among all."""

    numbers: Sequence[int]
    places: Tensor
    purpose: str


class ClassificationWorkload:
    """`metakd_training.tasks.workload.Workload` of runs that classify.

    Every epoch is another order of the list. Sample number k is the same whatever process takes
    it and however often the run was stopped: which it is, its augmentation and its subset follow
    from the seed and k alone.
    """

    outputs = ("",)
    metric = "accuracy"

    def __init__(self, config: ClassificationConfig) -> None:
        self.config = config
        self.task = Classification()
        self.modalities = tuple(config.modalities)
        self.samples = load_samples(config)
        self.split = {
            key: [self.samples.names[place] for place in places]
            for key, places in self.samples.lists.items()
        }
        self.fingerprint = self.samples.fingerprint()

    def network(self) -> ClassifierNet:
        shapes = {name: values.shape[1:] for name, values in self.samples.inputs.items()}
        config = self.config
        return ClassifierNet(config.modalities, shapes, len(self.samples.classes), config.network)

    def prepare(self) -> None:
        """Say what there is; samples are checked when they are read."""
        print(self.samples.counts(), file=sys.stderr)

    def load(self) -> None:
        """Nothing is left: samples are small enough to be read at once."""

    def draw(self, numbers: Iterable[Sequence[int]], purpose: str) -> Iterator[DrawnSamples]:
        places = torch.tensor(self.samples.lists[purpose])

        @lru_cache(maxsize=2)  # a batch may lie in two epochs
        def order(epoch: int) -> Tensor:
            chance = Chance(self.config.seed, purpose, "order", epoch)
            return places[torch.randperm(len(places), generator=chance.generator)]

        for some in numbers:
            first, last = some[0] // len(places), some[-1] // len(places)
            orders = torch.cat([order(epoch) for epoch in range(first, last + 1)])
            chosen = orders[torch.tensor(some) - first * len(places)]
            yield DrawnSamples(some, chosen, purpose)

    def batch(
        self, drawn: DrawnSamples, sampler: SubsetSampler, *, step: int, device: torch.device
    ) -> Batch:
        subset, *chances = rows(
            drawn.numbers, 1 + CHANCES * len(self.modalities), self.config.seed, drawn.purpose
        ).split([1] + [CHANCES] * len(self.modalities), dim=1)
        present = self.samples.present[drawn.places]
        inputs = self._inputs(drawn.places, device)
        if drawn.purpose == "train":  # those held out stay as they are
            kinds = self.config.modalities.values()
            inputs = [
                warped(values, kind, chance)
                for values, kind, chance in zip(inputs, kinds, chances, strict=True)
            ]
        return Batch(
            inputs,
            self.samples.labels[drawn.places].to(device),
            present.to(device),
            sampler.draw(step, present, subset[:, 0]).to(device),
        )

    def whole(
        self, key: str, device: torch.device, share: tuple[int, int] = (0, 1)
    ) -> Iterator[Batch]:
        first, every = share
        places = torch.tensor(self.samples.lists[key])[first::every]
        for some in places.split(4 * self.config.optimiser.batch):
            present = self.samples.present[some].to(device)
            target = self.samples.labels[some].to(device)
            yield Batch(self._inputs(some, device), target, present, present)

    def pictures(self, network: AnySubsetNet, device: torch.device) -> dict[str, Tensor]:
        """There are none."""
        return {}

    def _inputs(self, places: Tensor, device: torch.device) -> list[Tensor]:
        return [values[places].to(device) for values in self.samples.inputs.values()]


def load_samples(config: ClassificationConfig) -> Samples:
    """What the configuration's data say. Raises `ValueError` naming file or column."""
    if isinstance(config.data, AVMNIST):
        return load_avmnist(config.data, config.modalities, config.seed)
    from metakd_training.data.cohort import load_cohort

    return load_cohort(config.data, config.modalities)
