"""The choice of a study's `Steps`: as options of the command line, and checked before any work."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from metakd.steps import BRAIN_SOURCES, REGISTRATIONS

if TYPE_CHECKING:
    from metakd.steps import Steps

OFF = "off"


def add_step_options(parser: argparse.ArgumentParser) -> None:
    """Each step with what it may be, or its own way to leave it out; never both."""
    group = parser.add_argument_group("preparation (what a study does not need is left out)")
    registration = group.add_mutually_exclusive_group()
    # No defaults here: of an option that repeats its default argparse sees no contradiction.
    registration.add_argument(
        "--registration",
        choices=_but_off(REGISTRATIONS),
        help="how contrasts are brought onto the reference where they do not lie on it (default "
        "rigid)",
    )
    registration.add_argument(
        "--no-registration",
        dest="registration",
        action="store_const",
        const=OFF,
        help="trust the positions in the files",
    )
    brain = group.add_mutually_exclusive_group()
    brain.add_argument(
        "--brain-mask",
        type=Path,
        metavar="FILE",
        help="brain mask on any grid, in the reference's space",
    )
    brain.add_argument(
        "--brain",
        choices=_but_off(BRAIN_SOURCES),
        help="who finds the brain in a head (default auto: SynthStrip or HD-BET where installed, "
        "else the built-in network)",
    )
    brain.add_argument(
        "--no-brain-extraction",
        dest="brain",
        action="store_const",
        const=OFF,
        help="take the images as they are",
    )
    group.add_argument(
        "--bias-correction", action="store_true", help="N4 bias field correction (slow)"
    )


def _but_off(choices: tuple[str, ...]) -> list[str]:
    return [choice for choice in choices if choice != OFF]


def make_steps(
    registration: str | None, brain: str | None, brain_mask: Path | None, bias_correction: bool
) -> Steps:
    """The steps that were chosen, those left open as they are by default.

    Raises `StudyError` for a file that is no brain mask and for a tool that is not installed:
    before any other work.
    """
    from metakd.brain_mask import read_brain_mask
    from metakd.brain_tools import TOOLS, find_tool
    from metakd.steps import Steps

    if brain and brain in TOOLS and not brain_mask:
        find_tool(brain)
    usual = Steps()
    return Steps(
        registration=registration or usual.registration,
        brain=brain or usual.brain,
        brain_mask=read_brain_mask(brain_mask) if brain_mask else None,
        bias_correction=bias_correction,
    )
