"""A model on a cohort with known truth: every case with every subset of contrasts."""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from metakd import metrics
from metakd.cases import Case
from metakd.contrasts import ContrastSet, subset_name
from metakd.model import Model
from metakd.postprocess import label_map
from metakd.regions import REGIONS, Region, region_mask
from metakd.segment import Options, Segmentation, segment
from metakd.study import StudyError, read_study

METRICS = ("dice", "hd95_mm", "lesion_dice", "lesion_hd95_mm")
"""The figures of a `Score`, by their names there; `metakd.metrics` defines them."""

RESAMPLES = 2000
"""Cohorts drawn for a bootstrap interval."""


@dataclass(frozen=True)
class Score:
    """One case, one subset, one region, with or without the model card's post-processing.

    HD95 in mm; volumes in ml, of the result and of the truth.
    """

    case: str
    subset: str
    region: str
    postprocessing: bool
    dice: float
    hd95_mm: float
    lesion_dice: float
    lesion_hd95_mm: float
    volume_ml: float
    true_volume_ml: float


def evaluate(
    cases: Iterable[Case],
    subsets: Sequence[ContrastSet],
    model: Model,
    options: Options,
    on_case: Callable[[str, str], None] = lambda case, subset: None,
) -> list[Score]:
    """Segment each case from each subset of its contrasts and score against its truth.

    Each run is the one a user would have had who owns those contrasts only. Subsets that a case
    cannot serve are left out. Every result is scored twice: with post-processing, then without.
    Raises `metakd.study.StudyError`, also for two cases of one name.
    """
    cases = list(cases)
    _check_names(cases)
    scores = []
    for case in cases:
        truth = case.read_segmentation()
        study = read_study(case.images)
        for subset in subsets:
            if subset <= set(study.images):
                result = segment(study.subset(subset), model, options)
                scores += _scores(case.name, subset_name(subset), result, truth)
                on_case(case.name, subset_name(subset))
    return scores


def _check_names(cases: Sequence[Case]) -> None:
    """Two patients of one name would be counted as one."""
    times = Counter(case.name for case in cases)
    twice = [name for name, count in times.items() if count > 1]
    if twice:
        raise StudyError(f"{', '.join(twice)}: more than one case has that name; rename or drop it")


def dice(predicted: sitk.Image, truth: sitk.Image, region: Region) -> float:
    """Dice of one region of two label maps on one grid; 1 when both are empty, as BraTS has it."""
    ours, theirs = (
        region_mask(sitk.GetArrayViewFromImage(image), region) for image in (predicted, truth)
    )
    return metrics.dice(ours, theirs)


def _scores(case: str, subset: str, result: Segmentation, truth: sitk.Image) -> list[Score]:
    plain = label_map(result.probabilities, smallest_ml={})
    predicted = [_on_grid(image, truth) for image in (result.label_map, plain)]
    label_maps = _cropped([truth, *predicted])
    spacing = truth.GetSpacing()[::-1]
    scores = []
    for region in REGIONS:
        theirs, ours, unprocessed = (region_mask(values, region) for values in label_maps)
        figures = figures_unprocessed = _figures(ours, theirs, spacing)
        if not np.array_equal(ours, unprocessed):  # seldom, and distances take their time
            figures_unprocessed = _figures(unprocessed, theirs, spacing)
        scores += [
            Score(case, subset, region.value, True, **figures),
            Score(case, subset, region.value, False, **figures_unprocessed),
        ]
    return scores


def _on_grid(predicted: sitk.Image, truth: sitk.Image) -> sitk.Image:
    return sitk.Resample(predicted, truth, sitk.Transform(), sitk.sitkNearestNeighbor)


def _cropped(label_maps: Sequence[sitk.Image]) -> list[npt.NDArray[np.uint8]]:
    """Label maps of one grid as arrays, cut to the box that holds all their tumour."""
    arrays = [sitk.GetArrayFromImage(label_map) for label_map in label_maps]
    tumour = np.logical_or.reduce(arrays)
    if not tumour.any():
        return arrays
    box = metrics.bounding_box(tumour)
    return [array[box] for array in arrays]


def _figures(ours: metrics.Mask, truth: metrics.Mask, spacing: Sequence[float]) -> dict[str, float]:
    lesions = metrics.lesion_wise(ours, truth, spacing)
    voxel_ml = float(np.prod(spacing)) / 1000
    return {
        "dice": round(metrics.dice(ours, truth), 4),
        "hd95_mm": round(metrics.hd95(ours, truth, spacing), 3),
        "lesion_dice": round(lesions.dice, 4),
        "lesion_hd95_mm": round(lesions.hd95_mm, 3),
        "volume_ml": round(np.count_nonzero(ours) * voxel_ml, 3),
        "true_volume_ml": round(np.count_nonzero(truth) * voxel_ml, 3),
    }


def summary(
    scores: Sequence[Score], metric: str = "dice", *, postprocessing: bool = True
) -> dict[str, dict[str, float]]:
    """Mean of one of `METRICS` over the cases: subset → region → mean, and ``mean`` at last.

    ``mean`` is the mean over the subsets. With post-processing unless asked for without.
    """
    subsets, values = _values(scores, metric, postprocessing)
    means = np.nanmean(values, axis=0)
    return _by_name(subsets, np.round([*means, means.mean(axis=0)], 4))


