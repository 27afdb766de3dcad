"""Methods side by side: the same samples, seeds, network and budget; paired tables, a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metakd_training import runs
from metakd_training.config import Config, differences, read_config
from metakd_training.figures import methods_figure
from metakd_training.intervals import Array, interval
from metakd_training.markdown import table
from metakd_training.measure import measure
from metakd_training.parallel import in_parallel
from metakd_training.subsets import subset_names
from metakd_training.tasks import make_workload
from metakd_training.tasks.workload import Workload
from metakd_training.words import listed

_MAY_DIFFER = ("method.", "subsets.")


@dataclass(frozen=True)
class Contender:
    """One configuration and what its runs reached.

    Attributes:
        scores: (seeds, samples, S, R); of segmentation Dice on the network's grid, without
            post-processing.
        importance: (seeds, N), mean 1; all 1 for methods that learn none.
    """

    name: str
    samples: tuple[str, ...]
    scores: Array
    importance: Array

    @property
    def means(self) -> Array:
        """(seeds, samples, R): means over the subsets."""
        return np.nanmean(self.scores, axis=2)


def compare(
    paths: Sequence[Path],
    seeds: Sequence[int],
    folder: Path,
    *,
    key: str = "val",
    name: str = "comparison",
    changes: Sequence[str] = (),
    accelerator: str = "auto",
    checkpoint: str = runs.LAST,
    jobs: int = 1,
) -> str:
    """Fit every configuration with every seed, score it, and write the comparison.

    Runs lie in ``folder/CONFIG/seedN``; those finished are not made again, those stopped go on.

    Args:
        paths: configurations, the one that the others are compared with first.
        key: the list of the split that is scored.
        name: of the table, ``folder/name.md``, and the figure, ``folder/name.png``.
        changes: of settings, for all of them.
        checkpoint: which weights are scored.
        jobs: runs made at once.

    Returns:
        The tables as Markdown.

    Raises `ValueError` when the configurations differ in anything but method and subsets.
    """
    configs = {path.stem: read_config(path, list(changes)) for path in paths}
    _check_unique(configs, paths, seeds, name)
    workload = make_workload(next(iter(configs.values())))
    _check(configs, workload, key)
    calls = [
        (config.model_copy(update={"seed": seed}), folder / stem / f"seed{seed}",
         key, accelerator, checkpoint)
        for stem, config in configs.items()
        for seed in seeds
    ]  # fmt: skip
    measured = in_parallel(measure, calls, jobs)
    contenders = [
        _contender(stem, measured[place : place + len(seeds)])
        for stem, place in zip(configs, range(0, len(measured), len(seeds)), strict=True)
    ]
    if len({tuple(run["samples"]) for run in measured}) > 1:
        raise ValueError(f"{folder}: the runs were scored on different samples")
    text = as_markdown(contenders, len(seeds), key, workload)
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    methods_figure(
        {c.name: c.means.mean(axis=1) for c in contenders},
        {c.name: interval(c.means.mean(axis=0)) for c in contenders},
        workload.outputs,
        f"{len(contenders[0].samples)} {key} samples, {len(seeds)} seeds (a dot each)",
        f"{workload.metric}, mean over the subsets and the samples",
        folder / f"{name}.png",
    )
    return text


def _check_unique(
    configs: Mapping[str, Config], paths: Sequence[Path], seeds: Sequence[int], name: str
) -> None:
    if not configs:
        raise ValueError("no configuration to compare")
    if len(configs) < len(paths) or len(set(seeds)) < len(seeds):
        raise ValueError("a configuration or a seed stands twice; each counts once")
    if Path(name).name != name:
        raise ValueError(f"--name {name}: is no plain name")


def _check(configs: Mapping[str, Config], workload: Workload, key: str) -> None:
    """Find what would only fail, or mislead, after hours."""
    if not workload.split.get(key):
        raise ValueError(f"the list {key} is missing or empty; there are {listed(workload.split)}")
    (first, reference), *others = configs.items()
    for other, config in others:
        changed = differences(reference, config)
        unfair = [setting for setting in changed if not setting.startswith(_MAY_DIFFER)]
        if unfair:
            raise ValueError(
                f"{first} and {other} differ in {', '.join(unfair)}: only method and subsets may"
            )


def _contender(name: str, measured: Sequence[Mapping[str, Any]]) -> Contender:
    return Contender(
        name,
        tuple(measured[0]["samples"]),
        np.array([run["scores"] for run in measured], dtype=float),
        np.array([run["importance"] for run in measured], dtype=float),
    )


def as_markdown(contenders: Sequence[Contender], seeds: int, key: str, workload: Workload) -> str:
    """Means, paired differences, every subset, and importance, as Markdown tables."""
    of_dice = ("Dice on the network's grid, without post-processing; 1 where a region is empty in "
               "truth and result. ")  # fmt: skip
    outputs = _shown(workload)
    parts = [
        f"{len(contenders[0].samples)} samples (list `{key}`), seeds: {seeds}. "
        f"{of_dice if workload.metric == 'Dice' else ''}"
        "[95 % interval: percentile bootstrap over the samples, seeds averaged "
        "first]; ± standard deviation over the seeds.",
        _means_table(contenders, outputs),
        _differences_table(contenders, outputs),
        *(_subsets_table(contenders, *o, workload.modalities) for o in outputs.items()),
        _importance_table(contenders, outputs, workload.modalities),
    ]
    return "\n\n".join(parts) + "\n"


def _shown(workload: Workload) -> dict[str, int]:
    """Name of each output → its place, the largest region first, as papers list them."""
    places = range(len(workload.outputs))
    return {workload.outputs[i] or workload.metric: i for i in reversed(places)}


def _means_table(contenders: Sequence[Contender], outputs: Mapping[str, int]) -> str:
    rows = []
    for c in contenders:
        each, ends = c.means.mean(axis=1), interval(c.means.mean(axis=0))
        cells = [
            f"{each[:, i].mean():.3f}{_deviation(each[:, i])} [{ends[i][0]:.2f}, {ends[i][1]:.2f}]"
            for i in outputs.values()
        ]
        rows.append([c.name, *cells])
    return "**Mean over the subsets**\n\n" + table(["", *outputs], rows)


def _deviation(values: Array) -> str:
    return f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else ""


def _differences_table(contenders: Sequence[Contender], outputs: Mapping[str, int]) -> str:
    """Paired: the same samples and seeds; the interval is of the difference itself."""
    first, *others = contenders
    rows = []
    for c in others:
        apart = (c.means - first.means).mean(axis=0)
        mean, ends = apart.mean(axis=0), interval(apart)
        rows.append(
            [c.name, *(f"{mean[i]:+.3f} [{ends[i][0]:+.3f}, {ends[i][1]:+.3f}]"
                       for i in outputs.values())]
        )  # fmt: skip
    title = f"**Difference from {first.name}, paired by sample and seed**\n\n"
    return title + table(["", *outputs], rows)


def _subsets_table(
    contenders: Sequence[Contender], output: str, place: int, modalities: Sequence[str]
) -> str:
    rows = []
    for number, name in enumerate(subset_names(modalities)):
        cells = []
        for c in contenders:
            scores = c.scores[:, :, number, place]
            values = scores[:, np.isfinite(scores).all(axis=0)].mean(axis=0)
            low, high = interval(values)
            cells.append(f"{values.mean():.2f} [{low:.2f}, {high:.2f}]" if len(values) else "–")
        rows.append([name, *cells])
    return f"**{output}**\n\n" + table(["subset", *(c.name for c in contenders)], rows)


def _importance_table(
    contenders: Sequence[Contender], outputs: Mapping[str, int], modalities: Sequence[str]
) -> str:
    """Importance weights beside the score of each modality alone, which they should reflect."""
    rows = []
    learners = [c for c in contenders if (c.importance != 1).any()]
    for c in learners:
        for i, modality in enumerate(modalities):
            weights = c.importance[:, i]
            alone = np.nanmean(c.scores[:, :, i], axis=(0, 1))
            learned = f"{weights.mean():.3f}{_deviation(weights)}"
            rows.append([c.name, modality, learned, *(f"{alone[p]:.2f}" for p in outputs.values())])
    head = ["", "modality", "importance", *(f"{output} alone" for output in outputs)]
    title = "**Importance weights (mean 1) and the score of each modality alone**\n\n"
    return title + table(head, rows)
