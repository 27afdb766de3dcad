"""What a running Slicer 5.13 offers, as recorded beside the repository."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

PATH = Path(__file__).resolve().parents[3] / "shared" / "reference" / "slicer_api.json"


@dataclass(frozen=True)
class Names:
    """The attributes of a class: its Qt properties, and all others (methods, signals, enums)."""

    properties: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()

    def __contains__(self, name: str) -> bool:
        return name in self.properties or name in self.others


@cache
def record() -> dict[str, Any]:
    """The whole record; a test that needs it is skipped where it is absent."""
    if not PATH.is_file():
        pytest.skip(f"the record of a running Slicer is not on this machine ({PATH})")
    return json.loads(PATH.read_text())


def names(entry: dict[str, Any]) -> Names:
    return Names(frozenset(entry["properties"]), frozenset(entry["other"]))
