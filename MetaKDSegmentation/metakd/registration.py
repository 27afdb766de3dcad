r"""Rigid (or affine) registration of two contrasts of one head by mutual information.

Two images of one patient fit where one tells most about the other. How much that is, is stated as
normalised mutual information of their intensities :math:`A, B` at common points,

.. math:: \frac{2\, I(A; B)}{H(A) + H(B)} \in [0, 1],

0 for images that have nothing to do with each other. The search is ITK's (Mattes et al. 2003, doi
10.1109/TMI.2003.809072). Coordinates are LPS, mm.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from metakd.foreground import foreground
from metakd.grids import averaged
from metakd.memory import is_out_of_memory

KINDS = ("rigid", "affine")

_ALIGNED_MM, _FOUND_MM = 1.5, 2.5
"""Misfit below which images are left alone, and above which a search has failed."""

_LEAST_SIMILARITY = 0.05
"""Two contrasts of one head reach 0.12 to 0.6 where they fit, noise 0.01."""

_LATTICE_MM, _LATTICE_REACH_MM, _LATTICE_TURN = 4.0, 110.0, 0.35
_BINS = 32
_LEVELS = ((6.0, 4.0, 0.5), (3.0, 2.0, 0.2), (2.0, 1.0, 0.2))
"""Voxels (mm), smoothing (mm) and the part of the voxels that is looked at."""

_COARSE_MM, _RIM_MM = 3.0, 6.0
_FEWEST = 8  # voxels that stay along an axis
_NUDGE_MM, _HEAD_RADIUS_MM = 3.0, 70.0
_TURNS = (-0.45, 0.0, 0.45)  # radians, of further starts
_FURTHER_STARTS = 4
_LEAST_COMMON = 0.25  # of the smaller of the two heads
_FEWEST_POINTS = 3000  # fewer make any two images seem alike
_SEED = 1


@dataclass(frozen=True)
class Registration:
    """Where an image lies in a reference's space.

    Attributes:
        outcome: ``aligned``, measured and left alone; ``registered``; ``failed``, left as it was.
        transform: LPS point (mm) of the reference → point of the image, as `sitk.Resample` takes
            it; the identity unless registered.
        similarity: normalised mutual information under the transform, 0 to 1.
        moved_mm, turned_degrees: how far the head's middle was moved, and the head turned.
        kind: one of `KINDS`, what the transform is.
    """

    outcome: str
    transform: sitk.Transform
    similarity: float
    moved_mm: float = 0.0
    turned_degrees: float = 0.0
    kind: str = "rigid"


def register(fixed: sitk.Image, moving: sitk.Image, kind: str = "rigid") -> Registration:
    """Bring an image of the same head to a reference.

    Args:
        fixed: the reference, 3D float32.
        moving: 3D float32, on any grid.
        kind: ``rigid``, or ``affine`` for scanners whose voxels are not what they say.

    The same images give the same transform, to the bit, on the same machine.
    """
    pair = _Pair(fixed, moving)
    here = sitk.Transform(3, sitk.sitkIdentity)
    before = pair.similarity(here)
    if before > _LEAST_SIMILARITY and pair.misfit(here, kind) < _ALIGNED_MM:
        return Registration("aligned", here, before)
    try:
        found = pair.search(kind)
    except _Apart:
        return Registration("failed", here, before)
    similarity = pair.similarity(found)
    if similarity <= max(before, _LEAST_SIMILARITY) or pair.misfit(found) > _FOUND_MM:
        return Registration("failed", here, before)
    moved, turned = (round(by, 2) for by in pair.movement(found))
    kind = "affine" if isinstance(found, sitk.AffineTransform) else "rigid"
    return Registration("registered", found, similarity, moved, turned, kind)


class _Apart(Exception):  # noqa: N818 - a state rather than a mistake
    """Too little of the images overlaps."""


class _Pair:
    """Two images, coarser versions of them, and how well a transform brings them together."""

    def __init__(self, fixed: sitk.Image, moving: sitk.Image) -> None:
        self.fixed, self.moving = fixed, moving

    def similarity(self, transform: sitk.Transform) -> float:
        """Normalised mutual information at the points of the lattice that are in both images."""
        there = _values(self._coarse_moving, self._lattice, transform)[self._inside]
        common = there > _OUTSIDE
        if common.sum() < self._least_common:
            return 0.0
        return _normalised_information(self._here[common], there[common])

    def misfit(self, transform: sitk.Transform, kind: str = "rigid") -> float:
        """How far (mm) the best fit nearby is from this one, as seen from a step each way.

        A parabola through three values of the similarity has its top there.
        """
        middle, squares = self.similarity(transform), 0.0
        nudges = (_shifted, _turned) if kind == "rigid" else (_shifted, _turned, _stretched)
        for axis, nudge in product(range(3), nudges):
            low, high = (
                self.similarity(
                    sitk.CompositeTransform([transform, nudge(self._middle, axis, way * _NUDGE_MM)])
                )
                for way in (-1, 1)
            )
            bend = 2 * middle - low - high
            if bend <= 0:
                return math.inf  # no top at all
            squares += (_NUDGE_MM * (high - low) / (2 * bend)) ** 2
        return math.sqrt(squares)

    def search(self, kind: str) -> sitk.Transform:
        """The best transform from several starts. Raises `_Apart` where none of them overlaps."""
        found = self._found_from(self._starts())
        if not found or self.misfit(found[0]) > _FOUND_MM:
            turned = sorted(self._turned_starts(), key=self.similarity)[-_FURTHER_STARTS:]
            found += self._found_from(turned)
        if not found:
            raise _Apart
        best = max(found, key=self.similarity)
        if kind == "affine":
            with suppress(_Apart):
                best = max(best, self._optimised(self._affine(best), 1), key=self.similarity)
        return best

    def _found_from(self, starts: Iterable[sitk.Transform]) -> list[sitk.Transform]:
        """The best of some starts, refined; none where too little overlaps."""
        found = []
        for start in starts:
            with suppress(_Apart):
                found.append(self._optimised(start, 0))
        try:
            return [self._refined(max(found, key=self.similarity))] if found else []
        except _Apart:
            return []

    def _affine(self, found: sitk.Transform) -> sitk.AffineTransform:
        start = sitk.AffineTransform(3)
        start.SetCenter(self._middle)
        origin = np.array(found.TransformPoint((0.0, 0.0, 0.0)))
        axes = [np.array(found.TransformPoint(e)) - origin for e in np.eye(3).tolist()]
        start.SetMatrix(np.stack(axes, axis=1).ravel().tolist())
        start.SetTranslation((np.array(found.TransformPoint(self._middle)) - self._middle).tolist())
        return start

    def _refined(self, coarse: sitk.Transform) -> sitk.Transform:
        for level in range(1, len(_LEVELS)):
            coarse = self._optimised(coarse, level)
        return coarse

    def movement(self, transform: sitk.Transform) -> tuple[float, float]:
        """How far the head's middle is moved (mm), and the head turned (degrees)."""
        middle = np.array(self._middle)
        moved = float(np.linalg.norm(np.array(transform.TransformPoint(self._middle)) - middle))
        axes = [np.array(transform.TransformPoint((middle + e).tolist())) for e in np.eye(3)]
        matrix = np.stack([a - np.array(transform.TransformPoint(self._middle)) for a in axes], 1)
        u, _, v = np.linalg.svd(matrix)
        cosine = (np.trace(u @ v) - 1) / 2
        return moved, math.degrees(math.acos(min(max(cosine, -1.0), 1.0)))

    def _starts(self) -> Iterator[sitk.Transform]:
        """Where the scanner put it, and the two heads' centres of mass on one another."""
        yield self._start(np.zeros(3))
        yield self._start(_centre(self._moving_head) - _centre(self._fixed_head))

    def _turned_starts(self) -> Iterator[sitk.Transform]:
        """Centres of mass on one another, turned about each axis."""
        offset = _centre(self._moving_head) - _centre(self._fixed_head)
        for angles in product(_TURNS, repeat=3):
            yield self._start(offset, angles)

    def _start(
        self, offset: npt.NDArray[np.float64], angles: tuple[float, ...] = (0.0, 0.0, 0.0)
    ) -> sitk.Transform:
        start = sitk.Euler3DTransform()
        start.SetCenter(self._middle)
        start.SetTranslation(offset.tolist())
        start.SetRotation(*angles)
        return start

    def _optimised(self, start: sitk.Transform, level: int) -> sitk.Transform:
        step, blur, part = _LEVELS[level]
        fixed, moving = averaged(self.fixed, step, _FEWEST), averaged(self.moving, step, _FEWEST)
        method = sitk.ImageRegistrationMethod()
        method.SetNumberOfWorkUnits(1)  # several add up in another order each time
        method.SetMetricAsMattesMutualInformation(_BINS)
        method.SetMetricFixedMask(sitk.Resample(self._fixed_head, fixed))
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(part, _SEED)
        method.SetInterpolator(sitk.sitkLinear)
        if isinstance(start, sitk.AffineTransform):
            # Steps of a fixed length would leave the top behind: scales and shears need small ones.
            method.SetOptimizerAsGradientDescentLineSearch(1.0, 40, 1e-6, 5)
        else:
            method.SetOptimizerAsRegularStepGradientDescent(
                learningRate=4.0 * step / _LEVELS[0][0],
                minStep=0.005 * step,
                numberOfIterations=120,
                relaxationFactor=0.6,
                gradientMagnitudeTolerance=1e-7,
            )
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetShrinkFactorsPerLevel([1])
        method.SetSmoothingSigmasPerLevel([blur])
        method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
        found = type(start)(start)
        method.SetInitialTransform(found, inPlace=True)
        try:
            method.Execute(fixed, moving)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            raise _Apart from error
        return found

    @cached_property
    def _least_common(self) -> int:
        """Points that have to lie in both images: of a slab there are few in a whole head."""
        x, y, z = self._coarse_moving.GetSpacing()
        volume = np.count_nonzero(sitk.GetArrayViewFromImage(self._moving_head)) * x * y * z
        least = _LEAST_COMMON * np.array([np.count_nonzero(self._inside), volume / _LATTICE_MM**3])
        return int(max(least.min(), min(least[0], _FEWEST_POINTS)))

    @cached_property
    def _fixed_head(self) -> sitk.Image:
        return _with_rim(foreground(self._coarse_fixed))

    @cached_property
    def _moving_head(self) -> sitk.Image:
        return foreground(self._coarse_moving)

    @cached_property
    def _middle(self) -> tuple[float, float, float]:
        x, y, z = _centre(self._fixed_head)
        return float(x), float(y), float(z)

    @cached_property
    def _lattice(self) -> sitk.Image:
        """Points oblique to both images: at its own voxels an image would be sharper."""
        turn = sitk.Euler3DTransform()
        turn.SetRotation(_LATTICE_TURN, _LATTICE_TURN, _LATTICE_TURN)
        lattice = sitk.Image([int(2 * _LATTICE_REACH_MM / _LATTICE_MM)] * 3, sitk.sitkUInt8)
        lattice.SetSpacing([_LATTICE_MM] * 3)
        lattice.SetDirection(turn.GetMatrix())
        corner = np.array(turn.TransformVector([-_LATTICE_REACH_MM] * 3, (0, 0, 0)))
        lattice.SetOrigin((np.array(self._middle) + corner).tolist())
        return lattice

    @cached_property
    def _inside(self) -> npt.NDArray[np.bool_]:
        """Which points of the lattice are in the reference's head."""
        head = sitk.Resample(
            self._fixed_head, self._lattice, sitk.Transform(), sitk.sitkNearestNeighbor
        )
        return sitk.GetArrayFromImage(head) > 0

    @cached_property
    def _here(self) -> npt.NDArray[np.float32]:
        return _values(self._coarse_fixed, self._lattice, sitk.Transform())[self._inside]

    @cached_property
    def _coarse_fixed(self) -> sitk.Image:
        return averaged(self.fixed, _COARSE_MM, _FEWEST)

    @cached_property
    def _coarse_moving(self) -> sitk.Image:
        return averaged(self.moving, _COARSE_MM, _FEWEST)


