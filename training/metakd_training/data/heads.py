"""Synthetic scans of whole heads in any contrast, painted on label maps.

In the manner of SynthStrip (Hoopes et al. 2022, doi 10.1016/j.neuroimage.2022.119474): what the
network sees is drawn from a range far wider than scanners', so that it learns the anatomy and not
a contrast.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from metakd.brain_network import as_input
from torch import Tensor
from torch.nn import functional as F

from metakd_training.config.brain import Box
from metakd_training.data.augment import rotation, smooth_field
from metakd_training.data.chance import Chance
from metakd_training.data.head_maps import (
    AIR,
    DEEP_GREY,
    FLUID,
    GREY_MATTER,
    WHITE_MATTER,
    HeadMap,
)

_SEQUENCES = {  # brightness of white matter, grey matter, deep grey matter, fluid
    "T1": (0.9, 0.65, 0.75, 0.2),
    "T2": (0.35, 0.55, 0.45, 1.0),
    "FLAIR": (0.5, 0.7, 0.6, 0.15),
}


def synthetic_head(head: HeadMap, box: Box, chance: Chance) -> tuple[Tensor, Tensor]:
    """A scan (1, D, H, W) as the network gets it, and its brain (1, D, H, W) in 0 to 1.

    The head is turned (up to 25 degrees about each axis), scaled, shifted, deformed and mirrored;
    some have tumours, some are cut off, some have thick slices.
    """
    device = chance.device
    painted = _painted(head, chance)
    both = torch.stack([painted, head.brain.to(device, torch.float32)])[None]
    grid = _grid(head, box, chance).to(device)
    image, brain = F.grid_sample(both, grid, align_corners=False)[0]
    image = _with_tumours(image, brain, box, chance)
    for change in _SCANNER:
        image = change(image, box, chance)
    image, brain = _cut_off(image, brain, chance)
    return as_input(image)[None], brain[None]


def _painted(head: HeadMap, chance: Chance) -> Tensor:
    """(D, H, W) at 1 mm: each class its own brightness, texture and noise."""
    means = chance.numbers(0, 1, head.count)
    if chance.happens(0.5):
        known = list(_SEQUENCES.values())[chance.below(len(_SEQUENCES))]
        tissues = torch.tensor([WHITE_MATTER, GREY_MATTER, DEEP_GREY, FLUID])
        means[tissues] = torch.tensor(known) + chance.numbers(-0.12, 0.12, 4)
    means[AIR] = chance.between(0, 0.3) if chance.happens(0.2) else 0.0
    spreads = chance.numbers(0.0, 0.1, head.count)
    spreads[AIR] = chance.between(0, 0.05)
    texture = chance.numbers(0.0, 0.25, head.count)
    texture[AIR] = 0.0
    classes = head.classes.to(chance.device).int()
    means, spreads, texture = (table.to(chance.device) for table in (means, spreads, texture))
    painted = means[classes] + spreads[classes] * chance.noise(tuple(classes.shape))
    if chance.happens(0.7):
        blotches = chance.between(6, 24)  # mm
        coarse = [max(int(side / blotches), 2) for side in classes.shape]
        painted += texture[classes] * smooth_field(classes.shape, coarse, chance)
    return painted


def _grid(head: HeadMap, box: Box, chance: Chance) -> Tensor:
    """(1, D, H, W, 3): where in the label map each voxel of the box lies, -1 to 1."""
    angles = (chance.numbers(-1, 1, 3) * math.radians(25)).tolist()
    scale = chance.between(0.85, 1.18) * chance.numbers(0.93, 1.07, 3)
    matrix = rotation(angles) @ torch.diag(scale)
    if chance.happens(0.5):
        matrix = matrix @ torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
    half_map = torch.tensor(head.classes.shape).flip(0) / 2
    half_box = torch.tensor(box.size).flip(0) * box.spacing / 2
    centre = head.brain.nonzero().float().mean(dim=0).flip(0) + chance.numbers(-30, 30, 3)
    linear = torch.diag(1 / half_map) @ matrix @ torch.diag(half_box)
    theta = torch.cat([linear, (centre / half_map - 1)[:, None]], dim=1)
    grid = F.affine_grid(theta[None], [1, 1, *box.size], align_corners=False)
    bent = [smooth_field(box.size, [5, 5, 5], chance).cpu() for _ in range(3)]
    reach = chance.between(0, 5) / half_map  # mm
    return grid + torch.stack(bent, dim=-1) * reach


def _with_tumours(image: Tensor, brain: Tensor, box: Box, chance: Chance) -> Tensor:
    """Balls with ragged borders, each brighter or darker than what it grows in."""
    if not chance.happens(0.6):
        return image
    inside = (brain > 0.5).nonzero()
    if not len(inside):
        return image
    places = [torch.arange(side, device=image.device) * box.spacing for side in box.size]
    for _ in range(1 + chance.below(3)):
        centre = inside[chance.below(len(inside))].tolist()
        squares = [
            (axis - c * box.spacing).square().view(*(-1 if i == k else 1 for k in range(3)))
            for i, (axis, c) in enumerate(zip(places, centre, strict=True))
        ]
        distance = (squares[0] + squares[1] + squares[2]).sqrt()
        radius = chance.between(5, 35)
        ragged = radius * (1 + 0.3 * smooth_field(box.size, [9, 9, 9], chance))
        weight = ((ragged - distance) / chance.between(2, 8)).clamp(0, 1) * brain
        image = image + weight * chance.between(-0.6, 0.8)
        if chance.happens(0.4):  # another core
            core = ((0.6 * ragged - distance) / 3).clamp(0, 1) * brain
            image = image + core * chance.between(-0.8, 0.8)
    return image


def _bias(image: Tensor, box: Box, chance: Chance) -> Tensor:
    """Brightness that a coil makes uneven."""
    strength = chance.between(0, 0.6)
    return image * (strength * smooth_field(box.size, [3, 3, 3], chance)).exp()


def _blur(image: Tensor, box: Box, chance: Chance) -> Tensor:
    """Coarse voxels: thick slices along one axis, or larger in all three."""
    kind = chance.below(4)
    if kind == 0:
        return image
    size = list(image.shape)
    axes = [chance.below(3)] if kind < 3 else [0, 1, 2]
    thickness = chance.between(3, 8) if kind < 3 else chance.between(2, 4)  # mm
    for axis in axes:
        size[axis] = max(int(size[axis] * box.spacing / thickness), 4)
    coarse = F.adaptive_avg_pool3d(image[None, None], size)
    return F.interpolate(coarse, image.shape, mode="trilinear")[0, 0]


def _noise(image: Tensor, box: Box, chance: Chance) -> Tensor:
    strength = chance.between(0, 0.1) if chance.happens(0.6) else 0.0
    real = image + strength * chance.noise(tuple(image.shape))
    return real.abs() if chance.happens(0.7) else real


def _gamma(image: Tensor, box: Box, chance: Chance) -> Tensor:
    return image.clamp_min(0) ** math.exp(chance.between(-0.5, 0.5))


_SCANNER: tuple[Callable[[Tensor, Box, Chance], Tensor], ...] = (_bias, _blur, _gamma, _noise)


def _cut_off(image: Tensor, brain: Tensor, chance: Chance) -> tuple[Tensor, Tensor]:
    """A scan need not reach over the whole head: what lies beyond is black, and nobody's brain."""
    if not chance.happens(0.35):
        return image, brain
    image, brain = image.clone(), brain.clone()
    for _ in range(1 + chance.below(2)):
        axis = chance.below(3) if chance.happens(0.4) else 0
        side = image.shape[axis]
        lost = int(side * chance.between(0.05, 0.4))
        start = 0 if chance.happens(0.5) else side - lost
        image.narrow(axis, start, lost).zero_()
        brain.narrow(axis, start, lost).zero_()
    return image, brain
