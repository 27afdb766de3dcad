"""What a run's folder holds: its configuration, where it came from, and its checkpoints."""

from __future__ import annotations

import json
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from metakd.any_subset import AnySubsetNet
from metakd.network import MetaKDNet

from metakd_training.checkpoint import load_state
from metakd_training.config import Config, as_yaml, differences, read_config
from metakd_training.config.segmentation import SegmentationConfig
from metakd_training.tasks.workload import Workload

CONFIG, RECORD = "config.yaml", "run.json"
LAST, BEST = "last.safetensors", "best.safetensors"
CURVE = "curve.json"
_PACKAGES = ("metakd", "metakd-training", "torch", "monai", "numpy", "SimpleITK",
             "lightning-fabric", "safetensors", "scipy", "pandas", "scikit-learn",
             "librosa")  # fmt: skip


Split = dict[str, list[str]]


def check(
    folder: Path, config: Config, workload: Workload, processes: int, *, resume: bool
) -> None:
    """Raise `ValueError` when the folder holds another run, or one that is not to be resumed."""
    stored = folder / CONFIG
    if not stored.exists():
        return
    if not resume:
        raise ValueError(f"{folder}: holds a run; add --resume or choose another folder")
    changed = differences(read_config(stored), config)
    if changed:
        words = ", ".join(f"{name} was {a!r}, is {b!r}" for name, (a, b) in changed.items())
        raise ValueError(f"{folder}: holds a run with other settings ({words})")
    check_samples(folder, workload)
    before = _read_record(folder).get("processes", processes)
    if before != processes:
        raise ValueError(f"{folder}: was begun by {before} processes, not {processes}; its samples "
                         "are numbered by them")  # fmt: skip


def check_samples(folder: Path, workload: Workload) -> None:
    """Raise `ValueError` unless a run's samples are those that it began with still."""
    record = _read_record(folder)
    if record["split"] != workload.split:
        raise ValueError(f"{folder}: the split has changed since this run began; begin another")
    if record.get("samples") != workload.fingerprint:
        raise ValueError(f"{folder}: files of the samples have changed since this run began: "
                         "values, classes or columns are others; begin another")  # fmt: skip


def check_teacher(folder: Path, config: Config, split: Split) -> None:
    """Raise `ValueError` when a teacher knows patients that its pupil must not know."""
    trained = set(_read_record(folder)["split"]["train"])
    leaked = sorted(trained - set(split["train"]))
    if leaked:
        raise ValueError(f"{folder}: this teacher was trained on {', '.join(leaked)}, who is not "
                         "among this run's training samples")  # fmt: skip
    theirs = stored_config(folder)
    changed = differences(theirs, config)
    other = [name for name in changed if name.startswith(config.of_the_network)]
    if not other and theirs.order != config.order:
        other = ["the order of modalities or classes"]
    if other:
        raise ValueError(f"{folder}: this teacher differs from this run in {', '.join(other)}")


def begin(folder: Path, config: Config, workload: Workload, fabric: Fabric) -> None:
    """Make a run's folder and write down what the run is; as it began, if it is resumed."""
    if (folder / CONFIG).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    record = json.dumps(_record(config, workload, fabric), indent=2) + "\n"
    (folder / RECORD).write_text(record, encoding="utf-8")
    # Last and whole: with it the folder is a run.
    write_whole(folder / CONFIG, as_yaml(config))


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a kill leaves the old one or the new."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def patients(folder: Path, key: str) -> list[str]:
    """The names on a list of a run's split; none if there is no such list."""
    names: list[str] = _read_record(folder)["split"].get(key, [])
    return names


def _read_record(folder: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder}: holds no run of metakd-train ({error})") from error
    return record


def _record(config: Config, workload: Workload, fabric: Fabric) -> dict[str, Any]:
    device = fabric.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    return {
        "seed": config.seed,
        "git_revision": _git_revision(),
        "python": platform.python_version(),
        "packages": dict(filter(None, map(_installed, _PACKAGES))),
        "device": f"{device.type} {name}".strip(),
        "processes": fabric.world_size,
        "split": workload.split,
        "samples": workload.fingerprint,
    }


def _installed(name: str) -> tuple[str, str] | None:
    """Name and version of a package; some are for classification alone."""
    try:
        return name, version(name)
    except PackageNotFoundError:
        return None


def _git_revision() -> str | None:
    """The commit of this code, marked when it was changed since; `None` outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    here = Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def stored_config(folder: Path) -> Config:
    """The settings of a run. Raises `ValueError` when the folder holds none."""
    if not (folder / CONFIG).is_file():
        raise ValueError(f"{folder}: holds no run of metakd-train")
    return read_config(folder / CONFIG)


Network = TypeVar("Network", bound=AnySubsetNet)


def trained_network(folder: Path, network: Network, checkpoint: str = LAST) -> Network:
    """A network of the run's shape with its averaged weights, in evaluation mode on the CPU."""
    network.load_state_dict(load_state(folder / checkpoint)["average"])
    return network.eval()


def segmentation_network(folder: Path, checkpoint: str = LAST) -> MetaKDNet:
    """The averaged weights of a run that segments. Raises `ValueError` for another one."""
    config = stored_config(folder)
    if not isinstance(config, SegmentationConfig):
        raise ValueError(f"{folder}: this run does not segment")
    return trained_network(folder, MetaKDNet(**config.network.model_dump()), checkpoint)


def unfinished(folder: Path) -> str:
    """How far a run that was stopped has come, in words; empty for a finished one."""
    step, steps = load_state(folder / LAST)["step"], read_config(folder / CONFIG).steps
    return f"stopped at step {step} of {steps}" if step < steps else ""
