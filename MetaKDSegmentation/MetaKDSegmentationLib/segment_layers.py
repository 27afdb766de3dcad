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
    name = _LABELS
    segmentation = node.GetSegmentation()
    if segmentation.GetNumberOfSegments() and not segmentation.ContainsRepresentation(name):
        surfaces, segmentation = segmentation, slicer.vtkSegmentation()
        segmentation.DeepCopy(surfaces)
        segmentation.CreateRepresentation(name)
    for index in range(segmentation.GetNumberOfLayers(name)):
        image = segmentation.GetLayerDataObject(index, name)
        ids = segmentation.GetSegmentIDsForLayer(index, name)
        if image is not None and not image.IsEmpty():
            values = {id_: segmentation.GetSegment(id_).GetLabelValue() for id_ in ids}
            yield Layer(array_of(image), _grid(image), values)


def fingerprint(node: slicer.vtkMRMLSegmentationNode) -> str:
    """Size, middle and spread (RAS, mm) of each segment, as text.

    The same before and after saving, whatever the extent that the voxels are stored in.
    """
    found: dict[str, list[float]] = {}
    segmentation = node.GetSegmentation()
    if not segmentation.ContainsRepresentation(_LABELS):  # surfaces: not worth converting to tell
        for id_ in segmentation.GetSegmentIDs():
            surface = segmentation.GetSegment(id_).GetRepresentation(
                segmentation.GetSourceRepresentationName()
            )
            if surface is not None:
                found[id_] = [surface.GetNumberOfPoints(), *surface.GetBounds()]
        return json.dumps(found, sort_keys=True)
    for layer in layers(node):
        for id_, value in layer.values.items():
            kji = np.argwhere(layer.labels == value)
            if len(kji):
                ras = kji[:, ::-1] @ layer.grid.ijk_to_ras[:3, :3].T + layer.grid.ijk_to_ras[:3, 3]
                figures = [*ras.mean(axis=0), *ras.std(axis=0)]
                found[id_] = [len(ras), *(round(float(figure), 1) for figure in figures)]
    return json.dumps(found, sort_keys=True)


def _grid(image: slicer.vtkOrientedImageData) -> Grid:
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    start = np.eye(4)
    start[:3, 3] = image.GetExtent()[::2]
    i, j, k = image.GetDimensions()
    return Grid((i, j, k), slicer.util.arrayFromVTKMatrix(matrix) @ start)
