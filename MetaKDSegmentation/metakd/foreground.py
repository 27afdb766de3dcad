"""What is brain or head in an image, and what is the air around it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk


def background(values: npt.NDArray[np.number]) -> float | None:
    """The value around a skull-stripped brain, whatever its number; `None` for a whole head.

    It is the one that fills most of the border of `values` (D, H, W); noisy air has no such value.
    """
    faces = [values[[0, -1]], values[:, [0, -1]], values[:, :, [0, -1]]]
    # Along an axis of one or two voxels every voxel is border, which says nothing.
    borders = [face.ravel() for face in faces if face.size < values.size] or [values.ravel()]
    border = np.concatenate(borders)
    levels, counts = np.unique(border, return_counts=True)
    return float(levels[counts.argmax()]) if counts.max() > 0.5 * border.size else None


def foreground(image: sitk.Image) -> sitk.Image:
    """Mask (uint8) of the brain in a skull-stripped image, of the head in any other.

    Without a `background` value, Otsu's threshold separates the head from air.
    """
    value = background(sitk.GetArrayViewFromImage(image))
    mask: sitk.Image
    mask = sitk.OtsuThreshold(image, 0, 1, 128) if value is None else sitk.NotEqual(image, value)
    return mask
