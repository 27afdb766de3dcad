"""Settings of segmentation runs: patients and crops."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from metakd_training.config.sections import (
    Count,
    Positive,
    Probability,
    RunConfig,
    Section,
    Side,
    UNet,
)


class Cohort(Section):
    """A folder of patients, or a JSON or CSV list of them, as `metakd.cases.find_cases` reads it.

    Attributes:
        labels: convention of its truth, a key of `metakd.regions.CONVENTIONS`; by file name and
            content when left out.
    """

    path: str
    labels: str | None = None


class Data(Section):
    """Who is trained on.

    Attributes:
        split: JSON file of lists of case names; ``train`` is trained on.
        held_out: patients taken out of ``train``, for the outer level, for elections and to choose
            the best checkpoint; the split's own list ``held_out`` when left out.
        phantoms: synthetic studies to train on beside the patients.
        phantom_share: the part of all draws that takes a phantom.
        spacing: of the network's grid, mm.
        cache: folder of prepared patients, keyed by the content of their files and the settings.
        in_memory: keep prepared patients in memory (about 40 MB each at 1 mm).
        workers: processes that read prepared patients from the cache.
    """

    cohorts: tuple[Cohort, ...]
    split: str
    held_out: tuple[str, ...] | None = None
    phantoms: Count = 0
    phantom_share: Probability = 0.15
    spacing: Positive = 1.0
    cache: str = "runs/cache"
    in_memory: bool = True
    workers: Count = 0


class Crops(Section):
    """What a sample is.

    Attributes:
        size: sides in voxels (slices, rows, columns).
        tumour_share: part of the crops whose centre lies in the tumour.
        augment: deform and recolour; crops alone without.
    """

    size: tuple[Side, Side, Side]
    tumour_share: Probability = 2 / 3
    augment: bool = True


class SegmentationConfig(RunConfig):
    """A run that segments."""

    task: Literal["segmentation"] = "segmentation"
    data: Data
    crops: Crops
    network: UNet = UNet()

    @property
    def of_the_network(self) -> tuple[str, ...]:
        """Beginnings of the settings that another run's network has to share to be of use here."""
        return ("task", "network.", "data.spacing")

    @property
    def order(self) -> list[str]:
        """Names in whose order the network has its inputs and outputs; fixed for all."""
        return []

    @model_validator(mode="after")
    def _fits(self) -> SegmentationConfig:
        self.network.check("crops.size", self.crops.size)
        return self
