"""Where the brain is: in a scan without skull its foreground, else from a mask, tool or network."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk
import torch

from metakd.brain_network import brain_of
from metakd.brain_tools import TOOLS, installed_tool, run_tool
from metakd.contrasts import Contrast
from metakd.memory import Memory
from metakd.oriented import Oriented, Placed
from metakd.progress import IsCancelled
from metakd.study import StudyError

_LEAST_ML = 100.0  # of a brain, or of a part of one in a scan that is cut off
_MOST_OF_IT = 0.8  # of the brain in the reference, that of scans without skull
_A_BRAIN_ALONE = 0.9  # Dice of the brain found with all that the scan shows


@dataclass(frozen=True)
class Brain:
    """The brain as one mask, or each of some contrasts' own foreground.

    Attributes:
        source: ``mask``, ``background``, ``builtin``, ``synthstrip``, ``hd-bet`` or ``off``.
        mask: uint8, in the reference's space, on any grid; `None` where foregrounds are the brain.
        foregrounds: the contrasts whose foregrounds are.
        warning: what went wrong on the way to it; empty where nothing did.
    """

    source: str
    mask: sitk.Image | None = None
    foregrounds: tuple[Contrast, ...] = ()
    warning: str = ""


def find_brain(
    study: Mapping[Contrast, Placed],
    reference: Contrast,
    *,
    in_place: Collection[Contrast],
    source: str,
    mask: sitk.Image | None,
    device: torch.device,
    memory: Memory,
    is_cancelled: IsCancelled,
) -> Brain:
    """The best that is at hand: a mask given, scans without skull, a tool installed, the network.

    Args:
        in_place: those that fit the reference; another's brain would be looked for elsewhere.
        source: one of `metakd.steps.BRAIN_SOURCES`; ``off`` takes all that is not air in those that
            are in place.
        mask: the user's, which beats all else.

    Raises `StudyError` where no brain is found, and `Cancelled`.
    """
    if mask is not None:
        return Brain("mask", mask)
    if source == "off":
        return Brain("off", foregrounds=tuple(c for c in study if c in in_place))
    scan = study[reference].scan
    if source == "auto":
        stripped = {c: study[c].scan for c in in_place if _is_stripped(study[c], device, memory)}
        if reference in stripped or _hold_most(stripped.values(), scan, device, memory):
            return Brain("background", foregrounds=tuple(stripped))
        return _by_tool_or_network(scan, device, memory, is_cancelled)
    if source in TOOLS:
        return Brain(source, _by_tool(scan, source, device, memory, is_cancelled))
    return _by_network_alone(scan, device, memory)


def refuse_small(mask: sitk.Image) -> None:
    """Raise `StudyError` for a user's mask (uint8) that is smaller than any brain."""
    if (volume := _volume_ml(mask)) < _LEAST_ML:
        raise StudyError(
            f"the brain mask holds {volume:.0f} ml, no brain is that small; give another"
        )


def _by_tool_or_network(
    scan: Oriented, device: torch.device, memory: Memory, is_cancelled: IsCancelled
) -> Brain:
    """A tool that is installed, and where it fails the network in its place."""
    tool = installed_tool()
    if tool is None:
        return _by_network_alone(scan, device, memory)

    def make() -> sitk.Image | str:
        try:
            return _by_tool(scan, tool, device, memory, is_cancelled)
        except StudyError as error:
            return error.fact

    if memory.holds((scan.contrast, tool), scan.stored, device):
        return Brain(tool, _by_tool(scan, tool, device, memory, is_cancelled))
    # A failure is remembered too, with the study: it may have taken half an hour.
    found = memory.recall((scan.contrast, "tool"), scan.stored, (tool, device), make)
    if not isinstance(found, str):
        return Brain(tool, found)
    advice = "the built-in network looked for the brain instead, look at its mask"
    return replace(_by_network_alone(scan, device, memory), warning=f"{found}; {advice}")


def _by_network_alone(scan: Oriented, device: torch.device, memory: Memory) -> Brain:
    found = _by_network(scan, device, memory)
    if _volume_ml(found) < _LEAST_ML:
        raise StudyError(
            f"{scan.contrast.label}: no brain is found in it; check that it is a scan of a head, "
            "or give a brain mask"
        )
    return Brain("builtin", found)


def _hold_most(
    stripped: Collection[Oriented], reference: Oriented, device: torch.device, memory: Memory
) -> bool:
    """Whether scans without skull show the brain of a reference with one; a slab does not."""
    if not stripped:
        return False
    whole = _volume_ml(_by_network(reference, device, memory))
    return max(_volume_ml(scan.mask) for scan in stripped) >= _MOST_OF_IT * whole


def _is_stripped(placed: Placed, device: torch.device, memory: Memory) -> bool:
    if placed.extent.stripped is not None:
        return placed.extent.stripped
    scan = placed.scan
    found = _by_network(scan, device, memory)
    on_scan = sitk.Resample(found, scan.mask, sitk.Transform(), sitk.sitkNearestNeighbor)
    brain, all_of_it = (sitk.GetArrayViewFromImage(mask) > 0 for mask in (on_scan, scan.mask))
    both = int(np.count_nonzero(brain & all_of_it))
    sizes = np.count_nonzero(brain) + np.count_nonzero(all_of_it)
    return bool(2 * both > _A_BRAIN_ALONE * sizes)


def _by_network(scan: Oriented, device: torch.device, memory: Memory) -> sitk.Image:
    """Mask (uint8) in the scan's space."""

    def make() -> sitk.Image:
        return brain_of(scan.image, device)

    return memory.recall((scan.contrast, "brain"), scan.stored, device, make)


def _by_tool(
    scan: Oriented, tool: str, device: torch.device, memory: Memory, is_cancelled: IsCancelled
) -> sitk.Image:
    """Mask (uint8) in the scan's space."""

    def make() -> sitk.Image:
        found = run_tool(tool, scan.image, str(device), is_cancelled=is_cancelled)
        if _volume_ml(found) < _LEAST_ML:
            raise StudyError(
                f"{TOOLS[tool].title} finds no brain in {scan.contrast.label}; check that it is a "
                "scan of a head, or give a brain mask"
            )
        return found

    return memory.recall((scan.contrast, tool), scan.stored, device, make)


def _volume_ml(mask: sitk.Image) -> float:
    """Of a mask (uint8)."""
    voxels = int(np.count_nonzero(sitk.GetArrayViewFromImage(mask)))
    return voxels * float(np.prod(mask.GetSpacing())) / 1000
