"""Figures of what was measured: which contrasts matter for which region, which method is ahead."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from metakd.contrasts import CONTRASTS, SUBSETS, Contrast, ContrastSet, subset_name
from metakd.regions import REGIONS, Region

mpl.use("Agg")
from matplotlib import pyplot as plt

Table = Mapping[str, Mapping[str, float]]
"""Subset's name → region's name → mean Dice."""

_SHOWN = tuple(reversed(REGIONS))  # WT, TC, ET, as papers list them
_INK, _FAINT = "#22303c", "#d5dbe1"
_METHOD_COLOURS = ("#7a8794", "#2a6fb0", "#d1752b", "#3c8d5a", "#8a4fa3", "#b03a48")


def contrasts_figure(dice: Table, title: str, path: Path) -> None:
    """Dice of each of the 15 subsets and regions, and what each contrast adds to each region.

    Left: a row a subset, dots for its contrasts, its Dice by region. Right: the mean gain in Dice
    when the contrast is added to a set without it (over the 7 non-empty sets).
    """
    figure, (grid, bars) = plt.subplots(
        1, 2, figsize=(10, 6), width_ratios=[1.5, 1], layout="constrained"
    )
    figure.suptitle(title, color=_INK)
    _draw_grid(grid, dice)
    _draw_gains(bars, dice)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def gain(dice: Table, contrast: Contrast, region: Region) -> float:
    """Mean over the non-empty subsets A without the contrast of Dice(A + contrast) − Dice(A)."""
    steps = [
        _dice(dice, subset | {contrast}, region) - _dice(dice, subset, region)
        for subset in SUBSETS
        if contrast not in subset
    ]
    measured = [step for step in steps if np.isfinite(step)]
    return float(np.mean(measured)) if measured else np.nan


def _dice(dice: Table, subset: ContrastSet, region: Region) -> float:
    """NaN where no patient has the contrasts."""
    return dice.get(subset_name(subset), {}).get(region.value, np.nan)


def _draw_grid(axes: plt.Axes, dice: Table) -> None:
    values = np.array([[_dice(dice, s, r) for r in _SHOWN] for s in SUBSETS])
    left = len(CONTRASTS) - 0.5
    axes.imshow(
        values, cmap="viridis", vmin=0, vmax=1, aspect="auto",
        extent=(left, left + len(_SHOWN), len(SUBSETS) - 0.5, -0.5),
    )  # fmt: skip
    for row, subset in enumerate(SUBSETS):
        for column, contrast in enumerate(CONTRASTS):
            colour = _INK if contrast in subset else _FAINT
            axes.plot(column, row, "o", color=colour, markersize=9)
        for column, value in enumerate(values[row]):
            figure = f"{value:.2f}" if np.isfinite(value) else "–"
            axes.text(left + column + 0.5, row, figure, ha="center", va="center",
                      color="white" if value < 0.6 else _INK)  # fmt: skip
    places = [*range(len(CONTRASTS)), *(left + i + 0.5 for i in range(len(_SHOWN)))]
    names = [c.label for c in CONTRASTS] + [r.value for r in _SHOWN]
    axes.set_xticks(places, names)
    axes.xaxis.tick_top()
    axes.set_xlim(-0.6, left + len(_SHOWN))
    axes.set_yticks([])
    axes.tick_params(length=0)
    _unframe(axes)


def _draw_gains(axes: plt.Axes, dice: Table) -> None:
    for group, region in enumerate(_SHOWN):
        gains = np.nan_to_num([gain(dice, contrast, region) for contrast in CONTRASTS])
        rows = [group * (len(CONTRASTS) + 1) + i for i in range(len(CONTRASTS))]
        axes.barh(rows, gains, color=_METHOD_COLOURS[1])
        for row, contrast, value in zip(rows, CONTRASTS, gains, strict=True):
            axes.text(max(value, 0), row, f" {round(value, 2) + 0.0:+.2f}", va="center", color=_INK)
            axes.text(min(value, 0), row, f"{contrast.label} ", va="center", ha="right",
                      color=_INK)  # fmt: skip
        axes.text(0, rows[0] - 0.9, region.title, fontweight="bold", color=_INK)
    axes.invert_yaxis()
    axes.set_yticks([])
    axes.margins(x=0.12)
    axes.set_xlabel("mean gain in Dice when the contrast is added")
    _unframe(axes)


def _unframe(axes: plt.Axes) -> None:
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)


def methods_figure(
    means: Mapping[str, npt.NDArray[np.float64]],
    intervals: Mapping[str, npt.NDArray[np.float64]],
    title: str,
    path: Path,
) -> None:
    """For each region, each method's 15-subset mean Dice: a dot a seed, the interval as a line.

    Args:
        means: method → (seeds, regions) in the order of `REGIONS`.
        intervals: method → (regions, 2), low and high of the mean over the seeds.
    """
    figure, panels = plt.subplots(1, len(_SHOWN), figsize=(11, 1.4 + 0.34 * len(means)),
                                  sharey=True, layout="constrained")  # fmt: skip
    figure.suptitle(title, color=_INK)
    names = list(means)
    for axes, region in zip(panels, _SHOWN, strict=True):
        place = REGIONS.index(region)
        for row, name in enumerate(names):
            seeds, (low, high) = means[name][:, place], intervals[name][place]
            colour = _METHOD_COLOURS[row % len(_METHOD_COLOURS)]
            axes.plot([low, high], [row, row], color=colour, alpha=0.35, linewidth=5)
            axes.plot(seeds, [row] * len(seeds), "o", color=colour, markersize=5, alpha=0.8)
            axes.plot(seeds.mean(), row, "|", color=_INK, markersize=16, markeredgewidth=2)
        axes.set_title(region.title, color=_INK, fontsize=11)
        axes.grid(axis="x", color=_FAINT)
        axes.set_axisbelow(True)
        _unframe(axes)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    figure.supxlabel("Dice, mean over 15 subsets and the patients", fontsize=10, color=_INK)
    figure.savefig(path, dpi=120)
    plt.close(figure)
