"""Labels as segments and probabilities as volumes, in the space of the reference volume."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import slicer
import vtk
from metakd.regions import LABELS, REGIONS, region_mask, to_convention
from vtk.util import numpy_support

from MetaKDSegmentationLib.grids import (
    Grid,
    GridError,
    joined,
    node_grid,
    placed,
    transform_to_world,
    vtk_matrix,
)
from MetaKDSegmentationLib.label_sampling import bounding_box, first_index, sample_labels
from MetaKDSegmentationLib.segment_roles import Role
from MetaKDSegmentationLib.terminology import term
from MetaKDSegmentationLib.volume_files import VolumeError

Labels = npt.NDArray[np.uint8]

_TISSUES = tuple(Role(label.short) for label in LABELS)
_NESTED = tuple(Role(region.value) for region in reversed(REGIONS))  # the largest below the others
# What lies outside must let what lies inside be seen, and all of them the scan.
_OPACITY_3D = {Role.NCR: 1.0, Role.ED: 0.25, Role.ET: 1.0, Role.TC: 0.25, Role.WT: 0.15}
_OPACITY_FILL = {Role.NCR: 0.7, Role.ED: 0.5, Role.ET: 0.7, Role.TC: 0.5, Role.WT: 0.4}

_LABEL_TABLE = "MetaKDSegmentation.LabelValues"
_PROBABILITY = "MetaKDSegmentation.Probability."  # + region: role of the volume's node reference
_PROBABILITY_COLOURS = "vtkMRMLColorTableNodeIron"  # black through red to white
_SHOWN_FROM = 0.05  # lower probabilities are transparent over the scan


def show_segmentation(
    labels: Labels,
    reference_node: slicer.vtkMRMLScalarVolumeNode,
    segmentation_node: slicer.vtkMRMLSegmentationNode,
    *,
    overlapping: bool,
    convention: str,
) -> None:
    """Put a label map into a segmentation node and show it on slices and in 3D.

    This module's segments of an earlier run are replaced, all others stay where they are. Every
    tissue or region has a segment, an absent one an empty segment.

    Args:
        labels: on the voxels of the reference node (k, j, i), values of the engine's convention.
        overlapping: ET, TC and WT, a layer each, instead of NCR, ED and ET in one layer.
        convention: whose label values the segments have in files and exported label maps.

    Raises:
        VolumeError: the node holds surfaces of someone else's, to which labels cannot be added, or
            lies under a transform that cannot be honoured; nothing has changed.
    """
    segmentation = segmentation_node.GetSegmentation()
    own = {role.segment_id for role in Role} & set(segmentation.GetSegmentIDs())
    grid = node_grid(reference_node)
    if len(own) < segmentation.GetNumberOfSegments():
        _refuse_surfaces(segmentation_node)
        labels, grid = _beside_others(labels, reference_node, segmentation_node)
    for id_ in own:
        segmentation.RemoveSegment(id_)
    if not segmentation.GetNumberOfSegments():
        segmentation_node.SetAndObserveTransformNodeID(reference_node.GetTransformNodeID())
        segmentation.SetSourceRepresentationName(_labelmap_name())
    segmentation_node.CreateDefaultDisplayNodes()
    segmentation_node.SetReferenceImageGeometryParameterFromVolumeNode(reference_node)
    _add_segments(segmentation_node, labels, grid, overlapping=overlapping, convention=convention)
    if not overlapping:
        _offer_label_values(segmentation_node, convention)
    place_beside(reference_node, segmentation_node)
    segmentation_node.CreateClosedSurfaceRepresentation()


def show_probabilities(
    values: Mapping[str, npt.NDArray[np.float32]],
    reference_node: slicer.vtkMRMLScalarVolumeNode,
    segmentation_node: slicer.vtkMRMLSegmentationNode,
) -> dict[str, slicer.vtkMRMLScalarVolumeNode]:
    """Show the regions' probabilities (0 to 1) as volumes that belong to a segmentation.

    Those of an earlier run of the same segmentation are replaced; without values they are removed.

    Args:
        values: region name → on the voxels of the reference node (k, j, i).

    Returns:
        Region name → volume node.
    """
    for role in Role:
        old = segmentation_node.GetNodeReference(_PROBABILITY + role.value)
        if old is not None and role.value not in values:
            slicer.mrmlScene.RemoveNode(old)
    return {
        name: _show_probability(name, array, reference_node, segmentation_node)
        for name, array in values.items()
    }


def place_beside(reference_node: slicer.vtkMRMLNode, node: slicer.vtkMRMLNode) -> None:
    """Below the same study as the reference, as DICOM export needs it."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    reference_item = hierarchy.GetItemByDataNode(reference_node)
    parent = hierarchy.GetItemParent(reference_item) if reference_item else 0
    item = hierarchy.GetItemByDataNode(node)
    if not item:
        hierarchy.CreateItem(parent or hierarchy.GetSceneItemID(), node)
    elif parent:
        hierarchy.SetItemParent(item, parent)


def _refuse_surfaces(node: slicer.vtkMRMLSegmentationNode) -> None:
    if node.GetSegmentation().GetSourceRepresentationName() != _labelmap_name():
        raise VolumeError(
            f"{node.GetName()} holds surfaces, to which labels cannot be added; "
            "choose a new segmentation"
        )


