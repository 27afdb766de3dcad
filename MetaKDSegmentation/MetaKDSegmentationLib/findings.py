"""What is worth knowing about the chosen volumes before the run, in plain words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import combinations

from metakd.contrasts import CONTRASTS, REFERENCE_PREFERENCE, Contrast

from MetaKDSegmentationLib.slots import Plan, Slots, VolumeFacts, covered, overlap, same_grid


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


_AIR_HU, _BONE_HU = -900, 300
_FEWEST_SLICES = 4  # fewer are refused by the engine
_SMALLEST_EXTENT_MM = 60  # no brain is smaller
_WHOLE_BRAIN_MM = 120  # what covers this along each axis leaves out neck and air, not brain
_WHOLE_PART = 0.9
_THICK_MM = 3.0


def state_text(facts: VolumeFacts | None) -> str:
    """The state of a slot: `240 × 240 × 155, 1.0 × 1.0 × 1.0 mm`, or that it is absent."""
    if facts is None:
        return "absent: its features will be generated"
    size = " × ".join(str(count) for count in facts.size)
    return f"{size}, {' × '.join(f'{step:.1f}' for step in facts.spacing)} mm"


def findings(
    slots: Slots, reference: Contrast | None = None, plan: Plan | None = None
) -> tuple[Finding, ...]:
    """What is worth knowing about the volumes in the slots, the gravest first.

    Args:
        reference: whose grid the result is wanted on; `None` for the preferred one of those there.
        plan: what the run will do to the volumes; what it does by default unless given.
    """
    if not slots:
        return (Finding(Level.BLOCKING, "No contrast is given: choose at least one volume"),)
    ordered = {contrast: slots[contrast] for contrast in CONTRASTS if contrast in slots}
    empty = [contrast for contrast, facts in ordered.items() if not all(facts.size)]
    if empty:  # nothing else can be said of them
        text = f"{_names(empty)}: no voxels: load it again or take it out"
        return (Finding(Level.BLOCKING, text),)
    case = _Case(ordered, reference, plan or Plan())
    found = [finding for check in _CHECKS for finding in check(case)]
    return tuple(sorted(found, key=lambda finding: -finding.level))


@dataclass(frozen=True)
class _Case:
    """What the checks look at; `wanted` is the reference that was asked for."""

    slots: Slots
    wanted: Contrast | None
    plan: Plan

    @property
    def on(self) -> Contrast:
        """The contrast whose grid the result comes back on."""
        if self.wanted is not None and self.wanted in self.slots:
            return self.wanted
        return next(contrast for contrast in REFERENCE_PREFERENCE if contrast in self.slots)


def _copies(case: _Case) -> Iterator[Finding]:
    for (one, first), (other, second) in combinations(case.slots.items(), 2):
        same_voxels = first.fingerprint and first.fingerprint == second.fingerprint
        if first.id == second.id or same_voxels:
            text = f"{one.label} and {other.label} are the same image: take out the one it is not"
            yield Finding(Level.BLOCKING, text)


def _constant(case: _Case) -> Iterator[Finding]:
    for contrast, facts in case.slots.items():
        if facts.lowest == facts.highest:
            text = (
                f"{contrast.label}: every voxel is {facts.lowest:g}: load it again or take it out"
            )
            yield Finding(Level.BLOCKING, text)


def _elsewhere(case: _Case) -> Iterator[Finding]:
    for contrast, facts in case.slots.items():
        if overlap(facts, case.slots[case.on]):
            continue
        text = f"{contrast.label} and {case.on.label} do not overlap in space: "
        if case.plan.register:
            yield Finding(
                Level.CAUTION, text + "will be registered, check that they are of one patient"
            )
        else:
            yield Finding(
                Level.BLOCKING,
                text + "choose volumes of one study, register them, or put them in place with a "
                "transform",
            )


def _people(case: _Case) -> Iterator[Finding]:
    patients = _groups(case.slots, lambda facts: facts.patient)
    studies = _groups(case.slots, lambda facts: facts.study)
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
        named = _groups(case.slots, lambda facts: _number_in(facts.name))
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
    """The contrasts that belong together, without those of which nothing is known.

    A group of one day has its date behind it.
    """
    members: dict[str, list[Contrast]] = {}
    for contrast, facts in slots.items():
        if key(facts):
            members.setdefault(key(facts), []).append(contrast)
    return [
        f"{_names(contrasts)}{_dated({slots[c].day for c in contrasts})}"
        for contrasts in members.values()
    ]


def _dated(days: set[str]) -> str:
    """The only day as ` (2024-01-31)`; empty where it is unknown or no date."""
    found = re.fullmatch(r"(\d{4})(\d\d)(\d\d)", min(days)) if len(days) == 1 else None
    return f" ({'-'.join(found.groups())})" if found else ""


def _unlike_training(case: _Case) -> Iterator[Finding]:
    """What the model has never seen, unless it is made so first."""
    not_mri = [c for c, facts in case.slots.items() if _other_than_mri(facts)]
    if not_mri:
        text = f"{_names(not_mri)}: looks like CT or another modality; the model knows MRI only"
        yield Finding(Level.CAUTION, text)
    heads = {c: facts for c, facts in case.slots.items() if c not in not_mri}
    skull = [c for c, facts in heads.items() if facts.looks_stripped is False]
    stripped = [c for c, facts in heads.items() if facts.looks_stripped]
    if skull:
        level = Level.NOTE if case.plan.extract_brain else Level.CAUTION
        yield Finding(level, f"{_names(skull)}: skull visible{_outcome(case, stripped)}")


def _outcome(case: _Case, stripped: list[Contrast]) -> str:
    """What will become of a visible skull."""
    if not case.plan.extract_brain:
        return "; tick Extract brain, the model knows brains without skull only"
    if case.plan.brain_mask is not None:
        return ": what lies outside the brain mask will be left out"
    if stripped:
        will = "will be used for all" if case.on in stripped else "will be used if it is most of it"
        return f": the brain of {_names(stripped)}, without skull, {will}"
    return ": the brain will be extracted first"


def _other_than_mri(facts: VolumeFacts) -> bool:
    if facts.modality:
        return facts.modality.upper() != "MR"
    return facts.lowest <= _AIR_HU and facts.highest >= _BONE_HU


def _few_slices(case: _Case) -> Iterator[Finding]:
    for contrast, facts in case.slots.items():
        slices = min(facts.size)
        if slices < _FEWEST_SLICES:
            text = "is a single slice" if slices == 1 else f"has only {slices} slices"
            text += ": no localizer can be segmented, choose the whole series"
            yield Finding(Level.BLOCKING, f"{contrast.label} {text}")


def _extent(case: _Case) -> Iterator[Finding]:
    """What covers only a part of the head."""
    reference = case.slots[case.on]
    for contrast, facts in case.slots.items():
        if min(facts.size) < _FEWEST_SLICES:
            continue
        extent = min(n * step for n, step in zip(facts.size, facts.spacing, strict=True))
        missed = "nothing outside is segmented" if contrast is case.on else "used where it covers"
        if extent < _SMALLEST_EXTENT_MM:
            text = f"covers only {extent:.0f} mm in one direction: {missed}"
            yield Finding(Level.CAUTION, f"{contrast.label} {text}")
        elif facts.linear and reference.linear and overlap(facts, reference):
            part, least = covered(reference.geometry, facts.geometry)
            if part < _WHOLE_PART and least < _WHOLE_BRAIN_MM:
                about = max(round(part, 1), 0.1) * 100  # no more is known without the voxels
                text = f"covers about {about:.0f} % of {case.on.label}'s extent: {missed}"
                yield Finding(Level.CAUTION, f"{contrast.label} {text}")


def _slices(case: _Case) -> Iterator[Finding]:
    thick = {
        contrast: max(facts.spacing)
        for contrast, facts in case.slots.items()
        if max(facts.spacing) > _THICK_MM and min(facts.size) >= _FEWEST_SLICES
    }
    if thick:
        verb = "has" if len(thick) == 1 else "have"
        yield Finding(
            Level.NOTE,
            f"{_names(thick)} {verb} slices of up to {max(thick.values()):.1f} mm: small parts of "
            "the tumour may be missed",
        )


def _absent(case: _Case) -> Iterator[Finding]:
    if Contrast.T1C not in case.slots:
        text = "T1c is absent: the enhancing tumour will not be reliable"
        yield Finding(Level.CAUTION, text)
    if Contrast.FLAIR not in case.slots and Contrast.T2 not in case.slots:
        text = "FLAIR and T2 are absent: the oedema will not be reliable"
        yield Finding(Level.CAUTION, text)
    if case.wanted is not None and case.wanted not in case.slots:
        text = (
            f"{case.wanted.label} is chosen as reference but absent: the result will be on the "
            f"grid of {case.on.label}"
        )
        yield Finding(Level.CAUTION, text)


def _grids(case: _Case) -> Iterator[Finding]:
    on, slots = case.on, case.slots
    others = [c for c, facts in slots.items() if c is not on and not same_grid(facts, slots[on])]
    if others:
        verb = "lies on another grid" if len(others) == 1 else "lie on other grids"
        will = (
            "registered to it where needed" if case.plan.register else "resampled, not registered"
        )
        yield Finding(Level.NOTE, f"{_names(others)} {verb} than {on.label}: will be {will}")


def _mask(case: _Case) -> Iterator[Finding]:
    mask, reference = case.plan.brain_mask, case.slots[case.on]
    if mask is None:
        return
    if not all(mask.size) or mask.lowest == mask.highest == 0:
        text = "The brain mask is empty: choose another one, or Automatic"
        yield Finding(Level.BLOCKING, text)
    elif not overlap(mask, reference):
        text = (
            f"The brain mask and {case.on.label} do not overlap in space: "
            "choose the mask of this study"
        )
        yield Finding(Level.BLOCKING, text)
    elif not same_grid(mask, reference):
        text = f"The brain mask lies on another grid than {case.on.label}: will be resampled to it"
        yield Finding(Level.NOTE, text)


def _names(contrasts: Iterable[Contrast]) -> str:
    return ", ".join(contrast.label for contrast in contrasts)


_CHECKS: tuple[Callable[[_Case], Iterator[Finding]], ...] = (
    _constant,
    _copies,
    _elsewhere,
    _few_slices,
    _people,
    _unlike_training,
    _mask,
    _absent,
    _extent,
    _slices,
    _grids,
)
