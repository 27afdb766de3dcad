"""A DICOM series as a volume that lies where each of its slices says.

GDCM decodes the pixels. The geometry is made here from every slice's own place: ITK would take it
from the first two, and neither notice that slices are missing, doubled or out of order, nor that
they are tilted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from metakd.dicom_frames import Place, frame_places, numbers
from metakd.dicom_series import (
    DIFFERENCES,
    GDCM,
    ORIENTATION,
    POSITION,
    SAMPLES,
    SPACING,
    DicomFile,
    files_of_one_series,
)
from metakd.files import quiet
from metakd.origin import TAGS as ORIGIN_TAGS

_TURNED = 0.01  # difference of direction cosines that is no rounding
_SAME_PLACE = 0.01  # mm
_UNEVEN = 0.1  # of the distance between slices: what one may lie off

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Slice:
    """One slice: the file and the number of the frame that holds it, and where it lies."""

    file: DicomFile
    frame: int
    place: Place


def read_dicom(path: Path) -> sitk.Image:
    """The volume of one series, with the tags of `metakd.origin` as its metadata.

    Its third axis leads from slice to slice, not at right angles to them where they are tilted.

    Args:
        path: a folder with one series, a file of several frames, or any file of the series meant.

    Raises `ValueError`: what is wrong, and what to do.
    """
    with quiet():
        files = files_of_one_series(path)
        _refuse_colour(files)
        slices = [piece for file in files for piece in _slices(file)]
        _refuse_orientations(slices)
        _refuse_sizes(slices)
        slices, frame = _stacked(slices)
        volume = _filled(slices)
    volume.SetSpacing(frame.GetSpacing())
    volume.SetDirection(frame.GetDirection())
    volume.SetOrigin(frame.GetOrigin())
    for tag in ORIGIN_TAGS:
        if tag in files[0].tags:
            volume.SetMetaData(tag, files[0].tags[tag])
    return volume


def _slices(file: DicomFile) -> list[_Slice]:
    try:
        places = _places(file)
    except (LookupError, ValueError) as error:
        raise ValueError(
            "does not say where its slices lie in the patient (position, orientation, pixel "
            "spacing); export the scanner's own series, no screenshots"
        ) from error
    return [_Slice(file, number, place) for number, place in enumerate(places)]


def _places(file: DicomFile) -> list[Place]:
    """One a frame. Raises `LookupError` or `ValueError` where any has none."""
    if file.frames == 1 and POSITION in file.tags:
        position, axes, spacing = (
            numbers(file.tags[tag]) for tag in (POSITION, ORIENTATION, SPACING)
        )
        places = [Place(position, axes, spacing)]
    else:
        places = frame_places(file.path)
    if len(places) != file.frames or not all(_is_a_place(place) for place in places):
        raise ValueError
    return places


def _is_a_place(place: Place) -> bool:
    if (len(place.position), len(place.axes), len(place.spacing)) != (3, 6, 2):
        return False
    axes = np.reshape(place.axes, (2, 3))
    return (
        bool(np.isfinite([*place.position, *place.axes, *place.spacing]).all())
        and min(place.spacing) > 0
        and np.allclose(axes @ axes.T, np.eye(2), atol=_TURNED)
    )


def _refuse_colour(files: Sequence[DicomFile]) -> None:
    if any(file.tags.get(SAMPLES, "1") != "1" for file in files):
        raise ValueError("holds colour pictures; export the plain grey-scale series")


def _refuse_orientations(slices: Sequence[_Slice]) -> None:
    orientations: list[Floats] = []
    for piece in slices:
        axes = np.array(piece.place.axes)
        if all(np.abs(axes - known).max() > _TURNED for known in orientations):
            orientations.append(axes)
    if len(orientations) > 1:
        raise ValueError(
            f"its {len(slices)} slices lie in {len(orientations)} orientations, as in a localizer; "
            "give the series of one orientation"
        )


def _refuse_sizes(slices: Sequence[_Slice]) -> None:
    first = slices[0]
    for piece in slices:
        same_spacing = np.allclose(piece.place.spacing, first.place.spacing, rtol=1e-3)
        if piece.file.size != first.file.size or not same_spacing:
            raise ValueError("has slices of different sizes; export one volume as a series")


def _stacked(slices: Sequence[_Slice]) -> tuple[list[_Slice], sitk.Image]:
    """The slices in order of their places, and one voxel with the geometry of their volume."""
    row, column = np.reshape(slices[0].place.axes, (2, 3))
    normal = np.cross(row, column)
    ordered = sorted(slices, key=lambda piece: float(normal @ piece.place.position))
    positions = np.array([piece.place.position for piece in ordered])
    step = normal  # of a single slice
    if len(ordered) > 1:
        _refuse_doubles(ordered, np.diff(positions @ normal))
        step = (positions[-1] - positions[0]) / (len(ordered) - 1)
        _refuse_uneven(positions, step)
    frame = sitk.Image([1, 1, 1], sitk.sitkUInt8)
    along_column, along_row = slices[0].place.spacing
    distance = float(np.linalg.norm(step))
    frame.SetSpacing((along_row, along_column, distance))
    frame.SetDirection(np.column_stack([row, column, step / distance]).ravel().tolist())
    frame.SetOrigin(positions[0].tolist())
    return ordered, frame


def _refuse_doubles(ordered: Sequence[_Slice], distances: Floats) -> None:
    places = 1 + int((distances > _SAME_PLACE).sum())
    if places == len(ordered):
        return
    several = [
        name
        for tag, name in DIFFERENCES.items()
        if len({piece.file.tags.get(tag) for piece in ordered}) > 1
    ]
    cause = f" of several {' and '.join(several)}" if several else ", so they are several images"
    volumes = len({piece.file.path for piece in ordered if piece.file.frames > 1})
    advice = "give one of its files" if volumes > 1 else "export one volume as a series"
    raise ValueError(f"has {len(ordered)} slices at {places} positions{cause}; {advice}")


def _refuse_uneven(positions: Floats, step: Floats) -> None:
    """Laid out evenly, what is left would lie in the wrong place."""
    even = positions[0] + np.arange(len(positions))[:, None] * step
    off = np.linalg.norm(positions - even, axis=1).max()
    if off <= _UNEVEN * np.linalg.norm(step):
        return
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    apart = f"slices are {steps.min():.1f} to {steps.max():.1f} mm apart"
    if steps.max() > 1.5 * np.median(steps):
        raise ValueError(f"{apart}, so some are missing; export the whole series")
    raise ValueError(f"{apart}; export them as one evenly spaced volume")


def _filled(ordered: Sequence[_Slice]) -> sitk.Image:
    """The slices' intensities."""
    paths = [str(piece.file.path) for piece in ordered]
    kinds = {piece.file.kind for piece in ordered}
    # Each slice has its own slope: the first one's type need not hold the others.
    kind = kinds.pop() if len(kinds) == 1 else sitk.sitkFloat32
    try:
        if all(piece.file.frames == 1 for piece in ordered):
            volume: sitk.Image = sitk.ReadImage(paths, kind, GDCM)
        else:
            read = {path: _intensities(path) for path in set(paths)}
            frames = [read[path][p.frame] for path, p in zip(paths, ordered, strict=True)]
            volume = sitk.GetImageFromArray(_rescaled(frames, ordered))
    except (RuntimeError, IndexError) as error:
        raise ValueError("has pixels that cannot be read; export it again") from error
    return volume


def _intensities(path: str) -> npt.NDArray[np.float32]:
    return sitk.GetArrayFromImage(sitk.ReadImage(path, sitk.sitkFloat32, GDCM))


def _rescaled(
    frames: Sequence[npt.NDArray[np.float32]], ordered: Sequence[_Slice]
) -> npt.NDArray[np.float32]:
    """GDCM rescales all frames of a file as its first one."""
    first = {p.file.path: p.place.rescale for p in ordered if p.frame == 0}
    for frame, piece in zip(frames, ordered, strict=True):
        applied, own = first[piece.file.path], piece.place.rescale
        if applied is not None and own is not None and own != applied:
            frame[:] = (frame - applied[1]) / applied[0] * own[0] + own[1]
    return np.stack(frames)
