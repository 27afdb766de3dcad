"""What the user needs to judge a result: volumes, how far to trust each region, provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
import torch

from metakd import __version__
from metakd.card import INTENDED_USE
from metakd.channels import NEARLY_WHOLE
from metakd.contrasts import CONTRASTS, Contrast
from metakd.inference import Prediction
from metakd.model import Model
from metakd.preprocess import PreparedStudy
from metakd.regions import LABELS, REGIONS, Region
from metakd.study import Study

_NEARLY_ALL = 0.9  # of the brain
_SMALL_ML, _LARGE_ML = 800.0, 2100.0  # which hardly any brain is below or above
_FAR_MM = 100.0  # farther than a patient moves in a scanner

TUMOUR, NO_TUMOUR = "tumour found", "no tumour found"


@dataclass(frozen=True)
class RegionReport:
    """One nested region.

    Attributes:
        volume_ml: of the region in the label map.
        expected_dice: mean Dice of the model's validation with the same contrasts, or `None`;
            without those that could not be registered, or cover only a part of what the others do.
        reliability: ``reliable``, ``use with care`` or ``not reliable``.
    """

    name: str
    volume_ml: float
    expected_dice: float | None
    reliability: str


@dataclass(frozen=True)
class RegistrationReport:
    """What became of one contrast's place.

    Attributes:
        outcome: ``aligned`` (measured, and left alone), ``registered``, ``failed`` (left as it
            was) or ``off``.
        moved_mm, turned_degrees: how far the head's middle was moved, and the head turned.
        similarity: normalised mutual information with the reference, 0 to 1; `None` when off.
        kind: ``rigid`` or ``affine`` where it was registered.
    """

    outcome: str
    moved_mm: float = 0.0
    turned_degrees: float = 0.0
    similarity: float | None = None
    kind: str | None = None


@dataclass(frozen=True)
class BrainReport:
    """The brain that was looked at.

    Attributes:
        source: ``mask``, ``background``, ``builtin``, ``synthstrip``, ``hd-bet`` or ``off``.
    """

    source: str
    volume_ml: float


@dataclass(frozen=True)
class Report:
    """All that is said about one segmentation; `asdict` of it is the JSON report.

    Attributes:
        regions: by region name, ET, TC, WT.
        volumes_ml: by tissue name, NCR, ED, ET.
        measured_on: what `expected_dice` was measured on.
        available, generated: names of the contrasts given, and of those whose features were
            generated from them.
        seconds: by stage.
        finding: ``tumour found`` or ``no tumour found``.
        registration: by contrast, of all but the reference.
        coverage: contrast → the part of the brain that it covers, 0 to 1; elsewhere the result is
            from the others, and where there are none nothing is found.
        bias_corrected: whether the coils' unevenness was taken out (N4).
    """

    finding: str
    registration: Mapping[str, RegistrationReport]
    brain: BrainReport
    coverage: Mapping[str, float]
    bias_corrected: bool
    regions: Mapping[str, RegionReport]
    volumes_ml: Mapping[str, float]
    measured_on: str
    available: tuple[str, ...]
    generated: tuple[str, ...]
    reference: str
    importance: Mapping[str, float]
    model: str
    model_version: str
    weights_sha256: str
    metakd: str
    torch: str
    device: str
    window: int | None
    seconds: Mapping[str, float]
    warnings: tuple[str, ...]
    intended_use: str = INTENDED_USE

    def as_json(self) -> dict[str, object]:
        """Plain dictionaries, lists, texts and numbers."""
        return asdict(self)

    def with_stage(self, stage: str, seconds: float) -> Report:
        """The same report with the time of a stage that lay outside the pipeline."""
        return replace(self, seconds={**self.seconds, stage: round(seconds, 3)})


def make_report(
    label_map: sitk.Image,
    study: Study,
    model: Model,
    *,
    prepared: PreparedStudy,
    reference: Contrast,
    prediction: Prediction,
    seconds: Mapping[str, float],
) -> Report:
    """Measure a label map (engine's convention) and say how far it can be trusted."""
    labels = sitk.GetArrayViewFromImage(label_map)
    voxel_ml = float(np.prod(label_map.GetSpacing())) / 1000
    voxels = {label.value: int(np.count_nonzero(labels == label.value)) for label in LABELS}
    available = frozenset(study.images)
    telling = _telling(prepared)
    return Report(
        finding=TUMOUR if any(voxels.values()) else NO_TUMOUR,
        registration=registration_reports(prepared, reference),
        brain=BrainReport(prepared.brain_source, round(prepared.brain_ml, 1)),
        coverage={c.label: round(part, 3) for c, part in prepared.coverage.items()},
        bias_corrected=prepared.bias_corrected,
        regions={
            region.value: _region_report(voxels, voxel_ml, region, model, telling)
            for region in REGIONS
        },
        volumes_ml={label.short: _ml(voxels[label.value], voxel_ml) for label in LABELS},
        measured_on=model.settings["expected_dice"]["measured_on"],
        available=tuple(c.label for c in CONTRASTS if c in available),
        generated=tuple(c.label for c in CONTRASTS if c not in available),
        reference=reference.label,
        importance=model.settings["importance"],
        model=model.name,
        model_version=model.card["version"],
        weights_sha256=model.settings["sha256"],
        metakd=__version__,
        torch=str(torch.__version__),
        device=prediction.device,
        window=prediction.window,
        seconds=dict(seconds),
        warnings=(*study.warnings, *preparation_warnings(prepared, reference)),
    )


def _telling(prepared: PreparedStudy) -> frozenset[Contrast]:
    """The contrasts on which trust can be built: in place, and nearly wherever any tells."""
    lost = {c for c, done in prepared.registrations.items() if done.outcome == "failed"}
    told = _told(prepared)
    parts = {c: float(covers[told].mean()) for c, covers in prepared.partial.items() if told.any()}
    return frozenset(
        c for c in prepared.channels if c not in lost and parts.get(c, 1.0) >= _NEARLY_ALL
    )


def _told(prepared: PreparedStudy) -> npt.NDArray[np.bool_]:
    """(D, H, W), where in the brain there is any contrast."""
    if prepared.partial.keys() < prepared.channels.keys():
        return prepared.brain
    some: npt.NDArray[np.bool_] = np.any(list(prepared.partial.values()), axis=0)
    return prepared.brain & some


def registration_reports(
    prepared: PreparedStudy, reference: Contrast
) -> dict[str, RegistrationReport]:
    """By label, what became of every contrast's place but the reference's."""
    reports = {}
    for contrast in (c for c in CONTRASTS if c in prepared.channels):
        done = prepared.registrations.get(contrast)
        if done:
            reports[contrast.label] = RegistrationReport(
                done.outcome,
                done.moved_mm,
                done.turned_degrees,
                round(done.similarity, 3),
                done.kind if done.outcome == "registered" else None,
            )
        elif contrast is not reference:
            reports[contrast.label] = RegistrationReport("off")
    return reports


def preparation_warnings(prepared: PreparedStudy, reference: Contrast) -> tuple[str, ...]:
    """What went wrong on the way to the network but did not stop the work."""
    return (
        *registration_warnings(prepared, reference),
        *brain_warnings(prepared, reference),
        *_coverage_warnings(prepared),
    )


def registration_warnings(prepared: PreparedStudy, reference: Contrast) -> list[str]:
    """What could not be registered, and what came from far away."""
    done = prepared.registrations
    failed = [contrast for contrast in done if done[contrast].outcome == "failed"]
    if len(failed) > 1 and len(failed) == len(done):
        return [
            f"none of the other contrasts could be registered to {reference.label}, which may be "
            "the odd one; leave it out or choose another reference"
        ]
    return [
        f"{contrast.label} could not be registered to {reference.label} (similarity "
        f"{done[contrast].similarity:.2f}); it was used where it lies, compare the two"
        for contrast in failed
    ] + [
        f"{contrast.label} lay {each.moved_mm:.0f} mm from {reference.label} and was moved onto "
        "it; check that both are of this patient"
        for contrast, each in done.items()
        if each.moved_mm > _FAR_MM
    ]


def brain_warnings(prepared: PreparedStudy, reference: Contrast) -> list[str]:
    """What is odd about the brain, or went wrong when it was looked for."""
    warnings = [prepared.brain_warning] if prepared.brain_warning else []
    if prepared.brain_source == "off" or _SMALL_ML <= prepared.brain_ml <= _LARGE_ML:
        return warnings
    return [
        *warnings,
        f"the brain measures {prepared.brain_ml:.0f} ml in {reference.label}, unlike a whole one; "
        "look at its mask, and whether all of the head was scanned",
    ]


def _coverage_warnings(prepared: PreparedStudy) -> list[str]:
    told, little = _told(prepared), (1 - NEARLY_WHOLE) * np.count_nonzero(prepared.brain)
    return [
        f"{contrast.label} covers {prepared.coverage[contrast]:.0%} of the brain; "
        + (
            "elsewhere the result is from the other contrasts, check the border"
            if np.count_nonzero(told & ~covers) > little
            else "nothing outside it is segmented, look whether all of the head was scanned"
        )
        for contrast, covers in prepared.partial.items()
    ]


def _region_report(
    voxels: Mapping[int, int],
    voxel_ml: float,
    region: Region,
    model: Model,
    available: frozenset[Contrast],
) -> RegionReport:
    dice = model.expected_dice(available, region)
    return RegionReport(
        name=region.title,
        volume_ml=_ml(sum(voxels[value] for value in region.label_values), voxel_ml),
        expected_dice=dice,
        reliability=model.reliability(dice),
    )


def _ml(voxels: int, voxel_ml: float) -> float:
    return round(voxels * voxel_ml, 3)
