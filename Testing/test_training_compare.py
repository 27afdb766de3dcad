"""Comparison, evaluation and export of runs, on phantoms."""

import csv
import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import yaml
from metakd.contrasts import CONTRASTS, SUBSETS, subset_name
from metakd.model import read_package
from metakd.phantom import PhantomSettings, make_phantom, write_phantom
from metakd.regions import Region
from metakd_training import runs
from metakd_training.checkpoint import load_state
from metakd_training.cli import main
from metakd_training.compare import Contender, as_markdown, compare
from metakd_training.config import read_config
from metakd_training.evaluate import evaluate_run
from metakd_training.export import (
    UNRELEASED,
    check_evaluation,
    make_card,
    read_description,
    weights,
    write_package,
)
from metakd_training.figures import contrasts_figure, gain
from metakd_training.fit import fit
from metakd_training.intervals import interval
from metakd_training.launch import Launch
from metakd_training.subsets import all_subsets
from metakd_training.tasks.segmentation_workload import SegmentationWorkload
from PIL import Image

COMMON = """
data:
  cohorts: [{{path: {0}}}]
  split: {0}/split.json
  spacing: 4.0
  cache: {0}/cache
crops: {{size: [16, 24, 16]}}
network: {{channels: [4, 8], decoder_channels: [4, 8]}}
method: {{name: dropout}}
steps: 2
precision: fp32
validate_every: 0
"""
DESCRIPTION = """
version: 0.0.1
changelog: {0.0.1: for tests}
description: for tests
authors: tests
copyright: Apache-2.0
smallest_ml: {WT: 0.05, ET: 0.5}
training_data: []
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A cohort, and configurations of two methods for it."""
    folder = tmp_path_factory.mktemp("compare")
    for seed in (1, 3, 5):
        write_phantom(make_phantom(seed, PhantomSettings(spacing=4.0)), folder / f"p{seed}")
    split = {"train": ["p1"], "held_out": ["p3"], "val": ["p5"]}
    (folder / "split.json").write_text(json.dumps(split))
    (folder / "dropout.yaml").write_text(COMMON.format(folder))
    (folder / "metakd.yaml").write_text("base: dropout.yaml\nmethod: {name: metakd, every: 1}\n")
    (folder / "unfair.yaml").write_text("base: dropout.yaml\nsteps: 3\n")
    (folder / "card.yaml").write_text(DESCRIPTION)
    return folder


@pytest.fixture(scope="module")
def compared(folder):
    paths = [folder / "dropout.yaml", folder / "metakd.yaml"]
    text = compare(paths, [1, 2], folder / "runs", accelerator="cpu")
    return folder / "runs", text


def command(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["metakd-train", *map(str, arguments)])
    main()


def test_a_comparison_scores_every_run_on_the_validation_patients(compared):
    folder, text = compared
    assert "| dropout |" in text and "| metakd |" in text
    assert (folder / "comparison.md").read_text("utf-8") == text
    assert Image.open(folder / "comparison.png").width > 800
    for method in ("dropout", "metakd"):
        for seed in (1, 2):
            run = folder / method / f"seed{seed}"
            stored = json.loads((run / "scores_val_last.json").read_text())
            assert stored["samples"] == ["p5"]
            assert np.array(stored["scores"]).shape == (1, 15, 3)
            assert load_state(run / runs.LAST)["step"] == 2
            assert read_config(run / runs.CONFIG).seed == seed
    learned = json.loads((folder / "metakd/seed1/scores_val_last.json").read_text())["importance"]
    assert learned != [1, 1, 1, 1]
    assert sum(learned) == pytest.approx(4, abs=1e-3)


def test_finished_runs_are_not_made_again(compared, folder):
    weights_file = compared[0] / "dropout/seed1" / runs.LAST
    before = weights_file.stat().st_mtime_ns
    again = compare([folder / "dropout.yaml"], [1], compared[0], name="again", accelerator="cpu")
    assert weights_file.stat().st_mtime_ns == before
    assert "| dropout |" in again


def test_only_method_and_subsets_may_differ(folder, tmp_path):
    paths = [folder / "dropout.yaml", folder / "unfair.yaml"]
    with pytest.raises(ValueError, match="dropout and unfair differ in steps"):
        compare(paths, [1], tmp_path, accelerator="cpu")
    assert not any(tmp_path.iterdir())


def contender(name, values, importance=None):
    """Two seeds, three patients; one figure a seed and patient, for every subset and region."""
    scores = np.broadcast_to(np.array(values)[:, :, None, None], (2, 3, 15, 3))
    weights_ = np.ones((2, 4)) if importance is None else np.array(importance)
    return Contender(name, ("a", "b", "c"), scores, weights_)


def test_differences_are_paired_by_patient_and_seed():
    """Patients differ by far more than the methods: only a paired interval can tell them apart."""
    first = contender("plain", [[0.2, 0.5, 0.9], [0.3, 0.4, 0.8]])
    other = contender("better", [[0.21, 0.53, 0.92], [0.33, 0.42, 0.82]])
    text = as_markdown([first, other], 2, "val", SegmentationWorkload)
    means, paired = text.split("**Difference")[:2]
    assert "| plain | 0.517 ± 0.024 [0.25, 0.85]" in means
    assert "| better | +0.022 [+0.020, +0.025]" in paired


