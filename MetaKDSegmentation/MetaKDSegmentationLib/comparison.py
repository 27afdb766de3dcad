"""Two segmentations on one grid: as files for the worker to score, and their disagreement.

A region map holds a bit a region: 1 ET, 2 TC, 4 WT. Either segmentation may have any geometry,
lie under any transform, and be anyone's: `segment_roles` says what its segments are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import slicer
import vtk
from metakd.regions import REGIONS, Region

from MetaKDSegmentationLib.grids import (
    Grid,
    GridError,
    Indices,
    bounds_on,
    linear_matrix,
    placed,
    shift_on,
    transform_to_world,
    vtk_matrix,
)
from MetaKDSegmentationLib.label_sampling import bounding_box, first_index, sample_mask
from MetaKDSegmentationLib.segment_layers import Layer, describe_segments, layers
from MetaKDSegmentationLib.segment_roles import Reading, Role, read_roles
from MetaKDSegmentationLib.volume_files import write_array

RegionMap = npt.NDArray[np.uint8]

BITS = {region: 1 << place for place, region in enumerate(REGIONS)}
"""Region → its bit in a region map."""

_BOTH, _OURS, _THEIRS = 1, 2, 3
_DISAGREEMENT = {
    _BOTH: ("in both", (0.45, 0.55, 0.65, 0.5)),
    _OURS: ("only in the segmentation", (0.90, 0.30, 0.20, 1.0)),
    _THEIRS: ("only in the reference", (0.20, 0.50, 0.95, 1.0)),
}
_LARGEST_GROWTH = 8


class ComparisonError(ValueError):
    """Two segmentations that cannot be compared; one line that says what to do."""


@dataclass(frozen=True, eq=False)
class RegionMaps:
    """Two segmentations on one grid.

    Attributes:
        segmentation, reference: their region maps as files.
        ours, theirs: the same as arrays (k, j, i).
        grid: of both, in the world; no larger than the two need.
        regions: those that both tell, in the order ET, TC, WT.
        remark: what was assumed, or left out, in one line; empty where there is nothing to say.
    """

    segmentation: Path
    reference: Path
    ours: RegionMap
    theirs: RegionMap
    grid: Grid
    regions: tuple[Region, ...]
    remark: str


def write_region_maps(
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    reference_node: slicer.vtkMRMLSegmentationNode,
    folder: Path,
) -> RegionMaps:
    """Bring two segmentations onto the first one's grid and write them as region maps.

    The grid is that of the image which the first was made on, cut to where either has anything;
    what lies on another grid is sampled on it.

    Raises:
        ComparisonError: no region that both tell, a transform that cannot be honoured, or too far
            apart to be of one patient.
    """
    nodes = segmentation_node, reference_node
    readings = [read_roles(describe_segments(node)) for node in nodes]
    regions = tuple(region for region in readings[0].regions if region in readings[1].regions)
    if not regions:
        raise ComparisonError(_no_region(nodes, readings))
    try:
        parts = [_parts(node, reading) for node, reading in zip(nodes, readings, strict=True)]
        grid = _common_grid(_image_grid(segmentation_node), [*parts[0], *parts[1]])
    except GridError as error:
        raise ComparisonError(f"the segmentations cannot be compared: {error}") from error
    ours, theirs = (_region_map(of_one, grid) for of_one in parts)
    maps = RegionMaps(
        folder / "segmentation.nrrd", folder / "reference.nrrd",
        ours, theirs, grid, regions, _remark(readings),
    )  # fmt: skip
    write_array(ours, grid, maps.segmentation)
    write_array(theirs, grid, maps.reference)
    return maps


def show_disagreement(
    maps: RegionMaps, node: slicer.vtkMRMLLabelMapVolumeNode | None = None
) -> slicer.vtkMRMLLabelMapVolumeNode:
    """Where the two differ in the largest region that both tell, as a label map in the world.

    1 in both, 2 only in the segmentation, 3 only in the reference.

    Args:
        node: takes the place of what it showed; a new node is made where there is none.
    """
    bit = BITS[maps.regions[-1]]
    ours, theirs = (maps.ours & bit) > 0, (maps.theirs & bit) > 0
    labels = np.zeros(ours.shape, np.uint8)
    labels[ours & theirs], labels[ours & ~theirs], labels[theirs & ~ours] = _BOTH, _OURS, _THEIRS
    if node is None:
        name = slicer.mrmlScene.GenerateUniqueName("Disagreement")
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", name)
    slicer.util.updateVolumeFromArray(node, labels)
    node.SetIJKToRASMatrix(vtk_matrix(maps.grid.ijk_to_ras))
    node.SetAndObserveTransformNodeID(None)
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetAndObserveColorNodeID(_disagreement_colours().GetID())
    return node


@dataclass(frozen=True, eq=False)
class _Part:
    """Region bits of layers that lie on one lattice, cut to where they are not 0."""

    bits: RegionMap
    grid: Grid
    to_world: vtk.vtkAbstractTransform


def _parts(node: slicer.vtkMRMLSegmentationNode, reading: Reading) -> list[_Part]:
    """What a segmentation says of the regions; one part, unless its layers differ in geometry."""
    to_world = transform_to_world(node)
    linear_matrix(to_world)
    lattices: list[tuple[Grid, list[tuple[RegionMap, Indices]]]] = []
    for layer in layers(node):
        bits = _region_bits(layer, reading.roles)
        for lattice, found in lattices:
            shift = shift_on(lattice, layer.grid)
            if shift is not None:
                found.append((bits, shift))
                break
        else:
            lattices.append((layer.grid, [(bits, np.zeros(3, int))]))
    parts = (_united(lattice, found, to_world) for lattice, found in lattices)
    return [part for part in parts if part.bits.size]


def _region_bits(layer: Layer, roles: Mapping[str, Role]) -> RegionMap:
    bits = np.zeros(layer.labels.shape, np.uint8)
    for id_, value in layer.values.items():
        if id_ in roles:
            bits[layer.labels == value] = sum(BITS[region] for region in roles[id_].regions)
    return bits


def _united(
    lattice: Grid, found: list[tuple[RegionMap, Indices]], to_world: vtk.vtkAbstractTransform
) -> _Part:
    low = np.min([shift for _, shift in found], axis=0)
    high = np.max([shift + bits.shape[::-1] for bits, shift in found], axis=0)
    united = np.zeros((high - low)[::-1], np.uint8)
    for bits, shift in found:
        start = (shift - low)[::-1]
        united[tuple(map(slice, start, start + bits.shape))] |= bits
    box = bounding_box(united)
    first, size = low + first_index(box), united[box].shape[::-1]
    return _Part(united[box], lattice.part(first, first + size), to_world)


def _region_map(parts: Iterable[_Part], grid: Grid) -> RegionMap:
    bits = np.zeros(grid.shape, np.uint8)
    for part in parts:
        for bit in BITS.values():
            mask = (part.bits & bit) > 0
            bits[sample_mask(mask, part.grid, grid, part.to_world.GetInverse())] |= bit
    return bits


def _image_grid(node: slicer.vtkMRMLSegmentationNode) -> Grid:
    """Grid in the world of the image that a segmentation was made on."""
    segmentation = node.GetSegmentation()
    text = segmentation.DetermineCommonLabelmapGeometry(
        segmentation.EXTENT_REFERENCE_GEOMETRY, None
    )
    matrix, extent = vtk.vtkMatrix4x4(), [0] * 6
    slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, matrix, extent)
    low, high = np.array(extent[::2]), np.array(extent[1::2]) + 1
    origin = Grid((1, 1, 1), slicer.util.arrayFromVTKMatrix(matrix))
    return placed(origin.part(low, high), transform_to_world(node))[0]


def _common_grid(image: Grid, parts: Iterable[_Part]) -> Grid:
    """The part of the image's grid, beyond its borders too, that holds all parts."""
    bounds = [bounds_on(image, part.grid, part.to_world) for part in parts]
    if not bounds:
        return image.part(np.zeros(3, int), np.ones(3, int))
    # One voxel around, so that surfaces do not touch the border.
    low = np.min([low for low, _ in bounds], axis=0) - 1
    high = np.max([high for _, high in bounds], axis=0) + 1
    if (high - low).prod() > _LARGEST_GROWTH * np.prod(image.size):
        raise GridError("they lie too far apart; are they of one patient?")
    return image.part(low, high)


