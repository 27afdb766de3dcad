"""Image files: read with the checks that ITK's readers leave out; label maps written."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import SimpleITK as sitk

from metakd.regions import CONVENTIONS, to_convention

_FLOATS = {16: "f4", 64: "f8"}  # NIfTI's numbers of the real floating-point types
_NIFTI = (".nii", ".nii.gz", ".hdr", ".img")
_CHUNK = 2**24


def read_image(path: Path) -> sitk.Image:
    """Any image that SimpleITK reads.

    Raises `ValueError`, saying what is wrong, for a file that is cut or no image. ITK's NIfTI
    reader puts 0 where a cut file has nothing, and for NaN and infinite voxels, without a word;
    here both are found first.
    """
    try:
        with quiet():
            image: sitk.Image = sitk.ReadImage(str(path))
        finite = _is_finite_nifti(path) if path.name.lower().endswith(_NIFTI) else True
    except (RuntimeError, EOFError, OSError, LookupError, ArithmeticError, ValueError,
            zlib.error, struct.error) as error:  # fmt: skip
        raise ValueError(
            "not a readable image (truncated, or no format that SimpleITK knows)"
        ) from error
    if not finite:
        raise ValueError("has NaN or infinite voxels")
    return image


def write_label_map(label_map: sitk.Image, place: str, convention: str) -> None:
    """Write a label map of the engine's convention in another one.

    NRRD, which Slicer exchanges with the worker, is not compressed: that would take longer than
    reading and writing together.
    """
    written = label_map
    if any(value != own for value, own in CONVENTIONS[convention].items() if own):
        values = to_convention(sitk.GetArrayViewFromImage(label_map), convention)
        written = sitk.GetImageFromArray(values)
        written.CopyInformation(label_map)
    sitk.WriteImage(written, place, useCompression=not place.endswith(".nrrd"))


def _is_finite_nifti(path: Path) -> bool:
    """Whether all voxels are numbers; raises `EOFError` when some are missing."""
    pair = path.suffix.lower() in (".hdr", ".img")
    with _open(path.with_suffix(".hdr") if pair else path) as file:
        header = file.read(352)
    with _open(path.with_suffix(".img") if pair else path) as file:
        order = "<" if header[0] else ">"  # it begins with the number 348, in 4 bytes
        dimensions = struct.unpack_from(order + "8h", header, 40)
        kind, bits = struct.unpack_from(order + "2h", header, 70)
        start = int(struct.unpack_from(order + "f", header, 108)[0])
        left = math.prod(max(n, 1) for n in dimensions[1 : dimensions[0] + 1]) * bits // 8
        file.seek(start)
        finite = True
        while left > 0:
            chunk = file.read(min(_CHUNK, left))
            if not chunk:
                raise EOFError
            if kind in _FLOATS:
                values = np.frombuffer(chunk, order + _FLOATS[kind])
                finite = finite and bool(np.isfinite(values).all())
            left -= len(chunk)
        file.read(_CHUNK)  # to the end, where gzip compares its checksum
    return finite


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    opened: IO[bytes] = gzip.GzipFile(path) if packed else path.open("rb")  # type: ignore[assignment]
    return opened


@contextmanager
def quiet() -> Iterator[None]:
    """Silence on file descriptor 2, where ITK's C libraries write, past all of its switches."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
