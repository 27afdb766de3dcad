"""Where the brain is: in a scan without skull its foreground, else from a mask, tool or network."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
import torch

from metakd.brain_network import brain_of
from metakd.brain_tools import installed_tool, run_tool
from metakd.contrasts import Contrast
from metakd.memory import Memory
from metakd.oriented import Oriented, Place
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
    """

    source: str
    mask: sitk.Image | None = None
    foregrounds: tuple[Contrast, ...] = ()


def find_brain(
    scans: Mapping[Contrast, Oriented],
    places: Mapping[Contrast, Place],
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
        source: one of `metakd.steps.BRAIN_SOURCES`; ``off`` takes all that is not air.
        mask: the user's, which beats all else.

    Raises `StudyError` where no brain is found, and `Cancelled`.
    """
    if mask is not None:
        return Brain("mask", mask)
    if source == "off":
        return Brain("off", foregrounds=tuple(scans))
    if source == "auto":
        stripped = tuple(c for c in in_place if _is_stripped(scans[c], places[c], device, memory))
        if stripped and (
            reference in stripped or _hold_most(stripped, scans, reference, device, memory)
        ):
            return Brain("background", foregrounds=stripped)
        source = installed_tool() or "builtin"
    scan = scans[reference]
    if source == "builtin":
        found = _by_network(scan, device, memory)
    else:
        made_with = (source, device)
        found = memory.recall(
            (reference, source),
            scan.stored,
            made_with,
            _by_tool,
            scan,
            source,
            device,
            is_cancelled,
        )
    if _volume_ml(found) < _LEAST_ML:
        raise StudyError(
            f"{reference.label}: no brain is found in it; check that it is a scan of a head, or "
            "give a brain mask"
        )
    return Brain(source, found)


def _hold_most(
    stripped: Collection[Contrast],
    scans: Mapping[Contrast, Oriented],
    reference: Contrast,
    device: torch.device,
    memory: Memory,
) -> bool:
    """Whether scans without skull show the brain of a reference with one; a slab does not."""
    whole = _volume_ml(_by_network(scans[reference], device, memory))
    return max(_volume_ml(scans[c].mask) for c in stripped) >= _MOST_OF_IT * whole


def _is_stripped(scan: Oriented, place: Place, device: torch.device, memory: Memory) -> bool:
    if place.stripped is not None:
        return place.stripped
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
    scan: Oriented, source: str, device: torch.device, is_cancelled: IsCancelled
) -> sitk.Image:
    return run_tool(source, scan.image, str(device), is_cancelled=is_cancelled)


def _volume_ml(mask: sitk.Image) -> float:
    voxels = int(np.count_nonzero(sitk.GetArrayViewFromImage(mask)))
    return voxels * float(np.prod(mask.GetSpacing())) / 1000
