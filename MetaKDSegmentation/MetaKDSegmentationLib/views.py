"""The slice views: the reference in them, the tumour in the middle. Positions are RAS, mm."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
import slicer

from MetaKDSegmentationLib.grids import Grid, node_grid, transform_to_world
from MetaKDSegmentationLib.label_sampling import bounding_box, first_index
from MetaKDSegmentationLib.segment_layers import layers
from MetaKDSegmentationLib.segment_roles import Role

Position = tuple[float, float, float]


def show_tumour(
    labels: npt.NDArray[np.uint8], reference_node: slicer.vtkMRMLScalarVolumeNode
) -> None:
    """Show the reference in all slice views, cut where the tumour is.

    Args:
        labels: on the voxels of the reference node (k, j, i), 0 outside the tumour. Without a
            tumour the slices stay where they are.
    """
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        composite.SetBackgroundVolumeID(reference_node.GetID())
    _jump_to(tumour_centre(labels, node_grid(reference_node)), reference_node)


def centre_on(segmentation_node: slicer.vtkMRMLSegmentationNode) -> None:
    """Cut the slice views where the tumour of this module's segments is, as it is now."""
    own = {role.segment_id for role in Role}
    tumours = [
        (np.isin(layer.labels, [v for id_, v in layer.values.items() if id_ in own]), layer.grid)
        for layer in layers(segmentation_node)
        if own & set(layer.values)
    ]
    if tumours:
        mask, grid = max(tumours, key=lambda tumour: np.count_nonzero(tumour[0]))
        _jump_to(tumour_centre(mask, grid), segmentation_node)


def tumour_centre(mask: npt.NDArray[np.generic], grid: Grid) -> Position | None:
    """The middle of the largest connected component of what is not 0.

    The voxel of the component nearest to its centre of gravity, so that it is within it.

    Args:
        mask: (k, j, i) on `grid`.

    Returns:
        RAS in the space of `grid`; `None` where all is 0.
    """
    box = bounding_box(mask)
    cropped = (mask[box] != 0).astype(np.uint8)
    if not cropped.size:
        return None
    parts = sitk.ConnectedComponent(sitk.GetImageFromArray(cropped), True)
    components = sitk.GetArrayFromImage(parts)
    largest = np.bincount(components.ravel())[1:].argmax() + 1
    inside = np.argwhere(components == largest)
    nearest = inside[np.linalg.norm(inside - inside.mean(axis=0), axis=1).argmin()]
    r, a, s = (grid.ijk_to_ras @ [*(first_index(box) + nearest[::-1]), 1])[:3]
    return float(r), float(a), float(s)


def _jump_to(position: Position | None, node: slicer.vtkMRMLTransformableNode) -> None:
    """Centre all slice views on a position in the space of a node, below its transforms."""
    if position is not None:
        world = transform_to_world(node).TransformPoint(position)
        slicer.vtkMRMLSliceNode.JumpAllSlices(
            slicer.mrmlScene, *world, slicer.vtkMRMLSliceNode.CenteredJumpSlice
        )
