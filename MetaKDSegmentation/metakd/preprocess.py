"""`Study` → `PreparedStudy`: what the network sees, and the way back to the patient.

Canonical orientation → every contrast registered to the reference → the brain → a box around it on
a grid at the model's spacing → resampling of every contrast in physical space, once → z-score
inside the brain.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
import torch

from metakd.bias import without_bias
from metakd.brain import Brain, find_brain
from metakd.contrasts import Contrast
from metakd.memory import Memory, Same
from metakd.metrics import bounding_box
from metakd.oriented import Oriented, Place, box_corners
from metakd.progress import IsCancelled
from metakd.registration import Registration, register
from metakd.steps import Steps
from metakd.study import Study, StudyError

_MARGIN_MM = 4.0  # around the brain, so that no border effect reaches it
_MIN_BOX = 32  # voxels: below this the network's coarsest scale would be a single voxel
_LARGEST_MM, _SMALLEST_MM = 400.0, 20.0  # a head is neither larger nor, at its longest, smaller
_OUTLIER_PERCENTILES = (0.1, 99.9)
_LEAST_SPREAD = 1e-5  # of intensities that were brought to about 0 to 1
_EDGE_MM = 3.0  # beyond an image's border its outermost voxels still tell
_WHOLE, _LEAST = 0.98, 0.02  # parts of the brain: what covers it, and what shows nothing of it

Shape = tuple[int, int, int]
OnStep = Callable[[str, int, "Shape | None"], None]


@dataclass(frozen=True)
class PreparedStudy:
    """A study on the network's grid.

    Attributes:
        channels: (D, H, W) float32 a contrast, indexed slice, row, column with axes towards
            S, P, L; mean 0 and standard deviation 1 inside the brain, exactly 0 outside.
        brain: (D, H, W) booleans.
        grid: an image without content that holds the geometry (LPS, mm) of these arrays.
        reference: the image whose grid the result comes back in.
        registrations: of every contrast but the reference; none where registration was off.
        brain_source: where the brain came from, see `metakd.brain.Brain`.
        partial: (D, H, W) booleans, where a contrast that does not cover the brain does so.
        coverage: contrast → the part of the brain that it covers, 0 to 1.
        seconds: of each step.
    """

    channels: Mapping[Contrast, npt.NDArray[np.float32]]
    brain: npt.NDArray[np.bool_]
    grid: sitk.Image
    reference: sitk.Image
    registrations: Mapping[Contrast, Registration] = field(default_factory=dict)
    brain_source: str = "off"
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
    registrations = {}
    for contrast, scan in scans.items():
        if contrast is not reference and steps.registration != "off":
            registrations[contrast] = _registered(scan, scans[reference], steps, memory)
            ticks.one_more("register")
    places = {c: memory.recall((c, "place"), s.stored, None, s.place) for c, s in scans.items()}
    lost = {c for c, done in registrations.items() if done.outcome == "failed"}
    brain = find_brain(
        scans, places, reference, in_place=[c for c in scans if c not in lost],
        source=steps.brain, mask=steps.brain_mask, device=device or torch.device("cpu"),
        memory=memory, is_cancelled=is_cancelled,
    )  # fmt: skip
    ticks.one_more("brain")
    transforms = {c: _transform(registrations, c) for c in scans}
    _refuse_mask_elsewhere(brain, places[reference], reference)
    grid = _grid_over(places[reference], _brain_corners(brain, places, transforms), spacing, stride)
    ticks.shape = grid.GetSize()[::-1]
    fill = _Filler(grid, steps.bias_correction, memory)
    channels = {}
    shown = np.zeros(ticks.shape, dtype=bool) if brain.mask is None else fill.mask(brain.mask)
    for contrast in brain.foregrounds:
        channels[contrast], own = fill.foreground(scans[contrast], transforms[contrast])
        shown |= own
        ticks.one_more("prepare")
    seen = [c for c in scans if shown.any()]
    covers = {c: covered(places[c], transforms[c], grid, shown) for c in seen}
    if not seen or not (shown & covers[reference]).any():
        raise StudyError(f"the brain mask shows nothing where {reference.label} does; give another")
    for contrast in [c for c in scans if c not in brain.foregrounds]:
        channels[contrast] = fill.inside(
            scans[contrast], transforms[contrast], shown, covers[contrast]
        )
        ticks.one_more("prepare")
    coverage = {c: float(where[shown].mean()) for c, where in covers.items()}
    for contrast, part in coverage.items():
        if part < _LEAST or not channels[contrast].any():
            raise StudyError(f"{contrast.label} shows nothing where {reference.label} has brain")
    return PreparedStudy(
        {contrast: channels[contrast] for contrast in scans},
        shown,
        grid,
        study.images[reference],
        registrations,
        brain.source,
        {c: where for c, where in covers.items() if coverage[c] < _WHOLE},
        coverage,
        ticks.seconds,
    )


def units_of_steps(contrasts: int, steps: Steps) -> int:
    """How often `prepare` will call its `on_step`."""
    return contrasts + 1 + (contrasts - 1 if steps.registration != "off" else 0)


class _Ticks:
    """Counts what is done, and the seconds of each step."""

    def __init__(self, on_step: OnStep) -> None:
        self._on_step, self._done, self._last = on_step, 0, time.perf_counter()
        self.shape: Shape | None = None
        self.seconds: dict[str, float] = {}

    def one_more(self, step: str) -> None:
        now = time.perf_counter()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self._last
        self._last, self._done = now, self._done + 1
        self._on_step(step, self._done, self.shape)


def _registered(scan: Oriented, reference: Oriented, steps: Steps, memory: Memory) -> Registration:
    def make() -> Registration:
        return register(reference.image, scan.image, steps.registration)

    made_with = (Same(reference.stored), steps.registration)
    return memory.recall((scan.contrast, "registration"), scan.stored, made_with, make)


def _transform(
    registrations: Mapping[Contrast, Registration], contrast: Contrast
) -> sitk.Transform:
    if contrast in registrations:
        return registrations[contrast].transform
    return sitk.Transform(3, sitk.sitkIdentity)


def _brain_corners(
    brain: Brain, places: Mapping[Contrast, Place], transforms: Mapping[Contrast, sitk.Transform]
) -> npt.NDArray[np.float64]:
    """(n, 3) LPS points (mm) of the reference's space: the corners of boxes around the brain."""
    if brain.mask is not None:
        return box_corners(brain.mask)
    return np.array([
        transforms[contrast].GetInverse().TransformPoint(corner.tolist())
        for contrast, place in places.items()
        if contrast in brain.foregrounds
        for corner in place.corners
    ])  # fmt: skip


