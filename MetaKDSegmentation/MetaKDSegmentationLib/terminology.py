"""Names, colours and standard codes of the segments, from this module's terminology file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import slicer
from metakd.regions import ED, ET, NCR, Region

from MetaKDSegmentationLib.segment_roles import Role

TERMINOLOGY_FILE = (
    Path(__file__).resolve().parents[1]
    / "Resources"
    / "SegmentationCategoryTypeModifier-MetaKDSegmentation.term.json"
)
NAMES = {
    Role.NCR: NCR.name,
    Role.ED: ED.name,
    Role.ET: ET.name,
    Role.TC: Region.TC.title,
    Role.WT: Region.WT.title,
}
"""The segments' names; in the file they are the `SlicerLabel`s."""

# What and where, as every list of Slicer's writes it: context, category, type, modifier, then the
# same for the anatomic region.
_BRAIN = "Anatomic codes - DICOM master list~SCT^12738006^Brain~^^"


@dataclass(frozen=True)
class Term:
    """How a segment of a role is shown and coded.

    Attributes:
        name: as the user reads it.
        rgb: colour, 0 to 1.
        entry: the serialised terminology entry, the value of a segment's terminology tag.
    """

    name: str
    rgb: tuple[float, float, float]
    entry: str


def load_terminology() -> None:
    """Make Slicer offer this module's terms; once, at start-up. Raises `OSError`."""
    logic = slicer.modules.terminologies.logic()
    if not logic.LoadTerminologyFromFile(str(TERMINOLOGY_FILE)):
        raise OSError(f"{TERMINOLOGY_FILE.name} cannot be loaded; install the extension again")


@cache
def term(role: Role) -> Term:
    """The term of a role, as the file has it."""
    content = json.loads(TERMINOLOGY_FILE.read_text(encoding="utf-8"))
    (category,) = content["SegmentationCodes"]["Category"]
    kind = next(kind for kind in category["Type"] if kind["SlicerLabel"] == NAMES[role])
    red, green, blue = (value / 255 for value in kind["recommendedDisplayRGBValue"])
    context = content["SegmentationCategoryTypeContextName"]
    entry = f"{context}~{_code(category)}~{_code(kind)}~^^~{_BRAIN}"
    return Term(NAMES[role], (red, green, blue), entry)


def type_code(entry: str) -> str:
    """The code of the type in a serialised terminology entry; empty where there is none."""
    parts = entry.split("~")
    code = parts[2].split("^") if len(parts) > 2 else []
    return code[1] if len(code) > 1 else ""


def _code(entry: dict[str, str]) -> str:
    return "^".join(entry[key] for key in ("CodingSchemeDesignator", "CodeValue", "CodeMeaning"))
