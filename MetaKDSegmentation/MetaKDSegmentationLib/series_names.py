"""What the name of a series says: weighting, contrast agent, or that it is something else.

A name is cut into words ("sT1W_3D_TFE_GADO" → t1w 3d tfe gado), which are looked up in the tables
of `series_words.py`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache

from metakd.contrasts import MSD_CHANNELS, Contrast

from MetaKDSegmentationLib.series_words import (
    AFTER,
    AGENT,
    BEFORE,
    BETWEEN,
    FILLERS,
    GRADIENT_ECHO,
    NAMED,
    NOT_OF_AGENT,
    OTHER,
    PAIRS,
    REFORMATTED,
    SIGNS,
    T1_WITH_AGENT,
    T2_STAR,
    TOWARDS,
    USUAL,
    VOLUMETRIC,
    WITH,
    WITHOUT,
)

_EVERY_NAME = frozenset().union(*NAMED.values())
_EVERY_OTHER = frozenset().union(*OTHER.values())
# What words are cut into. Short words for other things would turn up by chance; "t2fse" is T2.
_FRAGMENTS = frozenset().union(
    *(_EVERY_NAME - {"t2f"}, *USUAL.values(), AGENT, AFTER, BEFORE, NOT_OF_AGENT),
    *(GRADIENT_ECHO, VOLUMETRIC, FILLERS, {"without", "wo", "with", "w", "non", "no"}),
    (word for word in _EVERY_OTHER if len(word) > 2),
)
_WORDS = _FRAGMENTS | _EVERY_NAME | _EVERY_OTHER | WITHOUT | WITH | BETWEEN | TOWARDS | REFORMATTED

_PREFIXES = "esdrm"  # Philips' eT1W and sT1W, SPM's rT1 and mT1
_BIDS_PERSON = re.compile(r"(?<![A-Za-z0-9])(?:sub|ses)(?:-(?!t[12])[A-Za-z0-9]+(?=_|$)|\d+)")
_MSD_CHANNEL = re.compile(r"BRATS_\d+_000([0-3])(?!\d)")


@dataclass(frozen=True)
class NameReading:
    """What one name says.

    Attributes:
        weighting: T1, T2 or FLAIR; never T1C, which is T1 with `agent`.
        outright: the weighting is named ("T1"), not merely usual for the sequence ("MPRAGE").
        agent: with contrast agent, without, or `None` where nothing is said.
        contradiction: what the name says at once though it cannot be; empty otherwise.
        other: what it is instead of one of the four contrasts; empty otherwise.
        volumetric: a 3D acquisition.
        reformatted: cut anew from another series.
    """

    weighting: Contrast | None = None
    outright: bool = False
    agent: bool | None = None
    contradiction: str = ""
    other: str = ""
    volumetric: bool = False
    reformatted: bool = False


def read_name(name: str) -> NameReading:
    """What a volume's name or a DICOM description says; nothing is an answer too."""
    words = _words(name)
    weighting, outright, contradiction = _weighting(words)
    agent, both = _agent(words)
    if weighting is None and not contradiction:
        weighting, agent = _weighting_by_agent(name, words, agent)
    if both and weighting is Contrast.T1:
        contradiction = "both with and without contrast agent"
    is_t2_star = weighting is not Contrast.T1 and bool(GRADIENT_ECHO & set(words))
    return NameReading(
        weighting,
        outright,
        agent,
        contradiction,
        kind_of(words) or (T2_STAR if is_t2_star else ""),
        bool(VOLUMETRIC & set(words)),
        bool(REFORMATTED & set(words)),
    )


def kind_of(words: list[str]) -> str:
    """What these words say it is instead of one of the four contrasts; empty where nothing."""
    return next((kind for kind, names in OTHER.items() if names & set(words)), "")


def _weighting(words: list[str]) -> tuple[Contrast | None, bool, str]:
    """The weighting, whether it is named outright, and what contradicts itself."""
    named = {contrast for contrast, names in NAMED.items() if names & set(words)}
    if {Contrast.T1, Contrast.T2} <= named:
        return None, False, "both T1 and T2"
    for contrast in (
        Contrast.T1,
        Contrast.FLAIR,
        Contrast.T2,
    ):  # T1 FLAIR is T1; T2 FLAIR is not T2
        if contrast in named:
            return contrast, True, ""
    usual = [contrast for contrast, names in USUAL.items() if names & set(words)]
    return (usual[0] if len(usual) == 1 else None), False, ""


