"""Grids: empty ones that images are brought to, and images averaged onto coarser ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk


def empty_grid(
    frame: sitk.Image, first: npt.NDArray[np.float64], size: Sequence[int], spacing: float
) -> sitk.Image:
    """An image without content (uint8) with the axes of another.

    Args:
        frame: whose axes they are.
        first: continuous index (x, y, z) in `frame` of the centre of the first voxel.
        size: voxels (x, y, z).
        spacing: mm, along every axis.
    """
    grid = sitk.Image([int(count) for count in size], sitk.sitkUInt8)
    grid.SetSpacing([spacing] * 3)
    grid.SetDirection(frame.GetDirection())
    grid.SetOrigin(frame.TransformContinuousIndexToPhysicalPoint(first.tolist()))
    return grid


def averaged(image: sitk.Image, mm: float, least: int = 1) -> sitk.Image:
    """The image with its finer voxels averaged to about `mm`, or rather less.

    Args:
        least: how many voxels stay along an axis that has as many.
    """
    sizes = zip(image.GetSpacing(), image.GetSize(), strict=True)
    factors = [int(np.clip(mm / step + 0.25, 1, max(count // least, 1))) for step, count in sizes]
    coarse: sitk.Image = sitk.BinShrink(image, factors) if max(factors) > 1 else image
    return coarse
