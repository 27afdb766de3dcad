import csv
import io
import json
from dataclasses import astuple, replace
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from metakd.cases import find_cases
from metakd.contrasts import SUBSETS, Contrast
from metakd.evaluate import (
    Score,
    as_csv,
    as_json,
    as_table,
    dice,
    evaluate,
    intervals,
    summary,
)
from metakd.metrics import EMPTY_CONVENTION, hd95, lesion_wise
from metakd.model import load_model
from metakd.phantom import PhantomSettings, make_phantom, write_phantom
from metakd.regions import ED, ET, NCR, Region, region_mask
from metakd.segment import Options, segment
from metakd.study import StudyError, read_study


def label_map(**voxels):
    values = np.zeros((10, 10, 10), dtype=np.uint8)
    start = 0
    for label in (NCR, ED, ET):
        count = voxels.get(label.short, 0)
        values.flat[start : start + count] = label.value
        start += count
    return sitk.GetImageFromArray(values)


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        (Region.ET, 2 * 0 / 30),  # 20 against 10 voxels in other places
        (Region.TC, 2 * 10 / (30 + 20)),
        (Region.WT, 2 * 30 / (30 + 50)),
    ],
)
def test_dice_of_nested_regions_by_hand(region, expected):
    predicted = label_map(NCR=10, ET=20)
    truth = label_map(NCR=10, ED=30, ET=10)
    assert dice(predicted, truth, region) == pytest.approx(expected)


def test_an_empty_region_found_empty_scores_one_and_else_zero():
    assert dice(label_map(ED=5), label_map(ED=5), Region.ET) == 1
    assert dice(label_map(ET=1), label_map(ED=5), Region.ET) == 0


def score(case, subset, region, value, postprocessing=True):
    """The other figures follow from Dice, so that none can be taken for another."""
    others = (100 - 50 * value, value / 2, 300 - 50 * value)
    return Score(case, subset, region, postprocessing, value, *others, 1.0, 2.0)


def table_of_scores(rows):
    return [
        score(case, subset, region, value * share, postprocessing)
        for case, subset, values in rows
        for region, value in zip(("ET", "TC", "WT"), values, strict=True)
        for postprocessing, share in ((True, 1), (False, 0.5))
    ]


SCORES = table_of_scores(
    [
        ("a", "t1", (0.0, 0.2, 0.4)),
        ("b", "t1", (0.2, 0.4, 0.6)),
        ("a", "t1+t2", (0.5, 0.5, 1.0)),
        ("b", "t1+t2", (0.7, 0.9, 0.8)),
    ]
)


def test_means_are_over_cases_and_then_over_subsets():
    assert summary(SCORES) == {
        "t1": {"ET": 0.1, "TC": 0.3, "WT": 0.5},
        "t1+t2": {"ET": 0.6, "TC": 0.7, "WT": 0.9},
        "mean": {"ET": 0.35, "TC": 0.5, "WT": 0.7},
    }
    assert summary(SCORES, postprocessing=False)["mean"] == {"ET": 0.175, "TC": 0.25, "WT": 0.35}
    assert summary(SCORES, "hd95_mm")["t1"] == {"ET": 95, "TC": 85, "WT": 75}
    assert summary(SCORES, "lesion_dice")["mean"] == {"ET": 0.175, "TC": 0.25, "WT": 0.35}
    unprocessed = summary(SCORES, "lesion_hd95_mm", postprocessing=False)
    assert unprocessed["t1+t2"] == {"ET": 285, "TC": 282.5, "WT": 277.5}


def test_a_subset_that_one_case_lacks_counts_as_much_as_the_others_in_the_mean():
    fewer = [s for s in SCORES if (s.case, s.subset) != ("b", "t1+t2")]
    assert summary(fewer)["t1+t2"] == {"ET": 0.5, "TC": 0.5, "WT": 1.0}
    assert summary(fewer)["mean"] == {"ET": 0.3, "TC": 0.4, "WT": 0.75}
    ranges = intervals(fewer)
    assert ranges["t1"]["WT"] == [0.4, 0.6]
    nothing = {"ET": None, "TC": None, "WT": None}
    assert ranges["t1+t2"] == ranges["mean"] == nothing  # one patient says nothing of others


def test_the_interval_of_two_patients_is_between_them():
    """A quarter of the cohorts holds one patient twice, a quarter the other."""
    assert intervals(SCORES)["t1"] == {"ET": [0, 0.2], "TC": [0.2, 0.4], "WT": [0.4, 0.6]}
    assert intervals(SCORES, "hd95_mm")["t1"]["ET"] == [90, 100]
    assert intervals(SCORES, postprocessing=False)["t1"]["WT"] == [0.2, 0.3]


