"""The generated cohorts' tables of RESULTS.md: makes cohorts and runs that are not there yet.

Each seed has a cohort of its own, in which one modality is strong, one medium and two weak, and on
it a run of every method. Weights are those of the best validation on the held-out patients.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from metakd_training import runs
from metakd_training.config import Config, read_config
from metakd_training.data.adni_phantom import CohortSettings, write_cohort
from metakd_training.intervals import Array, interval_over_seeds
from metakd_training.markdown import table
from metakd_training.measure import measure
from metakd_training.parallel import in_parallel
from metakd_training.subsets import all_subsets, subset_names

CONFIG = Path(__file__).parents[1] / "configs" / "adni_generated.yaml"
METHODS = {
    "dropout": ["method.name=dropout"],
    "lckd": ["method.name=lckd", "method.every=50"],
    "metakd": [],
}
PATIENTS = 1200
SETTINGS = CohortSettings(lists=(0.15, 0.5))
STRONG = "biospecimen"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("runs/cohorts"))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(1, 11)))
    parser.add_argument("--jobs", type=int, default=2, help="runs made at once (2)")
    parser.add_argument("changes", nargs="*", metavar="key=value", help="settings to change")
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        _make_cohort(arguments.output / f"seed{seed}", seed)
    calls = [
        (_config(arguments.output, method, seed, arguments.changes),
         arguments.output / "runs" / method / f"seed{seed}")
        for method in METHODS
        for seed in arguments.seeds
    ]  # fmt: skip
    found = in_parallel(_reached, calls, arguments.jobs)
    count = len(arguments.seeds)
    of = {method: found[i * count : (i + 1) * count] for i, method in enumerate(METHODS)}
    text = "\n\n".join(_tables(of, list(calls[0][0].modalities))) + "\n"
    (arguments.output / "cohorts.md").write_text(text, encoding="utf-8")
    print(text)


def _make_cohort(folder: Path, seed: int) -> None:
    """Write a cohort unless it is there; refuse one that was made otherwise."""
    record, told = folder / "made.json", json.dumps([PATIENTS, seed, asdict(SETTINGS)])
    if not record.exists():
        write_cohort(folder, PATIENTS, seed, SETTINGS)
        record.write_text(told, encoding="utf-8")  # last, when all is there
    elif record.read_text(encoding="utf-8") != told:
        raise SystemExit(f"{folder}: was made with other settings; remove {folder.parent}")


def _config(output: Path, method: str, seed: int, changes: Sequence[str]) -> Config:
    told = [f"data.folder={output / f'seed{seed}'}", f"seed={seed}", *METHODS[method]]
    return read_config(CONFIG, [*told, *changes])


def _reached(config: Config, run: Path) -> dict[str, Any]:
    with warnings.catch_warnings():
        # The cohort has rows without a diagnosis on purpose.
        warnings.filterwarnings("ignore", message=".*left out", category=UserWarning)
        return measure(config, run, "test", "cpu", runs.BEST)


def _tables(of: Mapping[str, Sequence[Mapping[str, Any]]], modalities: list[str]) -> list[str]:
    scores = {m: [np.array(run["scores"])[:, :, 0] for run in found] for m, found in of.items()}
    with_strong = all_subsets(len(modalities))[:, modalities.index(STRONG)].numpy()
    groups = {
        "mean of all subsets": np.full(len(with_strong), True),
        f"with {STRONG}": with_strong,
        f"without {STRONG}": ~with_strong,
    }
    means = {m: {g: [_mean(s, on) for s in each] for g, on in groups.items()}
             for m, each in scores.items()}  # fmt: skip
    rows = [[m, *(_accuracy(values) for values in means[m].values())] for m in means]
    gains = [
        [m, *(_gain(values, means["dropout"][g]) for g, values in means[m].items())]
        for m in list(means)[1:]
    ]
    names = subset_names(modalities)
    each = [
        [name, *(_accuracy([_mean(s, np.arange(len(names)) == i) for s in scores[m]])
                 for m in scores)]
        for i, name in enumerate(names)
    ]  # fmt: skip
    weights = np.array([run["importance"] for run in of["metakd"]])
    alone = [_accuracy([_mean(s, np.arange(len(names)) == i) for s in scores["metakd"]])
             for i in range(len(modalities))]  # fmt: skip
    told = [
        [name, f"{weights[:, i].mean():.3f} ± {weights[:, i].std(ddof=1):.3f}", alone[i]]
        for i, name in enumerate(modalities)
    ]
    return [
        f"{len(weights)} cohorts, a run each; accuracy in %, ± standard deviation over the cohorts",
        table(["", *groups], rows),
        "**Difference from dropout**, paired by patient and cohort, [95 % interval over cohorts]",
        table(["", *groups], gains),
        "**Every subset**",
        table(["subset", *scores], each),
        f"**Importance weights of metakd** (mean 1): {_ranking(weights, modalities)}",
        table(["modality", "importance", "accuracy alone"], told),
    ]


def _mean(scores: Array, subsets: Array) -> Array:
    """(samples,): mean over the subsets that each has; NaN for who has none of them."""
    chosen = scores[:, subsets]
    counts = np.isfinite(chosen).sum(axis=1)
    return np.where(counts, np.nansum(chosen, axis=1) / np.maximum(counts, 1), np.nan)


def _accuracy(values: Sequence[Array]) -> str:
    each = np.array([100 * np.nanmean(one) for one in values])
    return f"{each.mean():.2f} ± {each.std(ddof=1):.2f}" if len(each) > 1 else f"{each.mean():.2f}"


def _gain(values: Sequence[Array], baseline: Sequence[Array]) -> str:
    """Paired; each cohort has patients of its own, so the interval over cohorts covers both."""
    pairs = zip(values, baseline, strict=True)
    each = np.array([100 * np.nanmean(one - other) for one, other in pairs])
    low, high = interval_over_seeds(each)
    return f"{each.mean():+.2f} [{low:+.2f}, {high:+.2f}]"


def _ranking(weights: Array, modalities: Sequence[str]) -> str:
    """How many cohorts have the strong first, and the medium second."""
    order = np.argsort(-weights, axis=1)
    first = (order[:, 0] == modalities.index(STRONG)).sum()
    both = ((order[:, 0] == modalities.index(STRONG))
            & (order[:, 1] == modalities.index("image"))).sum()  # fmt: skip
    return (f"{STRONG}, the strong one, is first in {first} of {len(weights)} cohorts, and image, "
            f"the medium one, second as well in {both}")  # fmt: skip


if __name__ == "__main__":
    main()