def _refuse_mask_elsewhere(brain: Brain, place: Place, reference: Contrast) -> None:
    """A mask that does not even overlap in space with the reference."""
    if brain.source != "mask" or brain.mask is None:
        return
    indices = np.array([
        place.frame.TransformPhysicalPointToContinuousIndex(corner.tolist())
        for corner in box_corners(brain.mask)
    ])  # fmt: skip
    if (indices.max(axis=0) < -0.5).any() or (
        indices.min(axis=0) > np.array(place.size) - 0.5
    ).any():
        raise StudyError(f"the brain mask lies outside {reference.label}; give one in its space")


def _grid_over(
    reference: Place, corners: npt.NDArray[np.float64], spacing: float, stride: int
) -> sitk.Image:
    """Empty image at `spacing` mm with the reference's axes, centred on the box of the corners.

    Limited to the reference's own extent: nothing outside it can be returned.
    """
    low, high = _brain_box(reference, corners)
    frame = reference.frame
    steps = spacing / np.array(frame.GetSpacing())
    longest = float(((high - low) * frame.GetSpacing()).max())
    if not _SMALLEST_MM <= longest <= _LARGEST_MM:
        raise StudyError(f"the head would be {longest:.0f} mm long; check the voxel spacing")
    needed = np.ceil((high - low) / steps - 1e-6)
    size = np.maximum(np.ceil(needed / stride) * stride, np.ceil(_MIN_BOX / stride) * stride)
    first = low + steps / 2 - np.floor((size - needed) / 2) * steps
    grid = sitk.Image([int(n) for n in size], sitk.sitkUInt8)
    grid.SetSpacing([spacing] * 3)
    grid.SetDirection(frame.GetDirection())
    grid.SetOrigin(frame.TransformContinuousIndexToPhysicalPoint(first.tolist()))
    return grid


