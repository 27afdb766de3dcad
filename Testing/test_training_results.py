"""The scripts behind RESULTS.md's classification tables: small ones, from data to table."""

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[1] / "training" / "results"


@pytest.fixture
def script(monkeypatch):
    """`script(name)`: the module, and a function that runs it with arguments."""

    def load(name):
        spec = importlib.util.spec_from_file_location(f"results_{name}", SCRIPTS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(__import__("sys").modules, spec.name, module)
        spec.loader.exec_module(module)

        def run(*arguments):
            monkeypatch.setattr("sys.argv", [f"{name}.py", *map(str, arguments)])
            module.main()

        return module, run

    return load


def rows(text, title):
    """Cells of the first table behind a title."""
    lines = text.split(title, 1)[1].splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("|"))
    table = itertools.takewhile(lambda line: line.startswith("|"), lines[first:])
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_audio_vision_table_is_made_from_the_data(script, shared_data, tmp_path, monkeypatch):
    avmnist, run = script("avmnist")
    monkeypatch.setattr(avmnist, "SHARES", (0.1,))
    monkeypatch.setattr(avmnist, "SETTINGS", {"sound, as published": ("sound", False)})
    changes = ["steps=6", "validate_every=2", f"data.cache={tmp_path / 'cache'}"]
    run("--data", shared_data / "avmnist", "--output", tmp_path, "--seeds", 1, 2, "--jobs", 1,
        *changes)  # fmt: skip
    text = (tmp_path / "avmnist.md").read_text("utf-8")
    table = {row[1]: row for row in rows(text, "**Rare: sound, as published**")[2:]}
    assert list(table) == ["image alone", "sound alone", "dropout", "lckd", "metakd"]
    assert table["image alone"][2] == table["image alone"][4] == "–"
    # The gain is the difference of the means, paired.
    apart = float(table["metakd"][3].split()[0]) - float(table["image alone"][3].split()[0])
    assert float(table["metakd"][5].split()[0]) == pytest.approx(apart, abs=0.02)
    best = {row[2]: row for row in rows(text, "**Best validation on the test pairs")[2:]}
    assert best["metakd"][-1].startswith("94.22")
    for name, place in (("dropout", 3), ("metakd", 4), ("lckd", 5)):
        ours, tested = table[name][place - 1], best[name][place]
        assert float(tested.split()[0]) >= float(ours.split()[0]) - 1e-6
    assert (tmp_path / "avmnist.png").stat().st_size > 5000


def test_networks_of_one_modality_see_the_same_pairs(script, shared_data):
    from metakd_training.tasks import make_workload

    avmnist, _ = script("avmnist")
    data = str(shared_data / "avmnist")
    for setting, share in (("sound", 0.05), ("image", 0.2)):
        config = {n: avmnist.config_of(setting, share, n, 3, data, []) for n in
                  ("image alone", "sound alone", "metakd")}  # fmt: skip
        split = {name: make_workload(one).split for name, one in config.items()}
        common = {"sound": "image", "image": "sound"}[setting]
        assert split[f"{common} alone"] == split["metakd"]
        for key, names in split[f"{setting} alone"].items():
            assert set(names) <= set(split["metakd"][key])
        assert split[f"{setting} alone"]["test"] == split["metakd"]["test"]
        encoder = config["metakd"].modalities[common]
        assert config[f"{common} alone"].modalities == {common: encoder}
        assert config[f"{common} alone"].optimiser == config["metakd"].optimiser


def test_the_cohorts_table_is_made_from_nothing(script, tmp_path, monkeypatch):
    cohort, run = script("cohort")
    monkeypatch.setattr(cohort, "PATIENTS", 120)
    run("--output", tmp_path, "--seeds", 1, 2, "--jobs", 1, "steps=10", "validate_every=5")
    text = (tmp_path / "cohorts.md").read_text("utf-8")
    assert "2 cohorts" in text
    means = {row[0]: row[1:] for row in rows(text, "± standard deviation over the cohorts")[2:]}
    gains = {row[0]: row[1:] for row in rows(text, "**Difference from dropout**")[2:]}
    assert list(means) == ["dropout", "lckd", "metakd"] and list(gains) == ["lckd", "metakd"]
    for name, cells in gains.items():
        for place, cell in enumerate(cells):
            apart = [float(means[n][place].split()[0]) for n in (name, "dropout")]
            assert float(cell.split()[0]) == pytest.approx(apart[0] - apart[1], abs=0.02)
    assert len(rows(text, "**Every subset**")) == 17
    before = (tmp_path / "runs/metakd/seed1/last.safetensors").stat().st_mtime_ns
    run("--output", tmp_path, "--seeds", 1, 2, "--jobs", 1, "steps=10", "validate_every=5")
    assert (tmp_path / "runs/metakd/seed1/last.safetensors").stat().st_mtime_ns == before
    assert (tmp_path / "cohorts.md").read_text("utf-8") == text


def test_the_mean_over_subsets_leaves_out_those_that_a_sample_lacks(script):
    cohort, _ = script("cohort")
    scores = np.array([[1.0, np.nan, 0.0], [1.0, 1.0, 1.0], [np.nan, np.nan, 0.0]])
    every, first = np.full(3, True), np.array([True, True, False])
    assert cohort._mean(scores, every).tolist() == [0.5, 1.0, 0.0]
    found = cohort._mean(scores, first)
    assert found[:2].tolist() == [1.0, 1.0] and np.isnan(found[2])
