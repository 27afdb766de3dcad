"""What is worth knowing about the chosen volumes before the run, in plain words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import combinations, product

from metakd.contrasts import CONTRASTS, REFERENCE_PREFERENCE, Contrast


class Level(IntEnum):
    """How much a finding matters: worth knowing, may spoil the result, stops the run."""

    NOTE = 1
    CAUTION = 2
    BLOCKING = 3


@dataclass(frozen=True)
class Finding:
    """One line of plain words: what was found and what will happen or what to do."""

    level: Level
    text: str


@dataclass(frozen=True)
class Geometry:
    """A volume's grid in the world (RAS, mm), linear parent transforms included.

    Attributes:
        size: voxels along i, j, k.
        ijk_to_ras: the 4 × 4 matrix from voxel to world coordinates, row by row.
    """

    size: tuple[int, int, int]
    ijk_to_ras: tuple[float, ...]

    def position(self, ijk: Iterable[float]) -> tuple[float, float, float]:
        """World coordinates (RAS, mm) of a voxel index, fractions included."""
        i, j, k = ijk
        rows = (self.ijk_to_ras[row : row + 4] for row in (0, 4, 8))
        x, y, z = (a * i + b * j + c * k + d for a, b, c, d in rows)
        return x, y, z

    def corners(self) -> list[tuple[float, float, float]]:
        """World coordinates (RAS, mm) of the eight outer corners."""
        return [self.position(ijk) for ijk in product(*((-0.5, n - 0.5) for n in self.size))]


@dataclass(frozen=True)
class VolumeFacts:
    """What the panel knows of a loaded volume.

    Attributes:
        id, name: of its node.
        size: voxels along i, j, k.
        spacing: mm along i, j, k.
        geometry: its grid in the world.
        linear: False where a parent transform bends it; the geometry is then without it.
        patient, study: opaque identifiers, compared and never shown; empty where unknown.
        modality: DICOM Modality, empty where unknown.
        lowest, highest: of its voxels.
        looks_stripped: None where it was not looked at.
        fingerprint: equal for volumes with the same voxels; empty where it was not computed.
    """

    id: str
    name: str
    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    geometry: Geometry
    linear: bool = True
    patient: str = ""
    study: str = ""
    modality: str = ""
    lowest: float = 0.0
    highest: float = 1.0
    looks_stripped: bool | None = None
    fingerprint: str = ""


Slots = Mapping[Contrast, VolumeFacts]

_AIR_HU, _BONE_HU = -900, 300
_SMALLEST_EXTENT_MM = 60  # no brain is smaller
_THICK_MM = 3.0
_SAME_PLACE = 0.1  # voxels


def state_text(facts: VolumeFacts | None) -> str:
    """The state of a slot: `240 × 240 × 155, 1.0 × 1.0 × 1.0 mm`, or that it is absent."""
    if facts is None:
        return "absent: its features will be generated"
    size = " × ".join(str(count) for count in facts.size)
    return f"{size}, {' × '.join(f'{step:.1f}' for step in facts.spacing)} mm"


def findings(slots: Slots, reference: Contrast | None = None) -> tuple[Finding, ...]:
    """What is worth knowing about the volumes in the slots, the gravest first.

    Args:
        reference: whose grid the result is wanted on; `None` for the preferred one of those there.
    """
    if not slots:
        return (Finding(Level.BLOCKING, "No contrast is given: choose at least one volume"),)
    ordered = {contrast: slots[contrast] for contrast in CONTRASTS if contrast in slots}
    empty = [contrast for contrast, facts in ordered.items() if not all(facts.size)]
    if empty:  # nothing else can be said of them
        text = f"{_names(empty)}: no voxels: load it again or take it out"
        return (Finding(Level.BLOCKING, text),)
    found = [finding for check in _CHECKS for finding in check(ordered, reference)]
    return tuple(sorted(found, key=lambda finding: -finding.level))


def same_grid(one: VolumeFacts, other: VolumeFacts) -> bool:
    """Whether the voxels of two volumes lie at the same places, to a tenth of a voxel."""
    if one.size != other.size or not (one.linear and other.linear):
        return False
    tolerance = _SAME_PLACE * min(*one.spacing, *other.spacing)
    corners = zip(one.geometry.corners(), other.geometry.corners(), strict=True)
    return all(math.dist(a, b) <= tolerance for a, b in corners)


def _effective(slots: Slots, reference: Contrast | None) -> Contrast:
    """The contrast whose grid the result comes back on."""
    if reference is not None and reference in slots:
        return reference
    return next(contrast for contrast in REFERENCE_PREFERENCE if contrast in slots)


def _copies(slots: Slots, _: Contrast | None) -> Iterator[Finding]:
    for (one, first), (other, second) in combinations(slots.items(), 2):
        same_voxels = first.fingerprint and first.fingerprint == second.fingerprint
        if first.id == second.id or same_voxels:
            text = f"{one.label} and {other.label} are the same image: take out the one it is not"
            yield Finding(Level.BLOCKING, text)


def _constant(slots: Slots, _: Contrast | None) -> Iterator[Finding]:
    for contrast, facts in slots.items():
        if facts.lowest == facts.highest:
            text = (
                f"{contrast.label}: every voxel is {facts.lowest:g}: load it again or take it out"
            )
            yield Finding(Level.BLOCKING, text)


def _elsewhere(slots: Slots, reference: Contrast | None) -> Iterator[Finding]:
    on = _effective(slots, reference)
    for contrast, facts in slots.items():
        if not _overlap(facts, slots[on]):
            text = (
                f"{contrast.label} and {on.label} do not overlap in space: choose volumes of one "
                "study, or put them in place with a transform"
            )
            yield Finding(Level.BLOCKING, text)


def _overlap(one: VolumeFacts, other: VolumeFacts) -> bool:
    """Whether the boxes around two volumes meet; a bent volume may be anywhere."""
    if not (one.linear and other.linear):
        return True
    for axis in range(3):
        first, second = ([c[axis] for c in v.geometry.corners()] for v in (one, other))
        if max(first) < min(second) or max(second) < min(first):
            return False
    return True


def _people(slots: Slots, _: Contrast | None) -> Iterator[Finding]:
    patients = _groups(slots, lambda facts: facts.patient)
    studies = _groups(slots, lambda facts: facts.study)
    if len(patients) > 1:
        text = f"{' | '.join(patients)} are of different patients: choose volumes of one patient"
        yield Finding(Level.CAUTION, text)
    elif len(studies) > 1:
        text = (
            f"{' | '.join(studies)} are of different studies: "
            "the tumour may have changed in between"
        )
        yield Finding(Level.CAUTION, text)
    elif not patients:  # files without DICOM: their names are all there is
        named = _groups(slots, lambda facts: _number_in(facts.name))
        if len(named) > 1:
            text = f"{' | '.join(named)} have other numbers in their names: are they one patient's?"
            yield Finding(Level.CAUTION, text)


def _number_in(name: str) -> str:
    """The longest number in a name that is long enough for a patient's or a study's; else empty.

    Shorter ones number series and slices.
    """
    numbers = re.findall(r"\d{5,}", name)
    return max(numbers, key=len) if numbers else ""


def _groups(slots: Slots, key: Callable[[VolumeFacts], str]) -> list[str]:
    """The contrasts that belong together, without those of which nothing is known."""
    members: dict[str, list[Contrast]] = {}
    for contrast, facts in slots.items():
        if key(facts):
            members.setdefault(key(facts), []).append(contrast)
    return [_names(contrasts) for contrasts in members.values()]


def _unlike_training(slots: Slots, _: Contrast | None) -> Iterator[Finding]:
    """What the model has never seen."""
    not_mri = [c for c, facts in slots.items() if _other_than_mri(facts)]
    if not_mri:
        text = f"{_names(not_mri)}: looks like CT or another modality; the model knows MRI only"
        yield Finding(Level.CAUTION, text)
    skull = [c for c, facts in slots.items() if facts.looks_stripped is False and c not in not_mri]
    if skull:
        text = (
            f"{_names(skull)}: skull visible; strip it first, the model knows brains without "
            "skull only"
        )
        yield Finding(Level.CAUTION, text)


def _other_than_mri(facts: VolumeFacts) -> bool:
    if facts.modality:
        return facts.modality.upper() != "MR"
    return facts.lowest <= _AIR_HU and facts.highest >= _BONE_HU


def _extent(slots: Slots, _: Contrast | None) -> Iterator[Finding]:
    for contrast, facts in slots.items():
        extent = min(n * step for n, step in zip(facts.size, facts.spacing, strict=True))
        if min(facts.size) == 1:
            text = "is a single slice: the result will be poor, load the whole series"
            yield Finding(Level.CAUTION, f"{contrast.label} {text}")
        elif extent < _SMALLEST_EXTENT_MM:
            text = f"covers only {extent:.0f} mm in one direction: what lies outside is not seen"
            yield Finding(Level.CAUTION, f"{contrast.label} {text}")


def _slices(slots: Slots, _: Contrast | None) -> Iterator[Finding]:
    thick = {
        contrast: max(facts.spacing)
        for contrast, facts in slots.items()
        if max(facts.spacing) > _THICK_MM and min(facts.size) > 1
    }
    if thick:
        verb = "has" if len(thick) == 1 else "have"
        yield Finding(
            Level.NOTE,
            f"{_names(thick)} {verb} slices of up to {max(thick.values()):.1f} mm: small parts of "
            "the tumour may be missed",
        )


def _absent(slots: Slots, reference: Contrast | None) -> Iterator[Finding]:
    if Contrast.T1C not in slots:
        text = "T1c is absent: the enhancing tumour will not be reliable"
        yield Finding(Level.CAUTION, text)
    if Contrast.FLAIR not in slots and Contrast.T2 not in slots:
        text = "FLAIR and T2 are absent: the oedema will not be reliable"
        yield Finding(Level.CAUTION, text)
    if reference is not None and reference not in slots:
        text = (
            f"{reference.label} is chosen as reference but absent: the result will be on the "
            f"grid of {_effective(slots, reference).label}"
        )
        yield Finding(Level.CAUTION, text)


def _grids(slots: Slots, reference: Contrast | None) -> Iterator[Finding]:
    on = _effective(slots, reference)
    others = [c for c, facts in slots.items() if c is not on and not same_grid(facts, slots[on])]
    if others:
        verb = "lies on another grid" if len(others) == 1 else "lie on other grids"
        text = f"{_names(others)} {verb} than {on.label}: will be resampled to it, not registered"
        yield Finding(Level.NOTE, text)


def _names(contrasts: Iterable[Contrast]) -> str:
    return ", ".join(contrast.label for contrast in contrasts)


_CHECKS: tuple[Callable[[Slots, Contrast | None], Iterator[Finding]], ...] = (
    _constant,
    _copies,
    _elsewhere,
    _people,
    _unlike_training,
    _absent,
    _extent,
    _slices,
    _grids,
)
