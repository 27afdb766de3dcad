"""Images whose axes are not at right angles: gantry tilt, or an affine transform in the header.

Neither the network's grid nor most file formats can hold such axes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from metakd.foreground import background

_ROUNDING = 1e-5  # of direction cosines, as they are written in headers
_UNSEEN = 0.5  # voxels: what a corner may move without a word

Matrix = npt.NDArray[np.float64]


def skew(image: sitk.Image) -> float:
    """By how many degrees the axes of a 3D image miss right angles; 0 where it is rounding."""
    axes = _directions(image)
    cosines = np.abs(axes.T @ axes - np.eye(3)).max()
    return 0.0 if cosines < _ROUNDING else float(np.degrees(np.arcsin(min(cosines, 1.0))))


def without_rounding(image: sitk.Image) -> sitk.Image:
    """The same voxels on right angles if that moves none by more than half a voxel.

    Otherwise, and where the angles are right already, the image itself. 3D.
    """
    if skew(image) == 0:
        return image
    axes = _directions(image)
    left, _, right = np.linalg.svd(axes)
    square = left @ right  # of all right-angled axes the nearest ones
    spacing = np.array(image.GetSpacing())
    centre = (np.array(image.GetSize()) - 1) / 2
    reach = np.array(list(np.ndindex(2, 2, 2))) * 2 - 1  # the corners, seen from the centre
    moved = np.linalg.norm((square - axes) @ (reach * (centre + 0.5) * spacing).T, axis=0)
    if moved.max() > _UNSEEN * spacing.min():
        return image
    middle = image.TransformContinuousIndexToPhysicalPoint(centre.tolist())
    placed = sitk.Image(image)
    placed.SetDirection(square.ravel().tolist())
    placed.SetOrigin((middle - square @ (centre * spacing)).tolist())
    return placed


def rectangular(image: sitk.Image) -> sitk.Image:
    """The image on a right-angled grid that covers it, resampled (floats) where its axes are skew.

    The plane of the two finest axes, the slices, stays what it is: of tilted slices each is only
    shifted within itself. What the image does not cover becomes its `background`, else its
    lowest value. 3D, one value a voxel.
    """
    image = without_rounding(image)
    if skew(image) == 0:
        return image
    values = sitk.GetArrayViewFromImage(image)
    air = background(values)
    outside = float(values.min()) if air is None else air
    grid = _covering_grid(image)
    # Whole numbers would be cut to the next lower one.
    kind = sitk.sitkFloat64 if image.GetPixelID() == sitk.sitkFloat64 else sitk.sitkFloat32
    straight: sitk.Image = sitk.Resample(
        image, grid, sitk.Transform(), sitk.sitkLinear, outside, kind
    )
    return straight


def _covering_grid(image: sitk.Image) -> sitk.Image:
    """Image without content: finest axes kept, the others turned to right angles with them."""
    steps = _directions(image) * image.GetSpacing()  # column: from one voxel to the next, mm
    order = np.argsort(np.round(image.GetSpacing(), 3), kind="stable")
    turned, triangle = np.linalg.qr(steps[:, order])
    signs = np.sign(np.diag(triangle))
    axes, spacing = np.empty((3, 3)), np.empty(3)
    axes[:, order], spacing[order] = turned * signs, np.abs(np.diag(triangle))

    corners = np.array(list(np.ndindex(2, 2, 2))) * image.GetSize() - 0.5
    along = (corners @ steps.T) @ axes / spacing  # the corners in the new voxels, from the origin
    low, high = along.min(axis=0), along.max(axis=0)
    size = np.ceil(high - low - 1e-3).astype(int)
    grid = sitk.Image(size.tolist(), image.GetPixelID())
    grid.SetSpacing(spacing.tolist())
    grid.SetDirection(axes.ravel().tolist())
    grid.SetOrigin((image.GetOrigin() + axes @ ((low + 0.5) * spacing)).tolist())
    return grid


def _directions(image: sitk.Image) -> npt.NDArray[Any]:
    """(3, 3): a unit vector a column."""
    return np.reshape(image.GetDirection(), (3, 3))
