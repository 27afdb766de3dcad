"""What `metakd` says on a terminal while it works and when it is done."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

from tqdm import tqdm

from metakd.report import NO_TUMOUR, BrainReport, RegistrationReport, Report

_FOUND_BY = {
    "background": "as the images are stripped",
    "mask": "of the mask given",
    "synthstrip": "found by SynthStrip",
    "hd-bet": "found by HD-BET",
    "builtin": "found by the built-in network",
}


class Progress:
    """A bar on a terminal, plain lines in a pipe."""

    def __init__(self, total: int | None = None) -> None:
        self._bar = tqdm(total=total, unit="step", leave=False, disable=not sys.stderr.isatty())

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Progress inside one segmentation."""
        self._bar.total = total
        self._bar.set_description(stage)
        self._bar.update(done - self._bar.n)
        if self._bar.disable:
            print(f"{stage} {done}/{total}", file=sys.stderr)

    def one_more(self, case: str, subset: str) -> None:
        """Progress over a cohort."""
        self._bar.set_description(f"{case} {subset}")
        self._bar.update()
        if self._bar.disable:
            print(f"{case} {subset}", file=sys.stderr)


def warn(warnings: tuple[str, ...]) -> None:
    """Say what is suspicious, a line each, beside the result."""
    for warning in warnings:
        print(f"metakd: warning: {warning}", file=sys.stderr)


def segmented(report: Report) -> str:
    """A segmentation in a few lines."""
    lines = [
        f"From {' + '.join(report.available)} with model {report.model}:",
        *prepared(report.reference, report.registration, report.brain, bias=report.bias_corrected),
    ]
    for name, region in report.regions.items():
        trust = reliability(region.reliability, region.expected_dice)
        lines.append(f"  {name}  {region.name:<18}{region.volume_ml:9.1f} ml   {trust}")
    if report.finding == NO_TUMOUR:
        lines.append(f"{NO_TUMOUR.capitalize()}.")
    seconds = sum(report.seconds.values())
    return "\n".join([*lines, f"{seconds:.1f} s on {report.device}. {report.intended_use}"])


def prepared(
    reference: str,
    registration: Mapping[str, RegistrationReport],
    brain: BrainReport,
    *,
    bias: bool,
) -> Iterator[str]:
    """What was done to a study's images, a line each; what failed is among the warnings.

    Args:
        reference: the label of the contrast that the others were brought to.
        registration: by label, as a report has it.
        bias: whether the coils' unevenness was taken out.
    """
    for name, done in registration.items():
        if done.outcome == "registered":
            how = "registered (affine)" if done.kind == "affine" else "registered"
            yield (
                f"  {name} {how} to {reference}: moved {done.moved_mm:.1f} mm, turned "
                f"{done.turned_degrees:.1f}°"
            )
    still = [name for name, done in registration.items() if done.outcome == "aligned"]
    if still:
        yield f"  {', '.join(still)} aligned with {reference} already"
    if any(done.outcome == "off" for done in registration.values()):
        yield "  registration is off: positions taken from the files"
    if brain.source in _FOUND_BY:
        yield f"  brain {brain.volume_ml:.0f} ml, {_FOUND_BY[brain.source]}"
    else:
        yield "  brain not extracted: all that is not air was taken"
    if bias:
        yield "  bias field corrected (N4)"


def reliability(word: str, dice: float | None) -> str:
    """How far a region can be trusted, and on what grounds."""
    return f"{word}: expected Dice {dice:.2f}" if dice is not None else f"{word}: not measured"
