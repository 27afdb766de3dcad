"""What a run's folder holds: its configuration, where it came from, and its checkpoints."""

from __future__ import annotations

import json
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from metakd.network import MetaKDNet

from metakd_training.checkpoint import load_state
from metakd_training.config import Config, differences, read_config, write_config

CONFIG, RECORD = "config.yaml", "run.json"
LAST, BEST = "last.safetensors", "best.safetensors"
_PACKAGES = ("metakd", "metakd-training", "torch", "monai", "numpy", "SimpleITK",
             "lightning-fabric", "safetensors")  # fmt: skip


Split = dict[str, list[str]]


def check(folder: Path, config: Config, split: Split, *, resume: bool) -> None:
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
    if json.loads((folder / RECORD).read_text(encoding="utf-8"))["split"] != split:
        raise ValueError(f"{folder}: the split has changed since this run began; begin another")


def begin(folder: Path, config: Config, split: Split) -> None:
    """Make a run's folder and write down what the run is; as it began, if it is resumed."""
    if (folder / CONFIG).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECORD).write_text(json.dumps(_record(config, split), indent=2) + "\n", "utf-8")
    write_config(config, folder / CONFIG)


def _record(config: Config, split: Split) -> dict[str, Any]:
    return {
        "seed": config.seed,
        "git_revision": _git_revision(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "split": split,
    }


def _git_revision() -> str | None:
    """The commit of this code, marked when it was changed since; `None` outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    here = Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def trained_network(folder: Path, checkpoint: str = LAST) -> MetaKDNet:
    """The averaged weights of a run, in evaluation mode on the CPU. Raises `ValueError`."""
    config = read_config(folder / CONFIG)
    network = MetaKDNet(**config.network.model_dump())
    network.load_state_dict(load_state(folder / checkpoint)["average"])
    return network.eval()
