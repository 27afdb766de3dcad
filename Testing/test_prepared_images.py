"""Prepared images against images made by hand: values, places, and the way back."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from metakd.contrasts import Contrast
from metakd.prepared_images import (
    bias_corrected,
    brain_mask,
    cut_off_ml,
    reference_target,
    registered,
    sri24_target,
    without_skull,
)
from metakd.preprocess import prepare
from metakd.registration import Registration
from metakd.steps import AS_IT_IS
from metakd.study import make_study, read_study

T1, T1C, T2 = Contrast.T1, Contrast.T1C, Contrast.T2
MIDDLE = (-0.5, -7.5, 20.5)  # of the reference
MOVED = sitk.Euler3DTransform(MIDDLE, 0.1, -0.05, 0.08, (4.0, -3.0, 2.0))


def values(image):
    return sitk.GetArrayFromImage(image)


def prepared_of(study, **moved):
    """As `prepare` does it, with transforms that are known instead of found."""
    prepared = prepare(study, spacing=1.0, stride=1, steps=AS_IT_IS)
    found = {Contrast(c): Registration("registered", t, 1.0) for c, t in moved.items()}
    return replace(prepared, registrations=found)


@pytest.fixture
def study(scan):
    """T1c as a scanner stores it, the T1 on its grid, a T2 that has moved and is coarser."""
    t1c, t1, still = scan(0) * 3 - 17, scan(1), scan(2)
    for image in (t1c, t1, still):
        image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    grid = sitk.Image([44, 40, 20], sitk.sitkFloat32)
    grid.SetSpacing((1.0, 1.0, 2.0))
    grid.SetOrigin(np.array(MIDDLE) - (21.5, 19.5, 19.0))
    t2 = sitk.Resample(still, grid, MOVED.GetInverse(), sitk.sitkLinear)
    return make_study({T1: t1, T1C: t1c, T2: t2}), {T1: t1, T1C: t1c, T2: t2}


def test_what_is_aligned_on_the_references_grid_comes_out_as_it_went_in(study):
    study, images = study
    prepared = prepared_of(study)
    for contrast in (T1, T1C):
        image = registered(study, prepared, contrast, reference_target(prepared))
        for get in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
            assert getattr(image, get)() == getattr(images[T1C], get)(), get
        assert np.allclose(values(image), values(images[contrast]), atol=2e-3)


def test_what_has_moved_is_interpolated_once_from_where_it_was(study):
    study, images = study
    prepared = prepared_of(study, t2=MOVED)
    image = registered(study, prepared, T2, reference_target(prepared))
    expected = sitk.Resample(images[T2], images[T1C], MOVED, sitk.sitkLinear)
    assert np.allclose(values(image), values(expected), atol=2e-3)
    assert not np.allclose(values(image), values(sitk.Resample(images[T2], images[T1C])), atol=99)


def test_the_brain_is_that_of_the_scan_to_the_voxel(study):
    study, images = study
    prepared = prepared_of(study.subset(frozenset({T1, T1C})))
    brain = brain_mask(prepared, reference_target(prepared))
    assert brain.GetPixelID() == sitk.sitkUInt8
    assert brain.GetDirection() == images[T1C].GetDirection()
    assert np.array_equal(values(brain), values(images[T1]) > 0)
    stripped = without_skull(images[T1C], brain)
    assert np.array_equal(values(stripped) == 0, values(brain) == 0)
    assert np.array_equal(
        values(stripped)[values(brain) > 0], values(images[T1C])[values(brain) > 0]
    )


def test_the_sri24_grid_is_that_of_brats_files(study, shared_data):
    study, _ = study
    brats = sitk.ReadImage(str(next((shared_data / "brats" / "BraTS2018").rglob("*_t1.nii.gz"))))
    grid = sri24_target(prepared_of(study)).grid
    for get in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(grid, get)() == getattr(brats, get)(), get


def test_on_the_sri24_grid_the_brain_lies_where_brats_has_it_and_the_matrix_leads_back(study):
    study, images = study
    prepared = prepared_of(study, t2=MOVED)
    place = sri24_target(prepared)
    brain = brain_mask(prepared, place)
    middle = np.argwhere(values(brain)).mean(axis=0)[::-1]
    assert np.allclose(brain.TransformContinuousIndexToPhysicalPoint(middle.tolist()),
                       (118.5, -105.8, 73.4), atol=0.5)  # fmt: skip
    matrix = np.array(place.matrix())
    assert np.array_equal(matrix[3], (0, 0, 0, 1))
    image = registered(study, prepared, T1C, place)
    index = np.add(middle, (3, -4, 5)).round().astype(int).tolist()
    point = matrix @ [*image.TransformIndexToPhysicalPoint(index), 1]
    there = images[T1C].EvaluateAtPhysicalPoint(point[:3].tolist(), sitk.sitkLinear)
    assert image[index] == pytest.approx(there, abs=0.01)
    moved = registered(study, prepared, T2, place)
    at = MOVED.TransformPoint(point[:3].tolist())
    assert moved[index] == pytest.approx(
        images[T2].EvaluateAtPhysicalPoint(at, sitk.sitkLinear), abs=0.01
    )


def test_a_patient_of_brats_stays_about_where_it_was(shared_data):
    folder = shared_data / "brats" / "BraTS2018" / "Brats18_TCIA02_606_1"  # one of validation
    study = read_study({T1: folder / f"{folder.name}_t1.nii.gz"})
    prepared = prepared_of(study)
    offset = np.array(sri24_target(prepared).matrix())[:3, 3]
    assert np.abs(offset).max() < 8  # two standard deviations or so
    assert cut_off_ml(prepared, sri24_target(prepared)) < 0.5


def test_what_of_a_brain_is_beyond_the_grid_is_told_in_ml(scan):
    image = scan()
    image.SetSpacing((11.0, 6.0, 6.0))  # 36 x 0.7 x 11 mm wide: 277
    prepared = prepared_of(make_study({T1: image}))
    place = sri24_target(prepared)
    inside = int(values(brain_mask(prepared, place)).sum()) / 1000
    lost = cut_off_ml(prepared, place)
    assert lost > 40
    assert inside + lost == pytest.approx(prepared.brain_ml, rel=0.01)
    assert cut_off_ml(prepared, reference_target(prepared)) < 1


def test_a_shading_across_the_brain_is_taken_out_in_own_intensities(scan):
    image = scan()
    shading = np.linspace(0.6, 1.4, image.GetWidth(), dtype=np.float32)
    uneven = sitk.GetImageFromArray(values(image) * shading)
    uneven.CopyInformation(image)
    even = bias_corrected(uneven, image > 0)
    assert even.GetOrigin() == image.GetOrigin()
    inside = values(image) > 0

    def off(result):
        ratio = values(result)[inside] / values(image)[inside]
        return ratio.std() / ratio.mean()

    assert off(even) < 0.95 * off(uneven)
