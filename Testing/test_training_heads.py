"""Heads painted on label maps, and a run that learns to find the brain in them."""

import json
import re

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from metakd import brain_network
from metakd.brain_network import brain_of
from metakd.packages import ModelError
from metakd_training import evaluate_brain, runs
from metakd_training.cli import main
from metakd_training.config import read_config
from metakd_training.config.brain import Box, BrainConfig
from metakd_training.data.chance import Chance
from metakd_training.data.head_maps import AIR, GREY_MATTER, WHITE_MATTER, read_head_map
from metakd_training.data.heads import synthetic_head
from metakd_training.fit import fit
from metakd_training.launch import Launch
from metakd_training.tasks import make_workload

CPU = Launch("cpu", 1)
BOX = Box(size=(32, 32, 24), spacing=7.0)
SETTINGS = """
task: brain
data: {{folder: {folder}, train: [one], held_out: [two], validation: [three], heads: 2}}
box: {{size: [32, 32, 24], spacing: 7.0}}
network: {{channels: [4, 8], decoder_channels: [4, 8]}}
method: {{name: dropout}}
subsets: {{sampler: full, full_pass: false}}
optimiser: {{learning_rate: 1e-2, clip: 1.0, ema: 0.5, batch: 2}}
steps: 2
precision: fp32
log_every: 1
validate_every: 0
save_every: 1
"""
CARD = """
version: 0.0.1
changelog: {0.0.1: first}
description: two steps
authors: tests
copyright: Apache-2.0
training_data: [{name: ellipsoids, cases: 1, licence: none}]
"""


def head_labels(stretch=1.0):
    """(D, H, W): white and grey matter, fluid around them, skull and skin."""
    z, y, x = np.meshgrid(*(np.arange(128) - 63.5 for _ in range(3)), indexing="ij")
    depth = np.sqrt((x / 48) ** 2 + (y / (55 * stretch)) ** 2 + (z / 50) ** 2)
    labels = np.zeros(depth.shape, dtype=np.int16)
    for edge, label in ((1.14, 511), (1.1, 507), (1.06, 24), (1.0, 3), (0.75, 2)):
        labels[depth < edge] = label
    return labels


def write(path, labels, spacing=1.0):
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing([spacing] * 3)
    sitk.WriteImage(image, str(path))
    return path


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    """Folder of three maps."""
    folder = tmp_path_factory.mktemp("maps")
    for name, stretch in (("one", 1.0), ("two", 0.98), ("three", 1.02)):
        write(folder / f"{name}.nii.gz", head_labels(stretch))
    return folder


@pytest.fixture(scope="module")
def head(maps):
    return read_head_map(maps / "one.nii.gz")


@pytest.fixture
def config(maps, tmp_path):
    """`config(*changes)`: the settings of a small run."""
    path = tmp_path / "config.yaml"
    path.write_text(SETTINGS.format(folder=maps), encoding="utf-8")
    return lambda *changes: read_config(path, list(changes))


def drawn(head, number, seed=1):
    return synthetic_head(head, BOX, Chance(seed, "train", "head", number, device="cpu"))


def test_a_map_is_classes_and_the_brain_within_the_skull(head):
    assert head.name == "one"
    assert head.classes.shape == head.brain.shape
    kinds = torch.unique(head.classes).tolist()
    assert kinds[:3] == [AIR, WHITE_MATTER, GREY_MATTER]
    assert head.count == max(kinds) + 1 == 7  # and two that are nothing but themselves
    labels = head_labels()
    occupied = [np.flatnonzero(labels.any(axis=a)) for a in ((1, 2), (0, 2), (0, 1))]
    labels = labels[tuple(slice(o[0], o[-1] + 1) for o in occupied)]
    brain, tissue = head.brain.numpy() > 0, (labels == 2) | (labels == 3)
    assert brain[tissue].mean() > 0.97
    assert not brain[labels >= 500].any()
    rim = brain & ~tissue
    assert 0 < rim.sum() < 0.1 * tissue.sum()  # of a voxel


