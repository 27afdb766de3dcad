"""Grids of voxels in space, and one image sampled on the grid of another.

Coordinates are RAS in mm, as everywhere in Slicer; files are LPS, see `volume_files`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer
import vtk
from vtk.util import numpy_support

Matrix = npt.NDArray[np.floating[Any]]
Indices = npt.NDArray[np.int_]
Voxels = npt.NDArray[Any]

_SQUARE = 1e-4  # cosine between two axes that still counts as a right angle
_STATIONS = 13  # points along an axis at which a transform is looked at
_TABLE_STEP = 3  # voxels between the points where a bending transform is worked out
_LARGEST_GROWTH = 8


class GridError(ValueError):
    """A grid or a transform without a sensible size; one line that says what to do."""


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular grid of voxels.

    Attributes:
        size: voxels along i, j, k.
        ijk_to_ras: 4 × 4, from voxel indices (centres of voxels are whole) to mm.
    """

    size: tuple[int, int, int]
    ijk_to_ras: Matrix

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the array of its voxels: k, j, i."""
        return self.size[::-1]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size along i, j, k in mm."""
        i, j, k = np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def is_rectangular(self) -> bool:
        """Whether the axes stand at right angles: what an image file can say."""
        axes = self.ijk_to_ras[:3, :3] / self.spacing
        return bool(np.abs(axes.T @ axes - np.eye(3)).max() < _SQUARE)

    def is_like(self, other: Grid) -> bool:
        """Whether the voxels are in the same places."""
        same_size = self.size == other.size
        return same_size and bool(np.allclose(self.ijk_to_ras, other.ijk_to_ras, atol=1e-4))

    def moved(self, matrix: Matrix) -> Grid:
        """The grid after a linear transform (4 × 4, RAS to RAS)."""
        return Grid(self.size, matrix @ self.ijk_to_ras)

    def part(self, low: npt.ArrayLike, high: npt.ArrayLike) -> Grid:
        """The voxels from index `low` to before `high` (i, j, k), also beyond the borders."""
        i, j, k = (int(n) for n in np.subtract(high, low))
        start = np.eye(4)
        start[:3, 3] = low
        return Grid((i, j, k), self.ijk_to_ras @ start)


