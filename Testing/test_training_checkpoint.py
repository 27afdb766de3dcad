"""Checkpoints, and the folder of a run that they lie in."""

import json
import os
import pickle
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning_fabric import Fabric
from metakd.network import MetaKDNet
from metakd_training import runs
from metakd_training.checkpoint import load_state, save_state
from metakd_training.config import read_config
from metakd_training.config.segmentation import SegmentationConfig
from safetensors.torch import save

SPLIT = {"train": ["P1", "P2"], "held_out": ["P3"], "val": []}
SAMPLES = SimpleNamespace(split=SPLIT, fingerprint="of their values")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "last.safetensors"


def through(state, path):
    """The state as it comes back from a file."""
    save_state(state, path)
    return load_state(path)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"step": 3, "best": -1.5, "name": 'ä "b" \n', "none": None, "yes": True, "no": False},
        {"a": {"b": {"c": [1, [2, [], {}], {"d": None}]}}},
        {"state": {0: {"step": 1}, 1: {}}, "0": "text", 12: "number"},
        {"tensor": 1, "dict": {"tensor": "0", "list": [3]}, "list": {"dict": 1}},
        {"best": float("inf"), "worst": float("-inf"), "tiny": 5e-324, "third": 1 / 3},
        {"large": 2**62},
    ],
)
def test_numbers_texts_and_their_nesting_come_back_as_they_were(state, path):
    found = through(state, path)
    assert found == state
    assert repr(found) == repr(state)  # True is not 1, and 0 is not "0"


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(3.5),
        torch.tensor(7),
        torch.tensor([True, False]),
        torch.zeros(0, 3),
        torch.arange(5, dtype=torch.uint8),
        torch.tensor([1.0, 1 / 3, float("inf"), float("nan")], dtype=torch.bfloat16),
        torch.tensor([1 / 3, 65504.0], dtype=torch.float16),
        torch.tensor([1 / 3], dtype=torch.float64),
        torch.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1)[::2],
        torch.ones(3, requires_grad=True),
    ],
    ids=lambda tensor: f"{tensor.dtype}{list(tensor.shape)}",
)
def test_a_tensor_comes_back_to_the_bit(tensor, path):
    found = through({"inner": [{"tensor": tensor}]}, path)["inner"][0]["tensor"]
    assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
    assert torch.equal(found.nan_to_num(nan=7.0), tensor.nan_to_num(nan=7.0))
    assert not found.requires_grad


def test_tensors_that_share_memory_come_back_each_with_its_own(path):
    whole = torch.arange(6.0)
    found = through({"whole": whole, "part": whole[2:4], "again": whole}, path)
    assert torch.equal(found["part"], torch.tensor([2.0, 3.0]))
    found["whole"].zero_()
    assert torch.equal(found["again"], torch.arange(6.0))
    assert torch.equal(found["part"], torch.tensor([2.0, 3.0]))


def test_an_optimiser_goes_on_from_a_checkpoint_as_if_it_had_never_stopped(path):
    def made():
        torch.manual_seed(0)
        layer = torch.nn.Linear(3, 2)
        return layer, torch.optim.AdamW(layer.parameters(), lr=0.1)

    def step(layer, optimizer):
        layer(torch.ones(1, 3)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    layer, optimizer = made()
    step(layer, optimizer)
    stored = through({"layer": layer.state_dict(), "optimizer": optimizer.state_dict()}, path)
    other, theirs = made()
    other.load_state_dict(stored["layer"])
    theirs.load_state_dict(stored["optimizer"])
    step(layer, optimizer)
    step(other, theirs)
    assert torch.equal(layer.weight, other.weight)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9999])
def test_a_truncated_checkpoint_is_refused_by_name(path, share):
    save_state({"weights": torch.ones(1000), "step": 3}, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"last\.safetensors: not a readable checkpoint"):
        load_state(path)


@pytest.mark.parametrize("place", [2, 12, 40])
def test_a_checkpoint_with_a_damaged_header_is_refused_by_name(path, place):
    save_state({"weights": torch.ones(1000), "step": 3}, path)
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"last\.safetensors: not a readable checkpoint"):
        load_state(path)


class Trap:
    """Unpickled, it leaves a file behind."""

    def __reduce__(self):
        return Path.touch, (Path("trapped"),)


@pytest.mark.parametrize("write", [pickle.dump, torch.save], ids=["pickle", "torch"])
def test_a_pickle_is_refused_by_name_and_not_run(path, write, monkeypatch):
    monkeypatch.chdir(path.parent)
    with path.open("wb") as file:
        write({"step": Trap()}, file)
    with pytest.raises(ValueError, match=r"last\.safetensors: not a readable checkpoint"):
        load_state(path)
    assert not Path("trapped").exists()
    pickle.loads(pickle.dumps(Trap()))
    assert Path("trapped").exists()  # the trap works


@pytest.mark.parametrize(
    "metadata", [None, {}, {"state": "{"}, {"state": '{"dict": [["a", {"tensor": "7"}]]}'}]
)
def test_weights_that_are_no_checkpoint_are_refused_by_name(path, metadata):
    path.write_bytes(save({"0": torch.ones(3)}, metadata))
    with pytest.raises(ValueError, match=r"last\.safetensors: not a readable checkpoint"):
        load_state(path)


def test_a_missing_checkpoint_is_refused_by_name(path):
    with pytest.raises(ValueError, match=r"last\.safetensors: not a readable checkpoint"):
        load_state(path)


