"""A model on a cohort with known truth: every case with every subset of contrasts."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

import numpy as np
import SimpleITK as sitk

from metakd.cases import Case
from metakd.contrasts import ContrastSet, subset_name
from metakd.model import Model
from metakd.regions import REGIONS, Region, region_mask
from metakd.segment import Options, segment
from metakd.study import read_study


@dataclass(frozen=True)
class Score:
    """One case, one subset, one region: Dice and the volumes it was computed from, in ml."""

    case: str
    subset: str
    region: str
    dice: float
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
    cannot serve are left out. Raises `metakd.study.StudyError`.
    """
    scores = []
    for case in cases:
        truth = case.read_segmentation()
        study = read_study(case.images)
        for subset in subsets:
            if subset <= set(study.images):
                result = segment(study.subset(subset), model, options)
                scores += _score(case.name, subset_name(subset), result.label_map, truth)
                on_case(case.name, subset_name(subset))
    return scores


def dice(predicted: sitk.Image, truth: sitk.Image, region: Region) -> float:
    """Dice of one region of two label maps on one grid; 1 when both are empty, as BraTS has it."""
    ours = region_mask(sitk.GetArrayViewFromImage(predicted), region)
    theirs = region_mask(sitk.GetArrayViewFromImage(truth), region)
    size = int(ours.sum()) + int(theirs.sum())
    return 2 * int((ours & theirs).sum()) / size if size else 1.0


def _score(case: str, subset: str, predicted: sitk.Image, truth: sitk.Image) -> list[Score]:
    on_truth = sitk.Resample(predicted, truth, sitk.Transform(), sitk.sitkNearestNeighbor)
    voxel_ml = float(np.prod(truth.GetSpacing())) / 1000
    return [
        Score(
            case,
            subset,
            region.value,
            round(dice(on_truth, truth, region), 4),
            round(_volume(on_truth, region) * voxel_ml, 3),
            round(_volume(truth, region) * voxel_ml, 3),
        )
        for region in REGIONS
    ]


def _volume(label_map: sitk.Image, region: Region) -> int:
    return int(region_mask(sitk.GetArrayViewFromImage(label_map), region).sum())


def summary(scores: Sequence[Score]) -> dict[str, dict[str, float]]:
    """Mean Dice over the cases: subset → region → mean, and ``mean`` over the subsets at last."""
    table: dict[str, dict[str, float]] = {}
    for subset in dict.fromkeys(score.subset for score in scores):
        table[subset] = {
            region.value: round(
                fmean(s.dice for s in scores if (s.subset, s.region) == (subset, region.value)), 4
            )
            for region in REGIONS
        }
    table["mean"] = {
        region.value: round(fmean(row[region.value] for row in table.values()), 4)
        for region in REGIONS
    }
    return table


def as_table(scores: Sequence[Score]) -> str:
    """The summary as text for a terminal."""
    cases = len({score.case for score in scores})
    head = f"{'contrasts':<18}" + "".join(f"{region.value:>8}" for region in reversed(REGIONS))
    lines = [f"Dice, mean over {cases} case{'s' * (cases != 1)}", head, "-" * len(head)]
    for subset, row in summary(scores).items():
        figures = "".join(f"{row[region.value]:8.3f}" for region in reversed(REGIONS))
        lines += ["-" * len(head)] * (subset == "mean") + [f"{subset:<18}{figures}"]
    return "\n".join(lines)


def as_csv(scores: Sequence[Score]) -> str:
    """Every score, a line each."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(asdict(scores[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(score) for score in scores)
    return text.getvalue()


def as_json(scores: Sequence[Score], model: Model) -> str:
    """The summary with what it was measured with."""
    return json.dumps(
        {
            "model": model.name,
            "weights_sha256": model.settings["sha256"],
            "cases": sorted({score.case for score in scores}),
            "dice": summary(scores),
        },
        indent=2,
    )
