"""`Study`: the contrasts of one patient, read from files and checked.

Every problem raises `StudyError` with one line that names the contrast or file, says what is
wrong and what to do; what is merely suspicious is a warning that travels with the study.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from metakd.contrasts import CONTRASTS, MSD_CHANNELS, REFERENCE_PREFERENCE, Contrast
from metakd.files import read_image
from metakd.foreground import background

_FEW, _LARGEST_LABEL_COUNT, _ALIKE = 10, 1000, 0.8  # what tells a label map from a scan
_AIR_HU, _BONE_HU = -900, 300
_CUT_OFF = (-4.0, 5.0)  # where 0 to 1 holds most of the brain


class StudyError(ValueError):
    """The input cannot be segmented; the message is one line that says what to do about it."""


@dataclass(frozen=True)
class Scan:
    """One contrast as a `Study` holds it: see there."""

    image: sitk.Image
    suspicions: tuple[str, ...]


@dataclass(frozen=True)
class Study:
    """The available contrasts of one patient.

    Attributes:
        images: 3D float32 images, each on its own grid in the patient's LPS space (mm); most
            intensities are brought to 0 to 1, so that any scale and sign fits.
        suspicions: what looks wrong with a contrast but does not stop the work.
    """

    images: Mapping[Contrast, sitk.Image]
    suspicions: Mapping[Contrast, tuple[str, ...]] = field(default_factory=dict)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The suspicions about all contrasts, in canonical order."""
        return tuple(text for c in CONTRASTS for text in self.suspicions.get(c, ()))

    @property
    def default_reference(self) -> Contrast:
        """The contrast whose grid the result comes back in: T1c > FLAIR > T2 > T1."""
        return next(contrast for contrast in REFERENCE_PREFERENCE if contrast in self.images)

    def subset(self, contrasts: frozenset[Contrast]) -> Study:
        """The same patient as if only these contrasts had been acquired."""
        kept = {c: image for c, image in self.images.items() if c in contrasts}
        return Study(kept, {c: s for c, s in self.suspicions.items() if c in contrasts})


def read_scan(contrast: Contrast, path: Path) -> Scan:
    """Read and check one contrast. Raises `StudyError`."""
    return _scan(contrast, _read(contrast, path))


def read_study(
    paths: Mapping[Contrast, Path], read: Callable[[Contrast, Path], Scan] = read_scan
) -> Study:
    """Read and check one patient: files that SimpleITK reads, or DICOM series folders.

    A 4D file with four channels is a Medical Segmentation Decathlon file; each contrast takes
    its own channel of it. Raises `StudyError`.

    Args:
        read: `read_scan`, or what remembers scans that it has read.
    """
    _refuse_shared_files(paths)
    return _study({contrast: read(contrast, path) for contrast, path in paths.items()})


def make_study(images: Mapping[Contrast, sitk.Image]) -> Study:
    """Check images at hand and make a study of them. Raises `StudyError`."""
    for contrast, image in images.items():
        _refuse_other_shapes(contrast.label, image)
    return _study({contrast: _scan(contrast, image) for contrast, image in images.items()})


def _scan(contrast: Contrast, image: sitk.Image) -> Scan:
    return Scan(_rescaled(contrast, image), _suspicions(contrast, image))


def _study(scans: Mapping[Contrast, Scan]) -> Study:
    """What only the contrasts together can show to be wrong is looked for here."""
    if not scans:
        raise StudyError("no contrast given: name at least one of T1, T1c, T2, FLAIR")
    study = Study(
        {contrast: scan.image for contrast, scan in scans.items()},
        {contrast: scan.suspicions for contrast, scan in scans.items()},
    )
    _refuse_copies(study)
    _refuse_disjoint(study)
    return study


def _refuse_shared_files(paths: Mapping[Contrast, Path]) -> None:
    for (one, first), (other, second) in combinations(paths.items(), 2):
        same = first.exists() and second.exists() and first.samefile(second)
        if same and not _is_four_dimensional(first):
            raise StudyError(
                f"{first}: given as {one.label} and as {other.label}; "
                "a file belongs to one contrast, leave out the one it is not"
            )


def _is_four_dimensional(path: Path) -> bool:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return False
    return bool(reader.GetDimension() == 4)


def _read(contrast: Contrast, path: Path) -> sitk.Image:
    if not path.exists():
        raise StudyError(f"{path}: no such file; check the path given for {contrast.label}")
    if path.is_dir():
        return _one_volume(contrast, path, _read_dicom_folder(path))
    if path.stat().st_size == 0:
        raise StudyError(f"{path}: the file is empty; export {contrast.label} again")
    try:
        image = read_image(path)
    except ValueError as error:
        raise StudyError(f"{path}: {error}; export {contrast.label} again") from error
    return _one_volume(contrast, path, image)


