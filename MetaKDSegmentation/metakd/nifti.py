"""NIfTI as others have written it: where its voxels lie, and what ITK's reader passes over.

ITK takes voxel sizes from `pixdim` where the sform has others, refuses an affine with shear, and
puts 0 where a cut file has nothing, and for NaN and infinite voxels, without a word.
"""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from metakd.rectangular import without_rounding

_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img")
_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8",
    1280: "u8",
}  # fmt: skip
_MM = {1: 1000.0, 3: 0.001}  # of the length units; all others are millimetres, said or not
_SCANNER, _TEMPLATES = 1, (3, 4)  # the sform's code for the scanner's coordinates, for an atlas's
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_APART_MM = 1.0  # between sform and qform: less is rounding
_CHUNK = 2**24

Affine = npt.NDArray[np.float64]


class NiftiError(ValueError):
    """A NIfTI file that is whole but not usable; the message says what it has."""


@dataclass(frozen=True)
class Header:
    """What a file says of its voxels.

    Attributes:
        order: of bytes, ``<`` or ``>``.
        size: voxels along each axis that it has.
        type, bits: NIfTI's number of the voxels' type, and its length.
        start: of the voxels in the file, bytes.
        slope, intercept: from stored values to intensities.
        sform, qform: (4, 4) from voxel indices to LPS, mm; `None` where not given or no places.
        said: whether either was given.
        in_scanner, in_template: whether the sform is in the scanner's coordinates, or in those
            of an atlas, where the qform is not expected to be.
    """

    order: str
    size: tuple[int, ...]
    type: int
    bits: int
    start: int
    slope: float
    intercept: float
    sform: Affine | None
    qform: Affine | None
    said: bool
    in_scanner: bool
    in_template: bool

    @property
    def affine(self) -> Affine | None:
        """The one that places the voxels, chosen as ITK and with it Slicer do."""
        first, second = self.qform, self.sform
        if self.in_scanner:
            first, second = second, first
        return second if first is None else first


def is_nifti(path: Path) -> bool:
    """Whether the file's name is that of a NIfTI or an Analyze image."""
    return path.name.lower().endswith(_SUFFIXES)


def read_nifti(path: Path) -> sitk.Image:
    """Any NIfTI-1 or Analyze image, its axes as the file has them, right angles or not.

    Raises `NiftiError`; `EOFError` where voxels are missing; `RuntimeError`, `OSError`,
    `struct.error` and others for what is no such file.
    """
    header = read_header(path)
    if header.said and header.affine is None:
        raise NiftiError("has a sform or qform that gives no places (zeros or NaN)")
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError:
        if header.affine is None or header.type not in _TYPES:
            raise
        image = _without_itk(path, header)
    else:
        _refuse_odd_voxels(path, header)
    image = _placed(image, header.affine)
    return without_rounding(image) if image.GetDimension() == 3 else image


def doubts(path: Path) -> tuple[str, ...]:
    """What makes the place of a NIfTI file that was read uncertain, as predicates."""
    header = read_header(path)
    if not header.said:
        return (
            "does not say how it lies in the patient (NIfTI without sform and qform); sides may "
            "be exchanged, export it with its position",
        )
    if header.sform is None or header.qform is None or header.in_template:
        return ()
    corners = np.array([[*corner, 1] for corner in np.ndindex(2, 2, 2)]) * [*header.size[:3], 1]
    apart = np.linalg.norm((header.sform - header.qform) @ corners.T, axis=0).max()
    if apart < _APART_MM:
        return ()
    used = "sform" if header.affine is header.sform else "qform"
    return (
        f"is placed differently, by up to {apart:.0f} mm, by its sform and its qform; the {used} "
        "is used",
    )


def read_header(path: Path) -> Header:
    """Raises `NiftiError` for NIfTI-2; `OSError`, `struct.error` and others for no such file."""
    with _open(_part(path, ".hdr")) as file:
        data = file.read(352)
    order = "<" if data[0] else ">"  # it begins with the number 348, in 4 bytes
    (length,) = struct.unpack_from(order + "i", data, 0)
    if length == 540:
        raise NiftiError("is NIfTI-2 where NIfTI-1 is needed")
    dimensions = struct.unpack_from(order + "8h", data, 40)
    kind, bits = struct.unpack_from(order + "2h", data, 70)
    start, slope, intercept = struct.unpack_from(order + "3f", data, 108)
    scaled = slope != 0 and math.isfinite(slope) and math.isfinite(intercept)
    # Analyze has other things in the place of the codes.
    named = data[344:347] in (b"n+1", b"ni1")
    q_code, s_code = struct.unpack_from(order + "2h", data, 252) if named else (0, 0)
    return Header(
        order=order,
        size=tuple(max(n, 1) for n in dimensions[1 : dimensions[0] + 1]),
        type=kind,
        bits=bits,
        start=int(start),
        slope=slope if scaled else 1.0,
        intercept=intercept if scaled else 0.0,
        sform=_sform(data, order) if s_code > 0 else None,
        qform=_qform(data, order) if q_code > 0 else None,
        said=max(q_code, s_code) > 0,
        in_scanner=s_code == _SCANNER,
        in_template=s_code in _TEMPLATES,
    )


