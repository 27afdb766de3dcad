"""A run that classifies, scored on a list of its split from every subset of its modalities."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from metakd.inference import choose_device
from metakd.outputs import OutputFiles

from metakd_training import runs
from metakd_training.config.classification import ClassificationConfig
from metakd_training.figures import subsets_figure
from metakd_training.predictions import METRICS, Predictions, metric_intervals, metrics, predict
from metakd_training.tasks.classification_workload import ClassificationWorkload
from metakd_training.words import listed


def evaluate_classifier(
    run: Path,
    config: ClassificationConfig,
    output: Path,
    *,
    key: str = "test",
    checkpoint: str = runs.LAST,
    device: str = "auto",
) -> str:
    """Score a run's averaged weights.

    Writes ``predictions.csv``, ``summary.json`` and ``modalities.png``; returns the table as text.

    Args:
        config: the run's own.

    Raises `ValueError`.
    """
    workload = ClassificationWorkload(config)
    if not workload.split.get(key):
        raise ValueError(f"{run}: has no list {key}, only {listed(workload.split)}")
    runs.check_samples(run, workload)
    network = runs.trained_network(run, workload.network(), checkpoint)
    predictions = predict(network, workload, key, choose_device(device))
    found = summary(predictions)
    output.mkdir(parents=True, exist_ok=True)
    with OutputFiles() as files:
        Path(files.stage(output / "predictions.csv")).write_text(as_csv(predictions), "utf-8")
        text = json.dumps({"list": key, "checkpoint": checkpoint, "subsets": found}, indent=1)
        Path(files.stage(output / "summary.json")).write_text(text + "\n", "utf-8")
        subsets_figure(
            np.array([[row[m] for m in METRICS] for row in found.values()], dtype=float),
            predictions.modalities,
            METRICS,
            "score",
            f"{run.resolve().name}: {len(predictions.names)} samples ({key})",
            Path(files.stage(output / "modalities.png")),
        )
    return as_table(found)


def summary(predictions: Predictions) -> dict[str, dict[str, Any]]:
    """Subset → how many samples have it, the metrics and their intervals; `None` for NaN."""
    table = {}
    for name, labels, probabilities in predictions.by_subset():
        found = metrics(labels, probabilities)
        ends = metric_intervals(labels, probabilities)
        table[name] = {
            "samples": len(labels),
            **{metric: _rounded(found[metric]) for metric in METRICS},
            "interval": {metric: [_rounded(v) for v in ends[metric]] for metric in METRICS},
        }
    return table


def as_csv(predictions: Predictions) -> str:
    """A row for each sample and subset: truth, result, and each class's probability."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    classes = predictions.classes
    writer.writerow(["sample", "subset", "truth", "found", *(f"p({c})" for c in classes)])
    names = [name for name, _, _ in predictions.by_subset()]
    for i, name in enumerate(predictions.names):
        for s in np.flatnonzero(predictions.served[:, i]):
            p = predictions.probabilities[s, i]
            truth, found = classes[predictions.labels[i]], classes[p.argmax()]
            writer.writerow([name, names[s], truth, found, *(f"{v:.4f}" for v in p)])
    return text.getvalue()


def as_table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Metrics of each subset with their 95 % intervals, and their means over the subsets."""
    width = max(len(name) for name in [*found, "mean"])
    lines = ["".ljust(width) + f"{'n':>6}" + "".join(f"{metric:>22}" for metric in METRICS)]
    for name, row in found.items():
        cells = (_cell(row[metric], row["interval"][metric]) for metric in METRICS)
        lines.append(name.ljust(width) + f"{row['samples']:6}" + "".join(cells))
    means = [[row[m] for row in found.values() if row[m] is not None] for m in METRICS]
    cells = (f"{np.mean(values):8.3f}".ljust(22).rjust(22) if values else "" for values in means)
    lines.append("mean".ljust(width) + " " * 6 + "".join(cells).rstrip())
    return "\n".join(lines)


def _cell(value: float | None, ends: list[float | None]) -> str:
    if value is None or None in ends:
        return f"{'–':>22}"
    return f"{value:.3f} [{ends[0]:.3f}, {ends[1]:.3f}]".rjust(22)


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
