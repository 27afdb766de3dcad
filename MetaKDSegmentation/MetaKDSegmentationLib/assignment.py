"""Which volume is which contrast: from its name and from what the scanner recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from metakd.contrasts import CONTRASTS, Contrast

from MetaKDSegmentationLib.acquisition import AcquisitionReading, SeriesFacts, read_acquisition
from MetaKDSegmentationLib.series_names import NameReading, read_name


@dataclass(frozen=True)
class Guess:
    """What a volume looks like; `guess` says what the confidence means.

    Without a contrast, `refused` tells what is something else from what nothing is known of.
    """

    contrast: Contrast | None
    confidence: float
    reason: str
    refused: bool = False


@dataclass(frozen=True)
class Undecided:
    """A volume that went into no slot, and why."""

    id: str
    name: str
    reason: str


@dataclass(frozen=True)
class Assignment:
    """Which volume goes where.

    Attributes:
        slots: node id by contrast; a volume is in one slot at most.
        guesses: what filled each of these slots.
        undecided: volumes that the user has to decide on.
        passed_over: volumes that need no decision: not one of the four, or clearly second best.
    """

    slots: Mapping[Contrast, str]
    guesses: Mapping[Contrast, Guess]
    undecided: tuple[Undecided, ...] = ()
    passed_over: tuple[Undecided, ...] = ()


_NAMED, _USUAL, _RECORDED = 0.85, 0.6, 0.6
_AGREE, _AGENT_UNSAID, _AGENT_DISPUTED, _DISPUTED = 0.1, -0.05, -0.15, -0.3
_ENOUGH = 0.501  # to fill a slot: more than a contradiction leaves
_CLEARLY = 0.099  # surer than another


def guess(facts: SeriesFacts) -> Guess:
    """What this volume looks like, and how sure that is.

    The confidence is a rank, not a measured probability. 0.9 and above: the name says it and the
    recorded values agree. 0.8: the name alone. 0.6 to 0.7: the values alone, or a sequence that is
    usually so weighted. Below: name and values contradict each other, as the reason says. 0: it is
    not one of the four contrasts, or nothing tells.
    """
    name, description = read_name(facts.name), read_name(facts.description)
    recorded = read_acquisition(facts)
    said = _more_telling(name, description)
    other = _other(name, description, said, recorded)
    if other:
        reason = f"looks like {other}, not like one of the four contrasts"
        return Guess(None, 0.0, reason, refused=True)
    if said.contradiction:
        return Guess(None, 0.0, f"its name says {said.contradiction}")
    if said.weighting is None and recorded.weighting is None:
        return Guess(None, 0.0, "neither its name nor recorded values tell the contrast")
    confidence, reason = _weighed(said, recorded)
    reasons = [reason]
    second = description if said is name else name
    if said.weighting and second.weighting not in (None, said.weighting):
        confidence += _DISPUTED
        reasons.append("name and series description contradict each other")
    contrast = said.weighting or recorded.weighting
    if contrast is Contrast.T1:
        stated = second.agent if said.agent is None else said.agent
        contrast, change, reason = _with_or_without_agent(stated, recorded.agent)
        confidence += change
        reasons.append(reason)
    return Guess(contrast, round(max(confidence, 0.0), 2), ", ".join(filter(None, reasons)))


def _more_telling(name: NameReading, description: NameReading) -> NameReading:
    """The name in the scene, unless only the series description tells the contrast."""

    def clarity(reading: NameReading) -> int:
        return 0 if reading.contradiction else bool(reading.weighting) + reading.outright

    return max(name, description, key=clarity)


def _other(
    name: NameReading, description: NameReading, said: NameReading, recorded: AcquisitionReading
) -> str:
    """What it is instead: one hint is enough, a wrong image is worse than an empty slot."""
    timing = "" if said.outright else recorded.resembles
    return name.other or description.other or recorded.other or timing


def _weighed(said: NameReading, recorded: AcquisitionReading) -> tuple[float, str]:
    """How far name and recorded values support the weighting."""
    if said.weighting is None:
        return _RECORDED, f"only by {recorded.timing}"
    confidence = _NAMED if said.outright else _USUAL
    reason = f"its name {'says' if said.outright else 'points to'} {said.weighting.label}"
    contrast = recorded.weighting.label if recorded.weighting else recorded.resembles
    if not contrast:
        return confidence, reason
    if recorded.weighting is said.weighting:
        return confidence + _AGREE, f"{reason}, {recorded.timing} agree"
    return confidence + _DISPUTED, f"{reason}, but {recorded.timing} look like {contrast}"


def _with_or_without_agent(
    stated: bool | None, recorded: bool | None
) -> tuple[Contrast, float, str]:
    """T1 or T1c, the change in confidence, and why."""
    agent = recorded if stated is None else stated
    contrast = Contrast.T1C if agent else Contrast.T1
    if agent is None:
        return contrast, _AGENT_UNSAID, "nothing is said of contrast agent"
    words = "with contrast agent" if agent else "without contrast agent"
    if stated is not None and recorded not in (None, stated):
        return contrast, _AGENT_DISPUTED, f"{words}, though the recorded one says otherwise"
    return contrast, 0.0, words


def assign(series: Iterable[SeriesFacts]) -> Assignment:
    """Put each volume into one slot at most and one volume into each slot at most.

    Where several look like one contrast, the clearly better takes the slot; otherwise the slot
    stays empty and the choice is the user's. The order of the series does not matter.
    """
    volumes = {facts.id: facts for facts in series}.values()
    candidates = [
        _Candidate(facts, guess(facts)) for facts in sorted(volumes, key=lambda v: (v.name, v.id))
    ]
    slots: dict[Contrast, str] = {}
    guesses: dict[Contrast, Guess] = {}
    unsure = [c for c in candidates if c.guess.confidence < _ENOUGH]
    undecided = [c.left_out(c.doubt) for c in unsure if not c.guess.refused]
    passed_over = [c.left_out(c.guess.reason) for c in unsure if c.guess.refused]
    for contrast in CONTRASTS:
        rivals = [c for c in candidates if c.guess.contrast is contrast and c not in unsure]
        best = next((c for c in rivals if c.beats_all(rivals)), None)
        if best is None:
            undecided += [c.left_out(_tie(contrast, rivals)) for c in rivals]
            continue
        slots[contrast], guesses[contrast] = best.facts.id, best.guess
        passed_over += [
            c.left_out(f"{contrast.label} too, but {best.facts.name} is {best.better_than(c)}")
            for c in rivals
            if c is not best
        ]
    return Assignment(slots, guesses, tuple(undecided), tuple(passed_over))


@dataclass(frozen=True)
class _Candidate:
    """A volume and what it looks like."""

    facts: SeriesFacts
    guess: Guess

    @property
    def doubt(self) -> str:
        contrast, reason = self.guess.contrast, self.guess.reason
        return f"perhaps {contrast.label}: {reason}" if contrast else reason

    def beats_all(self, rivals: Sequence[_Candidate]) -> bool:
        return all(rival is self or self.better_than(rival) for rival in rivals)

    def better_than(self, other: _Candidate) -> str:
        """In which way it is clearly better; empty where it is not."""
        difference = self.guess.confidence - other.guess.confidence
        if abs(difference) >= _CLEARLY:
            return "surer" if difference > 0 else ""
        if self._reformatted != other._reformatted:
            return "" if self._reformatted else "not reformatted from another series"
        return "a 3D acquisition" if self._volumetric and not other._volumetric else ""

    def left_out(self, reason: str) -> Undecided:
        return Undecided(self.facts.id, self.facts.name, reason)

    @property
    def _readings(self) -> tuple[NameReading, NameReading]:
        return read_name(self.facts.name), read_name(self.facts.description)

    @property
    def _reformatted(self) -> bool:
        said = any(reading.reformatted for reading in self._readings)
        return said or "DERIVED" in self.facts.image_type.upper()

    @property
    def _volumetric(self) -> bool:
        return any(reading.volumetric for reading in self._readings)


def _tie(contrast: Contrast, rivals: Sequence[_Candidate]) -> str:
    count = {2: "two", 3: "three", 4: "four"}.get(len(rivals), str(len(rivals)))
    names = ", ".join(candidate.facts.name for candidate in rivals)
    return f"{count} volumes look like {contrast.label}: {names}"
