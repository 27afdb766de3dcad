"""A prepared study as images: registered contrasts in their own intensities, and the brain.

Each image is interpolated once, linearly, from the image that was read: all transforms are composed
first. Points are LPS, mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from metakd.bias import without_bias
from metakd.contrasts import Contrast
from metakd.preprocess import PreparedStudy
from metakd.study import Study

# BraTS's files, on the grid of the SRI24 atlas (Rohlfing et al. 2010, doi 10.1002/hbm.20906):
_SRI24_SIZE, _SRI24_ORIGIN = (240, 240, 155), (0.0, -239.0, 0.0)
_SRI24_BRAIN = (118.5, -105.8, 73.4)
"""Mean centre of the brain on that grid in 16 BraTS patients; it varies by 1, 2 and 3 mm."""


@dataclass(frozen=True)
class Target:
    """Where images are wanted.

    Attributes:
        grid: an image with the geometry of the result.
        to_reference: point of the grid's space → point of the reference's, in scanner space.
    """

    grid: sitk.Image
    to_reference: sitk.TranslationTransform

    def matrix(self) -> list[list[float]]:
        """`to_reference` as 4 × 4 rows, for points as columns (LPS, mm)."""
        matrix = np.eye(4)
        matrix[:3, 3] = self.to_reference.GetOffset()
        rows: list[list[float]] = matrix.tolist()
        return rows


def reference_target(prepared: PreparedStudy) -> Target:
    """The reference's own grid, where it lies."""
    return Target(prepared.reference, sitk.TranslationTransform(3))


def sri24_target(prepared: PreparedStudy) -> Target:
    """A grid as BraTS's, along the patient's axes, the brain's centre where BraTS's brains have it.

    That is where the brain lies, and how: it is neither turned nor scaled to the SRI24 atlas.
    """
    grid = sitk.Image(_SRI24_SIZE, sitk.sitkUInt8)
    grid.SetOrigin(_SRI24_ORIGIN)
    offset = np.array(_centre(prepared)) - _SRI24_BRAIN
    return Target(grid, sitk.TranslationTransform(3, offset.tolist()))


def registered(
    study: Study, prepared: PreparedStudy, contrast: Contrast, target: Target
) -> sitk.Image:
    """A contrast in its own intensities on a grid, with skull; 0 where its image does not reach."""
    there = prepared.transforms[contrast]
    moved = sitk.CompositeTransform([there, target.to_reference])  # the last is applied first
    image = study.own_intensities(contrast, study.images[contrast])
    on_grid: sitk.Image = sitk.Resample(
        image, target.grid, moved, sitk.sitkLinear, 0.0, image.GetPixelID()
    )
    return on_grid


def brain_mask(
    prepared: PreparedStudy, target: Target, covered_by: Contrast | None = None
) -> sitk.Image:
    """The brain (uint8, 0 and 1) on a grid, linearly from the network's grid at one half.

    Args:
        covered_by: only the part of it that this contrast covers.
    """
    inside = prepared.brain
    if covered_by is not None:
        inside = inside & prepared.partial.get(covered_by, True)
    brain = prepared.image(inside.astype(np.float32))
    likely = sitk.Resample(brain, target.grid, target.to_reference, sitk.sitkLinear, 0.0)
    mask: sitk.Image = likely > 0.5
    return mask


def bias_corrected(image: sitk.Image, inside: sitk.Image) -> sitk.Image:
    """The image without the coil's unevenness (N4), which is looked for inside a mask."""
    where = sitk.GetArrayViewFromImage(inside) > 0
    even = sitk.GetImageFromArray(without_bias(sitk.GetArrayFromImage(image), where))
    even.CopyInformation(image)
    return even


def without_skull(image: sitk.Image, brain: sitk.Image) -> sitk.Image:
    """The image inside the brain, exactly 0 around it."""
    masked: sitk.Image = sitk.Mask(image, brain, 0.0)
    return masked


def cut_off_ml(prepared: PreparedStudy, target: Target) -> float:
    """How much of the brain lies outside a grid, in ml."""
    points = np.argwhere(prepared.brain)[:, ::-1]
    indices = _indices(prepared, target, points)
    size = np.array(target.grid.GetSize())
    outside = ((indices < -0.5) | (indices > size - 0.5)).any(axis=1)
    return float(outside.sum() * np.prod(prepared.grid.GetSpacing()) / 1000)


def _indices(
    prepared: PreparedStudy, target: Target, points: npt.NDArray[np.int_]
) -> npt.NDArray[np.float64]:
    """Indices (x, y, z) on the network's grid as continuous indices on another."""
    corners = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    back = target.to_reference.GetInverse()
    ends = np.array([
        target.grid.TransformPhysicalPointToContinuousIndex(
            back.TransformPoint(prepared.grid.TransformIndexToPhysicalPoint(corner))
        )
        for corner in corners
    ])  # fmt: skip
    indices: npt.NDArray[np.float64] = ends[0] + points @ (ends[1:] - ends[0])
    return indices


def _centre(prepared: PreparedStudy) -> tuple[float, float, float]:
    """The brain's centre of mass (LPS, mm) in the reference's space."""
    middle = np.argwhere(prepared.brain).mean(axis=0)[::-1]
    x, y, z = prepared.grid.TransformContinuousIndexToPhysicalPoint(middle.tolist())
    return x, y, z
