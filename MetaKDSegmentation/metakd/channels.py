"""Contrasts on the network's grid: resampled once, normalised in the brain; what they cover.

Arrays are (D, H, W), indexed slice, row, column with axes towards S, P, L.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from itertools import product

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from metakd.bias import without_bias
from metakd.contrasts import Contrast
from metakd.grids import averaged
from metakd.memory import Memory, digest
from metakd.metrics import bounding_box
from metakd.oriented import Placed
from metakd.study import StudyError

NEARLY_WHOLE = 0.98
"""The part of the brain from which on a contrast counts as covering all of it."""

_OUTLIER_PERCENTILES = (0.1, 99.9)
_LEAST_SPREAD = 1e-5  # of intensities that were brought to about 0 to 1
_EDGE_MM = 3.0  # beyond an image's border its outermost voxels still tell
_THICKEST_SEAM_MM = 8.0  # by which the brains of two scans without skull differ at most
_ALIKE = 1e-6  # of the same intensities

Mask = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float32]


Channel = tuple[Values, Mask]


class Filler:
    """Fills the grid with one contrast after the other; what was filled before is remembered.

    Args:
        on_step: called with the name of each step that is done: ``grid``, ``bias``, ``normalise``.
    """

    def __init__(
        self,
        grid: sitk.Image,
        bias_correction: bool,
        memory: Memory,
        on_step: Callable[[str], None] = lambda step: None,
    ) -> None:
        self.grid, self.bias_correction = grid, bias_correction
        self.memory, self.on_step = memory, on_step
        self._where = geometry(grid)

    def mask(self, mask: sitk.Image) -> Mask:
        """A mask (uint8) in the reference's space."""
        voxels = digest(sitk.GetArrayViewFromImage(mask))
        made_with = (voxels, geometry(mask), self._where)
        return self.memory.recall("brain on grid", None, made_with, self._mask, mask)

    def foreground(self, placed: Placed) -> Channel:
        """A scan normalised inside its own foreground, which is all that it shows; and that."""

        def make() -> Channel:
            own = self._mask(placed.scan.mask, placed.transform)
            values = self._resampled(placed)
            return self._normal(placed, values, own, own), own

        return self._recall(placed, "own", make)

    def inside(self, placed: Placed, brain: Mask) -> Channel:
        """A scan normalised in the part of the brain that it covers; and where it covers."""

        def make() -> Channel:
            values = self._resampled(placed)
            air = placed.extent.air
            shows = np.ones_like(brain) if air is None else np.abs(values - air) > _ALIKE
            covers, tells = self._covers(placed, shows, brain)
            return self._normal(placed, values, brain & covers, brain & tells), covers

        return self._recall(placed, digest(brain), make)

    def covers(self, placed: Placed, own: Mask, brain: Mask) -> Mask:
        """Where a scan that shows its own foreground alone tells of a brain."""
        # In noisy air the foreground is a guess, and what is dark in it no padding.
        shows = own if placed.extent.air is not None else np.ones_like(own)
        covers, _ = self.memory.recall(
            (placed.scan.contrast, "covers"), own, digest(brain), self._covers, placed, shows, brain
        )
        return covers

    def _covers(self, placed: Placed, shows: Mask, brain: Mask) -> tuple[Mask, Mask]:
        """Where a scan covers the grid, and where in that it has values of its own.

        It covers its extent but for what was padded, as around a slab that was tilted onto another
        grid. A dark voxel is no padding, nor is the seam between two brains' borders by itself.

        Args:
            shows: where the scan's values are others than those around it.
        """
        within = _within(placed, self.grid, brain)
        shows = shows & within
        lacking = brain & within & ~shows
        if lacking.sum() > (1 - NEARLY_WHOLE) * brain.sum():
            shows = _filled(shows)
            seam = math.ceil(_THICKEST_SEAM_MM / 2 / self.grid.GetSpacing()[0])
            within &= ~_thick(lacking & ~shows, seam)
        self.on_step("grid")
        return within, within & shows

    def _recall(self, placed: Placed, inside: Hashable, make: Callable[[], Channel]) -> Channel:
        scan, moved = placed.scan, placed.transform
        made_with = (
            inside, self._where, moved.GetParameters(), moved.GetFixedParameters(),
            self.bias_correction,
        )  # fmt: skip
        return self.memory.recall((scan.contrast, "channel"), scan.stored, made_with, make)

    def _mask(self, mask: sitk.Image, transform: sitk.Transform | None = None) -> Mask:
        inside: Mask = _resampled(sitk.Cast(mask, sitk.sitkFloat32), self.grid, transform) > 0.5
        return inside

    def _resampled(self, placed: Placed) -> Values:
        values = _resampled(placed.scan.image, self.grid, placed.transform)
        self.on_step("grid")
        return values

    def _normal(self, placed: Placed, values: Values, inside: Mask, tells: Mask) -> Values:
        """Normalised inside a mask by the values in another."""
        if not tells.any():
            return np.zeros(inside.shape, dtype=np.float32)
        if self.bias_correction:
            values = without_bias(values, tells)
            self.on_step("bias")
        normal = _z_score(placed.scan.contrast, values, inside, tells)
        self.on_step("normalise")
        return normal


