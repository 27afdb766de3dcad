"""Which files are the series that a path stands for, and what their headers say."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import SimpleITK as sitk

from metakd.origin import TAGS as ORIGIN_TAGS

GDCM = "GDCMImageIO"
POSITION, ORIENTATION, SPACING = "0020|0032", "0020|0037", "0028|0030"
SAMPLES = "0028|0002"
DIFFERENCES = {
    "0018|0081": "echo times",
    "0008|0008": "image types",
    "0020|0100": "time points",
    "0020|0012": "acquisitions",
}
"""What may tell the images of one series at one place apart."""

_SERIES, _DESCRIPTION, _INSTANCE = "0020|000e", "0008|103e", "0008|0018"
_FRAMES, _ROWS, _COLUMNS = "0028|0008", "0028|0010", "0028|0011"
_TAGS = (
    _SERIES, _DESCRIPTION, _INSTANCE, _FRAMES, _ROWS, _COLUMNS, POSITION, ORIENTATION, SPACING,
    SAMPLES, *DIFFERENCES, *ORIGIN_TAGS,
)  # fmt: skip
_LISTED, _LOOKED_AT = 8, 5000  # series in a message, files below a folder without any of its own


@dataclass(frozen=True)
class DicomFile:
    """An image file of one or more frames.

    Attributes:
        kind: SimpleITK's number of the type that holds its rescaled intensities.
        tags: of those above, the ones that it has, as SimpleITK names them.
    """

    path: Path
    kind: int
    tags: Mapping[str, str]

    @property
    def frames(self) -> int:
        count = self.tags.get(_FRAMES, "")
        return int(count) if count.isdigit() else 1

    @property
    def size(self) -> tuple[str, str]:
        """Columns and rows."""
        return self.tags.get(_COLUMNS, ""), self.tags.get(_ROWS, "")


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do, with or without the preamble."""
    try:
        with path.open("rb") as file:
            start = file.read(132)
    except OSError:  # whoever reads it as something else says so
        return False
    return start[128:] == b"DICM" or (len(start) == 132 and struct.unpack("<H", start[:2]) == (8,))


def files_of_one_series(path: Path) -> list[DicomFile]:
    """The files of the one series in a folder, or of the one that a file belongs to.

    A file of several frames stands for itself. Raises `ValueError`, naming the series found where
    there is not exactly one.
    """
    if not path.is_dir():
        return _series_of(path)
    series = _by_series(_headers(sorted(path.iterdir())))
    if not series:
        raise ValueError(_nothing_in(path))
    if len(series) > 1:
        raise ValueError(
            f"holds {len(series)} DICOM series; give a folder with exactly one, or a file of the "
            f"one meant: {_listed(series, path)}"
        )
    return _once(series[0])


def _series_of(path: Path) -> list[DicomFile]:
    """The file alone if it has several frames, else all files beside it of the same series."""
    given = next(_headers([path]), None)
    if given is None:
        raise ValueError("is no DICOM image that can be read; export it again")
    if given.frames > 1 or not given.tags.get(_SERIES):
        return [given]
    beside = _headers(sorted(path.parent.iterdir()))
    return _once([file for file in beside if file.tags.get(_SERIES) == given.tags[_SERIES]])


def _headers(paths: Iterable[Path]) -> Iterator[DicomFile]:
    """The files that are DICOM images."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO(GDCM)
    for path in paths:
        if not path.is_file() or not is_dicom(path):
            continue
        reader.SetFileName(str(path))
        try:
            reader.ReadImageInformation()
        except RuntimeError:  # no image: a directory, a report, a presentation
            continue
        tags = {t: reader.GetMetaData(t).strip(" \0") for t in _TAGS if reader.HasMetaDataKey(t)}
        yield DicomFile(path, reader.GetPixelIDValue(), tags)


def _by_series(files: Iterable[DicomFile]) -> list[list[DicomFile]]:
    def series(file: DicomFile) -> str:
        return file.tags.get(_SERIES, "")

    return [list(group) for _, group in groupby(sorted(files, key=series), key=series)]


def _once(files: Sequence[DicomFile]) -> list[DicomFile]:
    """Without copies of a file under another name."""
    kept = {file.tags.get(_INSTANCE) or file.path: file for file in files}
    return list(kept.values())


def _nothing_in(folder: Path) -> str:
    below = _by_series(_headers(sorted(islice(folder.rglob("*"), _LOOKED_AT))))
    if not below:
        return "holds 0 DICOM series; give a folder with exactly one, or an image file"
    return (
        f"holds 0 DICOM series itself, its subfolders {len(below)}; give the folder with exactly "
        f"one: {_listed(below, folder)}"
    )


def _listed(series: Sequence[Sequence[DicomFile]], folder: Path) -> str:
    """`"AX T1" (24 slices, IM0001), …`; the descriptions are the scanner's, they name nobody."""
    entries = []
    for files in series[:_LISTED]:
        description = files[0].tags.get(_DESCRIPTION, "")[:64] or "without a description"
        # What was not written as it was declared is not printable.
        shown = "".join(letter if letter.isprintable() else "?" for letter in description)
        count = sum(file.frames for file in files)
        place = files[0].path.relative_to(folder).as_posix()
        entries.append(f'"{shown}" ({count} slice{"s" * (count > 1)}, {place})')
    return ", ".join(entries) + (", …" if len(series) > _LISTED else "")
