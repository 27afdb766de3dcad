"""What each sample of a run is: which patient, which crop, which contrasts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from metakd_training.config.segmentation import Crops
from metakd_training.data.augment import random_crop
from metakd_training.data.chance import Chance
from metakd_training.data.patients import Patient
from metakd_training.methods.method import Batch
from metakd_training.subsets import SubsetSampler


@dataclass(frozen=True)
class DrawnPatients:
    """Sample numbers and the patient each takes; crops are still to be cut.

    Attributes:
        purpose: keeps the numbers of training and of held-out samples apart.
    """

    samples: Sequence[tuple[int, Patient]]
    purpose: str


class Draws(Dataset[tuple[int, Patient]]):
    """Sample number → that number and the patient it takes; follows from the seed alone.

    Args:
        pools: patients, and phantoms if there are any.
        share: how often the second pool is drawn from.
        purpose: keeps the numbers of training and of held-out samples apart.
    """

    def __init__(
        self, pools: Sequence[Sequence[Patient]], share: float, seed: int, purpose: str
    ) -> None:
        self.pools, self.share, self.seed, self.purpose = pools, share, seed, purpose

    def __len__(self) -> int:
        return 2**62

    def __getitem__(self, number: int) -> tuple[int, Patient]:
        chance = Chance(self.seed, self.purpose, "patient", number)
        second = len(self.pools) > 1 and len(self.pools[1]) > 0 and chance.happens(self.share)
        pool = self.pools[1] if second else self.pools[0]
        return number, pool[chance.below(len(pool))]

    def together(self, samples: Sequence[tuple[int, Patient]]) -> DrawnPatients:
        """What a batch is made of."""
        return DrawnPatients(samples, self.purpose)


def make_batch(
    drawn: DrawnPatients,
    crops: Crops,
    sampler: SubsetSampler,
    *,
    step: int,
    seed: int,
    device: torch.device,
) -> Batch:
    """Crops of the patients drawn, augmented on the device, each with a subset of its contrasts."""
    samples = []
    for number, patient in drawn.samples:
        chance = Chance(seed, drawn.purpose, "crop", number, device=device)
        images, regions = (
            part.to(device, non_blocking=True) for part in (patient.images, patient.regions)
        )
        (available,) = sampler.draw(step, patient.present[None], chance.numbers(0, 1, 1))
        samples.append((*random_crop(images, regions, crops, chance), patient.present, available))
    images, regions, present, available = (torch.stack(part) for part in zip(*samples, strict=True))
    return Batch(_by_contrast(images), regions, present.to(device), available.to(device))


def whole_patient(patient: Patient, device: torch.device) -> Batch:
    """The whole box of one patient, with all its contrasts, unchanged."""
    images = patient.images[None].to(device).float()
    present = patient.present[None].to(device)
    target = patient.regions[None].to(device).float()
    return Batch(_by_contrast(images), target, present, present)


def _by_contrast(images: Tensor) -> list[Tensor]:
    return [images[:, i, None] for i in range(images.shape[1])]
