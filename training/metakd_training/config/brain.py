"""Settings of runs that learn to find the brain in a whole head."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from metakd_training.config.sections import Positive, RunConfig, Section, Side, UNet

Names = Annotated[tuple[str, ...], Field(min_length=1)]


class HeadMaps(Section):
    """Label maps of whole heads, of which synthetic scans are made.

    Attributes:
        folder: of NIfTI files with FreeSurfer's labels, and 500 and above outside the brain.
        train, held_out, validation: file names without extension; no map is on two lists.
        heads: how many synthetic heads of each map a list is scored on.
    """

    folder: str
    train: Names
    held_out: Names
    validation: Names
    heads: Side = 8

    @model_validator(mode="after")
    def _no_map_twice(self) -> HeadMaps:
        names = [*self.train, *self.held_out, *self.validation]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is on more than one list")
        return self


class Box(Section):
    """What a sample is.

    Attributes:
        size: sides in voxels (slices, rows, columns).
        spacing: mm.
    """

    size: tuple[Side, Side, Side] = (112, 112, 96)
    spacing: Positive = 2.0


class BrainConfig(RunConfig):
    """A run that learns to find the brain."""

    task: Literal["brain"]
    data: HeadMaps
    box: Box = Box()
    network: UNet = UNet()

    @property
    def of_the_network(self) -> tuple[str, ...]:
        """Beginnings of the settings that another run's network has to share to be of use here."""
        return ("task", "network.", "box.spacing")

    @property
    def order(self) -> list[str]:
        """Names in whose order the network has its inputs and outputs; fixed for all."""
        return []

    @model_validator(mode="after")
    def _fits(self) -> BrainConfig:
        self.network.check("box.size", self.box.size)
        return self