def test_a_patient_is_drawn_with_all_its_subsets():
    """What one loses in T1 it gains in T2: drawn together, every cohort has the same mean."""
    opposed = table_of_scores(
        [
            (case, subset, (0.5, 0.5, value))
            for case, t1, t2 in (("a", 0.0, 1.0), ("b", 1.0, 0.0), ("c", 0.25, 0.75))
            for subset, value in (("t1", t1), ("t2", t2))
        ]
    )
    assert intervals(opposed)["mean"]["WT"] == [0.5, 0.5]
    low, high = intervals(opposed)["t1"]["WT"]
    assert low < 0.2
    assert high > 0.7


def test_the_interval_of_many_patients_is_about_two_standard_errors():
    values = np.random.default_rng(1).normal(0.7, 0.1, 100)
    many = table_of_scores([(f"case {n}", "t1", (0, 0, v)) for n, v in enumerate(values)])
    error = values.std() / 10
    expected = [values.mean() - 1.96 * error, values.mean() + 1.96 * error]
    assert intervals(many)["t1"]["WT"] == pytest.approx(expected, abs=0.2 * error)
    assert intervals(many) == intervals(many[::-1])


def test_table_and_csv_show_the_same_figures():
    lines = as_table(SCORES).splitlines()
    assert lines[0] == "Dice [95 % interval, bootstrap over patients], mean over 2 cases"
    assert lines[1].split() == ["contrasts", "WT", "TC", "ET"]
    assert lines[3].split(maxsplit=1) == [
        "t1",
        "0.500 [0.40, 0.60]   0.300 [0.20, 0.40]   0.100 [0.00, 0.20]",
    ]
    assert lines[6].split()[:2] == ["mean", "0.700"]
    rows = list(csv.DictReader(io.StringIO(as_csv(SCORES))))
    assert [float(row["dice"]) for row in rows] == [s.dice for s in SCORES]
    assert [row["postprocessing"] for row in rows] == ["True", "False"] * 12


def test_the_table_has_every_metric_both_ways_and_says_what_empty_regions_count():
    text = as_table(SCORES)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 110
    processed = next(line.split()[1:] for line in lines[7:] if line.startswith("mean"))
    assert [float(figure) for figure in processed] == [
        *(65.0, 75.0, 82.5),  # HD95
        *(0.350, 0.250, 0.175),  # lesion-wise Dice
        *(265.0, 275.0, 282.5),  # lesion-wise HD95
    ]
    unprocessed = [line.split()[2:] for line in lines if "without post-processing" in line]
    assert unprocessed[0][::3] == ["0.350", "0.250", "0.175"]
    assert unprocessed[1][::3] == ["82.5", "0.175", "282.5"]
    assert EMPTY_CONVENTION in text.replace("\n", " ")
    assert "374" in EMPTY_CONVENTION


