"""Which tissue or region each segment of a segmentation is, whoever made it.

A segment says it by its id where this module made it, else by its name, else by the code of its
terminology; label numbers count only where no segment says anything. What had to be assumed, and
what was not understood, is told in one line.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from metakd.regions import CONVENTIONS, ED, ET, NCR, Region


class Role(Enum):
    """A disjoint tissue, or a nested region that is more than one tissue."""

    NCR = "NCR"
    ED = "ED"
    ET = "ET"
    TC = "TC"
    WT = "WT"

    @property
    def regions(self) -> frozenset[Region]:
        """The regions that such a segment lies in."""
        return _REGIONS[self]

    @property
    def segment_id(self) -> str:
        """The id of this module's own segment of that role."""
        return f"MetaKDSegmentation_{self.value}"


@dataclass(frozen=True)
class Segment:
    """What a segment says of itself.

    Attributes:
        id, name: as in the segmentation.
        code: of its type in its terminology, such as SNOMED's; empty without one.
        value: its number in its label map.
    """

    id: str
    name: str
    code: str = ""
    value: int = 0


@dataclass(frozen=True)
class Reading:
    """What the segments of a segmentation are.

    Attributes:
        roles: by segment id; what is no part of the tumour, or not understood, is left out.
        regions: those that the segments together tell, in the order ET, TC, WT.
        remark: assumptions and what was not understood, in one line; empty where all is said.
    """

    roles: Mapping[str, Role]
    regions: tuple[Region, ...]
    remark: str = ""


_REGIONS = {
    Role.ET: frozenset({Region.ET, Region.TC, Region.WT}),
    Role.NCR: frozenset({Region.TC, Region.WT}),
    Role.TC: frozenset({Region.TC, Region.WT}),
    Role.ED: frozenset({Region.WT}),
    Role.WT: frozenset({Region.WT}),
}
_OWN = {role.segment_id: role for role in Role}
_TISSUE = {NCR.value: Role.NCR, ED.value: Role.ED, ET.value: Role.ET}

_OTHER = "other"  # known to be no part of the tumour
_LESION = "lesion"  # all of the tumour, or its core where oedema has a segment of its own

# In this order: "surrounding non-enhancing hyperintensity" is oedema, "non-enhancing tumour core"
# does not enhance, "enhancing core" is not the whole core. Names are lower case, words apart.
_NAMES: tuple[tuple[str, Role | str], ...] = (
    (r"cavit|resect|\brc\b|ventric|skull|normal|healthy|background|^brain( mask)?$", _OTHER),
    (r"tumou?r (and|with|plus|including) o?edema", Role.WT),
    (r"o?edema|\bed\b|snfh|surrounding|peritumou?r|infiltrat", Role.ED),
    (r"necro|\bncr\b|\bnetc?\b|\bnec\b|non ?enhanc|cyst", Role.NCR),
    (r"enhanc|\bet\b|\bgd\b|active", Role.ET),
    (r"\bwt\b|(whole|entire|complete|total|full) (tumou?r|lesion)|^(whole|complete)$", Role.WT),
    (r"\btc\b|\bcore\b", Role.TC),
    (r"^(brain )?(tumou?rs?|glioma|gbm|glioblastoma|lesion|neoplasm|mass|gtv)$", _LESION),
)
_CODES: dict[str, Role | str] = {
    NCR.snomed[0]: Role.NCR,
    ED.snomed[0]: Role.ED,
    ET.snomed[0]: _LESION,  # "Neoplasm, Primary": others call the whole tumour so
    "108369006": _LESION,  # Neoplasm
    "52988006": _LESION,  # Lesion
    "4147007": _LESION,  # Mass
}
# What Slicer calls the segments of a label map that came without names.
_NAMELESS = re.compile(r"^((label|segment|class|value)? ?\d+|tissue|bone|skin|connective tissue)$")


def read_roles(segments: Iterable[Segment]) -> Reading:
    """What the segments of one segmentation are; they are read together, one tells of another."""
    segments = list(segments)
    said = {segment.id: _said(segment) for segment in segments}
    if len(segments) > 1 and all(_is_nameless(segment) for segment in segments):
        return _read_values(segments)
    lesion = Role.TC if Role.ED in said.values() else Role.WT
    roles = {id_: lesion if role == _LESION else role for id_, role in said.items()}
    known = {id_: role for id_, role in roles.items() if isinstance(role, Role)}
    unknown = [f"'{segment.name}'" for segment in segments if said[segment.id] is None]
    remark = f"{', '.join(unknown)} not understood: name NCR, ED, ET, TC or WT" if unknown else ""
    return _reading(known, remark)


def derivable(roles: Collection[Role]) -> tuple[Region, ...]:
    """The regions that segments of these roles tell, in the order ET, TC, WT.

    Two of the three tissues are taken for a complete partition of the core or of the tumour: of a
    tissue without segment there is none. Without a segment of oedema nothing is said of it.
    """
    present = set(roles)
    partition = len(present & set(_TISSUE.values())) > 1
    told = {
        Region.ET: Role.ET in present or {Role.NCR, Role.ED} <= present,
        Region.TC: Role.TC in present or partition,
        Region.WT: Role.WT in present or (Role.ED in present and len(present) > 1),
    }
    return tuple(region for region in Region if told[region])


def _said(segment: Segment) -> Role | str | None:
    """What a segment says of itself by id, name or code."""
    if segment.id in _OWN:
        return _OWN[segment.id]
    name = _plain(segment.name)
    by_name = (role for pattern, role in _NAMES if re.search(pattern, name))
    return next(by_name, None) or _CODES.get(segment.code)


def _is_nameless(segment: Segment) -> bool:
    return _said(segment) is None and _NAMELESS.match(_plain(segment.name)) is not None


def _read_values(segments: list[Segment]) -> Reading:
    values = {segment.id: segment.value for segment in segments}
    present = set(values.values())
    convention = "brats2018" if 4 in present else "brats2023"
    if {3, 4} <= present:
        convention = "brats2024"
    meaning = CONVENTIONS[convention]
    if not present <= set(meaning) or len(present) < len(segments):
        names = ", ".join(f"'{segment.name}'" for segment in segments)
        return Reading({}, (), f"{names} not understood: name NCR, ED, ET, TC or WT")
    roles = {id_: _TISSUE[meaning[value]] for id_, value in values.items() if meaning[value]}
    numbers = ", ".join(f"{value} {_TISSUE[meaning[value]].value}"
                        for value in sorted(present) if meaning[value])  # fmt: skip
    return _reading(roles, f"segments without names, their labels read as BraTS' {numbers}")


def _reading(roles: Mapping[str, Role], remark: str) -> Reading:
    regions = derivable(roles.values())
    remarks = [remark] if remark else []
    if Region.ET in regions and Role.ET not in roles.values():
        remarks.append("no segment of enhancing tumour, so taken as none")
    return Reading(roles, regions, "; ".join(remarks))


def _plain(name: str) -> str:
    """Lower case, one blank between words: "WholeTumor_1" → "whole tumor 1"."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", re.sub(r"[+&]", " and ", name))
    return " ".join(re.findall(r"[a-z]+|\d+", apart.lower()))