def _sform(data: bytes, order: str) -> Affine | None:
    rows = np.reshape(struct.unpack_from(order + "12f", data, 280), (3, 4))
    return _in_lps(rows, data)


def _qform(data: bytes, order: str) -> Affine | None:
    """Method 2 of nifti1.h: a unit quaternion without its first part, voxel sizes, an offset."""
    handed, *steps = struct.unpack_from(order + "4f", data, 76)
    b, c, d, *offset = struct.unpack_from(order + "6f", data, 256)
    rest = 1.0 - (b * b + c * c + d * d)
    a = math.sqrt(rest) if rest > 1e-7 else 0.0  # half a turn, rounded
    b, c, d = (part / math.sqrt(a * a + b * b + c * c + d * d) for part in (b, c, d))
    turned = np.array([
        [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ])  # fmt: skip
    turned = turned * np.abs(steps) * (1, 1, -1 if handed < 0 else 1)
    return _in_lps(np.column_stack([turned, offset]), data)


def _in_lps(rows: Affine, data: bytes) -> Affine | None:
    """(4, 4), LPS, mm, of the three rows in RAS and the file's unit; `None` for no places."""
    if not np.isfinite(rows).all():
        return None
    affine = _RAS_TO_LPS @ np.vstack([rows * _MM.get(data[123] & 7, 1.0), (0, 0, 0, 1)])
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    if not steps.all():
        return None
    flat = abs(np.linalg.det(affine[:3, :3] / steps)) < 1e-3  # axes in one plane
    return None if flat else affine


def _placed(image: sitk.Image, affine: Affine | None) -> sitk.Image:
    """The image where the affine says, if it is not there already but for rounding."""
    if affine is None or image.GetDimension() not in (3, 4):
        return image
    dimension = image.GetDimension()
    spacing, direction = np.array(image.GetSpacing()), np.eye(dimension)
    direction[:] = np.reshape(image.GetDirection(), direction.shape)
    size = np.array(image.GetSize()[:3])
    there = affine[:3, :3] * size, affine[:3, 3]
    here = direction[:3, :3] * spacing[:3] * size, np.array(image.GetOrigin()[:3])
    off = max(float(np.abs(a - b).max()) for a, b in zip(here, there, strict=True))
    if off < 0.01 * spacing[:3].min():
        return image
    spacing[:3] = np.linalg.norm(affine[:3, :3], axis=0)
    direction[:3, :3] = affine[:3, :3] / spacing[:3]
    placed = sitk.Image(image)
    placed.SetSpacing(spacing.tolist())
    placed.SetDirection(direction.ravel().tolist())
    placed.SetOrigin([*affine[:3, 3].tolist(), *image.GetOrigin()[3:]])
    return placed


def _without_itk(path: Path, header: Header) -> sitk.Image:
    """The voxels, in a place of no meaning. Raises `NiftiError`, `EOFError`."""
    data = b"".join(_chunks(path, header))
    stored = np.frombuffer(data, header.order + _TYPES[header.type])
    size = header.size[:3] + tuple(n for n in header.size[3:] if n > 1)
    values = stored.astype(stored.dtype.newbyteorder("=")).reshape(size[::-1])
    if not np.isfinite(values).all():
        raise NiftiError("has NaN or infinite voxels")
    if (header.slope, header.intercept) != (1.0, 0.0):
        values = (values * header.slope + header.intercept).astype(np.float32)
    image: sitk.Image = sitk.GetImageFromArray(values, isVector=False)
    return image


def _refuse_odd_voxels(path: Path, header: Header) -> None:
    """Raises `EOFError` when some are missing, `NiftiError` when some are no numbers."""
    kind = header.order + _TYPES.get(header.type, "u1")
    for chunk in _chunks(path, header):
        if "f" in kind and not np.isfinite(np.frombuffer(chunk, kind)).all():
            raise NiftiError("has NaN or infinite voxels")


def _chunks(path: Path, header: Header) -> Iterator[bytes]:
    """The voxels' bytes. Raises `EOFError` when some are missing."""
    with _open(_part(path, ".img")) as file:
        file.seek(header.start)
        left = math.prod(header.size) * header.bits // 8
        while left > 0:
            chunk = file.read(min(_CHUNK, left))
            if not chunk:
                raise EOFError
            left -= len(chunk)
            yield chunk
        file.read(_CHUNK)  # to the end, where gzip compares its checksum


def _part(path: Path, suffix: str) -> Path:
    """The file of a pair that ends so; a file that is no part of one is both."""
    return path.with_suffix(suffix) if path.suffix.lower() in (".hdr", ".img") else path


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    opened: IO[bytes] = gzip.GzipFile(path) if packed else path.open("rb")  # type: ignore[assignment]
    return opened