def test_the_interval_is_that_of_the_mean_over_patients():
    values = np.array([0.0, 1.0, 1.0, 0.0])
    low, high = interval(values)
    assert (low, high) == (0.0, 1.0)
    many = np.random.default_rng(1).normal(0.5, 0.1, 400)
    low, high = interval(many)
    # The textbook's: 1.96 standard errors either side.
    assert (high - low) / 2 == pytest.approx(1.96 * many.std() / 20, rel=0.05)
    assert low < many.mean() < high


def test_importance_stands_beside_the_dice_of_each_contrast_alone():
    text = as_markdown(
        [contender("metakd", [[0.5] * 3] * 2, [[2.0, 1.0, 0.5, 0.5], [1.0, 1.0, 1.0, 1.0]])],
        2, "val", SegmentationWorkload,
    )  # fmt: skip
    assert "| metakd | T1 | 1.500 ± 0.707 | 0.50 | 0.50 | 0.50 |" in text


def test_runs_scored_on_other_patients_are_not_paired(compared, folder):
    stored = compared[0] / "metakd/seed2/scores_val_last.json"
    before = stored.read_text("utf-8")
    stored.write_text(before.replace("p5", "someone"), "utf-8")
    try:
        with pytest.raises(ValueError, match="different samples"):
            compare([folder / "metakd.yaml"], [1, 2], compared[0], name="x", accelerator="cpu")
    finally:
        stored.write_text(before, "utf-8")


def test_a_subset_that_nobody_was_measured_with_has_no_figure():
    lacking = contender("plain", [[0.2, 0.5, 0.9], [0.3, 0.4, 0.8]])
    scores = lacking.scores.copy()
    scores[:, :, 0] = np.nan  # T1 alone
    table = as_markdown([replace(lacking, scores=scores)], 2, "val", SegmentationWorkload).split(
        "**WT**"
    )[1]
    assert "| T1 | – |" in table
    assert "| T1c | 0.52 [0.25, 0.85] |" in table


def test_a_modalitys_gain_is_its_mean_over_the_sets_without_it():
    """0.1 a modality, and 0.3 more for the second."""
    subsets = all_subsets(4).double().numpy()
    plain = 0.1 * subsets.sum(axis=1)
    second = plain + 0.3 * subsets[:, 1]
    assert gain(second, 4, 1) == pytest.approx(0.4)
    assert gain(second, 4, 3) == pytest.approx(0.1)
    assert gain(plain, 4, 1) == pytest.approx(0.1)


