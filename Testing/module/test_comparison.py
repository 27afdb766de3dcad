"""Two segmentations on one grid, whatever they are and wherever they lie."""

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from metakd.regions import REGIONS, Region, region_mask

from MetaKDSegmentationLib.comparison import (
    BITS,
    ComparisonError,
    show_disagreement,
    write_region_maps,
)

TURNED = np.array([[0.6, 0, 0.8, 3], [0, 1, 0, -4], [-0.8, 0, 0.6, 5], [0, 0, 0, 1]])
STRETCHED = np.diag([2.0, 2, 2, 1])


@pytest.fixture
def add_reference(scene):
    """`add_reference(masks, volume)`: someone else's segmentation; masks by name."""

    def add(masks, volume, name="Expert"):
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
        for segment, mask in masks.items():
            id_ = node.GetSegmentation().AddEmptySegment("", segment)
            slicer.util.updateSegmentBinaryLabelmapFromArray(
                mask.astype(np.uint8), node, id_, volume
            )
        return node

    return add


def tissues(labels):
    return {"necrosis": labels == 1, "edema": labels == 2, "enhancing tumor": labels == 3}


def dice(maps, region):
    ours, theirs = (m & BITS[region] > 0 for m in (maps.ours, maps.theirs))
    return 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum())


@pytest.mark.parametrize("overlapping", [False, True])
def test_the_same_labels_agree_whole(
    add_volume, add_segmentation, add_reference, tumour, tmp_path, overlapping
):
    volume = add_volume()
    ours = add_segmentation(tumour, volume, overlapping=overlapping)
    maps = write_region_maps(ours, add_reference(tissues(tumour), volume), tmp_path)
    assert maps.regions == REGIONS
    assert maps.remark == ""
    np.testing.assert_array_equal(maps.ours, maps.theirs)
    for region in REGIONS:
        assert (maps.ours & BITS[region] > 0).sum() == region_mask(tumour, region).sum()


def test_the_files_hold_what_the_worker_compares(
    add_volume, add_segmentation, add_reference, add_transform, world_of, tumour, tmp_path
):
    volume = add_volume(parent=add_transform(TURNED @ STRETCHED))
    ours = add_segmentation(tumour, volume)
    maps = write_region_maps(ours, add_reference({"WT": tumour > 0}, volume), tmp_path)
    images = [sitk.ReadImage(str(path)) for path in (maps.segmentation, maps.reference)]
    for image, array in zip(images, (maps.ours, maps.theirs), strict=True):
        assert image.GetPixelID() == sitk.sitkUInt8
        assert image.GetSpacing() == pytest.approx((2, 2, 2))  # mm of the world
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), array)
    enhancing = np.argwhere(sitk.GetArrayFromImage(images[0]) & BITS[Region.ET]).mean(axis=0)
    point = images[0].TransformContinuousIndexToPhysicalPoint(enhancing[::-1].tolist())
    expected = np.mean([world_of(volume, p[::-1]) for p in np.argwhere(tumour == 3)], axis=0)
    np.testing.assert_allclose(np.array(point) * (-1, -1, 1), expected, atol=1e-4)


def test_transforms_on_either_side_are_honoured(
    add_volume, add_segmentation, add_reference, add_transform, add_thin_plate, tmp_path
):
    # Balls: the flat sides of a box jump by whole voxels when it is turned a little.
    k, j, i = np.indices((40, 48, 56))
    apart = np.sqrt((k - 20.2) ** 2 + (j - 23.7) ** 2 + (i - 28.1) ** 2)
    labels = np.where(apart < 14, 2, 0).astype(np.uint8)
    labels[apart < 8] = 3
    half = np.diag([-0.5, -0.5, 0.5, 1])
    for parent in (add_transform(TURNED), add_thin_plate(), add_thin_plate((1, 2, 1))):
        moved = add_volume(labels, half, parent=parent, name="moved")
        straight = add_volume(labels, half, name="straight")
        # The same place in the world: once under the transform, once hardened by Slicer.
        under = add_reference(tissues(labels), moved)
        hardened = add_reference(tissues(labels), moved)
        hardened.HardenTransform()
        assert hardened.GetParentTransformNode() is None
        for one, other in ((under, hardened), (hardened, under)):
            maps = write_region_maps(one, other, tmp_path)
            for region in REGIONS:
                assert dice(maps, region) > 0.94
        maps = write_region_maps(add_segmentation(labels, straight), under, tmp_path)
        assert dice(maps, Region.ET) < 0.8


