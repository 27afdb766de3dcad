import csv
import io
import json

import numpy as np
import pytest
import SimpleITK as sitk
from metakd.cases import find_cases
from metakd.contrasts import SUBSETS, Contrast
from metakd.evaluate import Score, as_csv, as_json, as_table, dice, evaluate, summary
from metakd.model import load_model
from metakd.phantom import PhantomSettings, make_phantom, write_phantom
from metakd.regions import ED, ET, NCR, Region, region_mask
from metakd.segment import Options, segment
from metakd.study import read_study


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


def score(case, subset, region, value):
    return Score(case, subset, region, value, 1.0, 2.0)


SCORES = [
    score(case, subset, region, value)
    for case, subset, values in (
        ("a", "t1", (0.0, 0.2, 0.4)),
        ("b", "t1", (0.2, 0.4, 0.6)),
        ("a", "t1+t2", (0.5, 0.5, 1.0)),
        ("b", "t1+t2", (0.7, 0.9, 0.8)),
    )
    for region, value in zip(("ET", "TC", "WT"), values, strict=True)
]


def test_means_are_over_cases_and_then_over_subsets():
    assert summary(SCORES) == {
        "t1": {"ET": 0.1, "TC": 0.3, "WT": 0.5},
        "t1+t2": {"ET": 0.6, "TC": 0.7, "WT": 0.9},
        "mean": {"ET": 0.35, "TC": 0.5, "WT": 0.7},
    }


def test_table_and_csv_show_the_same_figures():
    lines = as_table(SCORES).splitlines()
    assert lines[0] == "Dice, mean over 2 cases"
    assert lines[3].split() == ["t1", "0.500", "0.300", "0.100"]
    assert lines[-1].split() == ["mean", "0.700", "0.500", "0.350"]
    rows = list(csv.DictReader(io.StringIO(as_csv(SCORES))))
    assert [float(row["dice"]) for row in rows] == [s.dice for s in SCORES]


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
    assert [(s.case, s.subset) for s in scores[::3]] == [
        ("coarse truth", "t1c+flair"),
        ("whole", "t1"),
        ("whole", "t1c+flair"),
    ]
    case = find_cases(cohort)[1]
    truth = case.read_segmentation()
    result = segment(read_study(case.images).subset(subsets[1]), model, options)
    for found, region in zip(scores[-3:], Region, strict=True):
        assert found.dice == pytest.approx(dice(result.label_map, truth, region), abs=1e-4)
        voxels = region_mask(sitk.GetArrayViewFromImage(truth), region).sum()
        assert found.true_volume_ml == pytest.approx(voxels * 0.027, abs=1e-3)
    coarse_truth = scores[2]  # on another grid: the same tumour, at its own voxel size
    assert coarse_truth.true_volume_ml == pytest.approx(scores[-1].true_volume_ml, rel=0.15)
    assert coarse_truth.dice == pytest.approx(scores[-1].dice, abs=0.15)
    stored = json.loads(as_json(scores, model))
    assert stored["cases"] == ["coarse truth", "whole"]
    assert stored["weights_sha256"] == model.settings["sha256"]
