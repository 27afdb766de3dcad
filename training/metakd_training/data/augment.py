"""Random crops of a patient, deformed and recoloured.

Other hospitals' scans differ in scale, position, contrast, sharpness, slice thickness, bias and
noise; each of these is drawn anew for every crop, and per contrast where that is how scans vary.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from metakd_training.data.patients import Patient


def random_crop(
    patient: Patient, size: tuple[int, int, int], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Images (4, *size) float32 and regions (3, *size) float32 in 0 to 1.

    The crop's centre lies in the tumour two times in three, anywhere in the box otherwise. It is
    rotated (up to 20 degrees about each axis), scaled (0.8 to 1.25) and mirrored left to right.
    """
    theta = _affine(patient, size, generator)
    grid = F.affine_grid(theta[None], [1, 1, *size], align_corners=False)
    both = torch.cat([patient.images.float(), patient.regions.float()])[None]
    sampled = F.grid_sample(both, grid, padding_mode="zeros", align_corners=False)[0]
    images, regions = sampled.split([len(patient.images), len(patient.regions)])
    brain = (images != 0).any(dim=0)
    recoloured = torch.stack([_recolour(image, brain, generator) for image in images])
    return recoloured, regions


def _affine(patient: Patient, size: tuple[int, int, int], generator: torch.Generator) -> Tensor:
    """(3, 4) matrix from the crop's to the patient's normalised coordinates (x, y, z)."""
    shape = torch.tensor(patient.images.shape[1:])
    centre = _centre(patient, shape, torch.tensor(size), generator)
    angles = (_uniform(-1, 1, generator, 3) * math.radians(20)).tolist()
    scale = _uniform(0.8, 1.25, generator, 1).item() * _uniform(0.93, 1.07, generator, 3)
    matrix = _rotation(angles) @ torch.diag(scale)
    if torch.rand((), generator=generator) < 0.5:
        matrix = matrix @ torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
    crop_half = torch.tensor(size[::-1]) / 2
    patient_half = shape.flip(0) / 2
    linear = torch.diag(1 / patient_half) @ matrix @ torch.diag(crop_half)
    offset = centre.flip(0) / patient_half - 1
    return torch.cat([linear, offset[:, None]], dim=1)


def _centre(patient: Patient, shape: Tensor, size: Tensor, generator: torch.Generator) -> Tensor:
    """The crop's centre (slice, row, column) in voxels from the box's corner."""
    tumour = patient.regions[-1].nonzero()
    if len(tumour) and torch.rand((), generator=generator) < 2 / 3:
        chosen = tumour[torch.randint(len(tumour), (), generator=generator)] + 0.5
    else:
        chosen = torch.rand(3, generator=generator) * shape
    # Not further out than needed to reach the box's edge, so that crops are not mostly air.
    low = torch.minimum(size / 2, shape / 2)
    return torch.maximum(torch.minimum(chosen, shape - low), low)


def _rotation(angles: list[float]) -> Tensor:
    matrix = torch.eye(3)
    for axis, angle in enumerate(angles):
        i, j = [k for k in range(3) if k != axis]
        turn = torch.eye(3)
        turn[i, i] = turn[j, j] = math.cos(angle)
        turn[i, j], turn[j, i] = -math.sin(angle), math.sin(angle)
        matrix = matrix @ turn
    return matrix


def _recolour(image: Tensor, brain: Tensor, generator: torch.Generator) -> Tensor:
    """One contrast (D, H, W) with another sharpness, gamma, bias field and noise."""
    if torch.rand((), generator=generator) < 0.3:
        image = _thick_slices(image, generator)
    if torch.rand((), generator=generator) < 0.5:
        image = _gamma(image, _uniform(0.6, 1.7, generator, 1).item())
    if torch.rand((), generator=generator) < 0.5:
        image = image + _smooth_field(image, generator) * _uniform(0.1, 0.6, generator, 1)
    # A large tumour shifts the whole brain's mean and spread: the z-score of healthy tissue varies.
    gain, shift = _uniform(0.6, 1.6, generator, 1), _uniform(-0.6, 0.6, generator, 1)
    image = image * gain + shift
    if torch.rand((), generator=generator) < 0.3:
        noise = torch.randn(image.shape, generator=generator)
        image = image + noise * _uniform(0, 0.25, generator, 1)
    return image * brain


def _thick_slices(image: Tensor, generator: torch.Generator) -> Tensor:
    """Averaged over 2 to 5 voxels along one axis and interpolated back, as thick slices are."""
    axis = int(torch.randint(3, (), generator=generator))
    size = list(image.shape)
    size[axis] = int(size[axis] / _uniform(2, 5, generator, 1).item())
    coarse = F.adaptive_avg_pool3d(image[None, None], size)
    return F.interpolate(coarse, image.shape, mode="trilinear")[0, 0]


def _gamma(image: Tensor, exponent: float) -> Tensor:
    low, high = image.amin(), image.amax()
    unit = (image - low) / (high - low).clamp_min(1e-3)
    return unit**exponent * (high - low) + low


def _smooth_field(image: Tensor, generator: torch.Generator) -> Tensor:
    coarse = torch.randn((1, 1, 4, 4, 4), generator=generator)
    return F.interpolate(coarse, image.shape, mode="trilinear")[0, 0]


def _uniform(low: float, high: float, generator: torch.Generator, count: int) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)