def geometry(image: sitk.Image) -> tuple[object, ...]:
    """Equal for images on the same grid alone."""
    return (image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())


def _within(placed: Placed, grid: sitk.Image, brain: Mask) -> Mask:
    """Which voxels of the grid lie in the box around what a scan shows.

    All of them where that holds the brain's box.
    """
    extent = placed.extent
    ends = extent.indices(np.array([
        placed.transform.TransformPoint(grid.TransformIndexToPhysicalPoint(corner))
        for corner in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))
    ]))  # fmt: skip
    first, steps = ends[0], ends[1:] - ends[0]
    edge = np.maximum(_EDGE_MM / np.array(extent.frame.GetSpacing()), 0.5)
    low = np.maximum(extent.low - edge, -0.5)
    high = np.minimum(extent.high + edge, np.array(extent.size) - 0.5)
    corners = np.array(list(product(*((s.start, s.stop - 1) for s in bounding_box(brain)))))
    at_corners = first + corners[:, ::-1] @ steps
    where = np.ones(brain.shape, dtype=bool)
    if ((at_corners >= low) & (at_corners <= high)).all():
        return where
    z, y, x = np.ogrid[tuple(slice(0, side) for side in brain.shape)]
    for axis in range(3):
        index = first[axis] + steps[0, axis] * x + steps[1, axis] * y + steps[2, axis] * z
        where &= (index >= low[axis]) & (index <= high[axis])
    return where


def _filled(shows: Mask) -> Mask:
    """With what is enclosed, as dark fluid is."""
    filled = sitk.BinaryFillhole(sitk.GetImageFromArray(shows.astype(np.uint8)))
    return sitk.GetArrayFromImage(filled) > 0


def _thick(mask: Mask, radius: int) -> Mask:
    """Those parts of a mask, whole, into which a ball of this radius (voxels) fits somewhere."""
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    seeds = sitk.BinaryErode(image, [radius] * 3, sitk.sitkBall, 0.0, 1.0, False)
    return sitk.GetArrayFromImage(sitk.BinaryReconstructionByDilation(seeds, image)) > 0


def _resampled(
    image: sitk.Image, grid: sitk.Image, transform: sitk.Transform | None = None
) -> Values:
    """Values on the grid; finer voxels are averaged first, 0 outside the image."""
    on_grid = sitk.Resample(
        averaged(image, grid.GetSpacing()[0]), grid, transform or sitk.Transform(),
        sitk.sitkLinear, 0.0, sitk.sitkFloat32,
    )  # fmt: skip
    return sitk.GetArrayFromImage(on_grid)


def _z_score(contrast: Contrast, values: Values, inside: Mask, tells: Mask) -> Values:
    low, high = np.percentile(values[tells], _OUTLIER_PERCENTILES)
    clipped = np.clip(values, low, high)
    brain = clipped[tells]
    spread = float(brain.std(dtype=np.float64))
    if spread < _LEAST_SPREAD:
        raise StudyError(f"{contrast.label} is the same everywhere in the brain; export it again")
    normal = (clipped - brain.mean(dtype=np.float64)) / spread
    return np.where(inside, normal, 0).astype(np.float32)
