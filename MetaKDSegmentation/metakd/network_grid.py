"""The grid that the network works on: over the brain, at the model's spacing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from metakd.grids import empty_grid
from metakd.oriented import Extent
from metakd.study import StudyError

_MARGIN_MM = 4.0  # around the brain, so that no border effect reaches it
_MIN_BOX = 32  # voxels: below this the network's coarsest scale would be a single voxel
_LARGEST_MM, _SMALLEST_MM = 400.0, 20.0  # a head is neither larger nor, at its longest, smaller


def network_grid(
    reference: Extent, corners: npt.NDArray[np.float64], spacing: float, stride: int
) -> sitk.Image:
    """Empty image with the reference's axes, centred on the brain's box.

    Limited to the reference's own extent: nothing outside it can be returned.

    Args:
        corners: (n, 3) LPS points (mm) of the reference's space, of boxes around the brain.
        spacing: mm.
        stride: sides are multiples of this number of voxels.

    Raises `StudyError` where they have no place in common, and for a size that is no head's.
    """
    low, high = _brain_box(reference, corners)
    frame = reference.frame
    steps = spacing / np.array(frame.GetSpacing())
    longest = float(((high - low) * frame.GetSpacing()).max())
    if not _SMALLEST_MM <= longest <= _LARGEST_MM:
        raise StudyError(f"the head would be {longest:.0f} mm long; check the voxel spacing")
    needed = np.ceil((high - low) / steps - 1e-6)
    size = np.maximum(np.ceil(needed / stride) * stride, np.ceil(_MIN_BOX / stride) * stride)
    first = low + steps / 2 - np.floor((size - needed) / 2) * steps
    return empty_grid(frame, first, size.tolist(), spacing)


def _brain_box(
    reference: Extent, corners: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Continuous index box (x, y, z) in the reference that holds the brain and a margin."""
    indices = reference.indices(corners)
    margin = _MARGIN_MM / np.array(reference.frame.GetSpacing())
    # Whole voxels, so that a reference at the model's spacing is sampled at its own voxels.
    low = np.floor(indices.min(axis=0) + 0.5 - margin + 1e-6) - 0.5
    high = np.ceil(indices.max(axis=0) + 0.5 + margin - 1e-6) - 0.5
    edge = np.array(reference.size) - 0.5
    low, high = np.clip(low, -0.5, edge), np.clip(high, -0.5, edge)
    if (high <= low).any():
        raise StudyError("the contrasts show nothing in a common place; check their positions")
    return low, high