def _brain_box(
    reference: Place, corners: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Continuous index box (x, y, z) in the reference that holds the brain and a margin."""
    indices = np.array([
        reference.frame.TransformPhysicalPointToContinuousIndex(corner.tolist())
        for corner in corners
    ])  # fmt: skip
    margin = _MARGIN_MM / np.array(reference.frame.GetSpacing())
    # Whole voxels, so that a reference at the model's spacing is sampled at its own voxels.
    low = np.floor(indices.min(axis=0) + 0.5 - margin + 1e-6) - 0.5
    high = np.ceil(indices.max(axis=0) + 0.5 + margin - 1e-6) - 0.5
    edge = np.array(reference.size) - 0.5
    low, high = np.clip(low, -0.5, edge), np.clip(high, -0.5, edge)
    if (high <= low).any():
        raise StudyError("the contrasts show nothing in a common place; check their positions")
    return low, high


class _Filler:
    """Fills the grid with one contrast after the other; what was filled before is remembered."""

    def __init__(self, grid: sitk.Image, bias_correction: bool, memory: Memory) -> None:
        self.grid, self.bias_correction, self.memory = grid, bias_correction, memory
        self._where = (grid.GetSize(), grid.GetSpacing(), grid.GetOrigin(), grid.GetDirection())

    def mask(self, mask: sitk.Image) -> npt.NDArray[np.bool_]:
        """(D, H, W) of a mask (uint8) in the reference's space."""
        return self.memory.recall("brain on grid", mask, self._where, self._mask, mask)

    def foreground(
        self, scan: Oriented, transform: sitk.Transform
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Values normalised inside the scan's own foreground, and that; (D, H, W) both."""

        def make() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
            own = self._mask(scan.mask, transform)
            return self._normal(scan, transform, own), own

        made_with = ("own", *self._made_with(transform))
        return self.memory.recall((scan.contrast, "channel"), scan.stored, made_with, make)

    def inside(
        self,
        scan: Oriented,
        transform: sitk.Transform,
        brain: npt.NDArray[np.bool_],
        covers: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.float32]:
        """Values (D, H, W) normalised in the part of the brain that the scan covers."""
        made_with = (Same(brain), *self._made_with(transform))
        return self.memory.recall(
            (scan.contrast, "channel"), scan.stored, made_with,
            self._normal, scan, transform, brain & covers,
        )  # fmt: skip

    def _made_with(self, transform: sitk.Transform) -> tuple[object, ...]:
        placed = (transform.GetParameters(), transform.GetFixedParameters())
        return (self._where, placed, self.bias_correction)

    def _mask(
        self, mask: sitk.Image, transform: sitk.Transform | None = None
    ) -> npt.NDArray[np.bool_]:
        likely = _resample(sitk.Cast(mask, sitk.sitkFloat32), self.grid, transform)
        return likely > 0.5

    def _normal(
        self, scan: Oriented, transform: sitk.Transform, inside: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float32]:
        if not inside.any():
            return np.zeros(inside.shape, dtype=np.float32)
        values = _resample(scan.image, self.grid, transform)
        if self.bias_correction:
            values = without_bias(values, inside)
        return _z_score(scan.contrast, values, inside)


def covered(
    place: Place, transform: sitk.Transform, grid: sitk.Image, brain: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """(D, H, W): which voxels of the grid lie where a scan shows something, air between included.

    All of them where the scan's foreground holds the brain's box.
    """
    ends = [place.frame.TransformPhysicalPointToContinuousIndex(
        transform.TransformPoint(grid.TransformIndexToPhysicalPoint(corner))
    ) for corner in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))]  # fmt: skip
    first, steps = np.array(ends[0]), np.array(ends[1:]) - ends[0]
    edge = np.maximum(_EDGE_MM / np.array(place.frame.GetSpacing()), 0.5)
    low = np.maximum(place.low - edge, -0.5)
    high = np.minimum(place.high + edge, np.array(place.size) - 0.5)
    corners = np.array(list(product(*((s.start, s.stop - 1) for s in bounding_box(brain)))))
    at_corners = first + corners[:, ::-1] @ steps
    where = np.ones(brain.shape, dtype=bool)
    if ((at_corners >= low) & (at_corners <= high)).all():
        return where
    z, y, x = np.ogrid[tuple(slice(0, side) for side in brain.shape)]
    for axis in range(3):
        index = first[axis] + steps[0, axis] * x + steps[1, axis] * y + steps[2, axis] * z
        where &= (index >= low[axis]) & (index <= high[axis])
    return where


def _resample(
    image: sitk.Image, grid: sitk.Image, transform: sitk.Transform | None = None
) -> npt.NDArray[np.float32]:
    """Values (D, H, W) on the grid; finer voxels are averaged first, 0 outside the image."""
    target = grid.GetSpacing()[0]
    factors = [
        int(np.clip(round(target / step), 1, count))
        for step, count in zip(image.GetSpacing(), image.GetSize(), strict=True)
    ]
    if max(factors) > 1:
        image = sitk.BinShrink(image, factors)
    on_grid = sitk.Resample(
        image, grid, transform or sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32
    )
    return sitk.GetArrayFromImage(on_grid)


def _z_score(
    contrast: Contrast, values: npt.NDArray[np.float32], inside: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    low, high = np.percentile(values[inside], _OUTLIER_PERCENTILES)
    clipped = np.clip(values, low, high)
    brain = clipped[inside]
    spread = float(brain.std(dtype=np.float64))
    if spread < _LEAST_SPREAD:
        raise StudyError(f"{contrast.label} is the same everywhere in the brain; export it again")
    normal = (clipped - brain.mean(dtype=np.float64)) / spread
    return np.where(inside, normal, 0).astype(np.float32)