def test_a_reference_on_another_grid_and_beyond_the_image(
    add_volume, add_segmentation, add_reference, tmp_path
):
    labels = np.zeros((10, 12, 14), np.uint8)
    labels[2:8, 2:10, 2:8] = 2
    labels[4:6, 4:6, 4:6] = 3
    ours = add_segmentation(labels, add_volume())
    fine = np.zeros((40, 48, 80), np.float32)
    half = np.diag([-0.5, -0.5, 0.5, 1])
    half[:3, 3] = 6.25, 0.25, -0.25  # begins 6 voxels of 1 mm before the image
    whole = np.zeros(fine.shape, bool)
    whole[4:16, 4:20, 4:60] = True  # as ours, and beyond the image on both sides: 28 voxels
    theirs = add_reference({"whole tumor": whole}, add_volume(fine, half, name="fine"))
    maps = write_region_maps(ours, theirs, tmp_path)
    assert maps.regions == (Region.WT,)
    assert (maps.ours & 4 > 0).sum() == 6 * 8 * 6
    assert (maps.theirs & 4 > 0).sum() == 6 * 8 * 28
    assert dice(maps, Region.WT) == pytest.approx(2 * 288 / (288 + 1344))
    assert maps.remark == "the reference does not tell ET, TC"


def test_an_imported_label_map_without_names(scene, add_volume, add_segmentation, tumour, tmp_path):
    volume = add_volume()
    labels = tumour.copy()
    labels[tumour == 3] = 4
    image = sitk.GetImageFromArray(labels)
    sitk.WriteImage(image, str(tmp_path / "expert.nii.gz"))
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "expert")
    node.AddDefaultStorageNode()
    node.GetStorageNode().SetFileName(str(tmp_path / "expert.nii.gz"))
    node.GetStorageNode().ReadData(node)
    maps = write_region_maps(add_segmentation(tumour, volume), node, tmp_path)
    assert maps.regions == REGIONS
    assert "1 NCR, 2 ED, 4 ET" in maps.remark
    np.testing.assert_array_equal(maps.ours, maps.theirs)


def test_surfaces_can_be_a_reference(scene, add_volume, add_segmentation, tmp_path):
    volume = add_volume(np.zeros((40, 40, 40), np.float32))
    k, j, i = np.indices((40, 40, 40))
    ball = ((k - 20) ** 2 + (j - 20) ** 2 + (i - 20) ** 2 < 144).astype(np.uint8)
    sphere = vtk.vtkSphereSource()
    sphere.SetCenter(-20, -20, 20)
    sphere.SetRadius(12)
    sphere.SetThetaResolution(40)
    sphere.SetPhiResolution(40)
    sphere.Update()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "contours")
    node.AddSegmentFromClosedSurfaceRepresentation(sphere.GetOutput(), "GTV")
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    maps = write_region_maps(add_segmentation(2 * ball, volume), node, tmp_path)
    assert dice(maps, Region.WT) > 0.95


def test_nothing_in_common(add_volume, add_segmentation, add_reference, tumour, tmp_path):
    volume = add_volume()
    ours = add_segmentation(tumour, volume)
    theirs = add_reference({"liver": tumour > 0}, volume)
    with pytest.raises(ComparisonError, match=r"Expert: 'liver' not understood: name NCR"):
        write_region_maps(ours, theirs, tmp_path)
    empty = add_reference({}, volume, name="Empty")
    with pytest.raises(ComparisonError, match="Empty: no segment of a tumour"):
        write_region_maps(ours, empty, tmp_path)


def test_two_patients(add_volume, add_segmentation, add_reference, add_transform, tumour, tmp_path):
    far = np.eye(4)
    far[:3, 3] = 2000, 2000, 2000
    ours = add_segmentation(tumour, add_volume())
    theirs = add_reference({"WT": tumour > 0}, add_volume(parent=add_transform(far)))
    with pytest.raises(ComparisonError, match="too far apart"):
        write_region_maps(ours, theirs, tmp_path)


def test_no_tumour_on_either_side(add_volume, add_segmentation, add_reference, tumour, tmp_path):
    volume, nothing = add_volume(), np.zeros_like(tumour)
    ours = add_segmentation(nothing, volume)
    maps = write_region_maps(ours, add_reference({"WT": nothing}, volume), tmp_path)
    assert not maps.ours.any()
    assert not maps.theirs.any()


def test_disagreement(
    add_volume, add_segmentation, add_reference, add_transform, world_of, tumour, tmp_path
):
    volume = add_volume(parent=add_transform(TURNED))
    other = np.roll(tumour, 2, axis=2)
    ours, theirs = add_segmentation(tumour, volume), add_reference(tissues(other), volume)
    node = show_disagreement(write_region_maps(ours, theirs, tmp_path))
    shown = slicer.util.arrayFromVolume(node)
    counts = [int((shown == value).sum()) for value in (1, 2, 3)]
    one, two = tumour > 0, other > 0
    assert counts == [(one & two).sum(), (one & ~two).sum(), (two & ~one).sum()]
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    only_ours = np.argwhere(shown == 2).mean(axis=0)
    place = matrix.MultiplyPoint([*only_ours[::-1], 1])[:3]
    expected = np.mean([world_of(volume, p[::-1]) for p in np.argwhere(one & ~two)], axis=0)
    np.testing.assert_allclose(place, expected, atol=1e-6)
    colours = node.GetDisplayNode().GetColorNode()
    assert colours.GetColorName(2) == "only in the segmentation"

    again = show_disagreement(write_region_maps(ours, ours, tmp_path), node)
    assert again is node
    assert set(np.unique(slicer.util.arrayFromVolume(node))) == {0, 1}
    assert node.GetDisplayNode().GetColorNode() is colours
