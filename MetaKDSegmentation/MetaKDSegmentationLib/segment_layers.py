"""What is in a segmentation node: its segments' descriptions, and their voxels layer by layer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import slicer
import vtk

from MetaKDSegmentationLib.grids import Grid, Voxels, array_of
from MetaKDSegmentationLib.segment_roles import Segment
from MetaKDSegmentationLib.terminology import type_code

_LABELS = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()


@dataclass(frozen=True, eq=False)
class Layer:
    """Segments that share one label map because they do not overlap.

    Attributes:
        labels: (k, j, i); covers the segments, often not the whole volume.
        grid: of `labels`, below the node's parent transform.
        values: segment id → its value in `labels`.
    """

    labels: Voxels
    grid: Grid
    values: Mapping[str, int]


def describe_segments(node: slicer.vtkMRMLSegmentationNode) -> list[Segment]:
    """What each segment says of itself, in the node's order."""
    segmentation = node.GetSegmentation()
    described = []
    for id_ in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(id_)
        entry = vtk.reference("")
        segment.GetTag(segment.GetTerminologyEntryTagName(), entry)
        code = type_code(str(entry))
        described.append(Segment(id_, segment.GetName(), code, segment.GetLabelValue()))
    return described


def layers(node: slicer.vtkMRMLSegmentationNode) -> Iterator[Layer]:
    """The label maps of a segmentation that are not empty.

    Where the segments are surfaces, a copy of them is made into label maps; the node stays as it
    is.
    """
    segmentation = node.GetSegmentation()
    if segmentation.GetNumberOfSegments() and not segmentation.ContainsRepresentation(_LABELS):
        surfaces, segmentation = segmentation, slicer.vtkSegmentation()
        segmentation.DeepCopy(surfaces)
        segmentation.CreateRepresentation(_LABELS)
    for index in range(segmentation.GetNumberOfLayers(_LABELS)):
        image = segmentation.GetLayerDataObject(index, _LABELS)
        ids = segmentation.GetSegmentIDsForLayer(index, _LABELS)
        if image is not None and not image.IsEmpty():
            values = {id_: segmentation.GetSegment(id_).GetLabelValue() for id_ in ids}
            yield Layer(array_of(image), _grid(image), values)


def fingerprint(node: slicer.vtkMRMLSegmentationNode) -> str:
    """Size, middle and spread (RAS, mm) of each segment, as text; of surfaces, points and bounds.

    The same before and after saving, whatever the extent that the voxels are stored in.
    """
    has_labels = node.GetSegmentation().ContainsRepresentation(_LABELS)
    # Surfaces are not converted: that takes seconds, and this is asked at every change.
    found = _voxel_figures(node) if has_labels else _surface_figures(node)
    return json.dumps(found, sort_keys=True)


def _voxel_figures(node: slicer.vtkMRMLSegmentationNode) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for layer in layers(node):
        for id_, value in layer.values.items():
            kji = np.argwhere(layer.labels == value)
            if len(kji):
                ras = kji[:, ::-1] @ layer.grid.ijk_to_ras[:3, :3].T + layer.grid.ijk_to_ras[:3, 3]
                figures = [*ras.mean(axis=0), *ras.std(axis=0)]
                found[id_] = [len(ras), *(round(float(figure), 1) for figure in figures)]
    return found


def _surface_figures(node: slicer.vtkMRMLSegmentationNode) -> dict[str, list[float]]:
    segmentation = node.GetSegmentation()
    kind = segmentation.GetSourceRepresentationName()
    surfaces = {
        id_: segmentation.GetSegment(id_).GetRepresentation(kind)
        for id_ in segmentation.GetSegmentIDs()
    }
    return {
        id_: [surface.GetNumberOfPoints(), *surface.GetBounds()]
        for id_, surface in surfaces.items()
        if surface is not None
    }


def _grid(image: slicer.vtkOrientedImageData) -> Grid:
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    start = np.eye(4)
    start[:3, 3] = image.GetExtent()[::2]
    i, j, k = image.GetDimensions()
    return Grid((i, j, k), slicer.util.arrayFromVTKMatrix(matrix) @ start)
