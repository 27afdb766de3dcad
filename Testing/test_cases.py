"""Cohorts on disk: what is found, and the truth in the engine's labels."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from metakd.cases import Case, find_cases
from metakd.contrasts import CONTRASTS, MSD_CHANNELS, Contrast
from metakd.study import StudyError, make_study, read_study

NCR, ED, ET = 1, 2, 3
OLD, NEW = ("_t1", "_t1ce", "_t2", "_flair"), ("-t1n", "-t1c", "-t2w", "-t2f")
TRUTH = np.zeros((32, 40, 36), np.uint8)  # on the grid of the `scan` fixture
TRUTH[10:20, 10:30, 10:25] = ED
TRUTH[12:18, 12:20, 12:20] = ET
TRUTH[14:16, 14:18, 14:18] = NCR
CAVITY = (slice(22, 25), slice(10, 20), slice(10, 20))
YEARS = {  # folder of the patient; endings of images; file of the truth; NCR, ED, ET, cavity
    "2018": ("HGG/Brats18_X_1", OLD, ".nii.gz", "Brats18_X_1_seg.nii.gz", (1, 2, 4)),
    "2019": ("LGG/BraTS19_X_1", OLD, ".nii.gz", "BraTS19_X_1_seg.nii.gz", (1, 2, 4)),
    "2020": ("BraTS20_Training_001", OLD, ".nii", "BraTS20_Training_001_seg.nii", (1, 2, 4)),
    "2020's 355": ("BraTS20_Training_355", OLD, ".nii", "W39_1998.09.19_Segm.nii", (1, 2, 4)),
    "2021": ("BraTS2021_00000", OLD, ".nii.gz", "BraTS2021_00000_seg.nii.gz", (1, 2, 4)),
    "2023": (
        "BraTS-GLI-00000-000", NEW, ".nii.gz", "BraTS-GLI-00000-000-seg.nii.gz", (1, 2, 3),
    ),
    "2024": (
        "BraTS-GLI-00005-100", NEW, ".nii.gz", "BraTS-GLI-00005-100-seg.nii.gz", (1, 2, 3, 4),
    ),
}  # fmt: skip


@pytest.fixture
def write_truth(scan, write_image):
    """`write_truth(name, numbers)`: TRUTH in a data set's numbers, with a cavity if it has one."""

    def write(name, numbers):
        stored = np.array((0, *numbers[:3]), np.uint8)[TRUTH]
        if len(numbers) == 4:
            stored[CAVITY] = numbers[3]
        image = sitk.GetImageFromArray(stored)
        image.CopyInformation(scan())
        return write_image(name, image)

    return write


def assert_each_contrast_is_its_own_scan(case, scan):
    read = read_study(case.images).images
    wanted = make_study({contrast: scan(contrast.index) for contrast in CONTRASTS}).images
    for contrast in CONTRASTS:
        ours, theirs = map(sitk.GetArrayViewFromImage, (read[contrast], wanted[contrast]))
        assert np.array_equal(ours, theirs), contrast


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


@pytest.mark.parametrize("year", YEARS)
def test_a_patient_of_each_year_is_read_by_its_own_names_and_numbers(
    tmp_path, scan, write_image, write_truth, year
):
    place, words, ending, truth, numbers = YEARS[year]
    name = place.rpartition("/")[2]
    for contrast, word in zip(CONTRASTS, words, strict=True):
        write_image(f"{place}/{name}{word}{ending}", scan(contrast.index))
    write_truth(f"{place}/{truth}", numbers)
    (case,) = find_cases(tmp_path, labels="brats2024" if year == "2024" else None)
    assert case.name == name
    assert_each_contrast_is_its_own_scan(case, scan)
    assert np.array_equal(sitk.GetArrayFromImage(case.read_segmentation()), TRUTH)


def test_a_decathlon_patient_is_read_in_the_decathlons_order(
    tmp_path, scan, write_image, write_truth
):
    channels = [scan(contrast.index) for contrast in MSD_CHANNELS]
    write_image("Task01/imagesTr/BRATS_001.nii.gz", sitk.JoinSeries(channels))
    write_truth("Task01/labelsTr/BRATS_001.nii.gz", (2, 1, 3))
    for folder in (tmp_path / "Task01", tmp_path):
        (case,) = find_cases(folder)
        assert case.name == "BRATS_001"
        assert_each_contrast_is_its_own_scan(case, scan)
        assert np.array_equal(sitk.GetArrayFromImage(case.read_segmentation()), TRUTH)