def _no_region(nodes: Iterable[slicer.vtkMRMLNode], readings: Iterable[Reading]) -> str:
    said = []
    for node, reading in zip(nodes, readings, strict=True):
        told = ", ".join(region.value for region in reading.regions)
        said.append(f"{node.GetName()}: {reading.remark or told or 'no segment of a tumour'}")
    return f"no region of ET, TC, WT can be told from both ({'; '.join(said)})"


def _remark(readings: list[Reading]) -> str:
    ours, theirs = readings
    remarks = [
        f"{name}: {reading.remark}"
        for name, reading in (("segmentation", ours), ("reference", theirs))
        if reading.remark
    ]
    missing = [region.value for region in ours.regions if region not in theirs.regions]
    if missing:
        remarks.append(f"the reference does not tell {', '.join(missing)}")
    return "; ".join(remarks)


def _disagreement_colours() -> slicer.vtkMRMLColorTableNode:
    name = "MetaKDSegmentation disagreement"
    colours = slicer.mrmlScene.GetFirstNode(name, "vtkMRMLColorTableNode")
    if colours is not None:
        return colours
    colours = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", name)
    colours.SetTypeToUser()
    colours.SetNumberOfColors(len(_DISAGREEMENT) + 1)
    colours.SetColor(0, "agreed background", 0, 0, 0, 0)
    for value, (name, rgba) in _DISAGREEMENT.items():
        colours.SetColor(value, name, *rgba)
    return colours
