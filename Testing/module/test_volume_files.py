"""Volumes to files and labels back: every orientation, every kind of parent transform."""

from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk

from MetaKDSegmentationLib.volume_files import (
    VolumeError,
    read_labels,
    read_mask,
    read_probabilities,
    read_scan,
    write_mask,
    write_volume,
)

MARK = (3, 7, 5)  # i, j, k of one bright voxel, off every plane of symmetry
BENT = "bent"
ROTATED = np.array([[0.8, -0.6, 0, 3], [0.6, 0.8, 0, -4], [0, 0, 1, 5], [0, 0, 0, 1]])
MIRRORED = np.diag([-1.0, 1, 1, 1])
SCALED = np.diag([2.0, 2, 2, 1])
SHEARED = np.array([[1, 0.3, 0, 1], [0, 1, 0, 2], [0, 0.1, 1, 3], [0, 0, 0, 1]])


def axis_orientations():
    """The 48 ways in which i, j, k can run along the axes of the body; 1, 2 and 3 mm voxels."""
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        matrix = np.eye(4)
        matrix[:3, :3] = 0
        for column, (row, sign) in enumerate(zip(order, signs, strict=True)):
            matrix[row, column] = sign * (1.0, 2.0, 3.0)[column]
        matrix[:3, 3] = 10, -20, 30
        yield matrix


@pytest.fixture
def marked():
    voxels = np.zeros((10, 12, 14), np.int16)
    voxels[MARK[::-1]] = 1000
    return voxels


@pytest.fixture
def blob():
    """A smooth bright spot, so that its place can be told to a fraction of a voxel."""
    k, j, i = np.indices((20, 24, 28))
    return bright_spot(i, j, k).astype(np.float32)


@pytest.fixture
def return_labels(tmp_path):
    """Do what the worker does: labels on the grid of the file, by a threshold of its voxels."""

    def labels(source, threshold):
        image = sitk.ReadImage(str(source))
        path = tmp_path / "seg.nrrd"
        sitk.WriteImage(sitk.Cast(image > threshold, sitk.sitkUInt8), str(path))
        return path

    return labels


def bright_spot(i, j, k):
    return 100 * np.exp(-((i - 12.3) ** 2 + (j - 11.8) ** 2 + (k - 9.4) ** 2) / 30)


def world_position(path):
    """Of the brightest voxel in a file, in RAS of the world."""
    image = sitk.ReadImage(str(path))
    voxels = sitk.GetArrayFromImage(image)
    index = np.unravel_index(voxels.argmax(), voxels.shape)[::-1]
    left, posterior, superior = image.TransformIndexToPhysicalPoint([int(n) for n in index])
    return np.array([-left, -posterior, superior])


def world_samples(path):
    """Position (RAS) and value of every 17th bright voxel of a file."""
    image = sitk.ReadImage(str(path))
    voxels = sitk.GetArrayFromImage(image)
    for k, j, i in np.argwhere(voxels > 20)[::17].tolist():
        left, posterior, superior = image.TransformIndexToPhysicalPoint([i, j, k])
        yield (-left, -posterior, superior), voxels[k, j, i]


@pytest.mark.parametrize("ijk_to_ras", list(axis_orientations()))
@pytest.mark.parametrize("parent", [None, ROTATED, MIRRORED])
def test_every_orientation(
    add_volume, add_transform, world_of, return_labels, marked, tmp_path, ijk_to_ras, parent
):
    parent = None if parent is None else add_transform(parent)
    node = add_volume(marked, ijk_to_ras, parent=parent)
    path = tmp_path / "t1c.nrrd"
    grid = write_volume(node, path)
    assert not grid.resampled
    np.testing.assert_allclose(world_position(path), world_of(node, MARK), atol=1e-6)
    np.testing.assert_array_equal(read_labels(return_labels(path, 500), grid), marked > 500)


def test_voxels_and_their_type_are_untouched(add_volume, tmp_path):
    rng = np.random.default_rng(0)
    for kind in (np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64):
        voxels = (rng.random((4, 5, 6)) * 200).astype(kind)
        write_volume(add_volume(voxels), tmp_path / "t1.nrrd")
        image = sitk.ReadImage(str(tmp_path / "t1.nrrd"))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), voxels)
        assert sitk.GetArrayFromImage(image).dtype == kind


