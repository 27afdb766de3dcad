"""Splits by patient: read, checked, chosen from and drawn."""

import json
from pathlib import Path

import pytest
from metakd.cases import Case, find_cases
from metakd_training.data.splits import choose, make_split, patient_of, read_split

TIME_POINTS = [f"BraTS-GLI-{patient:05}-{time}" for patient in range(20) for time in (100, 101)]


def cases(*names):
    return [Case(name, {}) for name in names]


@pytest.fixture
def write_split(tmp_path):
    def write(content):
        path = tmp_path / "split.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("case", "patient"),
    [
        ("BraTS-GLI-00005-100", "BraTS-GLI-00005"),
        ("BraTS-GLI-00005-101", "BraTS-GLI-00005"),
        ("BraTS-MET-00012-000", "BraTS-MET-00012"),
        ("BraTS-GLI-00005", "BraTS-GLI-00005"),
        ("BraTS2021_00002", "BraTS2021_00002"),
        ("Brats18_TCIA01_201_1", "Brats18_TCIA01_201_1"),
        ("BRATS_001", "BRATS_001"),
        ("myBraTS-GLI-00005-100", "myBraTS-GLI-00005-100"),
    ],
)
def test_only_new_brats_names_end_in_a_time_point(case, patient):
    assert patient_of(case) == patient


def test_a_split_is_read_in_its_order(write_split):
    lists = {"train": ["P2", "P1"], "held_out": ["P3"], "val": [], "test": ["P0"]}
    assert read_split(write_split(lists)) == lists
    assert read_split(write_split("\ufeff" + json.dumps(lists))) == lists


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '["P1"]', '{"train": "P1"}', '{"train": [1]}', '{"train": [""]}', '{"seed": 3}'],
)
def test_a_file_that_is_no_split_is_refused_by_name(write_split, content):
    with pytest.raises(ValueError, match=r"split\.json: is no split file"):
        read_split(write_split(content))


def test_a_missing_split_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"none\.json: no such split file"):
        read_split(tmp_path / "none.json")


def test_a_list_that_stands_twice_is_refused_instead_of_dropped(write_split):
    with pytest.raises(ValueError, match=r"split\.json.*twice"):
        read_split(write_split('{"train": ["P1"], "train": ["P2"]}'))


@pytest.mark.parametrize(
    ("lists", "named"),
    [
        ({"train": ["P1", "P2", "P1"]}, r"P1 \(train, train\)"),
        ({"train": ["P1"], "val": ["P2", "P1"]}, r"P1 \(train, val\)"),
    ],
)
def test_a_name_that_stands_twice_is_refused(write_split, lists, named):
    with pytest.raises(ValueError, match=rf"split\.json.*{named}"):
        read_split(write_split(lists))


def test_time_points_of_one_patient_in_two_lists_are_refused(write_split):
    ours, theirs, other = "BraTS-GLI-00005-100", "BraTS-GLI-00005-101", "BraTS-GLI-00006-101"
    with pytest.raises(ValueError, match=rf"split\.json.*{ours} in train, {theirs} in val"):
        read_split(write_split({"train": [ours], "val": [other, theirs]}))
    assert read_split(write_split({"train": [ours, theirs], "val": [other]}))


def test_cases_are_chosen_in_the_lists_order():
    chosen = choose(cases("P1", "P2", "P3"), {"train": ["P3", "P1"], "val": []}, "train", ["a"])
    assert [case.name for case in chosen] == ["P3", "P1"]


def test_cases_that_are_missing_are_named_with_where_was_looked():
    split = {"train": ["P1", "P8", "P9"]}
    with pytest.raises(ValueError, match=r"train: no case named P8, P9 in folder, list\.csv"):
        choose(cases("P1", "P2"), split, "train", [Path("folder"), "list.csv"])


def test_two_cohorts_with_one_case_are_refused():
    with pytest.raises(ValueError, match="val: more than one case named P1 in a, b"):
        choose(cases("P1", "P2", "P1"), {"val": ["P1"]}, "val", ["a", "b"])


def test_a_list_that_the_split_lacks_is_refused_with_those_it_has():
    with pytest.raises(ValueError, match="no list 'test', only train, val"):
        choose(cases("P1"), {"train": ["P1"], "val": []}, "test", ["a"])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("shares", "sizes"),
    [
        ({"train": 0.7, "held_out": 0.1, "val": 0.2}, [28, 4, 8]),
        ({"train": 0.5, "val": 0.25}, [20, 10]),
        ({"train": 10, "val": 3}, [20, 6]),
    ],
)
def test_a_drawn_split_has_its_shares_and_keeps_patients_together(write_split, seed, shares, sizes):
    split = make_split([*TIME_POINTS], shares, seed)
    assert list(split) == list(shares)
    assert [len(names) for names in split.values()] == sizes
    assert read_split(write_split(split)) == split  # which refuses a patient in two lists
    assert {name for names in split.values() for name in names} <= set(TIME_POINTS)


def test_a_drawn_split_depends_on_the_seed_alone():
    shares = {"train": 0.5, "val": 0.5}
    split = make_split([*TIME_POINTS], shares, 1)
    assert make_split([*reversed(TIME_POINTS)], shares, 1) == split
    assert make_split([*TIME_POINTS], shares, 2) != split


def test_a_drawn_split_is_the_same_on_every_machine():
    names = [f"P{number}" for number in range(6)]
    split = make_split([*names], {"train": 4, "val": 2}, 1)
    assert split == {"train": ["P0", "P3", "P4", "P5"], "val": ["P1", "P2"]}


@pytest.mark.parametrize(
    ("shares", "wrong"),
    [
        ({"train": 0.8, "val": 0.3}, "at most 1"),
        ({"train": 0.8, "val": 0}, "above 0"),
        ({"train": 0.8, "val": -0.1}, "above 0"),
        ({"train": 0.8, "val": float("nan")}, "at most 1"),
        ({"train": 10, "val": 0.5}, "at most 1"),
        ({"train": 60, "val": 50}, "but there are"),
        ({}, "fractions"),
        ({"train": 18, "val": 3}, "21 patients, but there are 20"),
        ({"train": 0.8, "val": 0.01}, "share val: 0.01 of 20 patients"),
    ],
)
def test_shares_that_cannot_be_had_are_refused(shares, wrong):
    with pytest.raises(ValueError, match=wrong):
        make_split([*TIME_POINTS], shares, 1)


def test_a_split_of_cases_that_share_a_name_is_refused():
    with pytest.raises(ValueError, match="more than one case named P1"):
        make_split(["P1", "P2", "P1"], {"train": 1.0}, 1)


def test_the_shared_split_names_cases_that_are_there(shared_data):
    brats = shared_data / "brats"
    split = read_split(brats / "splits.json")
    found = find_cases(brats)
    for key in split:
        assert [case.name for case in choose(found, split, key, [brats])] == split[key]
