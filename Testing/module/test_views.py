"""Where the slice views look after a run."""

import numpy as np
import pytest
import slicer

from MetaKDSegmentationLib.grids import Grid
from MetaKDSegmentationLib.views import centre_on, show_tumour, tumour_centre

OBLIQUE = np.array([[0, -0.9, 1.2, 5], [-1.8, 0, 0, 9], [0, 1.2, 0.9, -7], [0, 0, 0, 1.0]])


def slice_nodes():
    return slicer.util.getNodesByClass("vtkMRMLSliceNode")


def assert_looking_at(position):
    for node in slice_nodes():
        matrix = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())
        np.testing.assert_allclose(matrix[:3, 3], position, atol=1e-4)


@pytest.mark.parametrize("kind", ["none", "linear", "bent"])
def test_the_views_are_centred_on_the_tumour_in_the_world(
    add_volume, add_transform, add_thin_plate, add_segmentation, world_of, kind
):
    parent = None
    if kind != "none":
        parent = add_transform(np.diag([-1.0, 1, 2, 1]))
    if kind == "bent":
        parent = add_thin_plate(parent=parent)
    reference = add_volume(ijk_to_ras=OBLIQUE, parent=parent)
    labels = np.zeros((10, 12, 14), np.uint8)
    labels[3:8, 5:8, 2:5] = 2
    labels[9, 11, 13] = 3  # a stray voxel
    show_tumour(labels, reference)
    assert_looking_at(world_of(reference, (3, 6, 5)))
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        assert composite.GetBackgroundVolumeID() == reference.GetID()

    for overlapping in (False, True):
        node = add_segmentation(labels, reference, overlapping=overlapping)
        slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, 100, 100, 100)
        centre_on(node)
        assert_looking_at(world_of(reference, (3, 6, 5)))


def test_centring_looks_at_our_segments_alone(add_volume, add_segmentation, world_of):
    reference = add_volume()
    labels = np.zeros((10, 12, 14), np.uint8)
    labels[2, 3, 4] = 3
    node = add_segmentation(labels, reference)
    node.GetSegmentation().AddEmptySegment("brain", "brain")
    slicer.util.updateSegmentBinaryLabelmapFromArray(np.ones_like(labels), node, "brain", reference)
    centre_on(node)
    assert_looking_at(world_of(reference, (4, 3, 2)))


def test_without_tumour_the_slices_stay(add_volume, add_segmentation):
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, 1, 2, 3)
    before = [node.GetSliceOffset() for node in slice_nodes()]
    reference = add_volume()
    labels = np.zeros((10, 12, 14), np.uint8)
    show_tumour(labels, reference)
    centre_on(add_segmentation(labels, reference))
    assert [node.GetSliceOffset() for node in slice_nodes()] == before


def test_the_centre_is_within_a_hollow_tumour():
    ring = np.zeros((5, 20, 20), np.uint8)
    ring[2, 3:17, 3:17] = 1
    ring[2, 6:14, 6:14] = 0
    r, a, s = tumour_centre(ring, Grid((20, 20, 5), np.eye(4)))
    assert ring[int(s), int(a), int(r)] == 1