def test_patients_lie_one_or_two_levels_deep_and_no_deeper(tmp_path):
    touch(tmp_path / "P1", "t1.nii.gz")
    touch(tmp_path / "P1" / "registered", "t1.nii.gz")
    touch(tmp_path / "HGG" / "P2", "t1.nii.gz")
    touch(tmp_path / "HGG" / "more" / "P3", "t1.nii.gz")
    touch(tmp_path / ".hidden", "t1.nii.gz")
    assert [case.name for case in find_cases(tmp_path)] == ["P1", "P2"]


def test_two_cases_of_one_name_are_refused_with_both_folders(tmp_path):
    touch(tmp_path / "HGG" / "P1", "t1.nii.gz")
    touch(tmp_path / "LGG" / "P1", "t2.nii.gz")
    with pytest.raises(StudyError) as refusal:
        find_cases(tmp_path)
    assert str(tmp_path / "HGG" / "P1") in str(refusal.value)
    assert str(tmp_path / "LGG" / "P1") in str(refusal.value)


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


def test_two_segmentations_in_a_case_are_refused(tmp_path):
    touch(tmp_path / "P1", "t1.nii.gz", "P1_seg.nii.gz", "P1_old_seg.nii.gz")
    with pytest.raises(StudyError, match=r"P1_seg.nii.gz: a second segmentation beside P1_old"):
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


@pytest.mark.parametrize(("values", "named"), [((0, 5, 4), r"\[4, 5\]"), ((0, 1, 7), r"\[7\]")])
def test_truth_with_labels_of_no_known_convention_is_refused(write_image, values, named):
    path = write_image("seg.nii.gz", label_map(*values))
    with pytest.raises(StudyError, match=rf"seg.nii.gz.*{named}"):
        Case("P1", {}, path).read_segmentation()


def test_a_truth_with_fractions_is_refused_instead_of_rounded(write_image):
    half = sitk.Cast(label_map(0, 1, 3), sitk.sitkFloat32) * 0.5
    path = write_image("seg.nii.gz", half)
    with pytest.raises(StudyError, match=r"seg.nii.gz.*0\.5, 1\.5"):
        Case("P1", {}, path).read_segmentation()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("BraTS-GLI-00005-100-seg.nii.gz", (0, 1, 2, 4)),
        ("BraTS-GLI-00005-100/seg.nii.gz", (0, 1, 2, 4)),
        ("P1/seg.nii.gz", (0, 3, 4)),
    ],
)
def test_a_cavity_is_refused_until_the_user_names_the_convention(write_image, name, values):
    path = write_image(name, label_map(*values))
    with pytest.raises(StudyError, match=r"seg.nii.gz.*resection cavity.*brats2024"):
        Case("P1", {}, path).read_segmentation()
    truth = Case("P1", {}, path, "brats2024").read_segmentation()
    assert np.unique(sitk.GetArrayFromImage(truth)).tolist() == [v for v in values if v != 4]


def test_the_named_convention_holds_against_what_the_file_looks_like(tmp_path, write_image):
    touch(tmp_path / "P1", "t1.nii.gz")
    write_image("P1/seg.nii.gz", label_map(0, 1))
    (case,) = find_cases(tmp_path, labels="msd")
    assert case.labels == "msd"
    assert np.unique(sitk.GetArrayFromImage(case.read_segmentation())).tolist() == [0, ED]
    write_image("P1/seg.nii.gz", label_map(0, 1, 4))
    with pytest.raises(StudyError, match=r"seg.nii.gz.*\[4\].*msd"):
        case.read_segmentation()


def test_an_unknown_convention_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(StudyError, match=r"brats2017.*brats2018, brats2023, brats2024, msd"):
        find_cases(tmp_path, labels="brats2017")


def test_truth_that_is_missing_cut_or_not_3d_is_refused_by_name(write_image, tmp_path):
    cut = write_image("cut.nii", label_map(0, 1, 2, 3))
    cut.write_bytes(cut.read_bytes()[:-30])
    four = write_image("4d.nii.gz", sitk.JoinSeries([label_map(0, 1)] * 2))
    colour = write_image("colour.nrrd", sitk.Compose([label_map(0, 1)] * 3))
    for path in (tmp_path / "none.nii.gz", cut, four, colour):
        with pytest.raises(StudyError, match=path.name):
            Case("P1", {}, path).read_segmentation()
    with pytest.raises(StudyError, match="P1: has no segmentation"):
        Case("P1", {}).read_segmentation()


