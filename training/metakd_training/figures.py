"""Figures of what was measured: which modalities matter, which method is ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from metakd.contrasts import CONTRASTS, SUBSETS, subset_name
from metakd.regions import REGIONS

from metakd_training.intervals import Array
from metakd_training.subsets import all_subsets

mpl.use("Agg")
from matplotlib import pyplot as plt

Table = Mapping[str, Mapping[str, float]]
"""Subset's name → region's name → mean Dice."""

_SHOWN = tuple(reversed(REGIONS))  # WT, TC, ET, as papers list them
_INK, _FAINT = "#22303c", "#d5dbe1"
_METHOD_COLOURS = ("#7a8794", "#2a6fb0", "#d1752b", "#3c8d5a", "#8a4fa3", "#b03a48")


def contrasts_figure(dice: Table, title: str, path: Path) -> None:
    """`subsets_figure` of the Dice of all 15 subsets and regions."""
    values = [[dice.get(subset_name(s), {}).get(r.value, np.nan) for r in _SHOWN] for s in SUBSETS]
    columns = {region.value: region.title for region in _SHOWN}
    labels = [contrast.label for contrast in CONTRASTS]
    subsets_figure(np.array(values), labels, columns, "Dice", title, path)


def subsets_figure(
    values: Array,
    modalities: Sequence[str],
    columns: Mapping[str, str],
    what: str,
    title: str,
    path: Path,
) -> None:
    """Scores of every subset, and what each modality adds to them.

    Left: a row a subset, dots for its modalities, its scores. Right: the mean gain when the
    modality is added to a set without it.

    Args:
        values: (S, columns) in 0 to 1, NaN where not measured, in the order of `all_subsets`.
        columns: short name → title of each column.
        what: the scores are, as the gain's axis says it.
    """
    height = max(2.5 + 0.25 * len(values), 3.2 + 0.2 * len(columns) * len(modalities))
    figure, (grid, bars) = plt.subplots(
        1, 2, figsize=(10, height), width_ratios=[1.5, 1], layout="constrained"
    )
    figure.suptitle(title, color=_INK)
    _draw_grid(grid, values, modalities, list(columns))
    _draw_gains(bars, values, modalities, list(columns.values()), what)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def gain(values: Array, modalities: int, modality: int) -> float:
    """Mean over the non-empty subsets A without the modality of score(A + it) − score(A).

    Args:
        values: (S,) in the order of `all_subsets`.
    """
    subsets = all_subsets(modalities).tolist()
    steps = [
        values[subsets.index([on or i == modality for i, on in enumerate(row)])] - value
        for row, value in zip(subsets, values, strict=True)
        if not row[modality]
    ]
    measured = [step for step in steps if np.isfinite(step)]
    return float(np.mean(measured)) if measured else np.nan


def _draw_grid(
    axes: plt.Axes, values: Array, modalities: Sequence[str], columns: Sequence[str]
) -> None:
    left = len(modalities) - 0.5
    axes.imshow(
        values, cmap="viridis", vmin=0, vmax=1, aspect="auto",
        extent=(left, left + len(columns), len(values) - 0.5, -0.5),
    )  # fmt: skip
    for row, subset in enumerate(all_subsets(len(modalities)).tolist()):
        for column, on in enumerate(subset):
            axes.plot(column, row, "o", color=_INK if on else _FAINT, markersize=9)
        for column, value in enumerate(values[row]):
            figure = f"{value:.2f}" if np.isfinite(value) else "–"
            axes.text(left + column + 0.5, row, figure, ha="center", va="center",
                      color="white" if value < 0.6 else _INK)  # fmt: skip
    places = [*range(len(modalities)), *(left + i + 0.5 for i in range(len(columns)))]
    axes.set_xticks(places, [*modalities, *columns])
    axes.xaxis.tick_top()
    axes.set_xlim(-0.6, left + len(columns))
    axes.set_yticks([])
    axes.tick_params(length=0)
    _unframe(axes)


def _draw_gains(
    axes: plt.Axes, values: Array, modalities: Sequence[str], titles: Sequence[str], what: str
) -> None:
    count = len(modalities)
    for group, title in enumerate(titles):
        gains = np.nan_to_num([gain(values[:, group], count, i) for i in range(count)])
        rows = [group * (count + 1) + i for i in range(count)]
        axes.barh(rows, gains, color=_METHOD_COLOURS[1])
        for row, modality, value in zip(rows, modalities, gains, strict=True):
            axes.text(max(value, 0), row, f" {round(value, 2) + 0.0:+.2f}", va="center", color=_INK)
            axes.text(min(value, 0), row, f"{modality} ", va="center", ha="right", color=_INK)
        axes.text(0, rows[0] - 0.9, title, fontweight="bold", color=_INK)
    axes.invert_yaxis()
    axes.set_yticks([])
    axes.margins(x=0.12)
    axes.set_xlabel(f"mean gain in {what} when it is added")
    _unframe(axes)


def _unframe(axes: plt.Axes) -> None:
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)


def methods_figure(
    means: Mapping[str, Array],
    intervals: Mapping[str, Array],
    outputs: Sequence[str],
    title: str,
    measure: str,
    path: Path,
) -> None:
    """For each output, each method's mean score: a dot a seed, the interval as a line.

    Args:
        means: method → (seeds, R).
        intervals: method → (R, 2), low and high of the mean over the seeds.
        outputs: names of the R outputs; regions stand by their title, the largest first.
        measure: what the axis shows.
    """
    figure, panels = plt.subplots(
        1, len(outputs), figsize=(2 + 3 * len(outputs), 1.4 + 0.34 * len(means)),
        sharey=True, squeeze=False, layout="constrained",
    )  # fmt: skip
    figure.suptitle(title, color=_INK)
    titles = {region.value: region.title for region in REGIONS}
    for axes, place in zip(panels[0], reversed(range(len(outputs))), strict=True):
        for row, name in enumerate(means):
            seeds, (low, high) = means[name][:, place], intervals[name][place]
            colour = _METHOD_COLOURS[row % len(_METHOD_COLOURS)]
            axes.plot([low, high], [row, row], color=colour, alpha=0.35, linewidth=5)
            axes.plot(seeds, [row] * len(seeds), "o", color=colour, markersize=5, alpha=0.8)
            axes.plot(seeds.mean(), row, "|", color=_INK, markersize=16, markeredgewidth=2)
        axes.set_title(titles.get(outputs[place], outputs[place]), color=_INK, fontsize=11)
        axes.grid(axis="x", color=_FAINT)
        axes.set_axisbelow(True)
        _unframe(axes)
    panels[0, 0].set_yticks(range(len(means)), list(means))
    panels[0, 0].set_ylim(len(means) - 0.5, -0.5)  # the first on top, none at the edge
    figure.supxlabel(measure, fontsize=10, color=_INK)
    figure.savefig(path, dpi=120)
    plt.close(figure)
