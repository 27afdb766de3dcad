"""Methods side by side: the same patients, seeds, network and budget; paired tables, a figure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from metakd.contrasts import CONTRASTS, SUBSETS
from metakd.inference import choose_device
from metakd.regions import REGIONS

from metakd_training import runs
from metakd_training.config import Config, differences, read_config
from metakd_training.data.draws import whole_patient
from metakd_training.data.patients import Patients
from metakd_training.data.splits import read_lists
from metakd_training.figures import methods_figure
from metakd_training.fit import fit
from metakd_training.launch import Launch
from metakd_training.subsets import all_subsets
from metakd_training.tasks.segmentation import Segmentation
from metakd_training.validate import subset_scores

RESAMPLES = 2000
_MAY_DIFFER = ("method.", "subsets.")
_SHOWN = tuple(reversed(REGIONS))  # WT, TC, ET, as papers list them
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Contender:
    """One configuration and what its runs reached.

    Attributes:
        scores: (seeds, patients, S, R), Dice on the network's grid, without post-processing.
        importance: (seeds, N), mean 1; all 1 for methods that learn none.
    """

    name: str
    patients: tuple[str, ...]
    scores: Array
    importance: Array

    @property
    def means(self) -> Array:
        """(seeds, patients, R): means over the subsets."""
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
) -> str:
    """Fit every configuration with every seed, score it, and write the comparison.

    Runs lie in ``folder/CONFIG/seedN``; those finished are not made again, those stopped go on.

    Args:
        paths: configurations, the one that the others are compared with first.
        key: the list of the split that is scored.
        name: of the table, ``folder/name.md``, and the figure, ``folder/name.png``.
        changes: of settings, for all of them.

    Returns:
        The tables as Markdown.

    Raises `ValueError` when the configurations differ in anything but method and subsets.
    """
    configs = {path.stem: read_config(path, list(changes)) for path in paths}
    _check(configs, paths, seeds, name, key)
    contenders = []
    for stem, config in configs.items():
        seeded = {seed: config.model_copy(update={"seed": seed}) for seed in seeds}
        measured = [
            _measured(one, folder / stem / f"seed{seed}", key, accelerator)
            for seed, one in seeded.items()
        ]
        contenders.append(_contender(stem, measured))
        everyone = {tuple(run["patients"]) for run in measured} | {c.patients for c in contenders}
        if len(everyone) > 1:
            raise ValueError(f"{folder}: the runs were scored on different patients")
    text = as_markdown(contenders, len(seeds), key)
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    methods_figure(
        {c.name: c.means.mean(axis=1) for c in contenders},
        {c.name: interval(c.means.mean(axis=0)) for c in contenders},
        f"{len(contenders[0].patients)} patients, {len(seeds)} seeds (a dot each)",
        folder / f"{name}.png",
    )
    return text


def _check(
    configs: Mapping[str, Config], paths: Sequence[Path], seeds: Sequence[int], name: str, key: str
) -> None:
    """Find what would only fail, or mislead, after hours."""
    if not configs:
        raise ValueError("no configuration to compare")
    if len(configs) < len(paths) or len(set(seeds)) < len(seeds):
        raise ValueError("a configuration or a seed stands twice; each counts once")
    if Path(name).name != name:
        raise ValueError(f"--name {name}: is no plain name")
    (first, reference), *others = configs.items()
    if not read_lists(reference.data).get(key):
        raise ValueError(f"{reference.data.split}: the list {key} is missing or empty")
    for other, config in others:
        changed = differences(reference, config)
        unfair = [setting for setting in changed if not setting.startswith(_MAY_DIFFER)]
        if unfair:
            raise ValueError(
                f"{first} and {other} differ in {', '.join(unfair)}: only method and subsets may"
            )


def _measured(config: Config, run: Path, key: str, accelerator: str) -> dict[str, Any]:
    """Fit one run unless it is finished, and score it unless it is scored."""
    lists = read_lists(config.data)
    split = {name: [case.name for case in cases] for name, cases in lists.items()}
    if (run / runs.LAST).exists() and not runs.unfinished(run):
        runs.check(run, config, split, 1, resume=True)
    else:
        fit(config, run, Launch(accelerator, 1), resume=run.exists())
    stored = run / f"scores_{key}.json"
    if stored.exists():
        known: dict[str, Any] = json.loads(stored.read_text(encoding="utf-8"))
        return known
    network = runs.trained_network(run)
    device = choose_device(accelerator)
    patients = Patients(
        lists[key],
        spacing=config.data.spacing,
        stride=network.stride,
        cache=Path(config.data.cache),
    )
    batches = (whole_patient(patient, device) for patient in patients)
    scores = subset_scores(
        network.to(device), Segmentation(), batches, all_subsets(len(CONTRASTS)), len(REGIONS)
    )
    measured = {
        "patients": patients.names,
        "scores": [[[round(v, 4) for v in row] for row in one] for one in scores.tolist()],
        "importance": [round(w, 4) for w in network.importance.tolist()],
    }
    stored.write_text(json.dumps(measured) + "\n", encoding="utf-8")
    return measured


def _contender(name: str, measured: Sequence[Mapping[str, Any]]) -> Contender:
    return Contender(
        name,
        tuple(measured[0]["patients"]),
        np.array([run["scores"] for run in measured], dtype=float),
        np.array([run["importance"] for run in measured], dtype=float),
    )


def interval(values: Array) -> Array:
    """95 % percentile bootstrap interval (…, 2) of the mean over patients, values (patients, …).

    NaN for one patient alone, or where nobody was measured.
    """
    count = len(values)
    if count < 2:
        return np.full((*values.shape[1:], 2), np.nan)
    chosen = np.random.default_rng(0).integers(count, size=(RESAMPLES, count))
    means = np.nanmean(values[chosen], axis=1)
    return np.moveaxis(np.percentile(means, [2.5, 97.5], axis=0), 0, -1)


def as_markdown(contenders: Sequence[Contender], seeds: int, key: str) -> str:
    """Means, paired differences, every subset, and importance, as Markdown tables."""
    parts = [
        f"{len(contenders[0].patients)} patients (list `{key}`), seeds: {seeds}. "
        "Dice on the network's grid, without post-processing; 1 where a region is empty in truth "
        "and result. [95 % interval: percentile bootstrap over the patients, seeds averaged "
        "first]; ± standard deviation over the seeds.",
        _means_table(contenders),
        _differences_table(contenders),
        *(_subsets_table(contenders, region.value) for region in _SHOWN),
        _importance_table(contenders),
    ]
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _place(region: str) -> int:
    return [r.value for r in REGIONS].index(region)


def _means_table(contenders: Sequence[Contender]) -> str:
    rows = []
    for c in contenders:
        each, ends = c.means.mean(axis=1), interval(c.means.mean(axis=0))
        cells = [
            f"{each[:, i].mean():.3f}{_deviation(each[:, i])} [{ends[i][0]:.2f}, {ends[i][1]:.2f}]"
            for i in map(_place, (r.value for r in _SHOWN))
        ]
        rows.append([c.name, *cells])
    return "**Mean over the subsets**\n\n" + _table(["", *(r.value for r in _SHOWN)], rows)


def _deviation(values: Array) -> str:
    return f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else ""


def _differences_table(contenders: Sequence[Contender]) -> str:
    """Paired: the same patients and seeds; the interval is of the difference itself."""
    first, *others = contenders
    rows = []
    for c in others:
        apart = (c.means - first.means).mean(axis=0)
        mean, ends = apart.mean(axis=0), interval(apart)
        rows.append(
            [c.name, *(f"{mean[i]:+.3f} [{ends[i][0]:+.3f}, {ends[i][1]:+.3f}]"
                       for i in map(_place, (r.value for r in _SHOWN)))]
        )  # fmt: skip
    title = f"**Difference from {first.name}, paired by patient and seed**\n\n"
    return title + _table(["", *(r.value for r in _SHOWN)], rows)


def _subsets_table(contenders: Sequence[Contender], region: str) -> str:
    place = _place(region)
    rows = []
    for number, subset in enumerate(SUBSETS):
        name = " + ".join(c.label for c in CONTRASTS if c in subset)
        cells = []
        for c in contenders:
            values = c.scores[:, :, number, place].mean(axis=0)
            low, high = interval(values)
            measured = f"{values.mean():.2f} [{low:.2f}, {high:.2f}]"
            cells.append(measured if np.isfinite(values).all() else "–")
        rows.append([name, *cells])
    return f"**{region}**\n\n" + _table(["contrasts", *(c.name for c in contenders)], rows)


def _importance_table(contenders: Sequence[Contender]) -> str:
    """Importance weights beside the Dice of each contrast alone, which they should reflect."""
    rows = []
    learners = [c for c in contenders if (c.importance != 1).any()]
    for c in learners:
        for i, contrast in enumerate(CONTRASTS):
            weights = c.importance[:, i]
            alone = c.scores[:, :, i].mean(axis=(0, 1))
            dice = [f"{alone[_place(r.value)]:.2f}" for r in _SHOWN]
            learned = f"{weights.mean():.3f}{_deviation(weights)}"
            rows.append([c.name, contrast.label, learned, *dice])
    head = ["", "contrast", "importance", *(f"{r.value} alone" for r in _SHOWN)]
    return "**Importance weights (mean 1) and the Dice of each contrast alone**\n\n" + _table(
        head, rows
    )