def write_list(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
    return path


@pytest.fixture
def listed(tmp_path, write_image):
    """Files of two patients that no folder search would understand, and their two lists."""
    touch(tmp_path / "data", "gd.nii.gz", "dark water.nii.gz", "other.nrrd")
    write_image("data/manual.nii.gz", label_map(0, 1))
    first = {"name": "P1", "t1c": "data/gd.nii.gz", "flair": "data/dark water.nii.gz"}
    first |= {"segmentation": "data/manual.nii.gz", "labels": "msd"}
    second = {"name": "A2", "t2": str(tmp_path / "data" / "other.nrrd"), "t1": None, "labels": ""}
    header = "name,t1c,flair,t2,segmentation,labels"
    rows = [",".join(row.get(c) or "" for c in header.split(",")) for row in (first, second)]
    return {
        "json": write_list(tmp_path / "cohort.json", [first, second]),
        "csv": write_list(tmp_path / "cohort.csv", "\n".join([header, *rows, ""])),
        "bom": write_list(tmp_path / "b.CSV", "\ufeff" + "\r\n".join([header, *rows, "", ""])),
    }


@pytest.mark.parametrize("kind", ["json", "csv", "bom"])
def test_a_list_says_which_file_is_what(listed, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path / "data")  # paths are the list's, not the shell's
    second, first = find_cases(listed[kind], labels="brats2023")
    data = tmp_path / "data"
    assert (first.name, second.name) == ("P1", "A2")
    assert first.images == {
        Contrast.T1C: data / "gd.nii.gz",
        Contrast.FLAIR: data / "dark water.nii.gz",
    }
    assert second.images == {Contrast.T2: data / "other.nrrd"}
    assert (first.labels, second.labels) == ("msd", "brats2023")
    assert second.segmentation is None
    assert np.unique(sitk.GetArrayFromImage(first.read_segmentation())).tolist() == [0, ED]


@pytest.mark.parametrize(
    ("text", "place", "wrong"),
    [
        ("name,t1,age\nP1,a.nii,40", "line 2", "unknown column 'age'"),
        ("name;t1\nP1;a.nii", "line 2", "commas"),
        ("name,t1,t1\nP1,a.nii,b.nii", "line 2", "repeated column 't1'"),
        ("name,t1\nP1,a.nii\n,a.nii", "line 3", "no name"),
        ("name,t1\nP1,a.nii\nP2,", r"line 3 \(P2\)", "no image"),
        ("name,t1\nP1,a.nii\nP2,b.nii", r"line 3 \(P2\)", r"t1: no such file .*b\.nii"),
        ("name,t1,segmentation\nP1,a.nii,b.nii", "line 2", "segmentation: no such file"),
        ("name,t1\nP1,a.nii\n\nP1,a.nii", "line 4", r"line 2 \(P1\) has this name too"),
        ("name,t1,labels\nP1,a.nii,brats", "line 2", "'brats' are no known convention"),
        ("name,t1\nP1,a.nii,b.nii", "line 2", "3 cells for 2 columns"),
        ('name,t1\nP1,"a.nii', "line 2", "correct it"),
        ("name,t1\n", "", "no case found"),
        ("", "", "no case found"),
        ([{"name": "P1", "t1": "a.nii"}, {"name": "P2", "t1ce": "a.nii"}], "entry 2", "'t1ce'"),
        ('[{"name": "P1", "t1": "a.nii", "t1": "b.nii"}]', "entry 1", "repeated column 't1'"),
        ([{"t1": "a.nii"}], "entry 1", "no name"),
        ([{"name": 1, "t1": "a.nii"}], "entry 1", "name is 1"),
        ([{"name": "P1", "t1": ["a.nii"]}], "entry 1", "t1 is"),
        ([{"name": "P1"}], r"entry 1 \(P1\)", "no image"),
        (["P1"], "entry 1", "no object"),
        ({"name": "P1", "t1": "a.nii"}, "", "no JSON list"),
        ("[{", "", "is not JSON"),
        ("[]", "", "no case found"),
    ],
)
def test_a_list_that_is_wrong_is_refused_with_list_and_row(tmp_path, text, place, wrong):
    touch(tmp_path, "a.nii")
    is_json = not isinstance(text, str) or text.startswith("[")
    path = write_list(tmp_path / f"cohort.{'json' if is_json else 'csv'}", text)
    with pytest.raises(StudyError, match=rf"{path.name}.*{place}.*{wrong}") as refusal:
        find_cases(path)
    assert "\n" not in str(refusal.value)


def test_a_list_that_is_missing_or_no_utf_8_is_refused(tmp_path):
    with pytest.raises(StudyError, match=r"none\.csv: no such list"):
        find_cases(tmp_path / "none.csv")
    (tmp_path / "old.csv").write_bytes("name,t1\nMüller,a.nii".encode("latin-1"))
    with pytest.raises(StudyError, match=r"old\.csv: is not UTF-8"):
        find_cases(tmp_path / "old.csv")


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