def test_the_file_says_nothing_but_voxels_and_geometry(add_volume, marked, tmp_path):
    node = add_volume(marked, name="Doe^Jane T1c 1960-01-01")
    node.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    write_volume(node, tmp_path / "t1c.nrrd")
    header = (tmp_path / "t1c.nrrd").read_bytes().split(b"\n\n")[0]
    assert b"Doe" not in header
    assert b"1.2.3" not in header
    assert b"encoding: raw" in header


@pytest.mark.parametrize(
    ("chain", "resampled"),
    [
        ([ROTATED], False),
        ([ROTATED, MIRRORED, SCALED], False),
        ([SHEARED], True),
        ([ROTATED, SHEARED, MIRRORED], True),
        ([BENT], True),
        ([ROTATED, BENT, SCALED], True),
        ([BENT, ROTATED, BENT], True),
    ],
)
def test_parent_transforms(
    add_volume, add_transform, add_thin_plate, ijk_of, return_labels, blob, tmp_path,
    chain, resampled,
):  # fmt: skip
    parent = None
    for step in chain:
        parent = add_thin_plate(parent=parent) if step is BENT else add_transform(step, parent)
    node = add_volume(blob, parent=parent)
    path = tmp_path / "flair.nrrd"
    grid = write_volume(node, path)
    assert grid.resampled == resampled
    for position, value in world_samples(path):
        i, j, k = ijk_of(node, position)
        assert value == pytest.approx(bright_spot(i, j, k), abs=3)
    back = read_labels(return_labels(path, 40), grid)
    assert back.shape == blob.shape
    assert back.dtype == np.uint8
    if resampled:
        assert dice(back > 0, blob > 40) > 0.85
        centres = (np.argwhere(labels).mean(axis=0) for labels in (back, blob > 40))
        np.testing.assert_allclose(*centres, atol=0.3)
    else:
        np.testing.assert_array_equal(back > 0, blob > 40)


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def test_a_resampled_volume_is_covered_whole(add_volume, add_transform, tmp_path):
    voxels = np.full((10, 12, 14), 7, np.int16)
    grid = write_volume(add_volume(voxels, parent=add_transform(SHEARED)), tmp_path / "t2.nrrd")
    image = sitk.ReadImage(str(tmp_path / "t2.nrrd"))
    ones = sitk.Cast(image > 0, sitk.sitkUInt8)
    sitk.WriteImage(ones, str(tmp_path / "seg.nrrd"))
    assert read_labels(tmp_path / "seg.nrrd", grid).min() == 1


def test_around_a_resampled_volume_is_what_surrounds_the_brain(add_volume, add_transform, tmp_path):
    voxels = np.full((10, 12, 14), -50, np.int16)
    voxels[3:6, 3:6, 3:6] = 100
    write_volume(add_volume(voxels, parent=add_transform(SHEARED)), tmp_path / "t2.nrrd")
    sampled = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "t2.nrrd")))
    assert sampled.min() == -50


def test_the_voxel_size_is_kept_where_space_is_stretched(add_volume, add_transform, tmp_path):
    stretched = SHEARED @ np.diag([3.0, 3, 3, 1])
    grid = write_volume(add_volume(parent=add_transform(stretched)), tmp_path / "t2.nrrd")
    assert 2.5 < min(grid.file.spacing) < max(grid.file.spacing) < 3.6


def test_a_transform_that_changes_during_the_run_changes_nothing(
    add_volume, add_thin_plate, return_labels, blob, tmp_path
):
    parent = add_thin_plate()
    grid = write_volume(add_volume(blob, parent=parent), tmp_path / "t1.nrrd")
    labels = return_labels(tmp_path / "t1.nrrd", 50)
    before = read_labels(labels, grid)
    spline = parent.GetTransformToParent()
    spline.GetTargetLandmarks().SetPoint(8, 50, 50, 50)
    spline.GetTargetLandmarks().Modified()
    spline.Modified()
    np.testing.assert_array_equal(read_labels(labels, grid), before)