def test_json_has_every_metric_with_its_interval_both_ways():
    stored = json.loads(as_json(SCORES, load_model()))
    assert stored["dice"] == summary(SCORES)
    for metric in ("dice", "hd95_mm", "lesion_dice", "lesion_hd95_mm"):
        for part, processed in ((stored, True), (stored["without_postprocessing"], False)):
            assert part[metric] == summary(SCORES, metric, postprocessing=processed)
            ranges = intervals(SCORES, metric, postprocessing=processed)
            assert part[f"{metric}_interval"] == ranges
    assert stored["empty_regions"] == EMPTY_CONVENTION
    alone = [s for s in SCORES if s.case == "a"]
    assert json.loads(as_json(alone, load_model()))["dice_interval"]["mean"]["WT"] is None
    assert "1.000  " in as_table(alone)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    phantom = make_phantom(1002, PhantomSettings(spacing=3.0))
    write_phantom(phantom, folder / "whole")
    write_phantom(phantom, folder / "coarse truth")
    truth = folder / "coarse truth" / "seg.nii.gz"
    coarse = sitk.Resample(phantom.labels, [n // 2 for n in phantom.labels.GetSize()],
                           sitk.Transform(), sitk.sitkNearestNeighbor, phantom.labels.GetOrigin(),
                           [6.0] * 3)  # fmt: skip
    sitk.WriteImage(coarse, str(truth))
    (folder / "coarse truth" / "t1.nii.gz").unlink()
    return folder


def test_each_case_is_scored_from_every_subset_that_it_has(cohort):
    model, options = load_model(), Options(device="cpu")
    subsets = [SUBSETS[0], frozenset({Contrast.T1C, Contrast.FLAIR})]  # T1 alone, T1c + FLAIR
    scores = evaluate(find_cases(cohort), subsets, model, options)
    assert [(s.case, s.subset) for s in scores[::6]] == [
        ("coarse truth", "t1c+flair"),
        ("whole", "t1"),
        ("whole", "t1c+flair"),
    ]
    case = find_cases(cohort)[1]
    truth = case.read_segmentation()
    result = segment(read_study(case.images).subset(subsets[1]), model, options)
    for found, region in zip(scores[-6::2], Region, strict=True):
        assert found.postprocessing
        assert found.dice == pytest.approx(dice(result.label_map, truth, region), abs=1e-4)
        voxels = region_mask(sitk.GetArrayViewFromImage(truth), region).sum()
        assert found.true_volume_ml == pytest.approx(voxels * 0.027, abs=1e-3)
    coarse_truth = scores[4]  # on another grid: the same tumour, at its own voxel size
    assert coarse_truth.true_volume_ml == pytest.approx(scores[-2].true_volume_ml, rel=0.15)
    assert coarse_truth.dice == pytest.approx(scores[-2].dice, abs=0.15)
    stored = json.loads(as_json(scores, model))
    assert stored["cases"] == ["coarse truth", "whole"]
    assert stored["weights_sha256"] == model.settings["sha256"]


def test_the_figures_are_those_of_the_whole_volume(cohort, monkeypatch):
    """A result that lies beside the truth, with a false lesion in the volume's first corner."""
    case = find_cases(cohort)[1]
    truth = case.read_segmentation()
    values = sitk.GetArrayFromImage(truth)
    moved = np.roll(values, 2, axis=1)
    moved[:3, :3, :3] = ET.value

    def image(array):
        made = sitk.GetImageFromArray(array)
        made.CopyInformation(truth)
        return made

    perfect = {region: image(region_mask(values, region).astype(np.float32)) for region in Region}
    result = SimpleNamespace(label_map=image(moved), probabilities=perfect)
    monkeypatch.setattr("metakd.evaluate.segment", lambda *arguments: result)
    scores = evaluate([case], [frozenset(Contrast)], load_model(), Options(device="cpu"))
    for processed, unprocessed in zip(scores[::2], scores[1::2], strict=True):
        ours, theirs = (region_mask(array, Region(processed.region)) for array in (moved, values))
        lesions = lesion_wise(ours, theirs, (3, 3, 3))
        assert lesions.dice < processed.dice - 0.1
        assert (processed.dice, processed.hd95_mm) == pytest.approx(
            (
                dice(result.label_map, truth, Region(processed.region)),
                hd95(ours, theirs, (3, 3, 3)),
            ),
            abs=1e-3,
        )
        assert (processed.lesion_dice, processed.lesion_hd95_mm) == pytest.approx(
            (lesions.dice, lesions.hd95_mm), abs=1e-3
        )
        assert processed.volume_ml == pytest.approx(ours.sum() * 0.027, abs=1e-3)
        assert astuple(unprocessed)[4:8] == (1, 0, 1, 0)


def test_each_result_is_scored_with_and_without_post_processing(cohort):
    embedded, options = load_model(), Options(device="cpu")
    settings = {**embedded.settings, "postprocessing": {"smallest_ml": {"ET": 1e6}}}
    model = replace(embedded, card={**embedded.card, "metakd": settings})
    case = find_cases(cohort)[1]
    scores = evaluate([case], [frozenset(Contrast)], model, options)
    assert [(s.region, s.postprocessing) for s in scores] == [
        (region, processed) for region in ("ET", "TC", "WT") for processed in (True, False)
    ]
    enhancing, enhancing_unprocessed, core, core_unprocessed, *_ = scores
    assert (enhancing.volume_ml, enhancing.dice, enhancing.hd95_mm) == (0, 0, 374)
    assert enhancing_unprocessed.volume_ml > 0.5
    assert enhancing_unprocessed.dice > 0.3
    assert enhancing_unprocessed.hd95_mm < 374
    assert replace(core, postprocessing=False) == core_unprocessed  # necrotic core belongs to it


def test_two_cases_of_one_name_are_refused(cohort):
    cases = [*find_cases(cohort), find_cases(cohort)[0]]
    with pytest.raises(StudyError, match="coarse truth: more than one case has that name"):
        evaluate(cases, SUBSETS, load_model(), Options(device="cpu"))
