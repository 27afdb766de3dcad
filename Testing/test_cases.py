"""Cohorts on disk: what is found, and the truth in the engine's labels."""

import numpy as np
import pytest
import SimpleITK as sitk
from metakd.cases import Case, find_cases
from metakd.contrasts import CONTRASTS, Contrast
from metakd.study import StudyError

NCR, ED, ET = 1, 2, 3


def touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def label_map(*values):
    image = sitk.GetImageFromArray(np.resize(np.array(values, np.uint8), (3, 4, 5)))
    image.SetOrigin((1.0, 2.0, 3.0))
    return image


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])
@pytest.mark.parametrize(
    "words",
    [("_t1", "_t1ce", "_t2", "_flair", "_seg"), ("-t1n", "-t1c", "-t2w", "-t2f", "-seg")],
    ids=["2018", "2023"],
)
def test_a_brats_folder_is_a_case(tmp_path, words, ending):
    touch(tmp_path / "P1", *(f"P1{word}{ending}" for word in words), "notes.txt", "._P1_t1.nii")
    (case,) = find_cases(tmp_path)
    assert case.name == "P1"
    assert {c: path.name for c, path in case.images.items()} == {
        c: f"P1{word}{ending}" for c, word in zip(CONTRASTS, words, strict=False)
    }
    assert case.segmentation == tmp_path / "P1" / f"P1{words[-1]}{ending}"


def test_cases_come_by_name_and_may_lack_contrasts_and_truth(tmp_path):
    touch(tmp_path / "b", "t1c.nrrd")
    touch(tmp_path / "a", "flair.nii.gz", "t2.nii.gz", "seg.nii.gz")
    touch(tmp_path / "empty")
    first, second = find_cases(tmp_path)
    assert (first.name, set(first.images)) == ("a", {Contrast.FLAIR, Contrast.T2})
    assert (second.name, second.segmentation) == ("b", None)


def test_a_single_patients_folder_is_a_cohort_of_one(tmp_path):
    touch(tmp_path / "P1", "t1.nii.gz")
    assert [case.name for case in find_cases(tmp_path / "P1")] == ["P1"]


def test_two_files_of_one_contrast_in_a_case_are_refused(tmp_path):
    touch(tmp_path / "P1", "a_t1c.nii.gz", "b_t1ce.nii.gz")
    with pytest.raises(StudyError, match="a second T1c beside"):
        find_cases(tmp_path)


def test_a_folder_without_cases_is_refused(tmp_path):
    touch(tmp_path / "P1", "dwi.nii.gz")
    with pytest.raises(StudyError, match="no case found"):
        find_cases(tmp_path)


@pytest.mark.parametrize("name", ["missing", "file"])
def test_a_cohort_that_is_no_folder_is_refused(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(StudyError, match="no such folder"):
        find_cases(tmp_path / name)


@pytest.mark.parametrize(
    ("stored", "engine"),
    [((0, 1, 2, 4), (0, NCR, ED, ET)), ((0, 1, 2, 3), (0, NCR, ED, ET)), ((0, 1, 2), (0, NCR, ED))],
    ids=["until 2021", "from 2023", "without enhancing tumour"],
)
def test_truth_is_read_in_the_engines_labels_on_its_own_grid(write_image, stored, engine):
    path = write_image("seg.nii.gz", label_map(*stored))
    truth = Case("P1", {}, path).read_segmentation()
    assert np.unique(sitk.GetArrayFromImage(truth)).tolist() == list(engine)
    assert truth.GetOrigin() == (1.0, 2.0, 3.0)


def test_truth_beside_decathlon_images_is_read_in_their_order(write_image):
    path = write_image("labelsTr/BRATS_001.nii.gz", label_map(1))
    truth = Case("P1", {}, path).read_segmentation()
    assert np.unique(sitk.GetArrayFromImage(truth)).tolist() == [ED]


@pytest.mark.parametrize(("values", "named"), [((0, 3, 4), r"\[3\]"), ((0, 1, 7), r"\[7\]")])
def test_truth_with_labels_of_no_known_convention_is_refused(write_image, values, named):
    path = write_image("seg.nii.gz", label_map(*values))
    with pytest.raises(StudyError, match=rf"seg.nii.gz.*{named}"):
        Case("P1", {}, path).read_segmentation()


def test_truth_that_is_missing_or_cut_is_refused(write_image, tmp_path):
    path = write_image("seg.nii", label_map(0, 1, 2, 3))
    path.write_bytes(path.read_bytes()[:-30])
    for segmentation in (None, tmp_path / "none.nii.gz", path):
        with pytest.raises(StudyError):
            Case("P1", {}, segmentation).read_segmentation()


@pytest.mark.parametrize(
    ("cohort", "count"), [("BraTS2018", 17), ("BraTS2021", 3), ("MSD_Task01_BrainTumour", 1)]
)
def test_every_real_case_is_found_with_four_contrasts_and_truth(shared_data, cohort, count):
    cases = find_cases(shared_data / "brats" / cohort)
    assert len(cases) == count
    for case in cases:
        assert set(case.images) == set(CONTRASTS), case.name
        assert case.segmentation and case.segmentation.exists(), case.name


@pytest.mark.parametrize(
    ("cohort", "name", "stored_et"),
    [
        ("BraTS2018", "Brats18_TCIA02_606_1", 4),
        ("BraTS2021", "BraTS2021_00002", 4),
        ("MSD_Task01_BrainTumour", "BRATS_001", 3),
        ("BraTS2018", "Brats18_TCIA10_644_1", None),
    ],
)
def test_real_enhancing_tumour_has_the_data_sets_number(shared_data, cohort, name, stored_et):
    cases = {case.name: case for case in find_cases(shared_data / "brats" / cohort)}
    stored = sitk.ReadImage(str(cases[name].segmentation))
    stored_values = sitk.GetArrayViewFromImage(stored)
    truth = sitk.GetArrayFromImage(cases[name].read_segmentation())
    if stored_et is None:
        assert np.unique(truth).tolist() == [0, NCR, ED]
    else:
        assert np.unique(truth).tolist() == [0, NCR, ED, ET]
        assert np.array_equal(truth == ET, stored_values == stored_et)


def test_real_decathlon_label_1_is_oedema(shared_data):
    (case,) = find_cases(shared_data / "brats" / "MSD_Task01_BrainTumour")
    stored = sitk.ReadImage(str(case.segmentation))
    truth = sitk.GetArrayFromImage(case.read_segmentation())
    assert np.array_equal(truth == ED, sitk.GetArrayViewFromImage(stored) == 1)
    assert np.array_equal(truth == NCR, sitk.GetArrayViewFromImage(stored) == 2)
