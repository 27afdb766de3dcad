"""Augmentation of a whole batch at once: pictures turned and shifted, sounds shifted in time."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from metakd_training.config.classification import Image, Modality, Spectrogram

CHANCES = 4
"""Numbers from 0 to 1 that a sample's augmentation takes."""


def warped(values: Tensor, modality: Modality, chances: Tensor) -> Tensor:
    """(B, …) inputs of a modality, changed within the limits of its settings.

    Args:
        chances: (B, CHANCES) numbers from 0 to 1; one half changes nothing.
    """
    between = (2 * chances - 1).to(values.device)
    if isinstance(modality, Image) and (modality.shift or modality.turn or modality.zoom):
        return _affine(values, modality, between)
    if isinstance(modality, Spectrogram) and modality.shift:
        return _shifted(values, (between[:, 0] * modality.shift).round().long())
    return values


def _affine(images: Tensor, limits: Image, between: Tensor) -> Tensor:
    """(B, 1, H, W): turned and zoomed about the middle, then shifted; -1, black, comes in."""
    angle = between[:, 0] * math.radians(limits.turn)
    scale = 1 + between[:, 1] * limits.zoom
    height, width = images.shape[2:]
    cos, sin = angle.cos() / scale, angle.sin() / scale
    # `affine_grid` counts from -1 to 1 along each side.
    across = between[:, 2] * 2 * limits.shift / width
    down = between[:, 3] * 2 * limits.shift / height
    rows = [torch.stack([cos, -sin * height / width, across], dim=1),
            torch.stack([sin * width / height, cos, down], dim=1)]  # fmt: skip
    grid = F.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    return F.grid_sample(images + 1, grid, align_corners=False) - 1


def _shifted(spectrograms: Tensor, frames: Tensor) -> Tensor:
    """(B, 1, rows, columns): each moved by its frames; what comes in repeats the edge."""
    length = spectrograms.shape[3]
    source = torch.arange(length, device=frames.device) - frames[:, None]
    index = source.clamp(0, length - 1)[:, None, None].expand_as(spectrograms)
    return spectrograms.gather(3, index)