def test_probabilities_come_back_interpolated(add_volume, add_thin_plate, blob, tmp_path):
    node = add_volume(blob / 100, parent=add_thin_plate())
    grid = write_volume(node, tmp_path / "et.nrrd")
    back = read_probabilities(tmp_path / "et.nrrd", grid)
    assert back.dtype == np.float32
    assert np.abs(back - blob / 100).max() < 0.1


def test_labels_on_another_grid_are_refused(add_volume, tmp_path):
    grid = write_volume(add_volume(), tmp_path / "t1.nrrd")
    sitk.WriteImage(sitk.Image(3, 4, 5, sitk.sitkUInt8), str(tmp_path / "seg.nrrd"))
    with pytest.raises(VolumeError, match=r"\(3, 4, 5\) voxels where \(14, 12, 10\)"):
        read_labels(tmp_path / "seg.nrrd", grid)
    (tmp_path / "seg.nrrd").write_bytes(b"")
    with pytest.raises(VolumeError, match=r"seg.nrrd cannot be read"):
        read_labels(tmp_path / "seg.nrrd", grid)


def test_no_voxels(scene, tmp_path):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    with pytest.raises(VolumeError, match="empty has no voxels"):
        write_volume(node, tmp_path / "t1.nrrd")
    node.SetAndObserveImageData(vtk.vtkImageData())
    with pytest.raises(VolumeError, match="empty has no voxels"):
        write_volume(node, tmp_path / "t1.nrrd")


def test_several_values_a_voxel(scene, tmp_path):
    node = slicer.util.addVolumeFromArray(
        np.zeros((3, 4, 5, 3), np.uint8), nodeClassName="vtkMRMLVectorVolumeNode", name="photo"
    )
    with pytest.raises(VolumeError, match="photo has 3 values a voxel"):
        write_volume(node, tmp_path / "t1.nrrd")


def test_no_voxel_size(add_volume, tmp_path):
    node = add_volume(ijk_to_ras=np.diag([1.0, 0, 1, 1]), name="flat")
    with pytest.raises(VolumeError, match="flat has no voxel size"):
        write_volume(node, tmp_path / "t1.nrrd")


def test_a_transform_without_inverse(add_volume, add_transform, tmp_path):
    node = add_volume(name="T2", parent=add_transform(np.diag([1.0, 0, 1, 1])))
    with pytest.raises(VolumeError, match="T2: a parent transform flattens space"):
        write_volume(node, tmp_path / "t2.nrrd")


@pytest.mark.parametrize("bent", [False, True])
def test_masks_go_and_come_back(add_label_map, add_thin_plate, blob, tmp_path, bent):
    mask = (blob > 50).astype(np.uint8)
    parent = add_thin_plate() if bent else None
    node = add_label_map(mask * 7, parent=parent)
    grid = write_mask(node, tmp_path / "brain_mask.nrrd")
    assert grid.resampled is bent
    written = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "brain_mask.nrrd")))
    assert written.dtype == np.uint8 and set(np.unique(written)) == {0, 1}
    back = read_mask(tmp_path / "brain_mask.nrrd", grid)
    assert back.dtype == bool
    if bent:
        assert 2 * (back & (mask > 0)).sum() / (back.sum() + mask.sum()) > 0.9
    else:
        np.testing.assert_array_equal(back, mask > 0)


def test_scans_come_back_in_their_own_type_and_background(
    add_volume, add_thin_plate, blob, tmp_path
):
    scan = (blob - 50).astype(np.int16)
    node = add_volume(scan, parent=add_thin_plate())
    back = read_scan(tmp_path / "t2.nrrd", write_volume(node, tmp_path / "t2.nrrd"))
    assert back.dtype == np.int16
    assert np.abs(back.astype(float) - scan).max() < 15
    plain = add_volume(scan)
    grid = write_volume(plain, tmp_path / "t1.nrrd")
    np.testing.assert_array_equal(read_scan(tmp_path / "t1.nrrd", grid), scan)
