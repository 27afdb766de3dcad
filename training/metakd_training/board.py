"""What TensorBoard shows of a run: numbers, scores by subset and region, pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from metakd.contrasts import CONTRASTS, SUBSETS, subset_name
from metakd.regions import REGIONS
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from metakd_training.methods.method import Batch

_COLOURS = torch.tensor([[0.98, 0.82, 0.24], [0.85, 0.24, 0.24], [0.34, 0.75, 0.43]])


class Board:
    """Writes a run's events; after `--resume` those of steps that are made again are dropped."""

    def __init__(self, folder: Path, step: int) -> None:
        self._writer = SummaryWriter(str(folder / "events"), purge_step=step + 1)

    def numbers(self, step: int, numbers: Mapping[str, float]) -> None:
        """Scalars by name."""
        for name, number in numbers.items():
            self._writer.add_scalar(_readable(name), number, step)

    def scores(self, step: int, scores: Tensor) -> None:
        """Dice (15, 3) of each subset and region, NaN where not measured, and their means."""
        names = [subset_name(subset) for subset in SUBSETS] + ["mean"]
        for place, region in enumerate(REGIONS):
            column = scores[:, place]
            for name, score in zip(names, [*column, column.nanmean()], strict=True):
                if not score.isnan():
                    self._writer.add_scalar(f"Dice {region.value}/{name}", score, step)

    def picture(self, step: int, name: str, patient: Batch, logits: Tensor) -> None:
        """A slice through the tumour: each contrast, the truth, the result."""
        self._writer.add_image(f"slice/{name}", slice_picture(patient, logits), step)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


def slice_picture(patient: Batch, logits: Tensor) -> Tensor:
    """(3, H, N·W) in 0 to 1: the contrasts side by side, then truth and result on the last one.

    The slice is the one with the most tumour. Rows run from anterior to posterior, columns from
    the patient's right to left, as radiologists look at it.
    """
    truth, found = patient.target[0] > 0.5, logits[0] > 0
    level = int(truth[-1].sum(dim=(1, 2)).argmax())
    greys = [_grey(values[0, 0, level]) for values in patient.inputs]
    panels = greys + [_painted(greys[-1], regions[:, level]) for regions in (truth, found)]
    # The network's axes run towards S, P, L, the order in which a picture is drawn.
    return torch.cat(panels, dim=2).cpu()


def _grey(values: Tensor) -> Tensor:
    """(3, H, W): from black, which the outside of the brain (exactly 0) is too, to white."""
    low, high = values.min(), values.max()
    grey = (values - low) / (high - low).clamp_min(1e-3)
    return (grey * (values != 0)).expand(3, -1, -1)


def _painted(grey: Tensor, regions: Tensor) -> Tensor:
    """ET, TC and WT drawn over one another, the smallest last."""
    for colour, region in reversed(list(zip(_COLOURS, regions, strict=True))):
        paint = colour.to(grey.device)[:, None, None]
        grey = torch.where(region, 0.5 * grey + 0.5 * paint, grey)
    return grey


def _readable(name: str) -> str:
    """Names of methods' numbers say modalities and regions by their place; here by their name."""
    kind, *places = name.split("/")
    if not places:
        return f"loss/{name}"
    contrast = CONTRASTS[int(places[-1])].label
    region = f" {REGIONS[int(places[0])].value}" if len(places) > 1 else ""
    return f"{kind}{region}/{contrast}"
