"""One contrast on its way to the network's grid: canonical axes, its extent, what it shows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from metakd.contrasts import Contrast
from metakd.foreground import background, foreground, looks_stripped


@dataclass(frozen=True)
class Extent:
    """Where an image and what it shows lie; all that remains of an image that is prepared already.

    Attributes:
        frame: one voxel with the image's geometry (LPS, mm).
        size: (x, y, z) of the whole image.
        low, high: (3,) continuous index box (x, y, z) around its foreground.
        air: the one value around the brain or head, as `background` has it.
        stripped: as `looks_stripped` has it.
    """

    frame: sitk.Image
    size: tuple[int, int, int]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    air: float | None
    stripped: bool | None

    @property
    def corners(self) -> npt.NDArray[np.float64]:
        """(8, 3), LPS mm, of the box around the foreground."""
        return _corners(self.frame, self.low, self.high)

    @property
    def bounds(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Lowest and highest LPS coordinates (mm) of the whole image."""
        corners = _corners(self.frame, np.full(3, -0.5), np.array(self.size) - 0.5)
        return corners.min(axis=0), corners.max(axis=0)

    def indices(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(n, 3) LPS points (mm) as continuous indices (x, y, z)."""
        return np.array([
            self.frame.TransformPhysicalPointToContinuousIndex(point) for point in points.tolist()
        ])  # fmt: skip


class Oriented:
    """A contrast's image in canonical orientation, made when it is first needed.

    Attributes:
        stored: as the study holds it.
    """

    def __init__(self, contrast: Contrast, stored: sitk.Image) -> None:
        self.contrast, self.stored = contrast, stored

    @cached_property
    def image(self) -> sitk.Image:
        oriented: sitk.Image = sitk.DICOMOrient(self.stored, "LPS")
        return oriented

    @cached_property
    def mask(self) -> sitk.Image:
        """The brain of a skull-stripped image, the head of any other."""
        return foreground(self.image)

    def extent(self) -> Extent:
        values, spacing = sitk.GetArrayViewFromImage(self.image), self.image.GetSpacing()
        low, high = box_around(self.mask)
        return Extent(
            self.image[:1, :1, :1], self.image.GetSize(), low, high, background(values),
            looks_stripped(values, spacing[::-1]),
        )  # fmt: skip


@dataclass(frozen=True)
class Placed:
    """A contrast and where it lies.

    Attributes:
        transform: LPS point (mm) of the reference's space → point of the scan's own.
    """

    scan: Oriented
    extent: Extent
    transform: sitk.Transform

    @property
    def corners(self) -> npt.NDArray[np.float64]:
        """(8, 3), LPS mm in the reference's space, of the box around what the scan shows."""
        back = self.transform.GetInverse()
        return np.array([back.TransformPoint(corner) for corner in self.extent.corners.tolist()])


def box_around(mask: sitk.Image) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Continuous index box (x, y, z) around what is 1 in a mask that is not empty."""
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(mask)
    box = np.array(statistics.GetBoundingBox(1), dtype=float)
    return box[:3] - 0.5, box[:3] + box[3:] - 0.5


def box_corners(mask: sitk.Image) -> npt.NDArray[np.float64]:
    """(8, 3) LPS points (mm) around what is 1 in a mask that is not empty."""
    return _corners(mask, *box_around(mask))


def _corners(
    frame: sitk.Image, low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    return np.array([
        frame.TransformContinuousIndexToPhysicalPoint(np.where(c, high, low).tolist())
        for c in np.ndindex(2, 2, 2)
    ])  # fmt: skip