def _beside_others(
    labels: Labels, reference_node: slicer.vtkMRMLNode, segmentation_node: slicer.vtkMRMLNode
) -> tuple[Labels, Grid]:
    """The labels below the parent transform that the node's other segments stay under."""
    grid = node_grid(reference_node)
    if reference_node.GetTransformNodeID() == segmentation_node.GetTransformNodeID():
        return labels, grid
    between = joined(
        transform_to_world(reference_node), transform_to_world(segmentation_node).GetInverse()
    )
    try:
        target, resampled = placed(grid, between)
    except GridError as error:
        raise VolumeError(f"{segmentation_node.GetName()}: {error}") from error
    if resampled:
        labels = sample_labels(labels, grid, target, between.GetInverse())
    return labels, target


def _add_segments(
    node: slicer.vtkMRMLSegmentationNode,
    labels: Labels,
    grid: Grid,
    *,
    overlapping: bool,
    convention: str,
) -> None:
    box = bounding_box(labels)
    cropped, first = labels[box], first_index(box)
    if overlapping:
        masks = {Role(region.value): region_mask(cropped, region) for region in REGIONS}
        layers = {role: (_layer(masks[role].astype(np.uint8), first, grid), 1) for role in _NESTED}
    else:
        shared = _layer(to_convention(cropped, convention), first, grid)
        layers = {role: (shared, value) for role, value in _label_values(convention).items()}
    for role, (image, value) in layers.items():
        segment = slicer.vtkSegment()
        segment.SetName(term(role).name)
        segment.SetColor(*term(role).rgb)
        segment.SetTag(segment.GetTerminologyEntryTagName(), term(role).entry)
        segment.SetLabelValue(value)
        segment.AddRepresentation(_labelmap_name(), image)
        node.GetSegmentation().AddSegment(segment, role.segment_id)
        display = node.GetDisplayNode()
        display.SetSegmentOpacity3D(role.segment_id, _OPACITY_3D[role])
        display.SetSegmentOpacity2DFill(role.segment_id, _OPACITY_FILL[role])


def _label_values(convention: str) -> dict[Role, int]:
    values = to_convention(np.array([label.value for label in LABELS], np.uint8), convention)
    return {role: int(value) for role, value in zip(_TISSUES, values, strict=True)}


def _offer_label_values(node: slicer.vtkMRMLSegmentationNode, convention: str) -> None:
    """The colour table from which an export to a label map can take the values.

    Without it Slicer numbers what it exports from 1 on.
    """
    table = node.GetLabelmapConversionColorTableNode()
    if table is None:
        table = slicer.mrmlScene.AddNewNodeByClass(
            "vtkMRMLColorTableNode", f"{node.GetName()} label values"
        )
        table.SetAttribute(_LABEL_TABLE, "1")
        node.SetLabelmapConversionColorTableNodeID(table.GetID())
    elif not table.GetAttribute(_LABEL_TABLE):
        return  # the user's own
    values = _label_values(convention)
    table.SetTypeToUser()
    table.SetNumberOfColors(0)  # forget the names at other values
    table.SetNumberOfColors(max(values.values()) + 1)
    for role, value in values.items():
        table.SetColor(value, term(role).name, *term(role).rgb, 1.0)


def _layer(voxels: Labels, first: tuple[int, ...], grid: Grid) -> slicer.vtkOrientedImageData:
    """An image of the voxels (k, j, i), the first of which has the index `first` (i, j, k)."""
    image = slicer.vtkOrientedImageData()
    edges = zip(first, voxels.shape[::-1], strict=True)
    image.SetExtent(*(edge for start, n in edges for edge in (start, start + n - 1)))
    if voxels.size:
        scalars = numpy_support.numpy_to_vtk(voxels.ravel(), deep=True)
        image.GetPointData().SetScalars(scalars)
    else:
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    image.SetGeometryFromImageToWorldMatrix(vtk_matrix(grid.ijk_to_ras))
    return image


def _show_probability(
    name: str,
    values: npt.NDArray[np.float32],
    reference_node: slicer.vtkMRMLScalarVolumeNode,
    segmentation_node: slicer.vtkMRMLSegmentationNode,
) -> slicer.vtkMRMLScalarVolumeNode:
    node = segmentation_node.GetNodeReference(_PROBABILITY + name)
    if node is None:
        title = f"{segmentation_node.GetName()} {name} probability"
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", title)
        segmentation_node.SetNodeReferenceID(_PROBABILITY + name, node.GetID())
    slicer.util.updateVolumeFromArray(node, values)
    node.SetIJKToRASMatrix(vtk_matrix(node_grid(reference_node).ijk_to_ras))
    node.SetAndObserveTransformNodeID(reference_node.GetTransformNodeID())
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(_PROBABILITY_COLOURS)
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0, 1)
    display.SetThreshold(_SHOWN_FROM, 1)
    display.SetApplyThreshold(True)
    place_beside(reference_node, node)
    return node


def _labelmap_name() -> str:
    return str(slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName())