Point = tuple[float, float, float]


def _shifted(middle: Point, axis: int, mm: float) -> sitk.Transform:
    """A small step of the reference's head along an axis."""
    return sitk.TranslationTransform(3, _along(axis, mm))


def _turned(middle: Point, axis: int, mm: float) -> sitk.Transform:
    """A small turn about an axis through its middle, so far at its border."""
    step = sitk.Euler3DTransform()
    step.SetCenter(middle)
    step.SetRotation(*_along(axis, mm / _HEAD_RADIUS_MM))
    return step


def _stretched(middle: Point, axis: int, mm: float) -> sitk.Transform:
    """A little longer along an axis, by so much at its border."""
    step = sitk.ScaleTransform(3, [1 + by for by in _along(axis, mm / _HEAD_RADIUS_MM)])
    step.SetCenter(middle)
    return step


def _along(axis: int, amount: float) -> list[float]:
    return [amount if axis == k else 0.0 for k in range(3)]


def _with_rim(head: sitk.Image) -> sitk.Image:
    """The head, its cavities and some air around it: where it ends tells much, too."""
    radius = [max(round(_RIM_MM / step), 1) for step in head.GetSpacing()]
    filled: sitk.Image = sitk.BinaryFillhole(sitk.BinaryDilate(head, radius))
    return filled


