"""What several commands understand in the same way, checked before any work."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import torch

from metakd.contrasts import CONTRASTS, Contrast
from metakd.inference import DeviceError, choose_device, leave_a_core_free
from metakd.memory import hold_freed_memory
from metakd.step_options import make_steps
from metakd.steps import Steps


class UsageError(ValueError):
    """The command cannot be carried out as given; the message says what to change."""


def given_contrasts(arguments: Namespace) -> dict[Contrast, Path]:
    """The files of the contrasts. Raises `UsageError` unless one of them is the reference asked."""
    paths = {c: path for c in CONTRASTS if (path := getattr(arguments, c.value))}
    reference = arguments.reference
    if reference and paths and reference not in paths:
        raise UsageError(f"--reference {reference.value}: that contrast is not given")
    return paths


def chosen_steps(arguments: Namespace) -> Steps:
    """The steps of `step_options.add_step_options`; raises what `make_steps` does."""
    return make_steps(
        arguments.registration, arguments.brain, arguments.brain_mask, arguments.bias_correction
    )


def ready_device(name: str) -> torch.device:
    """Get ready for heavy work on a device. Raises `UsageError` where it cannot be used."""
    leave_a_core_free()
    hold_freed_memory()
    try:
        return choose_device(name)
    except DeviceError as error:
        raise UsageError(f"{error}; try --device auto") from error
