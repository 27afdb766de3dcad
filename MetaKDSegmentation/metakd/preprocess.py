"""`Study` → `PreparedStudy`: the network's view of a patient, and the way back to the scan.

Canonical orientation → brain box on a grid at the model's spacing → resampling of every contrast
in physical space, once → z-score inside the brain.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from metakd.contrasts import Contrast
from metakd.foreground import foreground
from metakd.memory import Memory
from metakd.study import Study, StudyError

_MARGIN_MM = 4.0  # around the brain, so that no border effect reaches it
_MIN_BOX = 32  # voxels: below this the network's coarsest scale would be a single voxel
_LARGEST_MM, _SMALLEST_MM = 400.0, 20.0  # a head is neither larger nor, at its longest, smaller
_OUTLIER_PERCENTILES = (0.1, 99.9)
_LEAST_SPREAD = 1e-5  # of intensities that were brought to about 0 to 1

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class PreparedStudy:
    """A study on the network's grid.

    Attributes:
        channels: (D, H, W) float32 a contrast, indexed slice, row, column with axes towards
            S, P, L; mean 0 and standard deviation 1 inside the brain, exactly 0 outside.
        brain: (D, H, W) booleans.
        grid: an image without content that holds the geometry (LPS, mm) of these arrays.
        reference: the image whose grid the result comes back in.
    """

    channels: Mapping[Contrast, npt.NDArray[np.float32]]
    brain: npt.NDArray[np.bool_]
    grid: sitk.Image
    reference: sitk.Image

    @property
    def shape(self) -> Shape:
        depth, height, width = self.brain.shape
        return depth, height, width

    def image(self, values: npt.NDArray[np.float32]) -> sitk.Image:
        """An array (D, H, W) of this grid as an image in the patient's space."""
        placed = sitk.GetImageFromArray(values)
        placed.CopyInformation(self.grid)
        return placed


def prepare(
    study: Study,
    *,
    spacing: float,
    stride: int,
    reference: Contrast | None = None,
    memory: Memory | None = None,
    on_contrast: Callable[[int, Shape], None] = lambda done, shape: None,
) -> PreparedStudy:
    """Bring a study to the network's grid.

    Args:
        spacing: the model's isotropic spacing in mm.
        stride: the sides of the grid become multiples of this.
        reference: whose grid and orientation lead; `Study.default_reference` unless chosen.
        memory: of an earlier run, for the contrasts that have the same image and grid again.
        on_contrast: called when one more is done, with how many are and the grid's (D, H, W).

    Raises `StudyError` when the chosen reference is absent, a contrast shows nothing where the
    brain is, or the brain's size cannot be one.
    """
    reference = reference or study.default_reference
    if reference not in study.images:
        raise StudyError(f"{reference.label} cannot be the reference: it is not in the study")
    memory = memory or Memory()
    scans = {c: _Oriented(c, image) for c, image in study.images.items()}
    places = {c: memory.recall((c, "place"), s.stored, None, s.place) for c, s in scans.items()}
    low, high = _brain_box(places[reference], places.values())
    grid = _grid_over(places[reference].frame, low, high, spacing, stride)

    channels, brain = {}, np.zeros(grid.GetSize()[::-1], dtype=bool)
    where = (grid.GetSize(), grid.GetSpacing(), grid.GetOrigin(), grid.GetDirection())
    for done, (contrast, scan) in enumerate(scans.items(), start=1):
        channels[contrast], inside = memory.recall(
            (contrast, "channel"), scan.stored, where, scan.on_grid, grid, reference
        )
        brain |= inside
        on_contrast(done, brain.shape)
    return PreparedStudy(channels, brain, grid, study.images[reference])


@dataclass(frozen=True)
class _Place:
    """Where an image and its brain lie; all that remains of an image that is prepared already.

    `frame`: one voxel with the image's geometry. `size`: (x, y, z) of the whole image. `corners`:
    (8, 3), LPS mm, of the box around the brain.
    """

    frame: sitk.Image
    size: tuple[int, int, int]
    corners: npt.NDArray[np.float64]


