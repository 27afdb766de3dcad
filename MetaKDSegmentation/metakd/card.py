"""The card of a model package, ``configs/metadata.json``, and what makes one unusable.

It follows MONAI's bundle schema, with a section ``metakd`` of our own that the engine reads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from metakd.contrasts import CONTRASTS
from metakd.regions import REGIONS

ARCHITECTURE = ("MetaKDNet", 1)
INTENDED_USE = "Research use only. Not for clinical decisions."

_REQUIRED: Mapping[str, Mapping[str, Any]] = {
    "": {"version": str, "task": str, "description": str, "intended_use": str,
         "network_data_format": dict, "metakd": dict},
    "metakd": {"architecture": str, "architecture_version": int, "arguments": dict,
               "contrasts": list, "spacing_mm": (int, float), "sha256": str,
               "postprocessing": dict, "importance": dict, "training_data": list,
               "expected_dice": dict, "reliability": dict},
    "metakd.postprocessing": {"smallest_ml": dict},
    "metakd.expected_dice": {"measured_on": str, "subsets": dict},
    "metakd.reliability": {"reliable": (int, float), "use with care": (int, float)},
}  # fmt: skip


_REQUIRED_OF_BRAIN: Mapping[str, Mapping[str, Any]] = {
    "": {"version": str, "task": str, "description": str, "intended_use": str, "metakd": dict},
    "metakd": {"architecture": str, "architecture_version": int, "arguments": dict,
               "spacing_mm": (int, float), "threshold": float, "sha256": str,
               "training_data": list},
}  # fmt: skip


def card_problem(card: object) -> str:
    """What is wrong with a card and what to do, in one line; empty when the engine can use it."""
    problem = _form_problem(card, _REQUIRED)
    if problem or not isinstance(card, dict):
        return problem
    settings: dict[str, Any] = card["metakd"]
    if settings["contrasts"] != [contrast.value for contrast in CONTRASTS]:
        return f"is for the contrasts {settings['contrasts']}, not for these"
    return _nonsense(settings)


def brain_card_problem(card: object) -> str:
    """As `card_problem`, for the package of the built-in brain extraction."""
    problem = _form_problem(card, _REQUIRED_OF_BRAIN)
    if problem or not isinstance(card, dict):
        return problem
    arguments = card["metakd"]["arguments"]
    shape = (arguments.get("contrasts"), arguments.get("regions"))
    words = f"is for {shape[0]} contrasts and {shape[1]} regions; get the package again"
    return "" if shape == (1, 1) else words


def _form_problem(card: object, required: Mapping[str, Mapping[str, Any]]) -> str:
    for section, kinds in required.items():
        part = card
        for name in filter(None, section.split(".")):
            part = part[name] if isinstance(part, dict) else None
        problem = _lacks(part, kinds)
        if problem:
            return f"{problem}; not a MetaKD model package"
    assert isinstance(card, dict)  # noqa: S101 - for the type checker; said by the loop
    settings: dict[str, Any] = card["metakd"]
    found = (settings["architecture"], settings["architecture_version"])
    return "" if found == ARCHITECTURE else f"needs {found[0]} version {found[1]}; update metakd"


def _lacks(part: object, kinds: Mapping[str, Any]) -> str:
    if not isinstance(part, dict):
        return "holds no settings"
    missing = [key for key in kinds if key not in part]
    if missing:
        return f"lacks {', '.join(missing)}"
    wrong = [key for key, kind in kinds.items() if not isinstance(part[key], kind)]
    return f"has the wrong kind of value for {', '.join(wrong)}" if wrong else ""


def _nonsense(settings: dict[str, Any]) -> str:
    """A value of the right kind that would only fail, or mislead, in use."""
    spacing = settings["spacing_mm"]
    if not 0.1 <= spacing <= 10:
        return f"spacing_mm is {spacing}, not 0.1 to 10; get the package again"
    arguments = settings["arguments"]
    shape = (arguments.get("contrasts"), arguments.get("regions"))
    if shape != (len(CONTRASTS), len(REGIONS)):
        return f"is for {shape[0]} contrasts and {shape[1]} regions; get the package again"
    rows = settings["expected_dice"]["subsets"].values()
    if not all(isinstance(row, dict) and _are_numbers(row) for row in rows):
        return "holds an expected Dice that is no number; get the package again"
    if not _are_numbers(settings["postprocessing"]["smallest_ml"], settings["importance"]):
        return "holds a setting that is no number; get the package again"
    return ""


def _are_numbers(*tables: dict[str, Any]) -> bool:
    values = [value for table in tables for value in table.values()]
    return all(isinstance(value, (int, float)) and math.isfinite(value) for value in values)
