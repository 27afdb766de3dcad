"""What a report says was done to the volumes before the network saw them, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OUTCOMES = {
    "aligned": "already aligned",
    "failed": "registration failed",  # what that means is one of the report's warnings
    "off": "not registered",
}
_SOURCES = {
    "background": "the images are without skull",
    "mask": "the mask that was given",
    "synthstrip": "found by SynthStrip",
    "hd-bet": "found by HD-BET",
    "builtin": "found by the built-in network",
    "off": "not extracted",
}

# A report of an earlier version says nothing of registration and brain.


def is_registered(report: Mapping[str, Any], contrast: str) -> bool:
    """Whether the volume of a contrast (`T1`) was moved to the reference."""
    return bool(_registration(report).get(contrast, {}).get("outcome") == "registered")


def has_found_brain(report: Mapping[str, Any]) -> bool:
    """Whether the brain was looked for, rather than given or left alone."""
    return report.get("brain", {}).get("source") not in (None, "mask", "off")


def registration_texts(report: Mapping[str, Any]) -> tuple[str, ...]:
    """What became of each contrast but the reference, contrasts with the same outcome together."""
    groups: dict[str, list[str]] = {}
    for contrast, entry in _registration(report).items():
        groups.setdefault(_outcome(entry), []).append(contrast)
    return tuple(f"{', '.join(contrasts)}: {text}" for text, contrasts in groups.items())


def brain_text(report: Mapping[str, Any]) -> str:
    """Where the brain came from, and its volume; empty where nothing is said of it."""
    brain = report.get("brain")
    if not brain:
        return ""
    source = _SOURCES.get(brain["source"], brain["source"])
    return source if brain["source"] == "off" else f"{source}, {brain['volume_ml']:.0f} ml"


def _registration(report: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = report.get("registration", {})
    return found


def _outcome(entry: Mapping[str, Any]) -> str:
    if entry["outcome"] == "registered":
        moved, turned = entry["moved_mm"], entry["turned_degrees"]
        how = "registered (affine)" if entry.get("kind") == "affine" else "registered"
        return f"{how}, moved {moved:.1f} mm, turned {turned:.1f}°"
    return _OUTCOMES.get(entry["outcome"], str(entry["outcome"]))