_OUTSIDE = -1e6  # what lies outside an image; study's intensities are near 0 to 1


def _values(
    image: sitk.Image, lattice: sitk.Image, transform: sitk.Transform
) -> npt.NDArray[np.float32]:
    there = sitk.Resample(image, lattice, transform, sitk.sitkLinear, _OUTSIDE, sitk.sitkFloat32)
    return sitk.GetArrayFromImage(there)


def _normalised_information(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    counts = np.bincount(_binned(one) * _BINS + _binned(other), minlength=_BINS**2)
    joint = counts.reshape(_BINS, _BINS) / len(one)
    first, second = _entropy(joint.sum(axis=1)), _entropy(joint.sum(axis=0))
    if first + second == 0:
        return 0.0
    return 2 * (first + second - _entropy(joint.ravel())) / (first + second)


def _binned(values: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    low, high = np.percentile(values, (0.5, 99.5))
    unit = (values - low) / max(high - low, 1e-6)
    bins: npt.NDArray[np.int64] = np.clip(unit * _BINS, 0, _BINS - 1).astype(np.int64)
    return bins


def _entropy(parts: npt.NDArray[np.float64]) -> float:
    some = parts[parts > 0]
    return float(-(some * np.log(some)).sum())


def _centre(mask: sitk.Image) -> npt.NDArray[np.float64]:
    """Centre of mass (LPS, mm)."""
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(mask)
    return np.array(statistics.GetCentroid(1))