@pytest.mark.parametrize("axes", ["RAS", "PIR", "LPS"])
def test_a_map_is_the_same_however_it_is_stored(maps, head, tmp_path, axes):
    stored = sitk.DICOMOrient(sitk.ReadImage(str(maps / "one.nii.gz")), axes)
    sitk.WriteImage(stored, str(tmp_path / "one.nii.gz"))
    again = read_head_map(tmp_path / "one.nii.gz")
    assert torch.equal(again.classes, head.classes)
    assert torch.equal(again.brain, head.brain)


def test_what_is_no_map_of_a_head_is_named(tmp_path):
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 'none.nii.gz'}: cannot be read")):
        read_head_map(tmp_path / "none.nii.gz")
    coarse = write(tmp_path / "coarse.nii.gz", head_labels()[::4, ::4, ::4], spacing=4.0)
    with pytest.raises(ValueError, match=r"coarse\.nii\.gz: voxels are .*1 mm is needed"):
        read_head_map(coarse)
    small = write(tmp_path / "small.nii.gz", head_labels()[::2, ::2, ::2])
    with pytest.raises(ValueError, match=r"small\.nii\.gz: shows no whole brain"):
        read_head_map(small)
    empty = write(tmp_path / "empty.nii.gz", np.zeros((8, 8, 8), dtype=np.int16))
    with pytest.raises(ValueError, match=r"empty\.nii\.gz: shows no whole brain"):
        read_head_map(empty)


def test_a_number_is_one_head_and_another_number_another(head):
    (image, brain), (again, again_brain) = drawn(head, 5), drawn(head, 5)
    assert torch.equal(image, again)
    assert torch.equal(brain, again_brain)
    for other in (drawn(head, 6), drawn(head, 5, seed=2)):
        assert not torch.equal(other[0], image)
        assert not torch.equal(other[1], brain)


def test_heads_are_what_the_network_gets_with_the_brain_in_them(head):
    parts = []
    for number in range(8):
        image, brain = drawn(head, number)
        assert image.shape == brain.shape == (1, *BOX.size)
        assert image.isfinite().all()
        assert brain.isfinite().all()
        assert image.min() >= 0
        assert image.max() <= 1.5
        assert brain.min() >= 0
        assert brain.max() <= 1 + 1e-5
        parts.append(float((brain > 0.5).sum()) * BOX.spacing**3 / 1e6)
    # 0.55 l of ellipsoid, scaled by 0.79 to 1.26 along each axis, some of it cut off.
    assert 0.1 < min(parts) < max(parts) < 1.3
    assert len(set(parts)) > 4


def test_scores_are_of_the_same_heads_whatever_the_seed(config):
    one, other = (
        list(make_workload(config(f"seed={seed}")).whole("val", torch.device("cpu")))
        for seed in (1, 2)
    )
    assert len(one) == 2  # heads of each map
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a.inputs[0], b.inputs[0])
        assert torch.equal(a.target, b.target)
    assert not torch.equal(one[0].inputs[0], one[1].inputs[0])


def test_shares_of_the_processes_are_the_whole(config):
    workload, device = make_workload(config()), torch.device("cpu")
    whole = [batch.target for batch in workload.whole("val", device)]
    shares = [[b.target for b in workload.whole("val", device, (k, 2))] for k in range(2)]
    assert [len(share) for share in shares] == [1, 1]
    assert torch.equal(shares[0][0], whole[0])
    assert torch.equal(shares[1][0], whole[1])


