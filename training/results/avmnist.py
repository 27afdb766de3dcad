"""The audio-vision MNIST tables of RESULTS.md: fits what is not fitted yet, scores it, writes them.

Every method, rare modality and share with the same pairs and seeds, beside networks that know one
modality alone. Weights are those of the validation with the best score on the held-out part of the
training pairs; the best validation on the test pairs, as published figures have it, is printed in
a table of its own.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from metakd_training import runs
from metakd_training.config import Config, read_config
from metakd_training.config.sections import DropoutSettings
from metakd_training.intervals import Array, crossed_interval
from metakd_training.markdown import table
from metakd_training.measure import measure
from metakd_training.parallel import in_parallel
from metakd_training.predictions import metrics, predict
from metakd_training.subsets import subset_names
from metakd_training.tasks.classification_workload import ClassificationWorkload

mpl.use("Agg")
from matplotlib import pyplot as plt

CONFIG = Path(__file__).parents[1] / "configs" / "avmnist_metakd.yaml"
SHARES = (0.05, 0.1, 0.15, 0.2)
METHODS = {
    "dropout": ["method.name=dropout"],
    "lckd": ["method.name=lckd", "method.every=50"],
    "metakd": [],
}
CONDITIONS = ("image + sound", "image", "sound")
GAINS = (("image", "image"), ("image + sound", "image"), ("sound", "sound"))
"""Tested with which, and against the network of which modality alone."""
SETTINGS = {  # name → rare modality, and whether ours may differ from the published code
    "sound": ("sound", True),
    "image": ("image", True),
    "sound, as published": ("sound", False),
}
# SMIL's code augments nothing, and takes every third sample of a sound without a filter.
_AS_PUBLISHED = [
    *(f"modalities.image.{limit}=0" for limit in ("shift", "turn", "zoom")),
    "modalities.sound.keep_every=3",
]
# Accuracy of the best method at each share of sounds, epoch chosen on the test pairs.
PUBLISHED = {
    0.05: "93.33 (ShaSpec, CVPR 2023)",
    0.1: "94.22 (MetaKD, arXiv 2405.07155)",
    0.15: "94.89 (MetaKD)",
    0.2: "94.67 (ShaSpec)",
}
_COLOURS = {"dropout": "#7a8794", "lckd": "#2a6fb0", "metakd": "#d1752b"}


@dataclass(frozen=True)
class Row:
    """What the runs of one method at one share reached on the test pairs, a value a seed.

    Attributes:
        right: condition → (seeds, pairs), 1 where the class was found.
        metrics: condition → metric → (seeds,).
        best_on_test: condition → (seeds,) accuracy of the best validation on the test pairs.
        importance: (seeds, N).
    """

    right: dict[str, Array]
    metrics: dict[str, dict[str, Array]]
    best_on_test: dict[str, Array]
    importance: Array


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data/avmnist", help="folder of MNIST and fsdd")
    parser.add_argument("--output", type=Path, default=Path("runs/avmnist"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--jobs", type=int, default=2, help="runs made at once (2)")
    parser.add_argument("changes", nargs="*", metavar="key=value", help="settings to change")
    arguments = parser.parse_args()
    # Who is held out depends on the share, so each share has networks of one modality of its own.
    plan = [
        (setting, share, name)
        for setting in SETTINGS
        for share in SHARES
        for name in ("image alone", "sound alone", *METHODS)
    ]
    calls = [
        (config_of(*key, seed, arguments.data, arguments.changes),
         arguments.output.joinpath(*map(str, key), f"seed{seed}"))
        for key in plan
        for seed in arguments.seeds
    ]  # fmt: skip
    found = in_parallel(reached, calls, arguments.jobs)
    count = len(arguments.seeds)
    rows = {key: _row(found[i * count : (i + 1) * count]) for i, key in enumerate(plan)}
    text = "\n\n".join(_tables(rows, count)) + "\n"
    (arguments.output / "avmnist.md").write_text(text, encoding="utf-8")
    figure(rows, count, arguments.output / "avmnist.png")
    print(text)


def config_of(
    setting: str, share: float, name: str, seed: int, data: str, changes: Sequence[str]
) -> Config:
    """The settings of one run; networks of one modality alone are the same but for the other."""
    rare, ours = SETTINGS[setting]
    told = [f"data.folder={data}", f"data.rare={rare}", f"data.share={share}", f"seed={seed}"]
    told += [] if ours else _AS_PUBLISHED
    told += METHODS.get(name, [])
    config = read_config(CONFIG, [*told, *changes])
    if name in METHODS:
        return config
    only = name.split()[0]
    alone = {
        "modalities": {only: config.modalities[only]},
        "method": DropoutSettings(name="dropout"),
    }
    return config.model_copy(update=alone)


def reached(config: Config, run: Path) -> dict[str, Any]:
    """Fit a run unless it is finished; its scores on the test pairs, by subset."""
    measured = measure(config, run, "test", "cpu", runs.BEST)
    stored = run / "metrics_test.json"
    if not stored.exists():
        workload = ClassificationWorkload(config)
        network = runs.trained_network(run, workload.network(), runs.BEST)
        predictions = predict(network, workload, "test", "cpu")
        found = {name: metrics(*rest) for name, *rest in predictions.by_subset()}
        runs.write_whole(stored, json.dumps(found) + "\n")
    curve = json.loads((run / runs.CURVE).read_text(encoding="utf-8"))
    tested = np.array([one["scores"] for one in curve if one["list"] == "test"])[:, :, 0]
    return {
        "conditions": subset_names(tuple(config.modalities)),
        "scores": np.array(measured["scores"])[:, :, 0],
        "metrics": json.loads(stored.read_text(encoding="utf-8")),
        "best_on_test": tested.max(axis=0),
        "importance": measured["importance"],
    }


def _row(found: Sequence[dict[str, Any]]) -> Row:
    conditions = found[0]["conditions"]
    scores = np.stack([one["scores"] for one in found])
    best = np.stack([one["best_on_test"] for one in found])
    return Row(
        {name: scores[:, :, i] for i, name in enumerate(conditions)},
        {
            name: {m: np.array([one["metrics"][name][m] for one in found]) for m in ("f1", "auc")}
            for name in conditions
        },
        {name: best[:, i] for i, name in enumerate(conditions)},
        np.array([one["importance"] for one in found]),
    )


Rows = dict[tuple[str, float, str], Row]


def _tables(rows: Rows, seeds: int) -> list[str]:
    parts = []
    for setting in SETTINGS:
        parts += [f"**Rare: {setting}** ({seeds} seeds)", _accuracy_table(rows, setting)]
    parts += ["**Difference from dropout**", _differences_table(rows)]
    parts += ["**Macro-F1 and AUC**", _other_metrics_table(rows)]
    parts += ["**Best validation on the test pairs, as published**", _published_table(rows)]
    parts += ["**Importance weights (mean 1)**", _importance_table(rows)]
    return parts


def _of(rows: Rows, setting: str) -> list[tuple[float, str, Row]]:
    return [(share, name, row) for (s, share, name), row in rows.items() if s == setting]


def _percent(values: Array) -> str:
    spread = f" ± {100 * values.std(ddof=1):.2f}" if len(values) > 1 else ""
    return f"{100 * values.mean():.2f}{spread}"


def _gain(right: Array, alone: Array) -> str:
    """Paired by seed and pair; the interval is of the difference itself."""
    apart = 100 * (right - alone)
    low, high = crossed_interval(apart)
    return f"{apart.mean():+.2f} [{low:+.2f}, {high:+.2f}]"


def _accuracy_table(rows: Rows, setting: str) -> str:
    lines = []
    for share, name, row in _of(rows, setting):
        cells = [_percent(row.right[c].mean(axis=1)) if c in row.right else "–" for c in CONDITIONS]
        gains = [
            _gain(row.right[c], rows[setting, share, f"{one} alone"].right[one])
            if name in METHODS
            else ""
            for c, one in GAINS
        ]
        lines.append([f"{share:.0%}", name, *cells, *gains])
    head = ["share", "", *(f"tested with {c}" for c in CONDITIONS),
            *(f"{c}: gain over {one} alone" for c, one in GAINS)]  # fmt: skip
    return table(head, lines)


def _differences_table(rows: Rows) -> str:
    lines = []
    for (setting, share, name), row in rows.items():
        if name in METHODS and name != "dropout":
            plain = rows[setting, share, "dropout"]
            cells = [_gain(row.right[c], plain.right[c]) for c in CONDITIONS]
            lines.append([setting, f"{share:.0%}", name, *cells])
    return table(["rare", "share", "", *CONDITIONS], lines)


def _other_metrics_table(rows: Rows) -> str:
    lines = []
    for (setting, share, name), row in rows.items():
        cells = [
            f"{row.metrics[c]['f1'].mean():.3f} / {row.metrics[c]['auc'].mean():.3f}"
            if c in row.metrics
            else "–"
            for c in CONDITIONS
        ]
        lines.append([setting, f"{share:.0%}", name, *cells])
    return table(["rare", "share", "", *CONDITIONS], lines)


def _published_table(rows: Rows) -> str:
    lines = []
    for (setting, share, name), row in rows.items():
        cells = [
            _percent(row.best_on_test[c]) if c in row.best_on_test else "–" for c in CONDITIONS
        ]
        published = PUBLISHED[share] if setting == "sound, as published" else "–"
        lines.append([setting, f"{share:.0%}", name, *cells, published])
    return table(["rare", "share", "", *CONDITIONS, "published (see the text)"], lines)


def _importance_table(rows: Rows) -> str:
    lines = []
    for (setting, share, name), row in rows.items():
        if name == "metakd":
            means, spread = row.importance.mean(axis=0), row.importance.std(axis=0)
            cells = [f"{m:.3f} ± {s:.3f}" for m, s in zip(means, spread, strict=True)]
            lines.append([setting, f"{share:.0%}", *cells])
    return table(["rare", "share", "image", "sound"], lines)


def figure(rows: Rows, seeds: int, path: Path) -> None:
    """The gain over a network of one modality alone, by share: a bar an interval of 95 %."""
    drawing, panels = plt.subplots(
        len(GAINS), len(SETTINGS), figsize=(3.4 * len(SETTINGS), 2.5 * len(GAINS)),
        sharex=True, layout="constrained", squeeze=False,
    )  # fmt: skip
    drawing.suptitle(f"Gain in test accuracy over a network of one modality alone, {seeds} seeds")
    for line, (condition, one) in zip(panels, GAINS, strict=True):
        for axes, setting in zip(line, SETTINGS, strict=True):
            _draw_gains(axes, rows, setting, condition, one)
        line[0].set_ylabel(f"{condition}\nover {one} alone\n(percentage points)")
    for axes, setting in zip(panels[0], SETTINGS, strict=True):
        axes.set_title(f"rare: {setting}", fontsize=11)
    for axes in panels[-1]:
        axes.set_xticks(range(len(SHARES)), [f"{share:.0%}" for share in SHARES])
        axes.set_xlabel("of the training pairs have it")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower center", ncols=len(METHODS), frameon=False)
    drawing.savefig(path, dpi=120)
    plt.close(drawing)


def _draw_gains(axes: plt.Axes, rows: Rows, setting: str, condition: str, one: str) -> None:
    axes.axhline(0, color="#22303c", linewidth=0.8)
    for place, method in enumerate(METHODS):
        for x, share in enumerate(SHARES):
            alone = rows[setting, share, f"{one} alone"].right[one]
            apart = 100 * (rows[setting, share, method].right[condition] - alone)
            at = x + 0.2 * (place - 1)
            colour = _COLOURS[method]
            axes.plot([at, at], crossed_interval(apart), color=colour, linewidth=4, alpha=0.4)
            label = method if x == 0 else None
            axes.plot(at, apart.mean(), "o", color=colour, markersize=5, label=label)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


if __name__ == "__main__":
    main()
