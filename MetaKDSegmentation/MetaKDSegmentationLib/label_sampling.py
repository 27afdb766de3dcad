"""Labels on another grid: half a voxel or more of a region makes a voxel of it.

The nearest voxel would be simpler, and shift every border by up to half a voxel.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import vtk
from metakd.regions import REGIONS, labels_from_regions, region_mask

from MetaKDSegmentationLib.grids import Grid, Voxels, bounds_on, sample

Mask = npt.NDArray[np.bool_]
Box = tuple[slice, slice, slice]

_FULL = 255
_MARGIN = 1  # voxels around what a mask covers, for rounding


def sample_labels(
    labels: npt.NDArray[np.uint8],
    source: Grid,
    target: Grid,
    transform: vtk.vtkAbstractTransform,
) -> npt.NDArray[np.uint8]:
    """A label map of the engine's convention on another grid; the nested regions stay nested.

    Args:
        labels: (k, j, i) on `source`.
        transform: from the RAS of `target` to the RAS of `source`.
    """
    masks = (region_mask(labels, region) for region in REGIONS)
    return labels_from_regions(
        np.stack([sample_mask(mask, source, target, transform) for mask in masks])
    )


def sample_mask(
    mask: Mask, source: Grid, target: Grid, transform: vtk.vtkAbstractTransform
) -> Mask:
    """A mask on another grid; see `sample_labels`."""
    sampled = np.zeros(target.shape, bool)
    box = bounding_box(mask)
    if not mask[box].size:
        return sampled
    source = source.part(*_corners(box))
    low, high = bounds_on(target, source, transform.GetInverse())
    low = np.clip(low - _MARGIN, 0, target.size)
    high = np.clip(high + _MARGIN, low, target.size)
    if (high > low).all():
        voxels = mask[box].astype(np.uint8) * np.uint8(_FULL)
        place = tuple(slice(int(a), int(b)) for a, b in zip(low[::-1], high[::-1], strict=True))
        sampled[place] = sample(voxels, source, target.part(low, high), transform) > _FULL / 2
    return sampled


def bounding_box(mask: Voxels) -> Box:
    """Where an array (k, j, i) is not 0; empty slices where it is nowhere."""
    planes: Mask = np.any(mask, axis=2)
    k, j = _extent(np.any(planes, axis=1)), _extent(np.any(planes, axis=0))
    return k, j, _extent(np.any(mask, axis=(0, 1)))


def first_index(box: Box) -> tuple[int, int, int]:
    """The first voxel of a box, i, j, k."""
    k, j, i = (along.start for along in box)
    return i, j, k


def _corners(box: Box) -> Iterable[tuple[int, ...]]:
    """First voxel, and the one after the last; i, j, k."""
    return first_index(box), tuple(along.stop for along in reversed(box))


def _extent(occupied: npt.ArrayLike) -> slice:
    found = np.flatnonzero(occupied)
    return slice(int(found[0]), int(found[-1]) + 1) if found.size else slice(0, 0)
