"""The three planes of a study that show most of its tumour, whatever way its voxels are stored.

Columns of the arrays here run towards the patient's left, rows towards posterior, slices towards
inferior ("LPI"): so every plane is a plain slice and comes out in radiological convention.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from metakd.foreground import foreground

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class View:
    """One of the three planes: its normal axis (of slice, row, column) and what lies where."""

    name: str
    normal: int
    coordinate: str  # RAS axis along the normal
    sides: str  # at the left, right, top, bottom

    @property
    def axes(self) -> list[int]:
        """Array axes of the picture's rows and columns."""
        return [axis for axis in range(3) if axis != self.normal]


VIEWS = (
    View("Axial", 0, "S", "RLAP"),
    View("Coronal", 1, "A", "RLSI"),
    View("Sagittal", 2, "R", "APSI"),
)


@dataclass(frozen=True)
class Scene:
    """A study ready to be cut; arrays and triples in slice, row, column order (LPI).

    Attributes:
        spacing: mm.
        low, high: corners of the head, voxel edges.
        planes: index of the axial, coronal, sagittal plane.
        window: intensities drawn black and white.
        air: the intensity around the head.
        positions: of the three planes, as text.
    """

    values: npt.NDArray[np.number]
    labels: npt.NDArray[np.uint8]
    spacing: Floats
    low: Floats
    high: Floats
    planes: list[int]
    window: tuple[float, float]
    air: np.float32
    positions: list[str]

    @property
    def centre(self) -> Floats:
        return (self.low + self.high) / 2


def make_scene(reference: sitk.Image, label_map: sitk.Image) -> Scene:
    """Choose planes, box and window for a 3D scalar image and a label map on the same grid."""
    axes, flips = _axes_to_lpi(reference)
    values, labels = (
        np.flip(sitk.GetArrayViewFromImage(image).transpose(axes), flips)
        for image in (reference, label_map)
    )
    low, high, window, air = _find_head(values)
    areas = _areas(labels)
    if areas[0].any():
        tumour_low, tumour_high = _box(areas, 0.0)
        low, high = np.minimum(low, tumour_low), np.maximum(high, tumour_high)
    planes = [_largest(area, middle) for area, middle in zip(areas, (low + high) / 2, strict=True)]

    def position(view: View) -> str:
        index = (low + high) / 2 - 0.5
        index[view.normal] = planes[view.normal]
        index[flips] = np.array(values.shape)[flips] - 1 - index[flips]
        stored = index[np.argsort(axes)]
        x, y, z = reference.TransformContinuousIndexToPhysicalPoint(stored[::-1].tolist())
        along = {"R": -x, "A": -y, "S": z}[view.coordinate]
        return f"{view.coordinate} {round(along, 1) + 0.0:.1f} mm"  # + 0.0: never "-0.0"

    return Scene(
        values=values,
        labels=labels,
        spacing=np.array(reference.GetSpacing())[::-1][axes],
        low=low,
        high=high,
        planes=planes,
        window=window,
        air=air,
        positions=[position(view) for view in VIEWS],
    )


def _axes_to_lpi(image: sitk.Image) -> tuple[list[int], list[int]]:
    """Order of the array's axes that makes them slice, row, column, and those then to be flipped.

    As `sitk.DICOMOrient` does it, without its copy of the voxels.
    """
    code = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection())
    ends = code[::-1]  # where each axis of the array runs to
    axes = [next(axis for axis in range(3) if ends[axis] in pair) for pair in ("IS", "PA", "LR")]
    return axes, [place for place, axis in enumerate(axes) if ends[axis] in "SAR"]


def _find_head(
    values: npt.NDArray[np.number],
) -> tuple[Floats, Floats, tuple[float, float], np.float32]:
    """Corners of the head (voxel edges), the window's black and white, the air's intensity."""
    # A coarse sample is enough, and quick on large volumes.
    step = np.maximum(1, np.array(values.shape) // 100)
    sample = np.ascontiguousarray(values[:: step[0], :: step[1], :: step[2]])
    head = sitk.GetArrayFromImage(foreground(sitk.GetImageFromArray(sample))) > 0
    if not head.any():
        head[:] = True
    dark, middle, bright = np.percentile(sample[head], (1, 50, 99.9))
    bright = min(bright, dark + 3 * (middle - dark)) if middle > dark else bright  # fat, vessels
    dark -= 0.12 * (bright - dark)  # the darkest tissue still stands out from the air
    air = np.float32(dark if head.all() else np.median(sample[~head]))
    low, high = (corner * step for corner in _box(_areas(head), 0.02))
    return low, np.minimum(high, values.shape), (dark, bright), air


def _areas(mask: npt.NDArray[np.generic]) -> list[npt.NDArray[np.int64]]:
    """How many voxels are not 0 in each plane across each of the three axes."""
    return [
        np.array([np.count_nonzero(plane) for plane in np.moveaxis(mask, axis, 0)])
        for axis in range(3)
    ]


def _box(areas: list[npt.NDArray[np.int64]], negligible: float) -> tuple[Floats, Floats]:
    """Corners (voxel edges) around the planes that hold more than next to nothing."""
    filled = [np.flatnonzero(area > negligible * area.max()) for area in areas]
    return np.array([f[0] for f in filled], float), np.array([f[-1] + 1 for f in filled], float)


def _largest(area: npt.NDArray[np.int64], otherwise: float) -> int:
    """Index of the plane with the largest area, the middle one of several; else the other."""
    if not area.any():
        return int(otherwise)
    largest = np.flatnonzero(area == area.max())
    return int(largest[len(largest) // 2])
