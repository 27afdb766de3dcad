"""The settings of one run, read from YAML and changed by ``key=value`` on the command line."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Config:
    """Everything that decides what a run computes.

    Attributes:
        cohorts: folders of patients, as `metakd.cases.find_cases` reads them.
        split: JSON file with lists of case names, ``train`` and ``val``.
        held_out: training patients kept apart to learn the importance weights on.
        phantoms: how many synthetic studies to train on beside the patients.
        phantom_share: the part of all draws that takes a phantom.
        spacing: of the network's grid, mm.
        crop: sides of a training crop in voxels (slices, rows, columns).
        alpha: weight α of the distillation in the loss.
        importance_every: steps of the network between two of the importance weights.
        fix_statistics_at: the step from which batch statistics are those collected so far; a crop
            is then normalised as the whole brain will be in use.
        ema: how much of the averaged weights stays at each step.
    """

    cohorts: tuple[str, ...]
    split: str
    held_out: tuple[str, ...]
    seed: int = 1
    phantoms: int = 24
    phantom_share: float = 0.15
    spacing: float = 1.0
    crop: tuple[int, int, int] = (128, 144, 128)
    network: dict[str, Any] = field(default_factory=dict)
    steps: int = 4000
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    warmup: int = 100
    gradient_clip: float = 1.0
    alpha: float = 0.02
    importance_learning_rate: float = 1e-2
    importance_every: int = 20
    fix_statistics_at: int = 1500
    ema: float = 0.998
    precision: str = "bf16"
    device: str = "auto"
    checkpoint_every: int = 250


def read_config(path: Path, changes: list[str]) -> Config:
    """Read a YAML file and apply ``key=value`` changes; raises `ValueError` for unknown keys."""
    settings: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    for change in changes:
        key, _, value = change.partition("=")
        settings[key] = yaml.safe_load(value)
    known = {f.name for f in fields(Config)}
    unknown = sorted(set(settings) - known)
    if unknown:
        raise ValueError(f"{path}: unknown settings {unknown}; known: {sorted(known)}")
    kinds = {f.name: f.type for f in fields(Config)}
    return Config(**{key: _as_kind(str(kinds[key]), value) for key, value in settings.items()})


def _as_kind(kind: str, value: Any) -> Any:
    if kind == "float":
        return float(value)  # YAML takes 1e-3, without a dot, for a text
    return tuple(value) if isinstance(value, list) else value


def write_config(config: Config, path: Path) -> None:
    """Write the settings as YAML that `read_config` reads back."""
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(config).items()}
    path.write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")
