"""A run scored on patients of its split by the engine itself, as a user's results would be."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metakd.contrasts import SUBSETS
from metakd.evaluate import as_csv, as_json, as_table, evaluate, summary
from metakd.model import Model, read_package
from metakd.outputs import OutputFiles
from metakd.segment import Options
from metakd.steps import AS_IT_IS
from tqdm import tqdm

from metakd_training import runs
from metakd_training.config.segmentation import SegmentationConfig
from metakd_training.export import UNRELEASED, make_card, write_package
from metakd_training.figures import contrasts_figure
from metakd_training.tasks.segmentation_workload import SegmentationWorkload
from metakd_training.words import listed


def evaluate_run(
    run: Path,
    config: SegmentationConfig,
    output: Path,
    *,
    key: str = "val",
    checkpoint: str = runs.LAST,
    description: Mapping[str, Any] = UNRELEASED,
    device: str = "auto",
) -> str:
    """Score a run's averaged weights on a list of its split, with all 15 subsets.

    Writes ``scores.csv``, ``summary.json`` and ``contrasts.png``; returns the table as text.

    Args:
        config: the run's own.
        description: of the model's card; its ``smallest_ml`` is the post-processing.

    Raises `ValueError` and `metakd.study.StudyError`.
    """
    workload = SegmentationWorkload(config)
    if not workload.split.get(key):
        raise ValueError(f"{run}: has no list {key}, only {listed(workload.split)}")
    runs.check_samples(run, workload)
    model = _as_used(run, config, checkpoint, description)
    cases = workload.lists[key]
    output.mkdir(parents=True, exist_ok=True)
    with tqdm(total=len(cases) * len(SUBSETS), unit="", leave=False, disable=None) as bar:
        scores = evaluate(
            cases,
            SUBSETS,
            model,
            Options(device=device, steps=AS_IT_IS),
            lambda case, subset: bar.update(),
        )
    if not scores:
        raise ValueError(f"{key}: no patient has the contrasts of any subset")
    with OutputFiles() as files:
        Path(files.stage(output / "scores.csv")).write_text(as_csv(scores), "utf-8")
        Path(files.stage(output / "summary.json")).write_text(as_json(scores, model), "utf-8")
        title = f"{run.resolve().name}: Dice, mean over {len(cases)} patients ({key})"
        contrasts_figure(summary(scores), title, Path(files.stage(output / "contrasts.png")))
    return as_table(scores)


def _as_used(
    run: Path, config: SegmentationConfig, checkpoint: str, description: Mapping[str, Any]
) -> Model:
    """The model as its package will hold it, weights rounded to 16 bits and all."""
    network = runs.segmentation_network(run, checkpoint)
    card = make_card(network, description=description, spacing=config.data.spacing, evaluation=None)
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / (run.resolve().name or "run")
        write_package(package, card, network)
        return read_package(package)