class _Oriented:
    """One contrast's image in canonical orientation, made when it is first needed."""

    def __init__(self, contrast: Contrast, stored: sitk.Image) -> None:
        self.contrast, self.stored = contrast, stored

    @cached_property
    def image(self) -> sitk.Image:
        oriented: sitk.Image = sitk.DICOMOrient(self.stored, "LPS")
        return oriented

    @cached_property
    def mask(self) -> sitk.Image:
        return foreground(self.image)

    def place(self) -> _Place:
        statistics = sitk.LabelShapeStatisticsImageFilter()
        statistics.Execute(self.mask)
        box = np.array(statistics.GetBoundingBox(1), dtype=float)
        start, stop = box[:3] - 0.5, box[:3] + box[3:] - 0.5
        corners = [
            self.image.TransformContinuousIndexToPhysicalPoint(np.where(c, stop, start).tolist())
            for c in np.ndindex(2, 2, 2)
        ]
        return _Place(self.image[:1, :1, :1], self.image.GetSize(), np.array(corners))

    def on_grid(
        self, grid: sitk.Image, reference: Contrast
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Normalised values and the brain's mask, (D, H, W). Raises `StudyError` without brain."""
        values = _resample(self.image, grid)
        inside = _resample(sitk.Cast(self.mask, sitk.sitkFloat32), grid) > 0.5
        if not inside.any():
            raise StudyError(
                f"{self.contrast.label} shows nothing where {reference.label} has brain"
            )
        return _z_score(self.contrast, values, inside), inside


def _brain_box(
    reference: _Place, places: Collection[_Place]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Continuous index box (x, y, z) in the reference that holds every contrast's brain.

    Limited to the reference's own extent: nothing outside it can be returned.
    """
    indices = np.array([
        reference.frame.TransformPhysicalPointToContinuousIndex(corner.tolist())
        for place in places
        for corner in place.corners
    ])  # fmt: skip
    margin = _MARGIN_MM / np.array(reference.frame.GetSpacing())
    # Whole voxels, so that a reference at the model's spacing is sampled at its own voxels.
    low = np.floor(indices.min(axis=0) + 0.5 - margin + 1e-6) - 0.5
    high = np.ceil(indices.max(axis=0) + 0.5 + margin - 1e-6) - 0.5
    edge = np.array(reference.size) - 0.5
    low, high = np.clip(low, -0.5, edge), np.clip(high, -0.5, edge)
    if (high <= low).any():
        raise StudyError("the contrasts show nothing in a common place; check their positions")
    return low, high


def _grid_over(
    reference: sitk.Image,
    low: npt.NDArray[np.float64],
    high: npt.NDArray[np.float64],
    spacing: float,
    stride: int,
) -> sitk.Image:
    """Empty image at `spacing` mm with the reference's axes, centred on the box."""
    steps = spacing / np.array(reference.GetSpacing())
    longest = float(((high - low) * reference.GetSpacing()).max())
    if not _SMALLEST_MM <= longest <= _LARGEST_MM:
        raise StudyError(f"the head would be {longest:.0f} mm long; check the voxel spacing")
    needed = np.ceil((high - low) / steps - 1e-6)
    size = np.maximum(np.ceil(needed / stride) * stride, np.ceil(_MIN_BOX / stride) * stride)
    first = low + steps / 2 - np.floor((size - needed) / 2) * steps
    grid = sitk.Image([int(n) for n in size], sitk.sitkUInt8)
    grid.SetSpacing([spacing] * 3)
    grid.SetDirection(reference.GetDirection())
    grid.SetOrigin(reference.TransformContinuousIndexToPhysicalPoint(first.tolist()))
    return grid


def _resample(image: sitk.Image, grid: sitk.Image) -> npt.NDArray[np.float32]:
    """Values (D, H, W) on the grid; finer voxels are averaged first, 0 outside the image."""
    target = grid.GetSpacing()[0]
    factors = [
        int(np.clip(round(target / step), 1, count))
        for step, count in zip(image.GetSpacing(), image.GetSize(), strict=True)
    ]
    if max(factors) > 1:
        image = sitk.BinShrink(image, factors)
    on_grid = sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    return sitk.GetArrayFromImage(on_grid)


def _z_score(
    contrast: Contrast, values: npt.NDArray[np.float32], inside: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    low, high = np.percentile(values[inside], _OUTLIER_PERCENTILES)
    clipped = np.clip(values, low, high)
    brain = clipped[inside]
    spread = float(brain.std(dtype=np.float64))
    if spread < _LEAST_SPREAD:
        raise StudyError(f"{contrast.label} is the same everywhere in the brain; export it again")
    normal = (clipped - brain.mean(dtype=np.float64)) / spread
    return np.where(inside, normal, 0).astype(np.float32)
