"""The four MRI contrasts, the names they go by, and the 15 subsets a patient may come with."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from itertools import combinations


class Contrast(Enum):
    """An MRI contrast; the order of definition is the order of the network's encoders."""

    T1 = "t1"
    T1C = "t1c"
    T2 = "t2"
    FLAIR = "flair"

    @property
    def label(self) -> str:
        """The name as a radiologist writes it."""
        return {"t1": "T1", "t1c": "T1c", "t2": "T2", "flair": "FLAIR"}[self.value]

    @property
    def index(self) -> int:
        """Place in the canonical order, 0 to 3."""
        return CONTRASTS.index(self)


CONTRASTS: tuple[Contrast, ...] = tuple(Contrast)

ContrastSet = frozenset[Contrast]

SUBSETS: tuple[ContrastSet, ...] = tuple(
    frozenset(chosen) for count in (1, 2, 3, 4) for chosen in combinations(CONTRASTS, count)
)
"""The 15 non-empty subsets, single contrasts first."""

REFERENCE_PREFERENCE = (Contrast.T1C, Contrast.FLAIR, Contrast.T2, Contrast.T1)
"""Whose grid the result comes back in, unless the user chooses."""

# BraTS 2018-2021 says t1, t1ce, t2, flair; 2023 onwards t1n, t1c, t2w, t2f; scanners say more.
_SYNONYMS = {
    Contrast.T1: "t1 t1n t1w t1native t1flair",
    Contrast.T1C: "t1c t1ce t1gd t1wgd t1gado t1post t1contrast postt1 gdt1 cet1",
    Contrast.T2: "t2 t2w",
    Contrast.FLAIR: "flair t2f t2flair",
}
_BY_NAME = {name: contrast for contrast, names in _SYNONYMS.items() for name in names.split()}

MSD_CHANNELS = (Contrast.FLAIR, Contrast.T1, Contrast.T1C, Contrast.T2)
"""Channel order of the Medical Segmentation Decathlon's 4D brain tumour files."""


def contrast_from_name(name: str) -> Contrast | None:
    """The contrast that a file or series name ends in, or `None`.

    >>> contrast_from_name("BraTS2021_00002_t1ce")
    <Contrast.T1C: 't1c'>
    >>> contrast_from_name("BraTS-GLI-00000-000-t2f").label
    'FLAIR'
    """
    words = re.split(r"[^a-z0-9]+", name.lower())
    for count in (2, 1):  # "t1w_gd" and "T1 FLAIR" are two words
        found = _BY_NAME.get("".join(words[-count:]))
        if found:
            return found
    return None


def subset_name(subset: Iterable[Contrast]) -> str:
    """Canonical text of a subset, e.g. ``t1c+flair``; also the key in a model card."""
    chosen = set(subset)
    return "+".join(contrast.value for contrast in CONTRASTS if contrast in chosen)


def parse_subset(text: str) -> ContrastSet:
    """The subset that a text such as ``flair+t1ce`` names.

    Raises `ValueError` naming the word that is no contrast.
    """
    chosen = set()
    for word in text.split("+"):
        contrast = _BY_NAME.get(word.strip().lower())
        if contrast is None:
            raise ValueError(f"'{word}' in '{text}' is no contrast: use t1, t1c, t2, flair")
        chosen.add(contrast)
    return frozenset(chosen)