def intervals(
    scores: Sequence[Score], metric: str = "dice", *, postprocessing: bool = True
) -> dict[str, dict[str, list[float] | None]]:
    """95 % intervals [low, high] of the means in `summary`: subset → region → interval.

    Percentile bootstrap over the patients (B. Efron, R. Tibshirani: An Introduction to the
    Bootstrap, 1993, chapter 13): cohorts of the same size are drawn `RESAMPLES` times with
    replacement, a patient always with all its subsets and regions; the interval runs from the
    2.5th to the 97.5th percentile of their means. The seed is fixed. A drawn cohort in which no
    patient has a subset does not count for it. `None` where one patient alone was measured.
    """
    subsets, values = _values(scores, metric, postprocessing)
    patients = len(values)
    draws = np.random.default_rng(0).multinomial(
        patients, np.full(patients, 1 / patients), size=RESAMPLES
    )  # how often each cohort has each patient
    measured = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        means = np.tensordot(draws, np.nan_to_num(values), 1) / np.tensordot(draws, measured, 1)
    means = np.concatenate([means, means.mean(axis=1, keepdims=True)], axis=1)
    low, high = np.nanpercentile(means, (2.5, 97.5), axis=0)
    table = _by_name(subsets, np.round(np.stack([low, high], axis=-1), 4))
    several = (measured.sum(axis=0) > 1).all(axis=1)
    enough = dict(zip(table, [*several, several.all()], strict=True))
    return {name: row if enough[name] else dict.fromkeys(row) for name, row in table.items()}


def _values(
    scores: Sequence[Score], metric: str, postprocessing: bool
) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Subsets, and the metric as an array (patients, subsets, regions); NaN: not measured."""
    chosen = [score for score in scores if score.postprocessing == postprocessing]
    # By name, so that the drawn cohorts do not depend on the order of the folders.
    patients = {name: n for n, name in enumerate(sorted({score.case for score in chosen}))}
    subsets = {name: n for n, name in enumerate(dict.fromkeys(score.subset for score in chosen))}
    values = np.full((len(patients), len(subsets), len(REGIONS)), np.nan)
    for score in chosen:
        place = patients[score.case], subsets[score.subset], REGIONS.index(Region(score.region))
        values[place] = getattr(score, metric)
    return list(subsets), values


def _by_name(subsets: Sequence[str], rows: npt.NDArray[np.float64]) -> dict[str, dict[str, Any]]:
    """Rows (subsets and their mean, regions, …) as subset → region → number or list."""
    return {
        name: {region.value: v for region, v in zip(REGIONS, row.tolist(), strict=True)}
        for name, row in zip([*subsets, "mean"], rows, strict=True)
    }


def as_table(scores: Sequence[Score]) -> str:
    """The summary as text for a terminal: Dice with its interval, then the other metrics."""
    cases = len({score.case for score in scores})
    means = {metric: _with_unprocessed(summary, scores, metric) for metric in METRICS}
    ranges = _with_unprocessed(intervals, scores, "dice")
    columns = [region.value for region in reversed(REGIONS)]
    dices = {
        name: [_figure(row[region], ranges[name][region]) for region in columns]
        for name, row in means["dice"].items()
    }
    others = {
        name: [
            f"{means[metric][name][region]:.{3 if metric == 'lesion_dice' else 1}f}"
            for metric in METRICS[1:]
            for region in columns
        ]
        for name in means["dice"]
    }
    titles = "".join(f"{t:>24}" for t in ("HD95, mm", "lesion-wise Dice", "lesion-wise HD95, mm"))
    return "\n".join(
        [
            f"Dice [95 % interval, bootstrap over patients], mean over {cases} case"
            + "s" * (cases != 1),
            *_block(columns, dices, 21),
            "",
            " " * _NAME + titles,
            *_block(columns * 3, others, 8),
            "",
            *textwrap.wrap(metrics.EMPTY_CONVENTION, 100, break_on_hyphens=False),
        ]
    )


_UNPROCESSED = "  without post-processing"
_NAME = len(_UNPROCESSED) + 1


def _with_unprocessed(
    table: Callable[..., dict[str, dict[str, Any]]], scores: Sequence[Score], metric: str
) -> dict[str, dict[str, Any]]:
    """A table of means or intervals, with the mean without post-processing as its last row."""
    unprocessed = table(scores, metric, postprocessing=False)
    return {**table(scores, metric), _UNPROCESSED: unprocessed["mean"]}


def _figure(mean: float, interval: list[float] | None) -> str:
    return f"{mean:.3f}" + (f" [{interval[0]:.2f}, {interval[1]:.2f}]" if interval else "")


def _block(head: Sequence[str], rows: Mapping[str, Sequence[str]], width: int) -> list[str]:
    """Lines of a table, the means below a rule."""
    lines = [
        f"{name:<{_NAME}}" + "".join(f"{cell:>{width}}" for cell in cells)
        for name, cells in {"contrasts": head, **rows}.items()
    ]
    rule = "-" * len(lines[0])
    return [lines[0], rule, *lines[1:-2], rule, *lines[-2:]]


def as_csv(scores: Sequence[Score]) -> str:
    """Every score, a line each."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(asdict(scores[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(score) for score in scores)
    return text.getvalue()


def as_json(scores: Sequence[Score], model: Model) -> str:
    """The summary with what it was measured with.

    Every metric by its name, and its intervals as ``…_interval``; the same without
    post-processing one level deeper.
    """
    return json.dumps(
        {
            "model": model.name,
            "weights_sha256": model.settings["sha256"],
            "cases": sorted({score.case for score in scores}),
            **_summaries(scores, postprocessing=True),
            "without_postprocessing": _summaries(scores, postprocessing=False),
            "empty_regions": metrics.EMPTY_CONVENTION,
        },
        indent=2,
    )


def _summaries(scores: Sequence[Score], *, postprocessing: bool) -> dict[str, Any]:
    means = {m: summary(scores, m, postprocessing=postprocessing) for m in METRICS}
    ranges = {f"{m}_interval": intervals(scores, m, postprocessing=postprocessing) for m in METRICS}
    return {**means, **ranges}