def _read_dicom_folder(folder: Path) -> sitk.Image:
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if len(series) != 1:
        raise StudyError(
            f"{folder}: holds {len(series)} DICOM series; give a folder with exactly one"
        )
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series[0])
    _refuse_missing_slices(folder, files)
    try:
        volume: sitk.Image = sitk.ReadImage(files)
    except RuntimeError as error:
        raise StudyError(f"{folder}: the DICOM series cannot be read; export it again") from error
    return volume


def _refuse_missing_slices(folder: Path, files: Sequence[str]) -> None:
    """ITK would spread the slices that are left evenly: the result would lie in the wrong place."""
    positions = []
    for file in files:
        reader = sitk.ImageFileReader()
        reader.SetFileName(file)
        reader.ReadImageInformation()
        positions.append(reader.GetOrigin())
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    if len(steps) and steps.max() > 1.5 * steps.min():
        raise StudyError(
            f"{folder}: slices are {steps.min():.1f} to {steps.max():.1f} mm apart, so some are "
            "missing; export the whole series"
        )


def _one_volume(contrast: Contrast, path: Path, image: sitk.Image) -> sitk.Image:
    if image.GetDimension() == 4:
        image = _channel_of_4d(contrast, path, image)
    _refuse_other_shapes(str(path), image)
    return image


def _refuse_other_shapes(name: str, image: sitk.Image) -> None:
    if "complex" in image.GetPixelIDTypeAsString():
        raise StudyError(f"{name}: has complex voxels; export the magnitude image")
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise StudyError(
            f"{name}: has {image.GetNumberOfComponentsPerPixel()} values a voxel (colour or "
            "vector); export a plain grey-scale volume"
        )
    if image.GetDimension() != 3:
        raise StudyError(f"{name}: is {image.GetDimension()}D; a 3D volume is needed")


def _channel_of_4d(contrast: Contrast, path: Path, image: sitk.Image) -> sitk.Image:
    channels = image.GetSize()[3]
    if channels not in (1, len(MSD_CHANNELS)):
        raise StudyError(
            f"{path}: is 4D with {channels} volumes; only the Decathlon's four "
            "(FLAIR, T1, T1c, T2) are understood, save the volume you mean as 3D"
        )
    volume: sitk.Image = image[..., MSD_CHANNELS.index(contrast) if channels > 1 else 0]
    return volume


def _suspicions(contrast: Contrast, image: sitk.Image) -> tuple[str, ...]:
    values = sitk.GetArrayViewFromImage(image)
    found = []
    if values.min() <= _AIR_HU and values.max() >= _BONE_HU:
        found.append(f"{contrast.label} looks like CT by its intensities; the model knows MRI only")
    if background(values) is None:
        found.append(
            f"{contrast.label} does not look skull-stripped; the model knows brains without skull "
            "only, expect errors"
        )
    return tuple(found)


def _rescaled(contrast: Contrast, image: sitk.Image) -> sitk.Image:
    """Float32 image with most intensities in 0 to 1; refuses what cannot be a scan."""
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
    scaled = sitk.GetImageFromArray(_to_unit_range(values))
    scaled.CopyInformation(image)
    return scaled


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


def _to_unit_range(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The middle 98 % of what is not background to 0 to 1; outliers are cut off well outside.

    Neither a background of -3e38 nor a hot voxel of 1e9 may leave the brain no numbers. Slice by
    slice in float64: exact for large offsets without a large copy.
    """
    air = background(values)
    low, high = np.percentile(values if air is None else values[values != air], (1, 99))
    if low == high:  # a flat image with an odd voxel
        low, high = float(values.min()), float(values.max())
    unit = np.empty(values.shape, dtype=np.float32)
    for place, plane in enumerate(values):
        # Halves cannot overflow.
        unit[place] = np.clip((plane / 2.0 - low / 2) / (high / 2 - low / 2), *_CUT_OFF)
    return unit


def _refuse_copies(study: Study) -> None:
    for (one, first), (other, second) in combinations(study.images.items(), 2):
        if first.GetSize() != second.GetSize():
            continue
        values, others = sitk.GetArrayViewFromImage(first), sitk.GetArrayViewFromImage(second)
        middle = len(values) // 2  # a plane is enough to tell most images apart
        if np.array_equal(values[middle], others[middle]) and np.array_equal(values, others):
            raise StudyError(
                f"{one.label} and {other.label} are the same image; leave out the one it is not"
            )


def _refuse_disjoint(study: Study) -> None:
    reference = study.default_reference
    low, high = _extent(study.images[reference])
    for contrast, image in study.images.items():
        other_low, other_high = _extent(image)
        if (other_high < low).any() or (other_low > high).any():
            raise StudyError(
                f"{contrast.label} and {reference.label} do not overlap in space; they are not "
                "one study of one patient, or one of them has lost its position"
            )


def _extent(image: sitk.Image) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Lowest and highest LPS coordinates (mm) of the image's corners."""
    size = np.array(image.GetSize())
    corners = [
        image.TransformContinuousIndexToPhysicalPoint((np.array(corner) * size - 0.5).tolist())
        for corner in np.ndindex(2, 2, 2)
    ]
    return np.min(corners, axis=0), np.max(corners, axis=0)