def _weighting_by_agent(
    name: str, words: list[str], agent: bool | None
) -> tuple[Contrast | None, bool | None]:
    """Weighting and agent of what names no weighting."""
    channel = _MSD_CHANNEL.search(name)
    if channel:
        meant = MSD_CHANNELS[int(channel[1])]
        return (Contrast.T1, True) if meant is Contrast.T1C else (meant, False)
    if agent and AGENT & set(words):  # "post gad": the others are rarely said to be with agent
        return Contrast.T1, True
    return None, agent


def _agent(words: list[str]) -> tuple[bool | None, bool]:
    """With agent, without or unsaid; and whether the name says both."""
    said: set[bool] = set()
    place = 0
    while place < len(words):
        statement, place = _statement(words, place)
        said |= statement
    return (said.pop(), False) if len(said) == 1 else (None, len(said) == 2)


def _statement(words: list[str], place: int) -> tuple[set[bool], int]:
    """What the word at `place` says about the agent, and where to read on."""
    word = words[place]
    before = words[place - 1] if place else ""
    after = words[place + 1] if place + 1 < len(words) else ""
    agent, end = _agent_after(words, place + 1)
    if word in WITHOUT and (agent or not after):
        with_too = WITH & set(words[max(place - 2, 0) : place])  # "with and without contrast"
        return {True, False} if with_too else {False}, end
    if word in AFTER | BEFORE and after not in NOT_OF_AGENT:
        return {word in AFTER}, end
    if word in AGENT | T1_WITH_AGENT:
        return {True}, end
    if word == "plus" and after in ("", "c"):
        return {True}, end
    if word == "c" and (after in ("", "plus") or before in NAMED[Contrast.T1] | {"with"}):
        return {True}, end
    return set(), place + 1


def _agent_after(words: list[str], place: int) -> tuple[bool, int]:
    """Whether the next words name the agent, and the place after them."""
    end = place
    while end < len(words) and words[end] in AGENT | BETWEEN | {"c"}:
        end += 1
    found = bool((AGENT | {"c"}) & set(words[place:end]))
    return found, end if found else place


def _words(name: str) -> list[str]:
    text = unicodedata.normalize("NFKD", _BIDS_PERSON.sub(" ", name))
    text = "".join(sign for sign in text if not unicodedata.combining(sign)).lower()
    text = f" {text.replace('_', ' ')} "
    for sign, meaning in SIGNS.items():
        text = text.replace(sign, meaning)
    words = [part for word in re.findall("[a-z0-9]+", text) for part in _parts(word)]
    return _without_target(_paired(words))


@cache
def _parts(word: str) -> tuple[str, ...]:
    """The known words that a word is made of ("t1wgd" → t1w gd); itself where that fails."""
    bare = word.rstrip("0123456789")
    if word in _WORDS:
        return (word,)
    if len(bare) > 2 and bare in _WORDS:  # "flair2"
        return (bare,)
    without_prefix = word[1:] if word[0] in _PREFIXES else ""
    return _cut(word) or _cut(bare) or _cut(without_prefix) or (word,)


def _cut(word: str) -> tuple[str, ...]:
    """A way to write a word as fragments, the longest first; empty where there is none."""
    if word in _FRAGMENTS:
        return (word,)
    for end in range(len(word) - 1, 0, -1):
        rest = _cut(word[end:]) if word[:end] in _FRAGMENTS else ()
        if rest:
            return (word[:end], *rest)
    return ()


def _paired(words: list[str]) -> list[str]:
    merged: list[str] = []
    for word in words:
        pair = PAIRS.get(f"{merged[-1]} {word}") if merged else None
        merged[-1:] = [pair] if pair else [*merged[-1:], word]
    return merged


def _without_target(words: list[str]) -> list[str]:
    """The words before "to T1": "t2_to_t1_post" is a T2 that was registered to the other."""
    for place, word in enumerate(words[:-1]):
        is_target = word in TOWARDS and words[place + 1] in _EVERY_NAME
        if is_target and _EVERY_NAME & set(words[:place]):
            return words[:place]
    return words
