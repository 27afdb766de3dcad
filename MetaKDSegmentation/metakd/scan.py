"""`Scan`: one contrast, read from wherever it lies, checked and brought to common terms."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from metakd.contrasts import MSD_CHANNELS, Contrast
from metakd.dicom import read_dicom
from metakd.dicom_series import is_dicom
from metakd.files import read_image
from metakd.foreground import background
from metakd.nifti import doubts, is_nifti
from metakd.origin import Origin, origin_of
from metakd.rectangular import rectangular, skew, without_rounding

_FEW, _LARGEST_LABEL_COUNT, _ALIKE = 10, 1000, 0.8  # what tells a label map from a scan
_AIR_HU, _BONE_HU = -900, 300
_LEAST_AIR = 0.01  # of a CT's voxels; overshoot after resampling is less
_FEWEST_SLICES = 4
_MOST_SKEW = 45.0  # degrees; no scanner tilts so far, such a header is spoilt
_CUT_OFF = (-4.0, 5.0)  # where 0 to 1 holds most of the brain


class StudyError(ValueError):
    """The input cannot be segmented; the message is one line that says what to do about it.

    Attributes:
        fact: what is wrong, without what to do.
    """

    @property
    def fact(self) -> str:
        fact, semicolon, _ = str(self).rpartition("; ")
        return fact if semicolon else str(self)


@dataclass(frozen=True)
class Scan:
    """One contrast as a `metakd.study.Study` holds it: see there."""

    image: sitk.Image
    suspicions: tuple[str, ...] = ()
    window: tuple[float, float] = (0.0, 1.0)
    origin: Origin = field(default_factory=Origin)


def read_scan(contrast: Contrast, path: Path) -> Scan:
    """Read and check one contrast: a file that SimpleITK reads, or a DICOM series.

    The series is a folder that holds it, a file of several frames, or any one of its files.
    Raises `StudyError`.
    """
    if not path.exists():
        raise StudyError(f"{path}: no such file; check the path given for {contrast.label}")
    if path.is_file() and path.stat().st_size == 0:
        raise StudyError(f"{path}: the file is empty; export {contrast.label} again")
    image = _read(contrast, path)
    if image.GetDimension() == 4:
        image = _channel_of_4d(contrast, path, image)
    refuse_other_shapes(str(path), image)
    uncertain = doubts(path) if path.is_file() and is_nifti(path) else ()
    return check_scan(contrast, image, uncertain)


def check_scan(contrast: Contrast, image: sitk.Image, uncertain: tuple[str, ...] = ()) -> Scan:
    """Check one contrast's image, 3D with a number a voxel. Raises `StudyError`.

    Args:
        uncertain: what is suspicious about its file already, as predicates.
    """
    _refuse_geometry(contrast, image)
    _refuse_voxels(contrast, image)
    origin = origin_of(image)
    suspicions = (*(f"{contrast.label} {text}" for text in uncertain),
                  *_suspicions(contrast, image, origin))  # fmt: skip
    straight = rectangular(image)
    unit, window = _to_unit_range(sitk.GetArrayViewFromImage(straight))
    scaled = sitk.GetImageFromArray(unit)
    scaled.CopyInformation(straight)
    return Scan(scaled, suspicions, window, origin)


def refuse_other_shapes(name: str, image: sitk.Image) -> None:
    """Raises `StudyError`, naming the image as told, for what is no 3D grey-scale image."""
    if "complex" in image.GetPixelIDTypeAsString():
        raise StudyError(f"{name}: has complex voxels; export the magnitude image")
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise StudyError(
            f"{name}: has {image.GetNumberOfComponentsPerPixel()} values a voxel (colour or "
            "vector); export a plain grey-scale volume"
        )
    if image.GetDimension() != 3:
        raise StudyError(f"{name}: is {image.GetDimension()}D; a 3D volume is needed")


def _read(contrast: Contrast, path: Path) -> sitk.Image:
    if path.is_dir() or (not is_nifti(path) and is_dicom(path)):
        try:
            return read_dicom(path)
        except ValueError as error:
            raise StudyError(f"{path}: {error}") from error
    try:
        return read_image(path)
    except ValueError as error:
        raise StudyError(f"{path}: {error}; export {contrast.label} again") from error


def _channel_of_4d(contrast: Contrast, path: Path, image: sitk.Image) -> sitk.Image:
    channels = image.GetSize()[3]
    if channels not in (1, len(MSD_CHANNELS)):
        raise StudyError(
            f"{path}: is 4D with {channels} volumes; only the Decathlon's four "
            "(FLAIR, T1, T1c, T2) are understood, save the volume you mean as 3D"
        )
    volume: sitk.Image = image[..., MSD_CHANNELS.index(contrast) if channels > 1 else 0]
    return volume


def _refuse_geometry(contrast: Contrast, image: sitk.Image) -> None:
    slices = min(image.GetSize())
    if slices < _FEWEST_SLICES:
        count = "a single slice" if slices == 1 else f"{slices} slices"
        raise StudyError(
            f"{contrast.label}: is {count}, a localizer or a part; give the whole series of the "
            "head"
        )
    numbers = [*image.GetSpacing(), *image.GetOrigin(), *image.GetDirection()]
    if not np.isfinite(numbers).all():
        raise StudyError(
            f"{contrast.label}: has no place in the patient (NaN or infinite); export it again"
        )
    if skew(image) > _MOST_SKEW:
        raise StudyError(
            f"{contrast.label}: its axes miss right angles by {skew(image):.0f} degrees; "
            "export it again"
        )


def _refuse_voxels(contrast: Contrast, image: sitk.Image) -> None:
    """Refuses what cannot be a scan."""
    values = sitk.GetArrayViewFromImage(image)
    if not np.isfinite(values).all():
        raise StudyError(f"{contrast.label}: has NaN or infinite voxels; export it again")
    if values.min() == values.max():
        raise StudyError(f"{contrast.label}: every voxel is {values.min():g}; export it again")
    if _is_label_map(values):
        raise StudyError(
            f"{contrast.label}: is a segmentation (a handful of whole numbers), not a scan; "
            "give the image itself"
        )


def _is_label_map(values: npt.NDArray[np.number]) -> bool:
    """Whole numbers that are few, or that mostly repeat from voxel to voxel outside background.

    In label maps, of tumours or of whole heads, 85 % of the neighbours are alike; in scans 5 %.
    """
    sample = values[::3]
    levels = len(np.unique(sample))
    if levels > _LARGEST_LABEL_COUNT or not (sample == np.round(sample)).all():
        return False
    if levels < _FEW and len(np.unique(values)) < _FEW:
        return bool((values == np.round(values)).all())
    inside = sample[:, :, 1:] != values.flat[0]
    alike = sample[:, :, 1:] == sample[:, :, :-1]
    return bool(inside.any()) and float(alike[inside].mean()) > _ALIKE


def _suspicions(contrast: Contrast, image: sitk.Image, origin: Origin) -> tuple[str, ...]:
    found = []
    if origin.modality not in ("", "MR"):
        found.append(
            f"{contrast.label} is {origin.modality} by its DICOM tags; the model knows MRI only"
        )
    elif not origin.modality and _looks_like_ct(image):
        found.append(f"{contrast.label} looks like CT by its intensities; the model knows MRI only")
    if tilt := skew(without_rounding(image)):
        found.append(
            f"{contrast.label} has tilted slices or a skew header ({tilt:.0f} degrees off right "
            "angles); it is resampled to right angles, where a result on its grid lies too"
        )
    return tuple(found)


def _looks_like_ct(image: sitk.Image) -> bool:
    values = sitk.GetArrayViewFromImage(image)
    if values.min() > _AIR_HU or values.max() < _BONE_HU:
        return False
    return bool((values <= _AIR_HU).mean() > _LEAST_AIR)


def _to_unit_range(
    values: npt.NDArray[Any],
) -> tuple[npt.NDArray[np.float32], tuple[float, float]]:
    """The middle 98 % of what is not background to 0 to 1; outliers are cut off well outside.

    Neither a background of -3e38 nor a hot voxel of 1e9 may leave the brain no numbers. Slice by
    slice in float64: exact for large offsets without a large copy. Also returns what became 0
    and 1.
    """
    air = background(values)
    low, high = np.percentile(values if air is None else values[values != air], (1, 99))
    if low == high:  # a flat image with an odd voxel
        low, high = float(values.min()), float(values.max())
    unit = np.empty(values.shape, dtype=np.float32)
    for place, plane in enumerate(values):
        # Halves cannot overflow.
        unit[place] = np.clip((plane / 2.0 - low / 2) / (high / 2 - low / 2), *_CUT_OFF)
    return unit, (float(low), float(high))
