"""Reading segmentations of anyone's."""

import numpy as np
import pytest
import slicer
import vtk

from MetaKDSegmentationLib.segment_layers import describe_segments, layers
from MetaKDSegmentationLib.segment_roles import Role


def test_descriptions(add_volume, add_segmentation, tumour):
    node = add_segmentation(tumour, add_volume(), convention="brats2018")
    described = describe_segments(node)
    assert [segment.id for segment in described] == [
        role.segment_id for role in (Role.NCR, Role.ED, Role.ET)
    ]
    assert [segment.value for segment in described] == [1, 2, 4]
    assert [segment.code for segment in described] == ["6574001", "79654002", "86049000"]


def test_layers_know_where_they_are(add_volume, add_segmentation, tumour):
    node = add_segmentation(tumour, add_volume(), overlapping=True)
    found = {id_: layer for layer in layers(node) for id_ in layer.values}
    layer = found[Role.ET.segment_id]
    # Cut to the tumour, whose first voxel is (3, 3, 2); axes to the left and to the back.
    np.testing.assert_allclose(layer.grid.ijk_to_ras[:3, 3], (-3, -3, 2))
    mask = layer.labels == layer.values[Role.ET.segment_id]
    np.testing.assert_array_equal(mask, tumour[2:8, 3:10, 3:12] == 3)


def test_surfaces_are_read_and_left_as_they_are(scene, add_volume):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.SetReferenceImageGeometryParameterFromVolumeNode(add_volume())
    sphere = vtk.vtkSphereSource()
    sphere.SetCenter(-7, -6, 5)
    sphere.SetRadius(3)
    sphere.SetThetaResolution(40)
    sphere.SetPhiResolution(40)
    sphere.Update()
    node.AddSegmentFromClosedSurfaceRepresentation(sphere.GetOutput(), "whole tumour")
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    (layer,) = layers(node)
    volume = np.count_nonzero(layer.labels)
    assert volume == pytest.approx(4 / 3 * np.pi * 27, rel=0.2)
    assert not node.GetSegmentation().ContainsRepresentation("Binary labelmap")


def test_empty(scene, add_volume, add_segmentation, tumour):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert list(layers(node)) == []
    node.GetSegmentation().AddEmptySegment("a")
    assert list(layers(node)) == []
    add_segmentation(np.zeros_like(tumour), add_volume(), node=node)
    assert list(layers(node)) == []
    assert slicer.mrmlScene is scene
