"""Random crops of a patient, deformed and recoloured, on whatever device the patient is.

Other hospitals' scans differ in scale, position, contrast, sharpness, slice thickness, bias and
noise; each of these is drawn anew for every crop, and per contrast where that is how scans vary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from metakd_training.config.segmentation import Crops
from metakd_training.data.chance import Chance


def random_crop(
    images: Tensor, regions: Tensor, crops: Crops, chance: Chance
) -> tuple[Tensor, Tensor]:
    """Images (4, *size) float32 and regions (3, *size) float32 in 0 to 1.

    The crop's centre lies in the tumour as often as `Crops.tumour_share` says, anywhere in the box
    otherwise. It is rotated (up to 20 degrees about each axis), scaled (0.8 to 1.25) and mirrored
    left to right.

    Args:
        images: (4, D, H, W), z-scored, 0 outside the brain.
        regions: (3, D, H, W), 0 or 1, nested, the last the largest.
    """
    theta = _affine(regions[-1], crops, chance).to(images.device)
    grid = F.affine_grid(theta[None], [1, 1, *crops.size], align_corners=False)
    both = torch.cat([images.float(), regions.float()])[None]
    sampled = F.grid_sample(both, grid, padding_mode="zeros", align_corners=False)[0]
    crop, truth = sampled.split([len(images), len(regions)])
    if not crops.augment:
        return crop, truth
    brain = (crop != 0).any(dim=0)
    recoloured = torch.stack([_recolour(image, brain, chance) for image in crop])
    return recoloured, truth


def _affine(tumour: Tensor, crops: Crops, chance: Chance) -> Tensor:
    """(3, 4) matrix from the crop's to the patient's normalised coordinates (x, y, z)."""
    size, shape = torch.tensor(crops.size), torch.tensor(tumour.shape)
    centre = _centre(tumour, size, crops.tumour_share, chance)
    matrix = _deformation(chance) if crops.augment else torch.eye(3)
    crop_half, patient_half = size.flip(0) / 2, shape.flip(0) / 2
    linear = torch.diag(1 / patient_half) @ matrix @ torch.diag(crop_half)
    offset = centre.flip(0) / patient_half - 1
    return torch.cat([linear, offset[:, None]], dim=1)


def _deformation(chance: Chance) -> Tensor:
    """(3, 3): turned, scaled, mirrored."""
    angles = (chance.numbers(-1, 1, 3) * math.radians(20)).tolist()
    scale = chance.between(0.8, 1.25) * chance.numbers(0.93, 1.07, 3)
    matrix = rotation(angles) @ torch.diag(scale)
    if chance.happens(0.5):
        matrix = matrix @ torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
    return matrix


def _centre(tumour: Tensor, size: Tensor, tumour_share: float, chance: Chance) -> Tensor:
    """The crop's centre (slice, row, column) in voxels from the box's corner."""
    shape = torch.tensor(tumour.shape)
    inside = tumour.flatten().nonzero()[:, 0] if chance.happens(tumour_share) else []
    if len(inside):
        voxel = torch.unravel_index(inside[chance.below(len(inside))], tumour.shape)
        chosen = torch.stack(voxel).cpu() + 0.5
    else:
        chosen = chance.numbers(0, 1, 3) * shape
    # Not further out than needed to reach the box's edge, so that crops are not mostly air.
    low = torch.minimum(size / 2, shape / 2)
    return torch.maximum(torch.minimum(chosen, shape - low), low)


def rotation(angles: list[float]) -> Tensor:
    """(3, 3): turns about the axes (x, y, z) by these angles, radians."""
    matrix = torch.eye(3)
    for axis, angle in enumerate(angles):
        i, j = [k for k in range(3) if k != axis]
        turn = torch.eye(3)
        turn[i, i] = turn[j, j] = math.cos(angle)
        turn[i, j], turn[j, i] = -math.sin(angle), math.sin(angle)
        matrix = matrix @ turn
    return matrix


def _recolour(image: Tensor, brain: Tensor, chance: Chance) -> Tensor:
    """One contrast (D, H, W) with another sharpness, gamma, bias field and noise."""
    if chance.happens(0.3):
        image = _thick_slices(image, chance)
    if chance.happens(0.5):
        image = _gamma(image, chance.between(0.6, 1.7))
    if chance.happens(0.5):
        image = image + smooth_field(image.shape, [4, 4, 4], chance) * chance.between(0.1, 0.6)
    # A large tumour shifts the whole brain's mean and spread: the z-score of healthy tissue varies.
    image = image * chance.between(0.6, 1.6) + chance.between(-0.6, 0.6)
    if chance.happens(0.3):
        image = image + chance.noise(tuple(image.shape)) * chance.between(0, 0.25)
    return image * brain


def _thick_slices(image: Tensor, chance: Chance) -> Tensor:
    """Averaged over 2 to 5 voxels along one axis and interpolated back, as thick slices are."""
    axis, size = chance.below(3), list(image.shape)
    size[axis] = max(int(size[axis] / chance.between(2, 5)), 1)
    coarse = F.adaptive_avg_pool3d(image[None, None], size)
    return F.interpolate(coarse, image.shape, mode="trilinear")[0, 0]


def _gamma(image: Tensor, exponent: float) -> Tensor:
    low, high = image.amin(), image.amax()
    unit = (image - low) / (high - low).clamp_min(1e-3)
    return unit**exponent * (high - low) + low


def smooth_field(shape: Sequence[int], coarse: Sequence[int], chance: Chance) -> Tensor:
    """(D, H, W) of standard normal numbers on a coarse grid, interpolated between."""
    field = chance.noise((1, 1, *coarse))
    return F.interpolate(field, tuple(shape), mode="trilinear")[0, 0]
