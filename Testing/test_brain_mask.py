"""What is taken for a brain mask, and what is not."""

import os

import numpy as np
import pytest
import SimpleITK as sitk
from metakd.brain_mask import read_brain_mask
from metakd.study import StudyError


@pytest.fixture
def brain(scan):
    """The ellipsoid in which `scan` has tissue, uint8."""
    return scan() > 0


def refuse(path, *says):
    with pytest.raises(StudyError) as error:
        read_brain_mask(path)
    message = str(error.value)
    assert all(part in message for part in (str(path), "; ", *says)), message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["mask.nii.gz", "mask.nrrd", "mask.mha"])
@pytest.mark.parametrize(("pixels", "value"), [(sitk.sitkUInt8, 255), (sitk.sitkFloat32, 1)])
def test_a_mask_of_any_type_becomes_0_and_1_on_its_own_grid(
    write_image, brain, name, pixels, value
):
    brain.SetSpacing((0.7, 1.1, 4.0))
    brain.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    mask = read_brain_mask(write_image(name, sitk.Cast(brain, pixels) * value))
    assert mask.GetPixelID() == sitk.sitkUInt8
    assert np.array_equal(sitk.GetArrayFromImage(mask), sitk.GetArrayFromImage(brain))
    for get in ("GetSpacing", "GetOrigin", "GetDirection"):
        assert np.allclose(getattr(mask, get)(), getattr(brain, get)(), atol=1e-5), get


def test_a_series_of_one_volume_is_taken_as_that_volume(write_image, brain):
    mask = read_brain_mask(write_image("mask.nrrd", sitk.JoinSeries([brain])))
    assert mask.GetSize() == brain.GetSize()


def test_a_label_map_of_a_heads_parts_is_a_mask_of_all_of_them(shared_data):
    path = sorted((shared_data / "head_label_maps").rglob("*.nii.gz"))[0]
    parts = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    assert len(np.unique(parts)) > 20
    assert np.array_equal(sitk.GetArrayFromImage(read_brain_mask(path)), parts != 0)


def test_a_label_map_of_thick_slices_is_a_mask(shared_data, write_image):
    path = sorted((shared_data / "head_label_maps").rglob("*.nii.gz"))[0]
    thick = sitk.Shrink(sitk.ReadImage(str(path)), [4, 1, 1])
    mask = read_brain_mask(write_image("thick.nii.gz", thick))
    assert np.array_equal(sitk.GetArrayViewFromImage(mask), sitk.GetArrayViewFromImage(thick) != 0)


def test_more_labels_than_a_brain_has_are_refused(write_image):
    labels = np.repeat(np.arange(1000, dtype=np.int16).reshape(10, 10, 10), 8, axis=2)
    refuse(write_image("mask.nrrd", sitk.GetImageFromArray(labels)), "more than 400 values")


SCANS = {
    "a scan": lambda scan: scan,
    "a scan of whole numbers": lambda scan: sitk.Cast(scan, sitk.sitkInt16),
    "a scan of 8 bit": lambda scan: sitk.Cast(scan / 3, sitk.sitkUInt8),
    "a scan of 5 bit": lambda scan: sitk.Cast(scan / 20, sitk.sitkUInt8),
    "probabilities": lambda scan: sitk.SmoothingRecursiveGaussian(sitk.Cast(scan > 0, 8), 1.0),
    "probabilities in steps": lambda scan: sitk.Cast(scan > 0, 8) * 0.5,
    "voxels without a number": lambda scan: scan / (scan * 0),
}


@pytest.mark.parametrize("change", SCANS.values(), ids=SCANS)
def test_what_is_no_mask_is_refused_as_a_scan(write_image, scan, change):
    refuse(write_image("mask.nrrd", change(scan())), "is a scan, not a mask", "values)")


def test_a_real_scan_is_refused_whether_stripped_or_not(shared_data, write_image):
    clinical = shared_data / "clinical" / "TCGA-FG-6692"
    for path in (clinical / "raw" / "flair.nii.gz", clinical / "sri24_stripped" / "flair.nii.gz"):
        refuse(path, "is a scan")
        eight_bit = sitk.RescaleIntensity(sitk.ReadImage(str(path)), 0, 255)
        refuse(write_image("mask.nii.gz", sitk.Cast(eight_bit, sitk.sitkUInt8)), "is a scan")


USELESS = {
    "empty": (lambda brain: brain * 0, "is empty"),
    "all of the image": (lambda brain: brain * 0 + 1, "covers the whole image"),
    "a slice": (lambda brain: brain[:, :, 9], "is 2D"),
    "two volumes": (lambda brain: sitk.JoinSeries([brain, brain]), "is 4D"),
    "colours": (lambda brain: sitk.Compose(brain, brain, brain), "more than one value"),
}


@pytest.mark.parametrize(("change", "says"), USELESS.values(), ids=USELESS)
def test_a_mask_that_says_nothing_is_refused(write_image, brain, change, says):
    refuse(write_image("mask.nrrd", change(brain)), says)


def test_a_file_that_is_none_is_refused(tmp_path, write_image, brain):
    refuse(tmp_path / "mask.nii.gz", "no such file", "brain mask")
    refuse(tmp_path, "no such file")
    (tmp_path / "text.nii.gz").write_text("hello", "utf-8")
    refuse(tmp_path / "text.nii.gz", "not a readable image")
    whole = write_image("cut.nii.gz", brain)
    os.truncate(whole, whole.stat().st_size // 2)
    refuse(whole, "not a readable image")
