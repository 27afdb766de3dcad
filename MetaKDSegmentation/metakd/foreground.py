"""What is brain or head in an image, and what is the air around it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

_LARGEST_BRAIN_ML = 2100.0
_LARGEST_CUT_CM2 = 20.0  # where a brain that is cut off would show more of its inside
_CAP_CM2_PER_MM = 5.0  # the last slice of a whole one, a sphere's cap, is larger the thicker it is


def background(values: npt.NDArray[np.number]) -> float | None:
    """The value around a brain or head, whatever its number; `None` for noisy air.

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


def looks_stripped(values: npt.NDArray[np.number], spacing: tuple[float, ...]) -> bool | None:
    """Whether a scan shows a brain without its skull; `None` if its outside cannot tell.

    Many a whole head has air of one value too. But it is larger than any brain, or is cut off,
    which may happen to a brain alone too.

    Args:
        values: (D, H, W).
        spacing: mm along the same axes.
    """
    air = background(values)
    if air is None:
        return False
    inside = values != air
    if not inside.any():
        return True
    if inside.sum() * np.prod(spacing) / 1000 > _LARGEST_BRAIN_ML:
        return False
    for axis in range(3):
        area = np.prod(np.delete(spacing, axis)) / 100
        across = tuple(k for k in range(3) if k != axis)
        # Not at the image's border, which may have been filled up with air.
        shown = np.count_nonzero(inside, axis=across)
        ends = shown[np.flatnonzero(shown)[[0, -1]]]
        if max(ends) * area > _LARGEST_CUT_CM2 + _CAP_CM2_PER_MM * spacing[axis]:
            return None
    return True
