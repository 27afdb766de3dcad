"""Classification runs: the network, how samples are drawn, whole runs on small tables."""

import ast
import csv
import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import metakd_training.methods
import numpy as np
import pytest
import torch
from metakd_training import runs
from metakd_training.checkpoint import load_state
from metakd_training.classifier import ClassifierNet
from metakd_training.cli import main
from metakd_training.compare import compare
from metakd_training.config import read_config
from metakd_training.config.classification import (
    ClassifierSettings,
    Image,
    Spectrogram,
    Table,
    Volume,
)
from metakd_training.config.sections import Subsets
from metakd_training.data.warp import CHANCES, warped
from metakd_training.evaluate_classifier import evaluate_classifier
from metakd_training.fit import Run, fit
from metakd_training.intervals import crossed_interval, interval_over_seeds
from metakd_training.launch import Launch
from metakd_training.parallel import in_parallel
from metakd_training.predictions import metric_intervals, metrics
from metakd_training.subsets import SubsetSampler, all_subsets
from metakd_training.tasks import make_workload
from metakd_training.tasks.classification import Classification

pytestmark = pytest.mark.filterwarnings("ignore:.*alone tells:UserWarning")
CPU = Launch("cpu", 1)
KINDS = {
    "picture": Image(kind="image"),
    "sound": Spectrogram(kind="spectrogram"),
    "scan": Volume(kind="volume", files="{name}.nii.gz", size=(24, 20, 16), channels=(4, 8)),
    "blood": Table(kind="table", tables=[{"file": "blood.csv"}], widths=(8,)),
}
SHAPES = {"picture": (1, 28, 28), "sound": (1, 20, 20), "scan": (1, 24, 20, 16), "blood": (5,)}
CONFIG = """
task: classification
data:
  source: cohort
  folder: {0}
  subjects: {{file: who.csv, name: name, label: class, classes: {{a: A, b: B, c: C}}}}
modalities:
  blood: {{kind: table, tables: [{{file: blood.csv}}], widths: [16]}}
  gene: {{kind: table, tables: [{{file: gene.csv}}], widths: [16]}}
network: {{features: 8, hidden: 16, dropout: 0.2}}
method: {{name: metakd, every: 2}}
optimiser: {{learning_rate: 1e-2, batch: 8}}
steps: 200
precision: fp32
validate_every: 20
save_every: 5
watch: [test]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """120 samples of three classes; blood shows the class, gene half of it; some lack one."""
    folder = tmp_path_factory.mktemp("cohort")
    random = np.random.default_rng(1)
    label = np.arange(120) % 3
    tables = {"blood": 0.3, "gene": 1.5}
    lacking = {"blood": set(range(5, 120, 10)), "gene": set(range(8, 120, 10))}
    names = [f"p{i:03}" for i in range(120)]
    with (folder / "who.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("name", "class"), *((n, "abc"[c]) for n, c in zip(names, label, strict=True))]
        )
    for table, noise in tables.items():
        rows = [
            (n, *np.round(np.eye(3)[c] + random.normal(0, noise, 3), 3))
            for i, (n, c) in enumerate(zip(names, label, strict=True))
            if i not in lacking[table]
        ]
        with (folder / f"{table}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("name", "x", "y", "z"), *rows])
    lists = {"train": names[:60], "held_out": names[60:84], "test": names[84:]}
    (folder / "split.json").write_text(json.dumps(lists))
    (folder / "metakd.yaml").write_text(CONFIG.format(folder))
    for method in ("lckd", "dropout"):
        (folder / f"{method}.yaml").write_text(f"base: metakd.yaml\nmethod: {{name: {method}}}\n")
    return folder


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    run = tmp_path_factory.mktemp("run") / "metakd"
    fit(read_config(folder / "metakd.yaml"), run, CPU, resume=False)
    return run


def inputs_of(shapes, count):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(count, *shape, generator=generator) for shape in shapes.values()]


# The network


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return ClassifierNet(KINDS, SHAPES, 3, ClassifierSettings(features=12, hidden=10)).eval()


def test_every_kind_of_modality_becomes_a_feature_vector_and_any_subset_a_class(network):
    inputs = inputs_of(SHAPES, 2)
    for place, values in enumerate(inputs):
        (vector,) = network.encode(place, values)
        assert vector.shape == (2, 12)
        assert vector.std(dim=0).min() > 0  # of the sample, not constant
    for subset in all_subsets(4):
        logits = network.predict(inputs, subset.expand(2, -1))
        assert logits.shape == (2, 3)
        assert logits.isfinite().all()


def test_what_stands_in_an_absent_modality_is_never_read(network):
    inputs = inputs_of(SHAPES, 3)
    available = torch.tensor([[1, 1, 1, 1], [0, 1, 0, 1], [1, 0, 0, 0]], dtype=torch.bool)
    before = network.predict(inputs, available)
    for place, values in enumerate(inputs):
        values[~available[:, place]] = torch.nan
    assert torch.equal(network.predict(inputs, available), before)


def test_a_sample_is_classified_alike_alone_and_in_a_batch(network):
    inputs = inputs_of(SHAPES, 3)
    available = torch.tensor([[1, 1, 1, 1], [0, 1, 0, 1], [1, 0, 0, 0]], dtype=torch.bool)
    together = network.predict(inputs, available)
    for i in range(3):
        alone = network.predict([values[i : i + 1] for values in inputs], available[i : i + 1])
        torch.testing.assert_close(alone[0], together[i], rtol=1e-5, atol=1e-5)


def test_the_audio_vision_network_is_as_small_as_the_published_one():
    config = read_config(Path(__file__).parents[1] / "training/configs/avmnist_metakd.yaml")
    shapes = {"image": (1, 28, 28), "sound": (1, 20, 20)}
    network = ClassifierNet(config.modalities, shapes, 10, config.network)
    assert sum(p.numel() for p in network.parameters()) <= 300_000


# The task, and what the methods know of it


def test_loss_and_score_are_cross_entropy_and_accuracy():
    task = Classification()
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    target = torch.tensor([0, 1])
    expected = -logits.log_softmax(dim=1)[[0, 1], target]
    assert torch.allclose(task.loss(logits, target)[:, 0], expected)
    assert task.score(logits, target).tolist() == [[1.0], [0.0]]
    # A teacher of the same opinion costs its own entropy, any other opinion more.
    same, other = task.agreement(logits, logits), task.agreement(-logits, logits)
    assert (same < other).all()


def test_no_method_knows_which_task_it_serves():
    """Neither by what it imports nor by a word of its text."""
    folder = Path(metakd_training.methods.__file__).parent
    allowed = ("metakd_training.methods", "metakd_training.config.sections")
    words = ("segment", "classif", "region", "contrast", "tumour", "dice", "accuracy", "image",
             "sound", "mnist", "adni", "brats", "voxel", "patient")  # fmt: skip
    files = sorted(folder.glob("*.py"))
    assert len(files) >= 6
    for path in files:
        text = path.read_text("utf-8")
        assert not [word for word in words if word in text.lower()], path.name
        for node in ast.walk(ast.parse(text)):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            ours = [name for name in names if name and name.startswith("metakd")]
            assert all(name.startswith(allowed) for name in ours), (path.name, ours)


# What is drawn


@pytest.fixture(scope="module")
def workload(folder):
    return make_workload(read_config(folder / "metakd.yaml"))


def batches(workload, sizes, purpose="train", sampler="uniform"):
    ends = np.cumsum([0, *sizes])
    numbers = [range(a, b) for a, b in itertools.pairwise(ends)]
    subsets = SubsetSampler(Subsets(sampler=sampler), len(workload.modalities))
    for drawn in workload.draw(numbers, purpose):
        yield drawn, workload.batch(drawn, subsets, step=0, device=torch.device("cpu"))


def test_an_epoch_has_every_training_sample_once_and_no_other(workload):
    places = torch.cat([drawn.places for drawn, _ in batches(workload, [16] * 15)])
    assert len(places) == 240
    epochs = places.view(4, 60)
    for epoch in epochs:
        assert sorted(epoch.tolist()) == sorted(workload.samples.lists["train"])
    assert not torch.equal(epochs[0], epochs[1])


def test_a_sample_follows_from_its_number_alone(workload):
    whole = next(batch for _, batch in batches(workload, [96]))
    parts = [batch for _, batch in batches(workload, [10, 54, 3, 29])]
    for field in ("target", "present", "available"):
        assert torch.equal(getattr(whole, field), torch.cat([getattr(p, field) for p in parts]))
    assert whole.available.unique(dim=0).shape[0] == 3


def test_no_sample_uses_a_modality_that_it_lacks(workload):
    batch = next(batches(workload, [300]))[1]
    assert (~batch.present).any(dim=0).all()
    assert (batch.available <= batch.present).all()
    assert batch.available.any(dim=1).all()


def test_all_samples_of_a_list_are_scored_in_its_order_whoever_shares_them(workload):
    device = torch.device("cpu")
    labels = workload.samples.labels[torch.tensor(workload.samples.lists["test"])]
    assert torch.equal(torch.cat([b.target for b in workload.whole("test", device)]), labels)
    shares = [torch.cat([b.target for b in workload.whole("test", device, (k, 2))]) for k in (0, 1)]
    assert torch.equal(shares[0], labels[::2]) and torch.equal(shares[1], labels[1::2])


# Augmentation


def test_without_limits_nothing_is_changed_and_in_the_middle_neither():
    for name, kind in KINDS.items():
        values = torch.randn(4, *SHAPES[name])
        assert torch.equal(warped(values, kind, torch.rand(4, CHANCES)), values)
    pictures = torch.rand(2, 1, 28, 28) * 2 - 1
    kind = Image(kind="image", shift=3, turn=20, zoom=0.2)
    torch.testing.assert_close(warped(pictures, kind, torch.full((2, CHANCES), 0.5)), pictures)


def test_pictures_are_shifted_within_their_limits_and_black_comes_in():
    pictures = torch.full((3, 1, 28, 28), -1.0)
    pictures[:, :, 13:15, 13:15] = 1.0
    chances = torch.full((3, CHANCES), 0.5)
    chances[0, 2], chances[1, 3], chances[2, 2] = 1.0, 1.0, 0.0
    moved = warped(pictures, Image(kind="image", shift=2), chances)
    for picture, (down, across) in zip(moved, [(0, -2), (-2, 0), (0, 2)], strict=True):
        expected = torch.roll(pictures[0], (down, across), dims=(1, 2))
        torch.testing.assert_close(picture, expected, atol=1e-4, rtol=0)
    assert moved.min() >= -1.0001


def test_turned_pictures_keep_their_shape_though_they_are_not_square():
    """A quarter turn of a bar in a 20 × 28 picture: as long as before."""
    pictures = torch.full((1, 1, 20, 28), -1.0)
    pictures[:, :, 9:11, 8:20] = 1.0
    chances = torch.full((1, CHANCES), 0.5)
    chances[0, 0] = 1.0
    turned = warped(pictures, Image(kind="image", turn=90, size=(20, 28)), chances)
    assert (turned[0, 0, 4:16, 13:15] > 0.9).all()
    assert ((turned > 0).sum() - 24).abs() <= 2


def test_sounds_are_shifted_in_time_and_not_in_pitch():
    sounds = torch.arange(20.0).expand(2, 1, 20, 20).clone()
    chances = torch.tensor([[1.0] + [0.5] * (CHANCES - 1), [0.0] + [0.5] * (CHANCES - 1)])
    moved = warped(sounds, Spectrogram(kind="spectrogram", shift=3), chances)
    assert moved[0, 0, 0].tolist() == [0, 0, 0, *range(17)]
    assert moved[1, 0, 5].tolist() == [*range(3, 20), 19, 19, 19]


# Metrics


def test_metrics_are_those_of_a_small_example_by_hand():
    labels = np.array([0, 0, 1, 2])
    probabilities = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]])
    found = metrics(labels, probabilities)
    assert found["accuracy"] == 0.75
    # F1: class 0 has 1 of 2 and none too many, 1 has one too many, 2 is perfect.
    assert found["f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    # Of class 0, three of the four pairs are in order; the other classes are.
    assert found["auc"] == pytest.approx((0.75 + 1 + 1) / 3)


def test_what_cannot_be_said_is_not_said():
    two = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3]])
    assert np.isnan(metrics(np.array([0, 1]), two)["auc"])
    assert all(np.isnan(v) for v in metrics(np.array([], dtype=int), two[:0]).values())
    assert np.isnan(metric_intervals(np.array([0]), two[:1])["accuracy"]).all()


def coverage(draw, interval_of, repeats=400):
    """How often an interval holds the true mean, 0."""
    random = np.random.default_rng(0)
    ends = np.array([interval_of(draw(random)) for _ in range(repeats)])
    return ((ends[:, 0] <= 0) & (ends[:, 1] >= 0)).mean()


@pytest.mark.parametrize("between_seeds", [0.0, 0.5, 5.0])
def test_an_interval_over_seeds_and_samples_holds_the_mean_as_often_as_it_says(between_seeds):
    def draw(random):
        samples = random.normal(0, 1, (1, 60)) + random.normal(0, 1, (5, 60))
        return samples + between_seeds * random.normal(0, 1, (5, 1))

    assert 0.93 <= coverage(draw, crossed_interval) <= 0.995
    assert np.isnan(crossed_interval(np.zeros((1, 9)))).all()


def test_an_interval_over_seeds_holds_the_mean_as_often_as_it_says():
    found = coverage(lambda random: random.normal(0, 1, 5), interval_over_seeds)
    assert 0.93 <= found <= 0.97
    assert np.isnan(interval_over_seeds(np.zeros(1))).all()


# Whole runs


def test_a_run_learns_and_leaves_its_curve_and_best_weights(finished):
    curve = json.loads((finished / runs.CURVE).read_text("utf-8"))
    assert [(e["step"], e["list"]) for e in curve[:4]] == [
        (20, "held_out"), (20, "test"), (40, "held_out"), (40, "test")]  # fmt: skip
    last = {e["list"]: np.array(e["scores"])[:, 0] for e in curve[-2:]}
    blood, gene, both = last["test"]
    assert blood > 0.9 and both > 0.9 and 0.4 < gene < 0.95
    held_out = [e for e in curve if e["list"] == "held_out"]
    best = load_state(finished / runs.BEST)
    assert best["step"] in [e["step"] for e in held_out]
    assert json.loads((finished / runs.RECORD).read_text("utf-8"))["split"]["train"][0] == "p000"


def test_the_best_weights_are_chosen_on_held_out_samples_alone(folder, tmp_path):
    """Other labels for the test list change what is watched, not what is learned or chosen."""
    spoiled = tmp_path / "cohort"
    spoiled.mkdir()
    for path in folder.glob("*.*"):
        (spoiled / path.name).write_text(path.read_text("utf-8").replace(str(folder), str(spoiled)))
    rows = (spoiled / "who.csv").read_text("utf-8").splitlines()
    rows[85:] = [f"{row[:-1]}{'bca'['abc'.index(row[-1])]}" for row in rows[85:]]
    (spoiled / "who.csv").write_text("\n".join(rows))
    for place in (folder, spoiled):
        config = read_config(place / "metakd.yaml", ["steps=60"])
        fit(config, tmp_path / f"run of {place.name}{place == spoiled}", CPU, resume=False)
    one, other = sorted(tmp_path.glob("run of *"))
    states = [load_state(run / runs.BEST) for run in (one, other)]
    assert states[0]["step"] == states[1]["step"]
    for name, value in states[0]["average"].items():
        assert torch.equal(value, states[1]["average"][name])
    curves = [json.loads((run / runs.CURVE).read_text("utf-8")) for run in (one, other)]
    assert curves[0][0] == curves[1][0]
    assert curves[0][1] != curves[1][1]


@pytest.mark.parametrize("method", ["metakd", "lckd"])
def test_a_stopped_run_goes_on_and_ends_in_the_same_weights(method, folder, tmp_path, monkeypatch):
    config = read_config(folder / f"{method}.yaml", ["steps=30", f"method.every={7}"])
    fit(config, tmp_path / "whole", CPU, resume=False)

    save = Run.save

    def stopping(run, name):
        save(run, name)
        if run.step == 15:
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "save", stopping)
    with pytest.raises(KeyboardInterrupt):
        fit(config, tmp_path / "parts", CPU, resume=False)
    monkeypatch.undo()
    fit(config, tmp_path / "parts", CPU, resume=True)
    whole, parts = (load_state(tmp_path / name / runs.LAST) for name in ("whole", "parts"))
    assert parts["step"] == 30
    for name, value in whole["average"].items():
        assert torch.equal(value, parts["average"][name]), name
    assert whole["curve"] == parts["curve"]


def test_two_processes_learn_what_one_learns_with_the_double_batch(folder, tmp_path):
    changes = ["network.dropout=0", "steps=12", "validate_every=6", "subsets.full_pass=false"]
    for name, batch, devices in (("one", 8, 1), ("two", 4, 2)):
        command = [sys.executable, "-m", "metakd_training.cli", "fit", folder / "metakd.yaml",
                   *changes, f"optimiser.batch={batch}", "--output", tmp_path / name,
                   "--accelerator", "cpu", "--devices", devices]  # fmt: skip
        subprocess.run([str(part) for part in command], check=True, capture_output=True)
    one, two = (load_state(tmp_path / name / runs.LAST) for name in ("one", "two"))
    for name, value in one["average"].items():
        torch.testing.assert_close(two["average"][name], value, rtol=1e-4, atol=1e-5)
    assert one["curve"] == two["curve"]


def test_all_methods_are_compared_side_by_side_by_several_processes(folder, tmp_path):
    paths = [folder / f"{method}.yaml" for method in ("dropout", "lckd", "metakd")]
    options = {"key": "test", "accelerator": "cpu", "changes": ["steps=12", "validate_every=6"]}
    text = compare(paths, [1, 2], tmp_path / "two", jobs=2, checkpoint=runs.BEST, **options)
    assert text == compare(paths, [1, 2], tmp_path / "one", checkpoint=runs.BEST, **options)
    assert "**Difference from dropout" in text
    assert "| blood + gene | " in text
    assert "| metakd | gene | " in text
    assert (tmp_path / "one" / "comparison.png").stat().st_size > 5000


def test_an_evaluation_says_all_metrics_of_every_subset(finished, folder, tmp_path, monkeypatch):
    arguments = [finished, "--list", "test", "--output", tmp_path, "--device", "cpu"]
    monkeypatch.setattr("sys.argv", ["metakd-train", "evaluate", *map(str, arguments)])
    main()
    found = json.loads((tmp_path / "summary.json").read_text("utf-8"))["subsets"]
    assert list(found) == ["blood", "gene", "blood + gene"]
    assert found["blood"]["samples"] == 32 and found["blood + gene"]["samples"] == 28
    rows = list(csv.DictReader((tmp_path / "predictions.csv").open()))
    alone = [row for row in rows if row["subset"] == "gene"]
    right = np.mean([row["truth"] == row["found"] for row in alone])
    assert found["gene"]["accuracy"] == pytest.approx(right, abs=1e-4)
    low, high = found["gene"]["interval"]["accuracy"]
    assert low < right < high
    # As the run itself saw it at its last validation.
    curve = json.loads((finished / runs.CURVE).read_text("utf-8"))
    assert curve[-1]["scores"][1][0] == pytest.approx(right, abs=1e-4)
    assert (tmp_path / "modalities.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("watch=[val]", r"watch: \['val'\] are no lists of the split"),
        ("modalities.blood.kind=volume", r"modalities\.blood\.files: Field required"),
        ("modalities.blood.kind=taste", r"modalities\.blood: .*'taste'"),
        ("data.source=avmnist", r"data\.folder|data\.subjects: no such setting"),
        ("network.featurs=3", r"network\.featurs: no such setting"),
    ],
)
def test_wrong_settings_are_named(folder, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        fit(read_config(folder / "metakd.yaml", [change]), tmp_path / "run", CPU, resume=False)
    assert not (tmp_path / "run").exists()


def test_a_model_package_of_a_classifier_is_refused(finished, tmp_path, monkeypatch, capsys):
    card = Path(__file__).parents[1] / "training/configs/compact_first_card.yaml"
    arguments = [finished, "--card", card, "--output", tmp_path / "package"]
    monkeypatch.setattr("sys.argv", ["metakd-train", "export", *map(str, arguments)])
    with pytest.raises(SystemExit):
        main()
    assert "does not segment" in capsys.readouterr().err
    assert not (tmp_path / "package").exists()


def test_a_loss_that_is_no_number_ends_the_run_and_is_not_saved(folder, tmp_path):
    config = read_config(folder / "metakd.yaml", ["optimiser.learning_rate=1e30", "steps=10"])
    with pytest.raises(
        ValueError, match=r"run: the loss is (nan|inf) at step \d+; lower optimiser"
    ):
        fit(config, tmp_path / "run", CPU, resume=False)
    last = tmp_path / "run" / runs.LAST
    if last.exists():  # of a step when all was well
        weights = load_state(last)["average"].values()
        assert all(value.isfinite().all() for value in weights)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("network.features=6", "network.features"),
        ("data.subjects.classes={b: B, a: A, c: C}", "the order of modalities or classes"),
        ("modalities.gene.widths=[4]", "modalities.gene.widths"),
    ],
)
def test_a_teacher_of_other_inputs_or_outputs_is_refused(
    folder, finished, tmp_path, change, message
):
    teacher = f"method.logit_teacher={finished}"
    config = read_config(folder / "metakd.yaml", [teacher, change])
    with pytest.raises(ValueError, match=f"this teacher differs from this run in {message}"):
        fit(config, tmp_path / "run", CPU, resume=False)
    same = read_config(folder / "metakd.yaml", [teacher, "steps=2"])
    fit(same, tmp_path / "run", CPU, resume=False)


@pytest.mark.parametrize(
    ("file", "edit"),
    [
        ("blood.csv", lambda rows: [rows[0], f"{rows[1].split(',')[0]},9,9,9", *rows[2:]]),
        (
            "who.csv",
            lambda rows: [rows[0], *(row[:-1] + "bca"["abc".index(row[-1])] for row in rows[1:])],
        ),
        ("gene.csv", lambda rows: [",".join(r.split(",")[i] for i in (0, 2, 1, 3)) for r in rows]),
    ],
    ids=["another value", "other classes", "columns in another order"],
)
def test_samples_that_changed_since_a_run_began_are_noticed(folder, tmp_path, file, edit):
    own = tmp_path / "cohort"
    own.mkdir()
    for path in folder.glob("*.*"):
        (own / path.name).write_text(path.read_text("utf-8").replace(str(folder), str(own)))
    config = read_config(own / "metakd.yaml", ["steps=2"])
    fit(config, tmp_path / "run", CPU, resume=False)
    rows = (own / file).read_text("utf-8").splitlines()
    (own / file).write_text("\n".join(edit(rows)) + "\n")
    for go_on in (
        lambda: fit(config, tmp_path / "run", CPU, resume=True),
        lambda: evaluate_classifier(tmp_path / "run", config, tmp_path / "scores"),
    ):
        with pytest.raises(ValueError, match="files of the samples have changed"):
            go_on()
    assert not (tmp_path / "scores").exists()


def test_a_run_says_what_there_is_and_warns_of_lists_that_say_little(folder, tmp_path, capfd):
    own = tmp_path / "cohort"
    own.mkdir()
    for path in folder.glob("*.*"):
        (own / path.name).write_text(path.read_text("utf-8").replace(str(folder), str(own)))
    lists = json.loads((own / "split.json").read_text("utf-8"))
    lists["held_out"] = ["p065", "p075"]  # without blood, and both of class C
    (own / "split.json").write_text(json.dumps(lists))
    with pytest.warns(UserWarning) as warned:
        fit(read_config(own / "metakd.yaml", ["steps=2"]), tmp_path / "run", CPU, resume=False)
    told = [str(warning.message) for warning in warned]
    assert any("list held_out: no sample has blood" in text for text in told)
    assert any("list test" in text for text in told) is False
    assert "train: 60 samples; blood 54, gene 54\n" in capfd.readouterr().err


def test_an_empty_list_is_refused(folder, tmp_path):
    workload = make_workload(read_config(folder / "metakd.yaml"))
    with pytest.raises(ValueError, match="here: the list extra is missing or empty"):
        replace(workload.samples, lists={**workload.samples.lists, "extra": []}).check("here")


def test_more_scales_than_a_picture_has_are_refused():
    kind = {"picture": Image(kind="image", channels=(4,) * 6)}
    with pytest.raises(ValueError, match="too many scales for 28×28"):
        ClassifierNet(kind, SHAPES, 3, ClassifierSettings())


def test_the_first_run_that_fails_ends_all():
    with pytest.raises(ZeroDivisionError):
        in_parallel(divmod, [(1, 1), (1, 0), (1, 2)], 1)
    with pytest.raises(ValueError, match="--jobs 0: at least 1"):
        in_parallel(divmod, [(1, 1)], 0)
