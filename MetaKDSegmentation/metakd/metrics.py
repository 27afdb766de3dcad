"""How well a mask agrees with the truth: Dice and HD95, as a whole and lesion by lesion.

Masks are boolean arrays (D, H, W) on one grid; a spacing is in mm, in the same order of axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

Mask = npt.NDArray[np.bool_]

PENALTY_MM = 374.0
"""HD95 where one of the two masks is empty: BraTS 2023's, about the diagonal of its volumes."""

SMALLEST_LESION_MM3 = 50.0
"""True lesions up to this size are not scored (BraTS 2023, adult glioma)."""

LESION_DILATIONS = 3
"""How often the truth is dilated before its lesions are told apart (BraTS 2023, adult glioma)."""

EMPTY_CONVENTION = (
    f"Empty in truth and result: Dice 1, HD95 0 mm; empty in one of them: Dice 0, HD95 "
    f"{PENALTY_MM:.0f} mm. Lesion-wise, as BraTS 2023: a missed or a false lesion is Dice 0, HD95 "
    f"{PENALTY_MM:.0f} mm; true lesions up to {SMALLEST_LESION_MM3:.0f} mm³ are left out; nothing "
    "left to score: Dice 1, HD95 0 mm."
)
"""What the figures of empty regions mean, in plain text to stand beside every table of them."""


@dataclass(frozen=True)
class LesionScores:
    """Means over the lesions of one mask: Dice, and HD95 in mm."""

    dice: float
    hd95_mm: float


def dice(ours: Mask, truth: Mask) -> float:
    """Dice of two masks; 1 when both are empty, as BraTS has it."""
    size = np.count_nonzero(ours) + np.count_nonzero(truth)
    return 2 * np.count_nonzero(ours & truth) / size if size else 1.0


def hd95(ours: Mask, truth: Mask, spacing: Sequence[float]) -> float:
    """95 % Hausdorff distance in mm: 0 when both masks are empty, `PENALTY_MM` when one is.

    The larger of the two directions' 95th percentiles of the distance from each surface voxel to
    the other mask's nearest one. A surface voxel has one of its six neighbours outside the mask;
    beyond the volume is outside. This is MONAI's `compute_hausdorff_distance(percentile=95)`.
    """
    if not (ours.any() and truth.any()):
        return PENALTY_MM if ours.any() or truth.any() else 0.0
    box = bounding_box(ours | truth)
    surfaces = [_surface(mask[box]) for mask in (ours, truth)]
    return max(
        float(np.percentile(_distance_map(there, spacing)[here], 95))
        for here, there in (surfaces, surfaces[::-1])
    )


def lesion_wise(ours: Mask, truth: Mask, spacing: Sequence[float]) -> LesionScores:
    """Dice and HD95 by lesion as BraTS 2023 scores adult glioma; 1 and 0 when both are empty.

    The truth is dilated by its 18 neighbours `LESION_DILATIONS` times: what then hangs together
    (26 neighbours) is one lesion. Each is compared with all the parts of ``ours`` (26 neighbours)
    that reach into its dilation. The means are over the lesions larger than `SMALLEST_LESION_MM3`
    and over the parts that reach no lesion of any size, each of which counts as Dice 0 and
    `PENALTY_MM`, as a missed lesion does.

    Source: https://github.com/rachitsaluja/BraTS-2023-Metrics. HD95 differs from it in detail:
    there each surface element is weighted by its area (DeepMind's surface-distance), here every
    surface voxel counts the same, as in `hd95`.
    """
    if not (ours.any() or truth.any()):
        return LesionScores(1.0, 0.0)
    box = bounding_box(ours | truth)
    ours, truth = ours[box], truth[box]
    # A part of the dilated truth is at once the dilation of the lesion inside it, alone.
    zones, parts = _components(_dilated(truth)), _components(ours)
    reaches = np.zeros((zones.max() + 1, parts.max() + 1), dtype=bool)  # lesion × part of ours
    reaches[zones[ours], parts[ours]] = True
    false_lesions = np.count_nonzero(~reaches[1:, 1:].any(axis=0))
    dices, distances = [0.0] * false_lesions, [PENALTY_MM] * false_lesions
    for zone in range(1, len(reaches)):
        lesion = truth & (zones == zone)
        if np.count_nonzero(lesion) * np.prod(spacing) > SMALLEST_LESION_MM3:
            found = reaches[zone][parts]
            dices.append(dice(found, lesion))
            distances.append(hd95(found, lesion, spacing))
    return LesionScores(fmean(dices), fmean(distances)) if dices else LesionScores(1.0, 0.0)


def bounding_box(mask: Mask) -> tuple[slice, slice, slice]:
    """The smallest box around a mask that is not empty.

    All figures here are the same inside the box of both masks as in the whole volume.
    """
    planes = mask.any(axis=(1, 2)), mask.any(axis=(0, 2)), mask.any(axis=(0, 1))
    ends = [np.flatnonzero(there)[[0, -1]] for there in planes]
    first, second, third = (slice(int(low), int(high) + 1) for low, high in ends)
    return first, second, third


def _surface(mask: Mask) -> Mask:
    """Voxels with a neighbour outside the mask, with a margin of one empty voxel all round."""
    padded = np.pad(mask, 1)
    inner = padded.copy()
    for axis in range(3):
        for step in (-1, 1):
            inner &= np.roll(padded, step, axis)
    surface: Mask = padded & ~inner
    return surface


def _distance_map(surface: Mask, spacing: Sequence[float]) -> npt.NDArray[np.float32]:
    """Distance in mm from each voxel's centre to the nearest surface voxel's centre; exact."""
    image = sitk.GetImageFromArray(surface.astype(np.uint8))
    image.SetSpacing([float(side) for side in reversed(spacing)])
    distances: npt.NDArray[np.float32] = sitk.GetArrayFromImage(
        sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
    )
    return np.abs(distances)  # on the surface itself it says -0


def _components(mask: Mask) -> npt.NDArray[np.integer]:
    """The parts that hang together through 26 neighbours, numbered from 1; 0 outside."""
    parts = sitk.ConnectedComponent(sitk.GetImageFromArray(mask.astype(np.uint8)), True)
    numbers: npt.NDArray[np.integer] = sitk.GetArrayFromImage(parts)
    return numbers


def _dilated(mask: Mask) -> Mask:
    """A mask dilated by 18 neighbours: by a 3×3 square in each of the three planes."""
    for _ in range(LESION_DILATIONS):
        first, second = _spread(mask, 0), _spread(mask, 1)
        mask = _spread(first, 1) | _spread(first, 2) | _spread(second, 2)
    return mask


def _spread(mask: Mask, axis: int) -> Mask:
    """A mask with one more voxel at either end along one axis."""
    wide: Mask = mask.copy()
    source, target = np.moveaxis(mask, axis, 0), np.moveaxis(wide, axis, 0)
    target[1:] |= source[:-1]
    target[:-1] |= source[1:]
    return wide
