"""`Study` → `PreparedStudy`: what the network sees, and the way back to the patient.

Canonical orientation → every contrast registered to the reference → the brain → a box around it on
a grid at the model's spacing → resampling of every contrast in physical space, once → z-score
inside the brain.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
import torch

from metakd.brain import Brain, find_brain, refuse_small
from metakd.channels import NEARLY_WHOLE, Filler, Mask, Values
from metakd.contrasts import Contrast
from metakd.memory import Memory, Same
from metakd.network_grid import network_grid
from metakd.oriented import Extent, Oriented, Placed, box_corners
from metakd.progress import IsCancelled
from metakd.registration import Registration, register
from metakd.steps import Steps
from metakd.study import Study, StudyError

_LEAST_COVERED = 0.02  # of the brain; a contrast that covers less shows nothing of it

Shape = tuple[int, int, int]
OnStep = Callable[[str, int, "Shape | None"], None]


@dataclass(frozen=True)
class PreparedStudy:
    """A study on the network's grid.

    Attributes:
        channels: (D, H, W) float32 a contrast, indexed slice, row, column with axes towards
            S, P, L; mean 0 and standard deviation 1 where it shows brain, exactly 0 outside.
        brain: (D, H, W) booleans.
        grid: an image without content that holds the geometry (LPS, mm) of these arrays.
        reference: the image whose grid the result comes back in.
        registrations: of every contrast but the reference; none where registration was off.
        brain_source: where the brain came from, see `metakd.brain.Brain`.
        brain_warning: what went wrong when it was looked for.
        bias_corrected: whether N4 was used.
        partial: (D, H, W) booleans, where a contrast that does not cover the brain does so.
        coverage: contrast → the part of the brain that it covers, 0 to 1.
        seconds: of each step: ``orient``, ``register``, ``brain``, ``grid``, ``bias``,
            ``normalise``.
    """

    channels: Mapping[Contrast, npt.NDArray[np.float32]]
    brain: npt.NDArray[np.bool_]
    grid: sitk.Image
    reference: sitk.Image
    registrations: Mapping[Contrast, Registration] = field(default_factory=dict)
    brain_source: str = "off"
    brain_warning: str = ""
    bias_corrected: bool = False
    partial: Mapping[Contrast, npt.NDArray[np.bool_]] = field(default_factory=dict)
    coverage: Mapping[Contrast, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def shape(self) -> Shape:
        depth, height, width = self.brain.shape
        return depth, height, width

    @property
    def transforms(self) -> dict[Contrast, sitk.Transform]:
        """Contrast → LPS point (mm) of the reference's space → point of the contrast's own."""
        return {c: _transform(self.registrations, c) for c in self.channels}

    @property
    def brain_ml(self) -> float:
        """Volume of the brain."""
        voxels = int(np.count_nonzero(self.brain))
        return voxels * float(np.prod(self.grid.GetSpacing())) / 1000

    def image(self, values: npt.NDArray[np.float32]) -> sitk.Image:
        """An array (D, H, W) of this grid as an image in the patient's space."""
        placed = sitk.GetImageFromArray(values)
        placed.CopyInformation(self.grid)
        return placed


def prepare(
    study: Study,
    *,
    spacing: float,
    stride: int,
    reference: Contrast | None = None,
    steps: Steps | None = None,
    device: torch.device | None = None,
    memory: Memory | None = None,
    on_step: OnStep = lambda step, done, shape: None,
    is_cancelled: IsCancelled = lambda: False,
) -> PreparedStudy:
    """Bring a study to the network's grid.

    Args:
        spacing: the model's isotropic spacing in mm.
        stride: the sides of the grid become multiples of this.
        reference: whose grid and orientation lead; `Study.default_reference` unless chosen.
        steps: what is done on the way.
        device: where the brain is looked for; the CPU when left out.
        memory: of an earlier run, for what was made of the same images.
        on_step: called after each of `units_of_steps` with the step's name (``register``,
            ``brain``, ``prepare``), how many are done, and the grid's (D, H, W) once it is known.
        is_cancelled: asked while a tool of others looks for the brain.

    Raises `StudyError` when the chosen reference is absent, no brain is found, a contrast shows
    nothing where it is, or its size cannot be one; and `Cancelled`.
    """
    reference = reference or study.default_reference
    if reference not in study.images:
        raise StudyError(f"{reference.label} cannot be the reference: it is not in the study")
    steps, memory = steps or Steps(), memory or Memory()
    ticks = _Ticks(on_step)
    scans = {c: Oriented(c, image) for c, image in study.images.items()}
    extents = {c: memory.recall((c, "extent"), s.stored, None, s.extent) for c, s in scans.items()}
    ticks.lap("orient")
    if steps.brain_mask is not None:
        _refuse_mask(steps.brain_mask, extents[reference], reference)
    if steps.registration == "off":
        _refuse_apart(extents, reference)
    registrations = _registrations(scans, reference, steps.registration, memory, ticks)
    placed = {c: Placed(s, extents[c], _transform(registrations, c)) for c, s in scans.items()}
    failed = {c for c, done in registrations.items() if done.outcome == "failed"}
    brain = find_brain(
        placed, reference, in_place=[c for c in placed if c not in failed],
        source=steps.brain, mask=steps.brain_mask, device=device or torch.device("cpu"),
        memory=memory, is_cancelled=is_cancelled,
    )  # fmt: skip
    ticks.lap("brain")
    ticks.unit("brain")
    grid = network_grid(extents[reference], _brain_corners(brain, placed), spacing, stride)
    ticks.shape = grid.GetSize()[::-1]
    fill = Filler(grid, steps.bias_correction, memory, ticks.lap)
    channels, covers, shown = _filled(fill, brain, placed, ticks)
    coverage = {c: float(covers[c][shown].mean()) for c in placed}
    ticks.lap("grid")
    _refuse_blank(channels, coverage, reference)
    return PreparedStudy(
        channels,
        shown,
        grid,
        study.images[reference],
        registrations,
        brain.source,
        brain.warning,
        steps.bias_correction,
        {c: where for c, where in covers.items() if coverage[c] < NEARLY_WHOLE},
        coverage,
        ticks.seconds,
    )


