"""Image files: read with the checks that ITK's readers leave out; label maps written."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import SimpleITK as sitk

from metakd.nifti import NiftiError, is_nifti, read_nifti
from metakd.regions import CONVENTIONS, to_convention


def read_image(path: Path) -> sitk.Image:
    """Any image that SimpleITK reads, NIfTI with odd headers too; DICOM as GDCM has it.

    Its axes are as the file has them, at right angles or not (`metakd.rectangular`).

    Raises `ValueError`, saying what is wrong, for a file that is cut or no image.
    """
    try:
        with quiet():
            if is_nifti(path):
                return read_nifti(path)
            return sitk.ReadImage(str(path))
    except NiftiError:
        raise
    except (RuntimeError, EOFError, OSError, LookupError, ArithmeticError, ValueError,
            zlib.error, struct.error) as error:  # fmt: skip
        raise ValueError(
            "not a readable image (truncated, or no format that SimpleITK knows)"
        ) from error


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
