"""Synthetic multi-contrast brain tumour studies with their truth, determined by a seed.

A person (`phantom_anatomy`) and a tumour (`phantom_tumour`) are shapes (`phantom_shapes`) on one
fixed coarse lattice, interpolated with cubic B-splines: a seed is the same patient at every
spacing. Here they become tissues, and the scanner makes images of these. Arrays are indexed (z, y,
x); coordinates are LPS, mm, the brain's centre at the origin.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from .contrasts import CONTRASTS, Contrast
from .outputs import OutputFiles
from .phantom_anatomy import anatomy_fields, brain_layers, draw_person, layers_around_the_brain
from .phantom_shapes import (
    BRAIN_EXTENT,
    HEAD_EXTENT,
    LATTICE_STEP,
    Array,
    Axes,
    Point,
    Shapes,
    grid_axes,
    interpolate,
    lattice_axes,
    smooth_noise,
)
from .phantom_tumour import draw_tumour, grow, label_map, push, tumour_fields, tumour_layers

_ORIENTATION = {
    Contrast.T1: "PIR",  # sagittal slices
    Contrast.T1C: "LPS",  # axial
    Contrast.T2: "LIP",  # coronal
    Contrast.FLAIR: "RAS",  # axial, as NIfTI tools store it
}
_SLICE_AXIS = {"LPS": 0, "RAS": 0, "LIP": 1, "PIR": 2}  # of (z, y, x)

# Signal relative to white matter: T1, T1c, T2, FLAIR. A tissue covers those listed above it.
_SIGNAL = {
    "air": (0.00, 0.00, 0.00, 0.00),
    "fat": (1.75, 1.80, 1.60, 1.30),
    "muscle": (0.60, 0.75, 0.55, 0.65),
    "bone": (0.12, 0.14, 0.12, 0.12),
    "marrow": (0.75, 0.85, 0.60, 0.55),
    "eye": (0.30, 0.32, 2.60, 0.40),
    "cavity": (0.00, 0.00, 0.00, 0.00),
    "white": (1.00, 1.00, 1.00, 1.00),
    "grey": (0.77, 0.80, 1.42, 1.17),
    "nuclei": (0.83, 0.85, 1.24, 1.13),
    "lesion": (0.80, 0.82, 1.75, 1.75),
    "oedema": (0.76, 0.78, 2.00, 2.05),
    "csf": (0.32, 0.34, 2.55, 0.33),
    "falx": (0.55, 1.20, 0.90, 0.60),
    "vessel": (0.50, 1.60, 0.45, 0.45),
    "choroid": (0.60, 1.45, 1.90, 0.85),
    "solid": (0.66, 0.68, 2.00, 1.75),
    "enhancing": (0.74, 1.65, 1.65, 1.55),
    "necrosis": (0.46, 0.50, 2.30, 1.15),
}


@dataclass(frozen=True)
class PhantomSettings:
    """What to make.

    `spacing`: isotropic grid of the anatomy, mm. `scalp`: keep what lies around the brain; without
    it the images are skull-stripped, exactly 0 outside the brain. `tumour`: put one in; the same
    seed without it is the same person healthy. `slice_thickness`: average each contrast to slices
    this thick (mm) along one axis. `separate_grids`: give each contrast a grid of its own (spacing,
    storage orientation, origin, field of view) in the same physical space.
    """

    spacing: float = 1.0
    scalp: bool = False
    tumour: bool = True
    slice_thickness: float | None = None
    separate_grids: bool = False

    def __post_init__(self) -> None:
        if not 0.5 <= self.spacing <= 8:
            raise ValueError(f"spacing {self.spacing} mm: use 0.5 to 8 mm")
        if self.slice_thickness is not None and not self.spacing <= self.slice_thickness <= 20:
            raise ValueError(
                f"slice thickness {self.slice_thickness} mm: use {self.spacing} mm (spacing) to 20"
            )


@dataclass(frozen=True)
class Phantom:
    """A study and its truth: int16 images, and uint8 labels as in `metakd.regions`.

    The labels lie on the anatomy's isotropic grid, identity direction, LPS mm. So do the images,
    unless slice thickness or separate grids were asked for; physical space is shared always.
    """

    images: dict[Contrast, sitk.Image]
    labels: sitk.Image


def make_phantom(seed: int, settings: PhantomSettings = PhantomSettings()) -> Phantom:
    """Make the patient that `seed` stands for; the same arguments give the same voxels.

    Raises `ValueError` for a negative seed.
    """
    anatomy_rng, tumour_rng, scanner_rng = np.random.default_rng(seed).spawn(3)
    extent = HEAD_EXTENT if settings.scalp else BRAIN_EXTENT
    axes = grid_axes(extent, settings.spacing)
    nodes = lattice_axes(extent, LATTICE_STEP)
    person = draw_person(anatomy_rng, nodes)
    tumour = draw_tumour(tumour_rng, person, nodes) if settings.tumour else None
    points, squeeze = push(person, tumour, nodes)
    shapes = anatomy_fields(anatomy_rng, person, points, squeeze, nodes)
    if tumour:
        shapes |= tumour_fields(tumour_rng, tumour, person, nodes)
    fine = {name: interpolate(field, nodes, axes) for name, field in shapes.items()}

    edge = max(settings.spacing, 1.0)
    layers = layers_around_the_brain(fine, axes, edge) if settings.scalp else {}
    layers |= brain_layers(fine, person, axes, edge)
    labels = np.zeros(fine["brain"].shape, np.uint8)
    if tumour:
        growth = grow(fine, tumour, settings.spacing)
        layers |= tumour_layers(growth, tumour, edge)
        labels = label_map(growth, fine["brain"])
    signals = _signals(layers, scanner_rng)
    inside = None if settings.scalp else (fine["brain"] < 0).astype(np.float32)
    images = {
        contrast: _acquire(signal, inside, axes, contrast, settings, rng)
        for contrast, signal, rng in zip(CONTRASTS, signals, scanner_rng.spawn(4), strict=True)
    }
    return Phantom(images, _image(labels, axes))


def write_phantom(phantom: Phantom, folder: Path) -> None:
    """Write t1, t1c, t2, flair and seg, each `.nii.gz`, into `folder`, which is made if absent.

    The five appear together: an interrupted run leaves none of them half-written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with OutputFiles() as files:
        for contrast, image in phantom.images.items():
            sitk.WriteImage(image, files.stage(folder / f"{contrast.value}.nii.gz"))
        sitk.WriteImage(phantom.labels, files.stage(folder / "seg.nii.gz"))


