"""Patients of brain tumours: crops to train on, whole boxes to score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path

import torch
from metakd.any_subset import AnySubsetNet
from metakd.cases import Case
from metakd.contrasts import CONTRASTS
from metakd.network import MetaKDNet
from metakd.regions import REGIONS
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from metakd_training.config.segmentation import SegmentationConfig
from metakd_training.data.draws import DrawnPatients, Draws, make_batch, whole_patient
from metakd_training.data.patients import Patient, Patients
from metakd_training.data.splits import read_lists
from metakd_training.methods.method import Batch
from metakd_training.subsets import SubsetSampler
from metakd_training.tasks.segmentation import Segmentation
from metakd_training.tasks.slices import slice_picture


class SegmentationWorkload:
    """`metakd_training.tasks.workload.Workload` of runs that segment.

    Sample number k is the same whatever process takes it and however often the run was stopped:
    its patient, crop, augmentation and subset follow from the seed and k alone.
    """

    modalities = tuple(contrast.label for contrast in CONTRASTS)
    outputs = tuple(region.value for region in REGIONS)
    metric = "Dice"
    fingerprint = None

    def __init__(self, config: SegmentationConfig) -> None:
        self.config = config
        self.task = Segmentation()
        self.lists = read_lists(config.data)
        self.split = {key: [case.name for case in cases] for key, cases in self.lists.items()}

    def network(self) -> MetaKDNet:
        return MetaKDNet(**self.config.network.model_dump())

    def prepare(self) -> None:
        """Prepare every patient and phantom, and check them."""
        for some in (self._everyone(), self._phantoms()):
            some.check()

    def load(self) -> None:
        data, everyone = self.config.data, self._everyone()
        ends = list(accumulate(len(cases) for cases in self.lists.values()))
        self.pools: dict[str, Sequence[Patient]] = {
            key: Subset(everyone, range(end - len(cases), end))
            for (key, cases), end in zip(self.lists.items(), ends, strict=True)
        }
        for key in ("train", "held_out"):
            self.pools[key] = self._kept(self.pools[key])
        train = [self.pools["train"], self._kept(self._phantoms())]
        seed = self.config.seed
        self._draws = {
            "train": Draws(train, data.phantom_share, seed, "train"),
            "held_out": Draws([self.pools["held_out"]], 0.0, seed, "held out"),
        }

    def draw(self, numbers: Iterable[Sequence[int]], purpose: str) -> Iterator[DrawnPatients]:
        """Training samples come by `Data.workers` processes, held-out ones directly."""
        draws = self._draws[purpose]
        if purpose != "train":
            return (draws.together([draws[number] for number in some]) for some in numbers)
        return iter(
            DataLoader(
                draws,
                batch_sampler=numbers,  # type: ignore[arg-type]
                collate_fn=draws.together,
                num_workers=self.config.data.workers,
            )
        )

    def batch(
        self, drawn: DrawnPatients, sampler: SubsetSampler, *, step: int, device: torch.device
    ) -> Batch:
        return make_batch(
            drawn, self.config.crops, sampler, step=step, seed=self.config.seed, device=device
        )

    def whole(
        self, key: str, device: torch.device, share: tuple[int, int] = (0, 1)
    ) -> Iterator[Batch]:
        first, every = share
        patients = self.pools[key]
        return (whole_patient(patients[i], device) for i in range(first, len(patients), every))

    def pictures(self, network: AnySubsetNet, device: torch.device) -> dict[str, Tensor]:
        """Of the first held-out patient, from all its contrasts and from one alone."""
        patient = next(self.whole("held_out", device))
        single = torch.zeros_like(patient.present)
        single[0, int(patient.present[0].float().argmax())] = True
        return {
            name: slice_picture(patient, network.predict(patient.inputs, available))
            for name, available in (("all contrasts", patient.present), ("one contrast", single))
        }

    def _everyone(self) -> Patients:
        return self._prepared([case for cases in self.lists.values() for case in cases])

    def _phantoms(self) -> Patients:
        return self._prepared(range(self.config.data.phantoms))

    def _prepared(self, sources: Iterable[Case | int]) -> Patients:
        data = self.config.data
        stride = 2 ** len(self.config.network.channels)
        return Patients(sources, spacing=data.spacing, stride=stride, cache=Path(data.cache))

    def _kept(self, patients: Sequence[Patient]) -> Sequence[Patient]:
        if not self.config.data.in_memory:
            return patients
        return [patients[i] for i in range(len(patients))]