def units_of_steps(contrasts: int, steps: Steps) -> int:
    """How often `prepare` will call its `on_step`."""
    return contrasts + 1 + (contrasts - 1 if steps.registration != "off" else 0)


class _Ticks:
    """Counts the units that are done, and the seconds of each step."""

    def __init__(self, on_step: OnStep) -> None:
        self._on_step, self._done, self._last = on_step, 0, time.perf_counter()
        self.shape: Shape | None = None
        self.seconds: dict[str, float] = {}

    def lap(self, step: str) -> None:
        """All since the last lap was this step."""
        now = time.perf_counter()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self._last
        self._last = now

    def unit(self, step: str) -> None:
        """One more is done."""
        self._done += 1
        self._on_step(step, self._done, self.shape)


def _registrations(
    scans: Mapping[Contrast, Oriented],
    reference: Contrast,
    kind: str,
    memory: Memory,
    ticks: _Ticks,
) -> dict[Contrast, Registration]:
    """Of every contrast but the reference to it; none where registration is off."""
    fixed, found = scans[reference], {}
    for contrast, scan in scans.items():
        if contrast is not reference and kind != "off":
            found[contrast] = memory.recall(
                (contrast, "registration"), scan.stored, (Same(fixed.stored), kind),
                _registered, fixed, scan, kind,
            )  # fmt: skip
            ticks.lap("register")
            ticks.unit("register")
    return found


def _registered(fixed: Oriented, moving: Oriented, kind: str) -> Registration:
    return register(fixed.image, moving.image, kind)


def _transform(
    registrations: Mapping[Contrast, Registration], contrast: Contrast
) -> sitk.Transform:
    if contrast in registrations:
        return registrations[contrast].transform
    return sitk.Transform(3, sitk.sitkIdentity)


def _refuse_apart(extents: Mapping[Contrast, Extent], reference: Contrast) -> None:
    low, high = extents[reference].bounds
    for contrast, extent in extents.items():
        other_low, other_high = extent.bounds
        if (other_high < low).any() or (other_low > high).any():
            raise StudyError(
                f"{contrast.label} and {reference.label} do not overlap in space; they are not "
                "one study of one patient, or one of them has lost its position: register them"
            )


def _brain_corners(brain: Brain, placed: Mapping[Contrast, Placed]) -> npt.NDArray[np.float64]:
    """(n, 3) LPS points (mm) of the reference's space: the corners of boxes around the brain."""
    if brain.mask is not None:
        return box_corners(brain.mask)
    return np.concatenate([placed[contrast].corners for contrast in brain.foregrounds])


def _filled(
    fill: Filler, brain: Brain, placed: Mapping[Contrast, Placed], ticks: _Ticks
) -> tuple[dict[Contrast, Values], dict[Contrast, Mask], Mask]:
    """Every channel, where its scan covers the grid, and the brain."""
    channels: dict[Contrast, Values] = {}
    own: dict[Contrast, Mask] = {}
    for contrast in brain.foregrounds:
        channels[contrast], own[contrast] = fill.foreground(placed[contrast])
        ticks.unit("prepare")
    shown = fill.mask(brain.mask) if brain.mask is not None else np.any(list(own.values()), axis=0)
    if not shown.any():
        raise StudyError(
            "the brain is too thin to be seen on the model's grid; give a mask of more"
        )
    covers: dict[Contrast, Mask] = {}
    for contrast, each in placed.items():
        if contrast in own:
            covers[contrast] = fill.covers(each, own[contrast], shown)
        else:
            channels[contrast], covers[contrast] = fill.inside(each, shown)
            ticks.unit("prepare")
    return {c: channels[c] for c in placed}, covers, shown


def _refuse_mask(mask: sitk.Image, extent: Extent, reference: Contrast) -> None:
    """A user's mask that is no brain, or does not even overlap in space with the reference."""
    refuse_small(mask)
    indices = extent.indices(box_corners(mask))
    if (indices.max(axis=0) < -0.5).any() or (
        indices.min(axis=0) > np.array(extent.size) - 0.5
    ).any():
        raise StudyError(f"the brain mask lies outside {reference.label}; give one in its space")


def _refuse_blank(
    channels: Mapping[Contrast, Values], coverage: Mapping[Contrast, float], reference: Contrast
) -> None:
    for contrast, part in coverage.items():
        if part >= _LEAST_COVERED and channels[contrast].any():
            continue
        if contrast is reference:
            raise StudyError(
                f"{contrast.label} shows nothing where the brain is; give another brain mask, or "
                "choose another reference"
            )
        raise StudyError(
            f"{contrast.label} shows nothing where {reference.label} has brain; check its "
            "position, or leave it out"
        )
