import hashlib
import json
from pathlib import Path

import pytest
import torch
from metakd.model import read_package
from metakd.phantom import PhantomSettings, make_phantom, write_phantom
from metakd_training.config import Config, read_config, write_config
from metakd_training.data.augment import random_crop
from metakd_training.data.patients import load_phantom, split_cases
from metakd_training.export import (
    averaged_network,
    check_evaluation,
    make_card,
    weights,
    write_package,
)
from metakd_training.fit import Run

SMALL = {"channels": [4, 8], "decoder_channels": [4, 8]}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    for seed in (1, 3, 5):
        write_phantom(make_phantom(seed, PhantomSettings(spacing=4.0)), folder / f"p{seed}")
    (folder / "splits.json").write_text(json.dumps({"train": ["p1", "p3"], "val": ["p5"]}))
    return folder


@pytest.fixture
def config(cohort):
    return Config(
        cohorts=(str(cohort),),
        split=str(cohort / "splits.json"),
        held_out=("p3",),
        phantoms=1,
        spacing=4.0,
        crop=(16, 24, 16),
        network=SMALL,
        steps=6,
        importance_every=2,
        precision="fp32",
        device="cpu",
    )


def fitted(config, folder, resume=False):
    folder.mkdir(exist_ok=True)
    run = Run(config, folder)
    run.load_data()
    if resume:
        run.resume()
    run.fit()
    return run


def test_a_run_that_was_stopped_ends_in_the_same_weights_to_the_bit(config, tmp_path):
    whole = fitted(config, tmp_path / "whole")
    interrupted = Run(config, tmp_path / "parts")
    (tmp_path / "parts").mkdir()
    interrupted.load_data()
    for _ in range(3):
        interrupted.advance()
    interrupted.save()
    resumed = fitted(config, tmp_path / "parts", resume=True)
    assert resumed.step == whole.step == 6
    for name, values in whole.network.state_dict().items():
        assert torch.equal(values, resumed.network.state_dict()[name]), name
    for name, values in whole.average.state_dict().items():
        assert torch.equal(values, resumed.average.state_dict()[name]), name


def test_training_changes_network_and_importance_and_lowers_the_loss(config, tmp_path):
    longer = Config(**{**vars(config), "steps": 60, "warmup": 5, "phantom_share": 0.0})
    run = fitted(longer, tmp_path / "run")
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [entry["task"] for entry in log]
    assert sum(losses[-5:]) < sum(losses[:5])
    assert not torch.equal(run.network.importance_logits, torch.zeros(4))


def test_the_package_of_a_run_is_its_averaged_network(config, tmp_path):
    fitted(config, tmp_path / "run")
    network = averaged_network(tmp_path / "run", config)
    description = {
        key: {"smallest_ml": {}, "training_data": []}.get(key, key)
        for key in (
            "version", "changelog", "description", "authors", "copyright", "smallest_ml",
            "training_data",
        )
    }  # fmt: skip
    card = make_card(network, description=description, spacing=4.0, evaluation=None)
    write_package(tmp_path / "package", card, network)
    model = read_package(tmp_path / "package")
    assert model.spacing == 4.0
    for name, values in network.state_dict().items():
        assert torch.equal(model.network.state_dict()[name], values.half().float())
    assert weights(model.network) == weights(network)


def test_only_this_network_on_all_validation_patients_gets_into_a_card(config, tmp_path):
    fitted(config, tmp_path / "run")
    network = averaged_network(tmp_path / "run", config)
    sha256, split = hashlib.sha256(weights(network)).hexdigest(), Path(config.split)
    check_evaluation({"weights_sha256": sha256, "cases": ["p5"]}, network, split)
    with pytest.raises(ValueError, match="other weights"):
        check_evaluation({"weights_sha256": "0" * 64, "cases": ["p5"]}, network, split)
    for cases in (["p1"], ["p1", "p5"], []):
        with pytest.raises(ValueError, match="validation patients"):
            check_evaluation({"weights_sha256": sha256, "cases": cases}, network, split)


@pytest.mark.parametrize(
    ("lists", "held_out", "message"),
    [
        ({"train": ["p1"], "val": ["p1"]}, (), "both train and val"),
        ({"train": ["p1", "p9"], "val": []}, (), r"no case named \['p9'\]"),
        ({"train": ["p1"], "val": ["p5"]}, ("p5",), "not training patients"),
    ],
)
def test_a_leak_or_a_missing_patient_stops_before_training(
    cohort, tmp_path, lists, held_out, message
):
    split = tmp_path / "split.json"
    split.write_text(json.dumps(lists))
    with pytest.raises(ValueError, match=message):
        split_cases((str(cohort),), str(split), held_out)


def test_held_out_patients_are_not_trained_on(cohort):
    train, held_out = split_cases((str(cohort),), str(cohort / "splits.json"), ("p3",))
    assert [case.name for case in train] == ["p1"]
    assert [case.name for case in held_out] == ["p3"]


def test_a_crop_keeps_images_and_regions_together():
    """Oedema is bright on FLAIR before and after; regions stay nested."""
    phantom = load_phantom(3, 4.0, 4)
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        images, regions = random_crop(phantom, (32, 40, 32), generator)
        enhancing, core, whole = regions
        assert (enhancing <= core + 1e-5).all()
        assert (core <= whole + 1e-5).all()
        assert whole.sum() > 20
        flair, brain = images[3], (images != 0).any(dim=0)
        oedema, normal = (whole > 0.9) & (core < 0.1), brain & (whole < 0.1)
        assert flair[oedema].mean() > flair[normal].mean()


def test_a_configuration_is_read_back_as_written(config, tmp_path):
    write_config(config, tmp_path / "config.yaml")
    assert read_config(tmp_path / "config.yaml", []) == config
    assert read_config(tmp_path / "config.yaml", ["steps=9"]).steps == 9
    assert read_config(tmp_path / "config.yaml", ["learning_rate=8e-3"]).learning_rate == 0.008
    with pytest.raises(ValueError, match="unknown settings"):
        read_config(tmp_path / "config.yaml", ["stpes=9"])
