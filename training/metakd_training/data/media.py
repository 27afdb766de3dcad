"""Pictures, sounds and volumes as a network takes them, read with checks that name the file."""

from __future__ import annotations

import gzip
import math
import struct
import warnings
import wave
import zlib
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
import torch
from metakd import files
from metakd.tensors import to_tensor
from PIL import Image as Picture
from torch import Tensor
from torch.nn import functional as F

from metakd_training.config.classification import Image, Spectrogram, Volume

_BYTES = 8  # IDX's number of the type uint8
_MOST_DIMENSIONS = 4
_MEL_BANDS = 128  # librosa's default; a frame cannot have more coefficients


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """The array of bytes in a file of MNIST's IDX format, plain or packed with gzip.

    Raises `ValueError` naming a file that is missing, cut, damaged or of other content.
    """
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file; put MNIST's IDX file there") from error
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise ValueError(f"{path}: cannot be unpacked ({error}); download it again") from error
    if len(content) < 4 or content[:2] != b"\0\0":
        raise ValueError(f"{path}: is no IDX file; download it again")
    kind, dimensions = content[2], content[3]
    if kind != _BYTES:
        raise ValueError(f"{path}: has values of IDX type {kind:#04x}; only bytes (0x08) are read")
    start = 4 + 4 * dimensions
    if not 0 < dimensions <= _MOST_DIMENSIONS or len(content) < start:
        raise ValueError(f"{path}: its header is damaged; download it again")
    shape = struct.unpack_from(f">{dimensions}I", content, 4)
    if len(content) - start != math.prod(shape) or len(content) == start:
        raise ValueError(
            f"{path}: has {len(content) - start} bytes of values, but its header says "
            f"{' × '.join(map(str, shape))}; download it again"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_image(path: Path, settings: Image) -> Tensor:
    """(1, H, W) float32 in −1 to 1: a picture that Pillow reads, made grey.

    Raises `ValueError` naming a file that is missing, damaged or has more than 8 bits a pixel.
    """
    _refuse_missing(path)
    try:
        with Picture.open(path) as picture:
            mode, pixels = picture.mode, np.array(picture.convert("L"))
    except (OSError, SyntaxError, ValueError, EOFError, struct.error,
            Picture.DecompressionBombError) as error:  # fmt: skip
        raise ValueError(f"{path}: is no readable picture (cut, or no format that Pillow knows); "
                         "save it again") from error  # fmt: skip
    if mode[0] in "IF":  # Pillow cuts all values above 255
        raise ValueError(f"{path}: has more than 8 bits a pixel (mode {mode}); save it with 8")
    return image_input(pixels, settings)


def image_input(pixels: npt.NDArray[np.uint8], settings: Image) -> Tensor:
    """(H, W) grey values from 0 to 255 → (1, H, W) float32 in −1 to 1, of the settings' size."""
    values = to_tensor(pixels.astype(np.float32))[None]
    if values.shape[1:] != settings.size:
        # Antialiased, or a picture that shrinks would lose thin lines.
        values = F.interpolate(values[None], settings.size, mode="bilinear", antialias=True)[0]
    return (values / 255 - 0.5) / 0.5


def read_sound(path: Path, settings: Spectrogram) -> Tensor:
    """(1, coefficients, frames) float32: the mel-frequency cepstral coefficients of a wav file.

    As published (SMIL): librosa's defaults for windows of 2048 samples, 512 apart, told that the
    rate is the file's even where only every `keep_every`-th sample is kept.

    Raises `ValueError` naming a file that is missing, damaged, empty, no PCM or of another rate.
    """
    if settings.coefficients > _MEL_BANDS:
        raise ValueError(f"coefficients: {settings.coefficients}, but the mel-frequency spectrum "
                         f"has {_MEL_BANDS} bands; ask for fewer")  # fmt: skip
    rate, sound = _read_wav(path)
    if rate != settings.rate:
        raise ValueError(
            f"{path}: has a rate of {rate} Hz, expected {settings.rate}; resample it, or set the "
            "modality's rate if all files have this one"
        )
    with warnings.catch_warnings():
        # Most of the digits are shorter than one window, which is then filled with silence.
        warnings.filterwarnings("ignore", "n_fft=", UserWarning)
        coefficients = librosa.feature.mfcc(
            y=sound[:: settings.keep_every], sr=rate, n_mfcc=settings.coefficients
        )
    filled = torch.zeros(1, settings.coefficients, settings.frames)
    kept = coefficients[:, : settings.frames]
    filled[0, :, : kept.shape[1]] = to_tensor(kept)
    return filled


def _read_wav(path: Path) -> tuple[int, npt.NDArray[np.float32]]:
    """Rate in Hz and samples in −1 to 1, the mean of all channels."""
    _refuse_missing(path)
    try:
        with wave.open(str(path), "rb") as file:
            rate, said, width = file.getframerate(), file.getnframes(), file.getsampwidth()
            channels = file.getnchannels()
            content = file.readframes(said)
    except (wave.Error, EOFError, OSError, RuntimeError, struct.error) as error:
        problem = str(error) or "it ends early"
        raise ValueError(f"{path}: is no readable wav file ({problem}); save it again, as "
                         "uncompressed PCM") from error  # fmt: skip
    if width > 4:
        raise ValueError(f"{path}: has {8 * width} bits a sample; save it with 8, 16, 24 or 32")
    count = len(content) // (width * channels)
    if count < said:
        raise ValueError(f"{path}: is cut: {count} samples of the {said} that its header says; "
                         "copy it again")  # fmt: skip
    if not count:
        raise ValueError(f"{path}: has no samples; record it again, or leave it out")
    # As the highest bytes of 32-bit numbers all widths are alike, but bytes alone have no sign.
    wide = np.zeros((count, channels, 4), dtype=np.uint8)
    wide[..., 4 - width :] = np.frombuffer(content, np.uint8).reshape(count, channels, width)
    if width == 1:
        wide[..., 3] ^= 0x80
    samples = wide.view("<i4")[..., 0] / 2**31
    return rate, samples.mean(axis=1).astype(np.float32)


def read_volume(path: Path, settings: Volume) -> Tensor:
    """(1, D, H, W) float32, axes towards S, P, L: a 3D image on a grid over its own extent.

    Voxels that are not 0 have mean 0 and standard deviation 1, the others stay 0; those that are
    to be scaled together are left as they are.

    Raises `ValueError` naming a file that is missing, unreadable, not 3D or holds no scan.
    """
    _refuse_missing(path)
    try:
        image = files.read_image(path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; export it again") from error
    _refuse_other_shapes(path, image)
    image = sitk.DICOMOrient(sitk.Cast(image, sitk.sitkFloat32), "LPS")
    if not np.isfinite(sitk.GetArrayViewFromImage(image)).all():
        raise ValueError(f"{path}: has NaN or infinite voxels; export it again")
    grid = _grid_over(image, settings.size)
    image = _smoothed(image, grid)
    values = sitk.GetArrayFromImage(sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear))
    scored = _z_scored(path, values)
    return to_tensor(scored if settings.scaled == "alone" else values)[None]


def _refuse_other_shapes(path: Path, image: sitk.Image) -> None:
    if image.GetNumberOfComponentsPerPixel() > 1 or "complex" in image.GetPixelIDTypeAsString():
        raise ValueError(f"{path}: has {image.GetPixelIDTypeAsString()} voxels; export a plain "
                         "grey-scale volume")  # fmt: skip
    if image.GetDimension() != 3:
        raise ValueError(f"{path}: is {image.GetDimension()}D; a 3D volume is needed")


def _grid_over(image: sitk.Image, size: tuple[int, int, int]) -> sitk.Image:
    """A grid of `size` slices, rows and columns whose outer borders are those of the image."""
    old, new = np.array(image.GetSize()), np.array(size[::-1])
    spacing = np.array(image.GetSpacing()) * old / new
    first = 0.5 * old / new - 0.5  # the first voxel's centre, in voxels of the image
    grid = sitk.Image([int(n) for n in new], sitk.sitkUInt8)
    grid.SetSpacing(spacing.tolist())
    grid.SetOrigin(image.TransformContinuousIndexToPhysicalPoint(first.tolist()))
    grid.SetDirection(image.GetDirection())
    return grid


def _smoothed(image: sitk.Image, grid: sitk.Image) -> sitk.Image:
    """Without the detail that a coarser grid would turn into noise; as it is along finer axes."""
    outside = image == 0
    for axis, (fine, coarse) in enumerate(zip(image.GetSpacing(), grid.GetSpacing(), strict=True)):
        # Halved, linear interpolation is the mean of the two already.
        if coarse > 2 * fine and image.GetSize()[axis] >= 4:
            sigma = 0.5 * (coarse**2 - fine**2) ** 0.5
            image = sitk.RecursiveGaussian(image, sigma=sigma, direction=axis)
    return sitk.Mask(image, sitk.Not(outside))


def _z_scored(path: Path, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    inside = values != 0
    voxels = values[inside].astype(np.float64)
    if not len(voxels) or voxels.min() == voxels.max():
        raise ValueError(f"{path}: holds nothing but {voxels[0] if len(voxels) else 0:g}; "
                         "export it again")  # fmt: skip
    scored = np.zeros(values.shape, dtype=np.float32)
    scored[inside] = (voxels - voxels.mean()) / voxels.std()
    return scored


def _refuse_missing(path: Path) -> None:
    if not path.is_file():
        raise ValueError(f"{path}: no such file; check the path")