def test_an_interrupted_write_leaves_the_checkpoint_before_it(path, monkeypatch):
    save_state({"weights": torch.ones(1000), "step": 1}, path)

    def killed(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            save_state({"weights": torch.zeros(1000), "step": 2}, path)
    found = load_state(path)
    assert found["step"] == 1
    assert torch.equal(found["weights"], torch.ones(1000))
    save_state({"step": 3}, path)
    assert load_state(path) == {"step": 3}
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_state_that_cannot_be_written_leaves_the_checkpoint_before_it(path):
    save_state({"step": 1}, path)
    with pytest.raises(TypeError):
        save_state({"step": 2, "what": object()}, path)
    assert load_state(path) == {"step": 1}


@pytest.fixture
def config():
    return SegmentationConfig.model_validate(
        {
            "data": {"cohorts": [{"path": "patients"}], "split": "split.json"},
            "crops": {"size": [16, 16, 16]},
            "network": {"channels": [4, 8], "decoder_channels": [4, 8]},
            "method": {"name": "metakd"},
            "steps": 5,
            "seed": 42,
        }
    )


FABRIC = Fabric(accelerator="cpu", devices=1)


def changed(config, **settings):
    return config.model_copy(update=settings)


def git_revision():
    where = Path(runs.__file__).parent
    command = ["git", "rev-parse", "HEAD"]
    asked = subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)
    return asked.stdout.strip()


def test_a_run_records_its_settings_and_where_it_came_from(config, tmp_path):
    folder = tmp_path / "runs" / "first"
    runs.begin(folder, config, SAMPLES, FABRIC)
    assert read_config(folder / "config.yaml") == config
    record = json.loads((folder / "run.json").read_text("utf-8"))
    assert (record["seed"], record["split"]) == (42, SPLIT)
    assert record["python"] == platform.python_version()
    for package in ("metakd", "metakd-training", "torch", "monai", "numpy", "SimpleITK"):
        assert record["packages"][package] == version(package)
    assert (record["git_revision"] or "").removesuffix("-dirty") == git_revision()


def test_a_second_run_in_a_folder_is_refused(config, tmp_path):
    runs.begin(tmp_path / "run", config, SAMPLES, FABRIC)
    for other in (config, changed(config, seed=43)):
        with pytest.raises(ValueError, match=r"run: holds a run; add --resume"):
            runs.check(tmp_path / "run", other, SAMPLES, 1, resume=False)


def test_a_run_is_not_resumed_with_other_settings_which_are_named(config, tmp_path):
    runs.begin(tmp_path / "run", config, SAMPLES, FABRIC)
    method = config.method.model_copy(update={"alpha": 0.5})
    other = changed(config, steps=9, method=method)
    with pytest.raises(ValueError, match=r"run: .*alpha was 0\.1, is 0\.5, steps was 5, is 9\)"):
        runs.check(tmp_path / "run", other, SAMPLES, 1, resume=True)


def test_a_run_is_not_resumed_with_other_patients(config, tmp_path):
    runs.begin(tmp_path / "run", config, SAMPLES, FABRIC)
    with pytest.raises(ValueError, match="run: the split has changed"):
        others = SimpleNamespace(split={**SPLIT, "train": ["someone else"]}, fingerprint="")
        runs.check(tmp_path / "run", config, others, 1, resume=True)
    changed = SimpleNamespace(split=SPLIT, fingerprint="of other values")
    with pytest.raises(ValueError, match="files of the samples have changed"):
        runs.check(tmp_path / "run", config, changed, 1, resume=True)


def test_a_resumed_run_keeps_the_record_of_its_beginning(config, tmp_path):
    runs.begin(tmp_path, config, SAMPLES, FABRIC)
    (tmp_path / runs.RECORD).write_text('{"split": "as it was"}')
    runs.begin(tmp_path, config, SAMPLES, FABRIC)
    assert json.loads((tmp_path / runs.RECORD).read_text()) == {"split": "as it was"}


@pytest.mark.parametrize("resume", [False, True])
def test_a_new_folder_is_free_for_a_run_and_is_not_made_yet(config, tmp_path, resume):
    runs.check(tmp_path / "new", config, SAMPLES, 1, resume=resume)
    runs.check(tmp_path, config, SAMPLES, 1, resume=resume)
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_resumed_with_its_own_settings(config, tmp_path):
    for _ in range(2):
        runs.check(tmp_path, config, SAMPLES, 1, resume=True)
        runs.begin(tmp_path, config, SAMPLES, FABRIC)
    assert read_config(tmp_path / "config.yaml") == config


def test_the_network_of_a_run_has_its_averaged_weights(config, tmp_path):
    runs.begin(tmp_path, config, SAMPLES, FABRIC)
    torch.manual_seed(3)
    last, best = (MetaKDNet(**config.network.model_dump()) for _ in range(2))
    for network, file in ((last, runs.LAST), (best, runs.BEST)):
        save_state({"average": network.state_dict(), "step": 5}, tmp_path / file)
    for network, arguments in ((last, ()), (best, (runs.BEST,))):
        found = runs.segmentation_network(tmp_path, *arguments)
        assert not found.training
        for name, values in network.state_dict().items():
            assert torch.equal(found.state_dict()[name], values), name
    assert not torch.equal(next(last.parameters()), next(best.parameters()))


def test_a_run_without_a_checkpoint_is_refused_by_name(config, tmp_path):
    runs.begin(tmp_path, config, SAMPLES, FABRIC)
    with pytest.raises(ValueError, match=r"last\.safetensors: not a readable checkpoint"):
        runs.segmentation_network(tmp_path)
