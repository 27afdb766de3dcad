"""`metakd preprocess`: one patient's contrasts as other programs want them."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import SimpleITK as sitk

from metakd import __version__, terminal
from metakd.card import INTENDED_USE
from metakd.contrasts import Contrast
from metakd.outputs import OutputFiles, check_places
from metakd.prepared_images import (
    Target,
    bias_corrected,
    brain_mask,
    cut_off_ml,
    reference_target,
    registered,
    sri24_target,
    without_skull,
)
from metakd.preprocess import PreparedStudy, prepare, units_of_steps
from metakd.report import BrainReport, brain_warnings, registration_reports, registration_warnings
from metakd.step_options import OFF
from metakd.study import Study, read_study
from metakd.usage import chosen_steps, given_contrasts, ready_device

_SPACING_MM = 1.0  # of the grid that the brain is known on, whatever the images' own
_TOLERATED_ML = 1.0
_TARGETS = {"reference": reference_target, "sri24": sri24_target}
_GRID_NAMES = {
    "reference": "the reference's own",
    "sri24": "SRI24-style, as BraTS's files have it; placed by the brain's centre, not registered "
    "to the atlas",
}
_BRAIN, _REPORT = "brain_mask.nii.gz", "report.json"


def preprocess(arguments: Namespace) -> None:
    """Register, extract the brain, write all of it or nothing."""
    start = time.perf_counter()
    paths = given_contrasts(arguments)
    _check_outputs(arguments, paths)
    device = ready_device(arguments.device)
    steps = chosen_steps(arguments)
    study = read_study(paths)
    read_seconds = time.perf_counter() - start
    with terminal.Progress() as progress:
        units = units_of_steps(len(paths), steps) + 1
        prepared = prepare(
            study,
            spacing=_SPACING_MM,
            stride=1,
            reference=arguments.reference,
            steps=replace(steps, bias_correction=False),  # done to the images that are written
            device=device,
            on_step=lambda step, done, shape: progress(step, done, units),
        )
        run = _Run(arguments, study, prepared, read_seconds)
        with OutputFiles() as files:
            arguments.output.mkdir(exist_ok=True)
            run.write(files)
        progress("write", units, units)
    terminal.warn(run.warnings)
    print(run.spoken())


def _check_outputs(arguments: Namespace, paths: Mapping[Contrast, Path]) -> None:
    names = [*(f"{contrast.value}.nii.gz" for contrast in paths), _BRAIN, _REPORT]
    inputs = [*paths.values(), *filter(None, [arguments.brain_mask])]
    check_places([arguments.output / name for name in names], inputs, arguments.output)


class _Run:
    """What was made of a study, and what is said about it."""

    def __init__(
        self, arguments: Namespace, study: Study, prepared: PreparedStudy, read_seconds: float
    ) -> None:
        self.arguments, self.study, self.prepared = arguments, study, prepared
        self.reference: Contrast = arguments.reference or study.default_reference
        self.target: Target = _TARGETS[arguments.grid](prepared)
        self.seconds = {"read": read_seconds, **prepared.seconds}
        # Without a search for the brain there is none to cut out.
        self.stripped = not arguments.keep_skull and prepared.brain_source != OFF

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is suspicious about the scans and went wrong with them, and with the grid."""
        facts = [
            *registration_warnings(self.prepared, self.reference),
            *brain_warnings(self.prepared, self.reference),
            *(
                f"{contrast.label} covers {self.prepared.coverage[contrast]:.0%} of the brain; "
                "elsewhere its file holds no data"
                for contrast in self.prepared.partial
            ),
        ]
        lost = cut_off_ml(self.prepared, self.target)
        if self.arguments.grid == "sri24" and lost > _TOLERATED_ML:
            facts.append(
                f"the brain does not fit on the grid, {lost:.0f} ml are cut off; use --grid "
                "reference"
            )
        return (*self.study.warnings, *facts)

    def write(self, files: OutputFiles) -> None:
        """Every file; the report last, as it has the seconds of the others."""
        start, folder = time.perf_counter(), self.arguments.output
        brain = brain_mask(self.prepared, self.target)
        for contrast in self.study.images:
            image = registered(self.study, self.prepared, contrast, self.target)
            if self.arguments.bias_correction:
                begun = time.perf_counter()
                image = bias_corrected(image, brain_mask(self.prepared, self.target, contrast))
                self.seconds["bias"] = self.seconds.get("bias", 0.0) + time.perf_counter() - begun
            if self.stripped:
                image = without_skull(image, brain)
            sitk.WriteImage(image, files.stage(folder / f"{contrast.value}.nii.gz"))
        sitk.WriteImage(brain, files.stage(folder / _BRAIN))
        self.seconds["write"] = time.perf_counter() - start - self.seconds.get("bias", 0.0)
        text = json.dumps(self.report(), indent=2)
        Path(files.stage(folder / _REPORT)).write_text(text + "\n", encoding="utf-8")

    def report(self) -> dict[str, object]:
        """What is in report.json; coordinates are LPS, mm."""
        registration = registration_reports(self.prepared, self.reference)
        grid = self.target.grid
        return {
            "available": [contrast.label for contrast in self.study.images],
            "reference": self.reference.label,
            "registration": {name: asdict(done) for name, done in registration.items()},
            "brain": asdict(self._brain()),
            "coverage": {c.label: round(p, 3) for c, p in self.prepared.coverage.items()},
            "skull": "removed" if self.stripped else "kept",
            "bias_corrected": self.arguments.bias_correction,
            "interpolation": "linear, once",
            "grid": {
                "name": _GRID_NAMES[self.arguments.grid],
                "size": grid.GetSize(),
                "spacing_mm": grid.GetSpacing(),
                "to_reference_lps_mm": self.target.matrix(),
            },
            "seconds": {stage: round(took, 3) for stage, took in self.seconds.items()},
            "warnings": self.warnings,
            "metakd": __version__,
            "intended_use": INTENDED_USE,
        }

    def spoken(self) -> str:
        """The same in a few lines for a terminal."""
        registration = registration_reports(self.prepared, self.reference)
        lines = [
            f"{' + '.join(contrast.label for contrast in self.study.images)} in "
            f"{self.arguments.output}:",
            *terminal.prepared(
                self.reference.label,
                registration,
                self._brain(),
                bias=self.arguments.bias_correction,
            ),
            f"  grid: {_GRID_NAMES[self.arguments.grid]}",
            f"{sum(self.seconds.values()):.1f} s. {INTENDED_USE}",
        ]
        return "\n".join(lines)

    def _brain(self) -> BrainReport:
        return BrainReport(self.prepared.brain_source, round(self.prepared.brain_ml, 1))
