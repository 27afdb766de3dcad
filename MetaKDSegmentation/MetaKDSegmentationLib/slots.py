"""What is known of the chosen volumes, and how they lie in space; `findings` judges it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from metakd.contrasts import Contrast

Position = tuple[float, float, float]

_SAME_PLACE = 0.1  # voxels
_STATIONS = 13  # along each axis, at which it is looked whether another volume is there too


@dataclass(frozen=True)
class Geometry:
    """A volume's grid in the world (RAS, mm), linear parent transforms included.

    Attributes:
        size: voxels along i, j, k.
        ijk_to_ras: the 4 × 4 matrix from voxel to world coordinates, row by row.
    """

    size: tuple[int, int, int]
    ijk_to_ras: tuple[float, ...]

    def position(self, ijk: Iterable[float]) -> Position:
        """World coordinates (RAS, mm) of a voxel index, fractions included."""
        i, j, k = ijk
        rows = (self.ijk_to_ras[row : row + 4] for row in (0, 4, 8))
        x, y, z = (a * i + b * j + c * k + d for a, b, c, d in rows)
        return x, y, z

    def corners(self) -> list[Position]:
        """World coordinates (RAS, mm) of the eight outer corners."""
        return [self.position(ijk) for ijk in product(*((-0.5, n - 0.5) for n in self.size))]

    def contains(self, position: Position) -> bool:
        """Whether a place in the world lies within the grid; never in one that is flat."""
        i, j, k, origin = (self.ijk_to_ras[column:12:4] for column in range(4))
        volume = _dot(i, _cross(j, k))
        if not volume:
            return False
        away = tuple(a - b for a, b in zip(position, origin, strict=True))
        faces = _cross(j, k), _cross(k, i), _cross(i, j)
        indices = (_dot(away, face) / volume for face in faces)
        return all(-0.5 <= index <= n - 0.5 for index, n in zip(indices, self.size, strict=True))


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
        day: of the study, as DICOM writes it (YYYYMMDD); empty where unknown.
        modality: DICOM Modality, empty where unknown.
        lowest, highest: of its voxels.
        looks_stripped: None where it cannot be told, or was not looked at.
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
    day: str = ""
    modality: str = ""
    lowest: float = 0.0
    highest: float = 1.0
    looks_stripped: bool | None = None
    fingerprint: str = ""


Slots = Mapping[Contrast, VolumeFacts]


@dataclass(frozen=True)
class Plan:
    """What a run will do to the volumes first.

    Attributes:
        register: bring each contrast to the reference where it does not fit.
        extract_brain: find the brain where the skull is visible.
        brain_mask: the mask that is given instead of finding the brain, if there is one.
    """

    register: bool = True
    extract_brain: bool = True
    brain_mask: VolumeFacts | None = None


def same_grid(one: VolumeFacts, other: VolumeFacts) -> bool:
    """Whether the voxels of two volumes lie at the same places, to a tenth of a voxel."""
    if one.size != other.size or not (one.linear and other.linear):
        return False
    tolerance = _SAME_PLACE * min(*one.spacing, *other.spacing)
    corners = zip(one.geometry.corners(), other.geometry.corners(), strict=True)
    return all(math.dist(a, b) <= tolerance for a, b in corners)


def overlap(one: VolumeFacts, other: VolumeFacts) -> bool:
    """Whether the boxes around two volumes meet; a bent volume may be anywhere."""
    if not (one.linear and other.linear):
        return True
    for axis in range(3):
        first, second = ([c[axis] for c in v.geometry.corners()] for v in (one, other))
        if max(first) < min(second) or max(second) < min(first):
            return False
    return True


@lru_cache(maxsize=64)  # the panel asks at every change
def covered(of: Geometry, by: Geometry) -> tuple[float, float]:
    """How much of a grid another one covers.

    Returns:
        The part of its volume, 0 to 1, and the least that is covered along one of its axes, mm.
    """
    middles = [[(2 * s + 1) * n / (2 * _STATIONS) - 0.5 for s in range(_STATIONS)] for n in of.size]
    found = [ijk for ijk in product(*middles) if by.contains(of.position(ijk))]
    if not found:
        return 0.0, 0.0
    lengths = (math.dist(of.position(axis), of.position((0, 0, 0))) for axis in _AXES)
    least = min(
        (max(along) - min(along) + n / _STATIONS) * length
        for along, n, length in zip(zip(*found, strict=True), of.size, lengths, strict=True)
    )
    return len(found) / _STATIONS**3, least


_AXES = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


def _cross(a: Iterable[float], b: Iterable[float]) -> Position:
    (ax, ay, az), (bx, by, bz) = a, b
    return ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx


def _dot(a: Iterable[float], b: Iterable[float]) -> float:
    return sum(one * other for one, other in zip(a, b, strict=True))
