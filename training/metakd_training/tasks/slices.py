"""A slice through the tumour, as TensorBoard shows it during a run."""

from __future__ import annotations

import torch
from torch import Tensor

from metakd_training.methods.method import Batch

_COLOURS = torch.tensor([[0.98, 0.82, 0.24], [0.85, 0.24, 0.24], [0.34, 0.75, 0.43]])


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
    """Nested regions drawn over one another, the smallest last."""
    for colour, region in reversed(list(zip(_COLOURS, regions, strict=False))):
        paint = colour.to(grey.device)[:, None, None]
        grey = torch.where(region, 0.5 * grey + 0.5 * paint, grey)
    return grey