def test_the_figure_shows_every_figure(tmp_path):
    table = {subset_name(s): {"WT": 0.9, "TC": 0.5, "ET": len(s) / 10} for s in SUBSETS}
    contrasts_figure(table, "title", tmp_path / "figure.png")
    pixels = np.asarray(Image.open(tmp_path / "figure.png").convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50


def test_a_run_is_evaluated_and_exported_with_its_figures(compared, folder, tmp_path, monkeypatch):
    run, scores, package = compared[0] / "dropout/seed1", tmp_path / "scores", tmp_path / "package"
    command(monkeypatch, "evaluate", run, "--card", folder / "card.yaml", "--device", "cpu",
            "--output", scores)  # fmt: skip
    rows = list(csv.DictReader((scores / "scores.csv").open()))
    assert {row["case"] for row in rows} == {"p5"}
    assert len(rows) == 15 * 3 * 2
    assert Image.open(scores / "contrasts.png").height > 400
    command(monkeypatch, "export", run, "--card", folder / "card.yaml",
            "--evaluation", scores / "summary.json", "--output", package)  # fmt: skip
    model = read_package(package)
    summary = json.loads((scores / "summary.json").read_text())
    for subset in SUBSETS:
        expected = model.expected_dice(subset, Region.WT)
        assert expected == summary["dice"][subset_name(subset)]["WT"]
    network = runs.segmentation_network(run)
    for name, values in network.state_dict().items():
        assert (model.network.state_dict()[name] == values.half().float()).all()
    assert set(model.settings["importance"]) == {c.value for c in CONTRASTS}


def test_only_this_network_on_all_validation_patients_gets_into_a_card(compared):
    network = runs.segmentation_network(compared[0] / "dropout/seed1")
    sha256 = hashlib.sha256(weights(network)).hexdigest()
    good = {"weights_sha256": sha256, "cases": ["p5"], "dice": {}}
    check_evaluation(good, network, ["p5"])
    with pytest.raises(ValueError, match="other weights"):
        check_evaluation({**good, "weights_sha256": "0" * 64}, network, ["p5"])
    for cases in (["p1"], ["p1", "p5"], []):
        with pytest.raises(ValueError, match="validation patients"):
            check_evaluation({**good, "cases": cases}, network, ["p5"])
    with pytest.raises(ValueError, match=r"not a summary\.json"):
        check_evaluation({}, network, ["p5"])


def test_the_same_weights_are_the_same_bytes(compared, tmp_path):
    network = runs.segmentation_network(compared[0] / "dropout/seed1")
    description = {
        "version": "1", "changelog": {}, "description": "", "authors": "", "copyright": "",
        "smallest_ml": {}, "training_data": [],
    }  # fmt: skip
    card = make_card(network, description=description, spacing=4.0, evaluation=None)
    write_package(tmp_path / "package", card, network)
    assert weights(read_package(tmp_path / "package").network) == weights(network)


def test_a_split_is_drawn_once_and_then_fixed(folder, tmp_path, monkeypatch, capsys):
    path = tmp_path / "splits" / "split.json"
    arguments = ("split", folder, "--shares", "train=2", "val=0.2", "--output", path)
    with pytest.raises(SystemExit):  # counts and fractions do not mix
        command(monkeypatch, *arguments)
    assert not path.exists()
    arguments = ("split", folder, "--shares", "train=0.67", "val=0.33", "--output", path)
    command(monkeypatch, *arguments)
    lists = json.loads(path.read_text())
    assert sorted(lists["train"] + lists["val"]) == ["p1", "p3", "p5"]
    before = path.read_bytes()
    with pytest.raises(SystemExit) as end:
        command(monkeypatch, *arguments)
    assert end.value.code == 2
    assert "exists" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_what_would_fail_after_hours_is_refused_first(folder, tmp_path):
    plain = folder / "dropout.yaml"
    for paths, seeds, options, message in (
        ([plain], [1], {"key": "valid"}, "the list valid is missing"),
        ([plain], [1, 1], {}, "stands twice"),
        ([plain, plain], [1], {}, "stands twice"),
        ([plain], [1], {"name": "a/b"}, "no plain name"),
        ([], [1], {}, "no configuration"),
    ):
        with pytest.raises(ValueError, match=message):
            compare(paths, seeds, tmp_path, accelerator="cpu", **options)
    assert not any(tmp_path.iterdir())


def test_nothing_is_scored_on_patients_that_were_trained_on(compared, folder, tmp_path):
    """A split that was edited after the run began would make them validation patients."""
    path = folder / "split.json"
    before = path.read_text()
    path.write_text(json.dumps({"train": ["p5"], "held_out": ["p3"], "val": ["p1"]}))
    try:
        with pytest.raises(ValueError, match="the split has changed"):
            run = compared[0] / "dropout/seed1"
            evaluate_run(run, runs.stored_config(run), tmp_path)
        with pytest.raises(ValueError, match="the split has changed"):
            compare([folder / "dropout.yaml"], [1], compared[0], accelerator="cpu")
    finally:
        path.write_text(before)


def test_a_teacher_knows_no_patient_that_its_pupil_must_not_know(compared, folder, tmp_path):
    settings = yaml.safe_load((folder / "dropout.yaml").read_text())
    teacher = str(compared[0] / "dropout/seed1")
    settings["method"] = {"name": "metakd", "logit_teacher": teacher}
    settings["data"]["split"] = str(tmp_path / "split.json")
    (tmp_path / "pupil.yaml").write_text(yaml.safe_dump(settings))
    for train, held_out, sound in (("p1", "p5", True), ("p5", "p1", False)):
        split = {"train": [train], "held_out": [held_out], "val": ["p3"]}
        (tmp_path / "split.json").write_text(json.dumps(split))
        arguments = (read_config(tmp_path / "pupil.yaml"), tmp_path / held_out, Launch("cpu", 1))
        if sound:
            fit(*arguments, resume=False)
        else:
            with pytest.raises(ValueError, match="was trained on p1"):
                fit(*arguments, resume=False)


def test_a_finished_run_that_is_resumed_stays_as_it_is(compared, folder):
    run = compared[0] / "metakd/seed1"
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    config = read_config(run / runs.CONFIG)
    fit(config, run, Launch("cpu", 1), resume=True)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_card_and_a_package_are_not_spoiled_by_bad_input(compared, folder, tmp_path):
    (tmp_path / "card.yaml").write_text("version: 1")
    with pytest.raises(ValueError, match=r"card\.yaml: lacks authors"):
        read_description(tmp_path / "card.yaml")
    (tmp_path / "card.yaml").write_text("version: [")
    with pytest.raises(ValueError, match="not valid YAML"):
        read_description(tmp_path / "card.yaml")
    network = runs.segmentation_network(compared[0] / "dropout/seed1")
    card = make_card(network, description=UNRELEASED, spacing=4.0, evaluation=None)
    write_package(tmp_path / "package", card, network)
    with pytest.raises(ValueError, match="exists; choose another folder"):
        write_package(tmp_path / "package", card, network)


def test_subsets_that_nobody_was_measured_with_are_left_open(tmp_path):
    table = {subset_name(s): {"WT": 0.5, "TC": 0.5, "ET": 0.5} for s in SUBSETS if len(s) < 3}
    contrasts_figure(table, "title", tmp_path / "figure.png")
    measured = np.where(all_subsets(4).sum(dim=1) < 3, 0.5, np.nan)
    assert gain(measured, 4, 0) == 0
    assert np.isnan(gain(np.full(15, np.nan), 4, 0))