def _signals(layers: Shapes, rng: np.random.Generator) -> Array:
    """Noise-free images (contrast, z, y, x), white matter 1; tissue contrast varies with `rng`."""
    table = np.array(list(_SIGNAL.values())) * np.exp(rng.uniform(-0.04, 0.04, (len(_SIGNAL), 4)))
    table **= rng.uniform(0.8, 1.2, 4)  # keeps the order of the tissues
    rows = dict(zip(_SIGNAL, table.astype(np.float32)[:, :, None, None], strict=True))
    names = [name for name in reversed(_SIGNAL) if name in layers]
    signals: Array = np.zeros((4, *layers["white"].shape), np.float32)
    for z in range(signals.shape[1]):  # slice by slice stays in the processor's cache
        uncovered = np.ones_like(signals[0, z])
        for name in names:
            share = uncovered * layers[name][z]
            uncovered -= share
            signals[:, z] += rows[name] * share
    return signals


def _acquire(
    signal: Array,
    inside: Array | None,
    axes: Axes,
    contrast: Contrast,
    settings: PhantomSettings,
    rng: np.random.Generator,
) -> sitk.Image:
    """Receive field, slices, noise of a magnitude image, and the scanner's arbitrary scale."""
    signal = signal * np.exp(0.12 * smooth_noise(rng, 60, axes))
    level, scale = rng.uniform(0.015, 0.045), np.exp(rng.uniform(np.log(150), np.log(1500)))
    orientation, own_axes, widths = _own_grid(axes, contrast, settings, rng)
    signal = _average(signal, axes, own_axes, widths)
    noise = np.float32(level) * rng.standard_normal((2, *signal.shape), dtype=np.float32)
    signal = np.hypot(signal + noise[0], noise[1]) * np.float32(scale)
    if inside is not None:  # skull-stripped: 0 outside, and nowhere else
        mask = _average(inside, axes, own_axes, widths) >= 0.5
        signal = np.where(mask, np.maximum(signal, 1), 0)
    image = _image(np.rint(signal).astype(np.int16), own_axes)
    return sitk.DICOMOrient(image, orientation)  # type: ignore


def _own_grid(
    axes: Axes, contrast: Contrast, settings: PhantomSettings, rng: np.random.Generator
) -> tuple[str, Axes, Point]:
    """Storage orientation, voxel centres and voxel widths (z, y, x) of one contrast's image."""
    orientation = _ORIENTATION[contrast] if settings.separate_grids else "LPS"
    spacings = [settings.spacing] * 3
    shift: Array = np.zeros(3)
    zoom: Array = np.ones(3)
    if settings.separate_grids:
        spacings = [round(settings.spacing * rng.uniform(0.85, 1.3), 3)] * 3
        shift, zoom = rng.uniform(-4, 4, 3), rng.uniform(0.97, 1.06, 3)
    if settings.slice_thickness is not None:
        spacings[_SLICE_AXIS[orientation]] = settings.slice_thickness
    own_axes: list[Array] = []
    for axis, step, start, factor in zip(axes, spacings, shift, zoom, strict=True):
        count = round(len(axis) * settings.spacing * factor / step)
        own_axes.append((np.arange(count) - (count - 1) / 2) * step + start)
    z, y, x = own_axes
    return orientation, (z, y, x), (spacings[0], spacings[1], spacings[2])


def _average(values: Array, axes: Axes, own_axes: Axes, widths: Point) -> Array:
    """Mean of the fine voxels under each voxel of the grid `own_axes`."""
    for axis, (fine, own, width) in enumerate(zip(axes, own_axes, widths, strict=True)):
        if np.array_equal(fine, own):
            continue
        step = fine[1] - fine[0]
        width = max(width, step)  # a finer grid interpolates
        overlap = (width + step) / 2 - np.abs(own[:, None] - fine[None, :])
        weights = np.clip(overlap, 0, step) / width
        values = np.moveaxis(np.tensordot(weights, values, (1, axis)), 0, axis)
    return values.astype(np.float32)


def _image(values: npt.NDArray[np.generic], axes: Axes) -> sitk.Image:
    image = sitk.GetImageFromArray(np.ascontiguousarray(values))
    image.SetOrigin([float(axis[0]) for axis in reversed(axes)])
    image.SetSpacing([round(float(axis[1] - axis[0]), 6) for axis in reversed(axes)])
    return image