def node_grid(volume: slicer.vtkMRMLVolumeNode) -> Grid:
    """A volume node's own grid, below its parent transform; its size is 0 without voxels."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    image = volume.GetImageData()
    i, j, k = image.GetDimensions() if image else (0, 0, 0)
    return Grid((i, j, k), slicer.util.arrayFromVTKMatrix(matrix))


def transform_to_world(node: slicer.vtkMRMLTransformableNode) -> vtk.vtkAbstractTransform:
    """All parent transforms of a node: RAS of the node → RAS of the world.

    Linear ones, also nested, as a `vtk.vtkTransform` of their own; bending ones stay those of the
    scene and change with it, `tabulated` keeps them as they are.
    """
    parent = node.GetParentTransformNode()
    if parent is None:
        return vtk.vtkTransform()
    if parent.IsTransformToWorldLinear():
        matrix = vtk.vtkMatrix4x4()
        parent.GetMatrixTransformToWorld(matrix)
        return _linear(slicer.util.arrayFromVTKMatrix(matrix))
    bent = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(parent, None, bent)
    return bent


def linear_matrix(transform: vtk.vtkAbstractTransform) -> Matrix | None:
    """The 4 × 4 matrix of a linear transform; `None` for one that bends.

    Raises `GridError` for a matrix that cannot be inverted.
    """
    if not isinstance(transform, vtk.vtkLinearTransform):
        return None
    matrix: Matrix = slicer.util.arrayFromVTKMatrix(transform.GetMatrix())
    if abs(np.linalg.det(matrix)) < 1e-12:
        raise GridError("a parent transform flattens space; remove it")
    return matrix


def joined(*steps: vtk.vtkAbstractTransform) -> vtk.vtkAbstractTransform:
    """The transform that applies these one after the other; linear where all of them are."""
    linear = all(isinstance(step, vtk.vtkLinearTransform) for step in steps)
    whole = vtk.vtkTransform() if linear else vtk.vtkGeneralTransform()
    whole.PostMultiply()
    for step in steps:
        whole.Concatenate(step)
    return whole


def placed(grid: Grid, transform: vtk.vtkAbstractTransform) -> tuple[Grid, bool]:
    """Where a transform puts a grid, and whether its voxels must be sampled anew for that.

    A linear transform that keeps right angles moves the grid; any other needs a covering grid.
    Raises `GridError`.
    """
    matrix = linear_matrix(transform)
    moved = None if matrix is None else grid.moved(matrix)
    if moved is not None and moved.is_rectangular:
        return moved, False
    return _covering_grid(grid, transform), True


def bounds_on(
    target: Grid, grid: Grid, transform: vtk.vtkAbstractTransform
) -> tuple[Indices, Indices]:
    """Which voxels of `target` a grid covers after a transform: first, and after the last.

    Indices i, j, k, also beyond the borders of `target`.
    """
    world = _mapped(grid, transform, _stations(grid))
    inverse = np.linalg.inv(target.ijk_to_ras)
    along = world @ inverse[:3, :3].T + inverse[:3, 3]
    # Whole voxels, those that are touched by less than rounding left out.
    low = np.floor(along.min(axis=0) + 0.5 + _SQUARE).astype(int)
    high = np.ceil(along.max(axis=0) + 0.5 - _SQUARE).astype(int)
    return low, np.maximum(high, low + 1)


def shift_on(lattice: Grid, grid: Grid) -> Indices | None:
    """The index (i, j, k) in `lattice` of the first voxel of `grid`; `None` if voxels differ."""
    between = np.linalg.inv(lattice.ijk_to_ras) @ grid.ijk_to_ras
    shift = np.rint(between[:3, 3]).astype(int)
    between[:3, 3] -= shift
    return shift if np.allclose(between, np.eye(4), atol=_SQUARE) else None


def _covering_grid(grid: Grid, transform: vtk.vtkAbstractTransform) -> Grid:
    """A rectangular grid over all that the transform makes of a grid, its resolution kept.

    The axes are the grid's own as far as the transform lets them be, the voxel size is what the
    transform makes of it in the median. Raises `GridError` where that is out of all proportion.
    """
    indices = _stations(grid)
    steps = [
        _mapped(grid, transform, indices + half) - _mapped(grid, transform, indices - half)
        for half in np.eye(3) / 2
    ]
    spacing = np.array([np.median(np.linalg.norm(step, axis=1)) for step in steps])
    means = np.stack([step.mean(axis=0) for step in steps], axis=1)
    left, _, right = np.linalg.svd(means / spacing)
    axes = left @ right  # the orthogonal matrix nearest to the axes' mean directions
    along = _mapped(grid, transform, indices) @ axes
    low, high = along.min(axis=0), along.max(axis=0)
    count = np.maximum(np.ceil((high - low) / spacing - _SQUARE), 1)
    if not np.isfinite(count).all() or count.prod() > _LARGEST_GROWTH * np.prod(grid.size):
        raise GridError("a parent transform tears it far apart; check that transform")
    matrix = np.eye(4)
    matrix[:3, :3] = axes * spacing
    matrix[:3, 3] = axes @ ((low + high) / 2 - spacing * (count - 1) / 2)
    i, j, k = (int(n) for n in count)
    return Grid((i, j, k), matrix)


def _stations(grid: Grid) -> Matrix:
    """Indices (i, j, k) all over a grid, its borders included; what a bent grid is judged by."""
    along = [np.linspace(-0.5, n - 0.5, _STATIONS) for n in grid.size]
    return np.stack(np.meshgrid(*along, indexing="ij"), axis=-1).reshape(-1, 3)


def sample(
    voxels: Voxels,
    source: Grid,
    target: Grid,
    transform: vtk.vtkAbstractTransform,
    *,
    outside: float = 0.0,
) -> Voxels:
    """An image on another grid, trilinear.

    Args:
        voxels: (k, j, i) on `source`.
        transform: from the RAS of `target` to the RAS of `source`.
        outside: value where the image does not reach.

    Returns:
        (k, j, i) on `target`, of the same type as `voxels`.
    """
    path = joined(
        _linear(target.ijk_to_ras),
        tabulated(transform, target),
        _linear(np.linalg.inv(source.ijk_to_ras)),
    )
    reslice = vtk.vtkImageReslice()
    reslice.SetInputData(image_of(voxels))
    reslice.SetOutputOrigin(0, 0, 0)
    reslice.SetOutputSpacing(1, 1, 1)
    reslice.SetOutputExtent(*(edge for n in target.size for edge in (0, n - 1)))
    reslice.SetResliceTransform(path)
    reslice.SetInterpolationModeToLinear()
    reslice.SetBackgroundLevel(outside)
    reslice.Update()
    return array_of(reslice.GetOutput())


def tabulated(transform: vtk.vtkAbstractTransform, grid: Grid) -> vtk.vtkAbstractTransform:
    """A bending transform as displacements every few voxels of a grid; a linear one as it is.

    It does not follow the original any more, and is fast: working out the inverse of a spline for
    each of nine million voxels takes ten seconds.
    """
    if linear_matrix(transform) is not None or isinstance(transform, vtk.vtkGridTransform):
        return transform
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(grid.size) - 1)
    points = _mapped(grid, vtk.vtkTransform(), corners)
    step = _TABLE_STEP * min(grid.spacing)
    low = points.min(axis=0) - step
    count = np.ceil((points.max(axis=0) + step - low) / step).astype(int)
    table = vtk.vtkTransformToGrid()
    table.SetInput(transform)
    table.SetGridOrigin(*low)
    table.SetGridSpacing(step, step, step)
    table.SetGridExtent(*(int(edge) for n in count for edge in (0, n)))
    table.Update()
    displaced = vtk.vtkGridTransform()
    displaced.SetDisplacementGridData(table.GetOutput())
    return displaced


def image_of(voxels: Voxels) -> vtk.vtkImageData:
    """A VTK image that shares the memory of an array (k, j, i) where that is contiguous."""
    voxels = np.ascontiguousarray(voxels)
    image = vtk.vtkImageData()
    image.SetDimensions(*voxels.shape[::-1])
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(voxels.ravel()))
    return image


def array_of(image: vtk.vtkImageData) -> Voxels:
    """The voxels of a VTK image, (k, j, i); a view."""
    scalars = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    voxels: Voxels = scalars.reshape(image.GetDimensions()[::-1])
    return voxels


def _mapped(grid: Grid, transform: vtk.vtkAbstractTransform, indices: Matrix) -> Matrix:
    points, mapped = vtk.vtkPoints(), vtk.vtkPoints()
    mapped.SetDataTypeToDouble()
    inside = indices @ grid.ijk_to_ras[:3, :3].T + grid.ijk_to_ras[:3, 3]
    points.SetData(numpy_support.numpy_to_vtk(np.ascontiguousarray(inside)))
    transform.TransformPoints(points, mapped)
    ras: Matrix = numpy_support.vtk_to_numpy(mapped.GetData()).copy()
    return ras


def _linear(matrix: Matrix) -> vtk.vtkTransform:
    transform = vtk.vtkTransform()
    transform.SetMatrix(vtk_matrix(matrix))
    return transform


def vtk_matrix(matrix: Matrix) -> vtk.vtkMatrix4x4:
    """A 4 × 4 array as VTK wants it."""
    return slicer.util.vtkMatrixFromArray(matrix)