def test_a_run_is_evaluated_and_becomes_a_package_that_finds_brains(
    config, tmp_path, capsys, monkeypatch
):
    run, scores, package = tmp_path / "run", tmp_path / "scores", tmp_path / "package"
    monkeypatch.setattr(evaluate_brain, "HEADS", 2)
    fit(config(), run, CPU, resume=False)
    assert isinstance(runs.stored_config(run), BrainConfig)
    (tmp_path / "card.yaml").write_text(CARD, encoding="utf-8")

    command(monkeypatch, "evaluate", run, "--output", scores, "--device", "cpu")
    table = capsys.readouterr().out
    assert table.startswith("2 synthetic heads of three")
    summary = json.loads((scores / "summary.json").read_text("utf-8"))
    assert (summary["maps"], summary["heads"]) == (["three"], 2)
    rows = (scores / "scores.csv").read_text("utf-8").splitlines()
    assert rows[0] == "map,dice,hd95_mm"
    assert [row.split(",")[0] for row in rows[1:]] == ["three", "three"]
    dice = [float(row.split(",")[1]) for row in rows[1:]]
    assert summary["dice"]["mean"] == pytest.approx(np.mean(dice), abs=1e-4)
    assert all(0 <= one <= 1 for one in dice)

    export = ("export", run, "--card", tmp_path / "card.yaml", "--output", package)
    command(monkeypatch, *export, "--evaluation", scores / "summary.json")
    card = json.loads((package / "configs" / "metadata.json").read_text("utf-8"))
    assert card["metakd"]["sha256"] == summary["weights_sha256"]
    assert card["eval_metrics"]["dice"] == summary["dice"]
    assert card["metakd"]["spacing_mm"] == 7.0
    assert card["metakd"]["threshold"] == summary["threshold"]
    assert 0 < summary["threshold"] <= 0.5

    place = tmp_path / "engine" / "Resources" / "MetaKDSegmentationBrain"
    place.parent.mkdir(parents=True)
    package.rename(place)
    here = tmp_path / "engine" / "metakd" / "brain_network.py"
    monkeypatch.setattr(brain_network, "__file__", str(here))
    found_by = brain_network.builtin.__wrapped__()
    assert (found_by.spacing, found_by.threshold) == (7.0, summary["threshold"])
    trained = runs.trained_network(run, make_workload(config()).network()).state_dict()
    for name, values in found_by.network.state_dict().items():
        torch.testing.assert_close(values, trained[name].half().float())
    scan = sitk.GetImageFromArray(head_labels()[::4, ::4, ::4].astype(np.float32))
    scan.SetSpacing([4.0] * 3)
    assert brain_of(scan, torch.device("cpu"), found_by).GetSpacing() == (7.0, 7.0, 7.0)

    summary["weights_sha256"] = "0" * 64
    (tmp_path / "other.json").write_text(json.dumps(summary), encoding="utf-8")
    with pytest.raises(SystemExit):
        command(monkeypatch, *export, "--evaluation", tmp_path / "other.json")
    assert "made with other weights" in capsys.readouterr().err
    assert not package.exists()


def command(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["metakd-train", *map(str, arguments)])
    main()


def test_weights_of_tumours_are_no_brain_package(tiny_package, tmp_path, monkeypatch):
    """A package of the other kind has the same layout, and another network."""
    place = tmp_path / "Resources" / "MetaKDSegmentationBrain"
    place.parent.mkdir()
    place.symlink_to(tiny_package, target_is_directory=True)
    monkeypatch.setattr(brain_network, "__file__", str(tmp_path / "metakd" / "brain_network.py"))
    with pytest.raises(ModelError):
        brain_network.builtin.__wrapped__()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("data.validation=[one]", "one is on more than one list"),
        ("data.train=[three, one, three]", "three is on more than one list"),
        ("data.held_out=[]", r"data\.held_out"),
        ("box.size=[32, 30, 24]", "not multiples of 4"),
        ("network.channels=[4, 8, 16]", "3 channels, but 2 decoder_channels"),
        ("box.spacing=0", r"box\.spacing"),
        ("data.folders=x", r"data\.folders: no such setting"),
    ],
)
def test_settings_that_cannot_be_are_named(config, change, says):
    with pytest.raises(ValueError, match=says):
        config(change)


def test_a_missing_map_is_named(config, maps, tmp_path):
    missing = re.escape(f"{maps / 'nobody.nii.gz'}: no such file")
    with pytest.raises(ValueError, match=missing):
        fit(config("data.train=[nobody]"), tmp_path / "run", CPU, resume=False)
    assert not (tmp_path / "run").exists()
