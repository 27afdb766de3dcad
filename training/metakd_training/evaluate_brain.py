"""A run that finds the brain, scored on synthetic heads of maps that it has never seen."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from metakd.brain_network import found_above
from metakd.inference import choose_device
from metakd.metrics import dice, hd95
from metakd.network import MetaKDNet
from metakd.outputs import OutputFiles
from metakd.tensors import to_array
from tqdm import tqdm

from metakd_training import runs
from metakd_training.config.brain import BrainConfig
from metakd_training.export import weights
from metakd_training.tasks.brain_workload import BrainWorkload
from metakd_training.words import listed

HEADS = 72
"""Of each map; more than a run is scored on while it learns."""

_THRESHOLDS = (0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03)


def evaluate_brain(
    run: Path,
    config: BrainConfig,
    output: Path,
    *,
    key: str = "val",
    checkpoint: str = runs.LAST,
    device: str = "auto",
) -> str:
    """Score a run's averaged weights on the heads of a list.

    The probability from which a voxel is brain is chosen first, by the mean Dice on the held-out
    heads. Writes ``scores.csv`` and ``summary.json``; returns the table as text. Dice, and the 95 %
    Hausdorff distance in mm on the network's own grid, of the mask in one piece as it is used.

    Raises `ValueError`.
    """
    many = config.data.model_copy(update={"heads": HEADS})
    workload = BrainWorkload(config.model_copy(update={"data": many}))
    if not workload.split.get(key):
        raise ValueError(f"{run}: has no list {key}, only {listed(workload.split)}")
    runs.check_samples(run, workload)
    network = brain_network(run, config, checkpoint)
    where = choose_device(device)
    network = network.to(where)
    threshold = _best_threshold(network, workload, where)
    rows = _rows(network, workload, key, where, threshold)
    summary = {
        "weights_sha256": hashlib.sha256(weights(network.cpu())).hexdigest(),
        "threshold": threshold,
        "maps": workload.split[key],
        "heads": len(rows),
        "dice": _figures([dice for _, dice, _ in rows]),
        "hd95_mm": _figures([distance for _, _, distance in rows]),
    }
    output.mkdir(parents=True, exist_ok=True)
    with OutputFiles() as files:
        Path(files.stage(output / "scores.csv")).write_text(_as_csv(rows), "utf-8")
        text = json.dumps(summary, indent=2) + "\n"
        Path(files.stage(output / "summary.json")).write_text(text, "utf-8")
    return _as_text(summary)


def brain_network(run: Path, config: BrainConfig, checkpoint: str = runs.LAST) -> MetaKDNet:
    """The averaged weights of a run that finds the brain."""
    return runs.trained_network(run, BrainWorkload(config).network(), checkpoint)


def _best_threshold(network: MetaKDNet, workload: BrainWorkload, device: torch.device) -> float:
    heads = list(_heads(network, workload, "held_out", device))
    means = {
        threshold: np.mean([dice(found_above(likely, threshold), truth) for likely, truth in heads])
        for threshold in _THRESHOLDS
    }
    return max(means, key=lambda threshold: means[threshold])


def _rows(
    network: MetaKDNet, workload: BrainWorkload, key: str, device: torch.device, threshold: float
) -> list[tuple[str, float, float]]:
    heads, spacing = workload.config.data.heads, [workload.config.box.spacing] * 3
    rows = []
    for number, (likely, truth) in enumerate(_heads(network, workload, key, device)):
        found = found_above(likely, threshold)
        name = workload.split[key][number // heads]
        rows.append((name, dice(found, truth), hd95(found, truth, spacing)))
    return rows


@torch.no_grad()
def _heads(
    network: MetaKDNet, workload: BrainWorkload, key: str, device: torch.device
) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]]:
    """Of each head the brain's probability and truth, (D, H, W)."""
    total = len(workload.split[key]) * workload.config.data.heads
    batches = workload.whole(key, device)
    for head in tqdm(batches, total=total, unit="", desc=key, leave=False, disable=None):
        logits = network.predict(head.inputs, head.present)
        yield to_array(logits[0, 0].sigmoid()), to_array(head.target[0, 0]) > 0.5


def _figures(values: list[float]) -> dict[str, float]:
    low, middle, high = np.percentile(values, (5, 50, 95))
    figures = {"mean": np.mean(values), "median": middle, "5 %": low, "95 %": high}
    worst = {"lowest": min(values), "highest": max(values)}
    return {name: round(float(value), 4) for name, value in {**figures, **worst}.items()}


def _as_csv(rows: list[tuple[str, float, float]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["map", "dice", "hd95_mm"])
    writer.writerows((name, f"{dice:.4f}", f"{distance:.2f}") for name, dice, distance in rows)
    return text.getvalue()


def _as_text(summary: dict[str, Any]) -> str:
    lines = [
        f"{summary['heads']} synthetic heads of {listed(summary['maps'])}, brain from "
        f"{summary['threshold']:.0%} on:"
    ]
    for name, key, form in (("Dice", "dice", ".3f"), ("95 % distance, mm", "hd95_mm", ".1f")):
        figures = summary[key]
        lines.append(
            f"  {name}: mean {figures['mean']:{form}}, median {figures['median']:{form}}, "
            f"5 to 95 % {figures['5 %']:{form}} to {figures['95 %']:{form}}"
        )
    return "\n".join(lines)
