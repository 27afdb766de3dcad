"""Volumes of the scene as files for the worker, and what it made of them back in the scene.

Files are in world space: LPS and mm, with every parent transform of the node applied. The scene
is RAS; this file alone converts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
import slicer
import vtk
from metakd.foreground import background

from MetaKDSegmentationLib.grids import (
    Grid,
    GridError,
    Voxels,
    node_grid,
    placed,
    sample,
    tabulated,
    transform_to_world,
)
from MetaKDSegmentationLib.label_sampling import sample_labels, sample_mask

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


class VolumeError(ValueError):
    """A volume that cannot be handed over or taken back; one line that says what to do."""


@dataclass(frozen=True, eq=False)
class ExportedGrid:
    """Where a volume's voxels were when it was written.

    Attributes:
        own: the node's grid, below its parent transforms.
        file: the grid of the file, RAS of the world.
        to_world: the parent transforms at that time.
        resampled: the file's voxels are not the node's own, but were sampled from them.
    """

    own: Grid
    file: Grid
    to_world: vtk.vtkAbstractTransform
    resampled: bool


def write_volume(node: slicer.vtkMRMLScalarVolumeNode, path: Path) -> ExportedGrid:
    """Write a volume where it lies in the world, as uncompressed NRRD.

    Under linear transforms that keep right angles, mirroring and scaling included, the voxels are
    the node's own. Under others they are sampled on a rectangular grid of the same resolution.
    Nothing but voxels and geometry gets into the file.

    Raises:
        VolumeError: no voxels, more than one value a voxel, no voxel size, a transform that
            cannot be honoured.
    """
    voxels = voxels_of(node)
    grid = exported_grid(node)
    if grid.resampled:
        voxels = sample(
            voxels, grid.own, grid.file, transform_to_world(node).GetInverse(),
            outside=_outside(voxels),
        )  # fmt: skip
    write_array(voxels, grid.file, path)
    return grid


def write_mask(node: slicer.vtkMRMLLabelMapVolumeNode, path: Path) -> ExportedGrid:
    """As `write_volume`, for a mask: 1 wherever the label map is not 0. Raises `VolumeError`."""
    mask = voxels_of(node) != 0
    grid = exported_grid(node)
    if grid.resampled:
        mask = sample_mask(mask, grid.own, grid.file, transform_to_world(node).GetInverse())
    write_array(mask.astype(np.uint8), grid.file, path)
    return grid


def exported_grid(node: slicer.vtkMRMLScalarVolumeNode) -> ExportedGrid:
    """Where the voxels of a volume would be in a file. Raises `VolumeError`."""
    own, to_world = node_grid(node), transform_to_world(node)
    if min(own.spacing) <= 0 or not np.isfinite(own.ijk_to_ras).all():
        raise VolumeError(f"{node.GetName()} has no voxel size; set its spacing in Volumes")
    try:
        file, resampled = placed(own, to_world)
    except GridError as error:
        raise VolumeError(f"{node.GetName()}: {error}") from error
    return ExportedGrid(own, file, tabulated(to_world, own), resampled)


def voxels_of(node: slicer.vtkMRMLScalarVolumeNode) -> Voxels:
    """The voxels of a volume node (k, j, i), a view. Raises `VolumeError`."""
    image = node.GetImageData()
    scalars = image.GetPointData().GetScalars() if image is not None else None
    # Fewer or more than the size says: it is being exchanged just now.
    if scalars is None or not 0 < image.GetNumberOfPoints() == scalars.GetNumberOfTuples():
        raise VolumeError(f"{node.GetName()} has no voxels; load it again")
    components = image.GetNumberOfScalarComponents()
    if components != 1:
        raise VolumeError(
            f"{node.GetName()} has {components} values a voxel (colour or vector); "
            "choose a plain grey-scale volume"
        )
    voxels: Voxels = slicer.util.arrayFromVolume(node)
    return voxels


def read_labels(path: Path, grid: ExportedGrid) -> npt.NDArray[np.uint8]:
    """A label map that lies on an exported volume's file grid, on the voxels of its node.

    Returns:
        (k, j, i), values as in the file, which has the engine's convention.

    Raises:
        VolumeError: the file cannot be read, or is on another grid.
    """
    labels = _read(path, grid).astype(np.uint8, copy=False)
    if not grid.resampled:
        return labels
    return sample_labels(labels, grid.file, grid.own, grid.to_world)


def read_probabilities(path: Path, grid: ExportedGrid) -> npt.NDArray[np.float32]:
    """As `read_labels`, for probabilities: values 0 to 1, (k, j, i). Raises `VolumeError`."""
    values = _read(path, grid).astype(np.float32, copy=False)
    if not grid.resampled:
        return values
    return sample(values, grid.file, grid.own, grid.to_world)


def read_scan(path: Path, grid: ExportedGrid) -> Voxels:
    """As `read_labels`, for intensities, of the file's own type. Raises `VolumeError`."""
    voxels = _read(path, grid)
    if not grid.resampled:
        return voxels
    return sample(voxels, grid.file, grid.own, grid.to_world, outside=_outside(voxels))


def read_mask(path: Path, grid: ExportedGrid) -> npt.NDArray[np.bool_]:
    """As `read_labels`, for a mask. Raises `VolumeError`."""
    mask = _read(path, grid) != 0
    return sample_mask(mask, grid.file, grid.own, grid.to_world) if grid.resampled else mask


def write_array(voxels: Voxels, grid: Grid, path: Path) -> None:
    """Write an array (k, j, i) on a rectangular grid (RAS) as uncompressed NRRD (LPS)."""
    image = sitk.GetImageFromArray(voxels)
    lps = _RAS_TO_LPS @ grid.ijk_to_ras
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetSpacing(grid.spacing)
    image.SetDirection((lps[:3, :3] / grid.spacing).ravel().tolist())
    sitk.WriteImage(image, str(path), useCompression=False)


def _outside(voxels: Voxels) -> float:
    """What lies around an image: its background, or else its darkest value."""
    value = background(voxels)
    return float(voxels.min()) if value is None else value


def _read(path: Path, grid: ExportedGrid) -> Voxels:
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise VolumeError(f"{path.name} cannot be read; run it again") from error
    if image.GetSize() != grid.file.size:
        raise VolumeError(
            f"{path.name} has {image.GetSize()} voxels where {grid.file.size} were sent; "
            "run it again"
        )
    return sitk.GetArrayFromImage(image)
