"""A phantom's tumour: its place, how it pushes the brain aside, and how far each part grows.

Growth is by volume: each part takes the voxels of lowest value in its field until it has the
millilitres that were drawn for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .phantom_anatomy import Person
from .phantom_shapes import (
    LATTICE_STEP,
    Array,
    Axes,
    Point,
    Points,
    Shapes,
    coordinates,
    share_inside,
    smooth_noise,
)
from .regions import ED, ET, NCR


@dataclass(frozen=True)
class Tumour:
    """What a tumour is drawn with: place (x, y, z, mm), volumes (ml) and make-up."""

    centre: Point
    core_ml: float
    whole_ml: float
    push: float  # share of the core's volume that displaces the brain
    enhancing: bool
    rim: float  # mm of enhancing tissue around the necrosis; beyond the radius when there is none

    @property
    def radius(self) -> float:
        """Of the core, were it a ball; mm."""
        return float((self.core_ml * 1000 * 3 / 4 / np.pi) ** (1 / 3))


def draw_tumour(rng: np.random.Generator, person: Person, nodes: Axes) -> Tumour:
    """Draw a tumour of 7 to 150 ml, necrotic, solid or low grade, in the cerebrum of `person`."""
    kind = rng.choice(["necrotic", "solid", "low grade"], p=[0.65, 0.12, 0.23])
    whole_ml = float(np.exp(rng.uniform(np.log(7), np.log(150))))
    core_ml = whole_ml * float(rng.uniform(*((0.45, 0.7) if kind == "low grade" else (0.2, 0.55))))
    rim = {"necrotic": float(rng.uniform(2.5, 5)), "solid": 99.0, "low grade": 0.0}[kind]
    push = float(rng.uniform(*((0.3, 0.5) if kind == "low grade" else (0.6, 1.0))))
    centre = _draw_place(rng, person, nodes, 12 + 1.3 * core_ml ** (1 / 3))
    return Tumour(centre, core_ml, whole_ml, push, kind != "low grade", rim)


def _draw_place(rng: np.random.Generator, person: Person, nodes: Axes, depth: float) -> Point:
    """A random place in the cerebrum, beside the midline, at least `depth` mm under the surface."""
    place = (30.0, 10.0, 25.0)
    for _ in range(200):
        place = rng.uniform(-62, 62), rng.uniform(-75, 75), rng.uniform(-25, 58)
        k, j, i = (
            round((p - node[0]) / LATTICE_STEP)
            for p, node in zip(reversed(place), nodes, strict=True)
        )
        x, _, z = (p[k, j, i] for p in person.points)
        if -40 < person.lobes[k, j, i] < -depth and abs(x) > 14 and z > -22:
            break
    return place


def push(person: Person, tumour: Tumour | None, nodes: Axes) -> tuple[Points, Array]:
    """Where the tissue at each node was before the tumour grew, and how squeezed it is, 0 to 1.

    Both on the lattice of `nodes`, shape (z, y, x), the former in mm and the average brain's
    coordinates. Tissue moves away from the centre, as around a growing ball in an incompressible
    medium; the skull stays.
    """
    if tumour is None:
        return person.points, np.zeros_like(person.brain)
    offset = [p - c for p, c in zip(coordinates(nodes), tumour.centre, strict=True)]
    r = np.sqrt(sum(o * o for o in offset)) + np.float32(0.01)
    before = np.cbrt(np.maximum(r**3 - tumour.push * tumour.radius**3, (0.2 * r) ** 3))
    share = (before / r - 1) * np.clip(-person.brain / 15, 0, 1)
    x, y, z = (p + o * share for p, o in zip(person.points, offset, strict=True))
    squeeze: Array = np.exp(-np.clip(r - tumour.radius, 0, None) / 15) * tumour.push
    return (x, y, z), squeeze


def tumour_fields(rng: np.random.Generator, tumour: Tumour, person: Person, nodes: Axes) -> Shapes:
    """Lattice fields (z, y, x) that `grow` cuts the tumour from: distances (mm) and patchiness."""
    rotation = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    stretched = (rotation * np.exp(rng.uniform(-0.25, 0.25, 3))) @ rotation.T
    offset = [p - c for p, c in zip(coordinates(nodes), tumour.centre, strict=True)]
    along = [sum(float(a) * o for a, o in zip(row, offset, strict=True)) for row in stretched]
    distance = np.sqrt(sum(a * a for a in along))
    beyond = np.clip(4 - person.points[0] * np.sign(tumour.centre[0]), 0, 40)  # the falx resists
    whole_radius = (tumour.whole_ml * 1000 * 3 / 4 / np.pi) ** (1 / 3)
    coarse, middle, small = (smooth_noise(rng, step, nodes) for step in (16, 9, 5))
    core = distance + tumour.radius * (0.18 * middle + 0.07 * small) + beyond
    reach = distance + whole_radius * (0.25 * coarse + 0.1 * middle) + beyond
    return {"core": core, "reach": reach, "patchy": smooth_noise(rng, 5, nodes)}


def grow(fine: Shapes, tumour: Tumour, spacing: float) -> Shapes:
    """Signed distances (z, y, x; mm) to whole tumour, core and necrosis, at the drawn volumes."""
    voxels_per_ml = 1000 / spacing**3
    core = fine["core"] + 10 * np.clip(fine["lobes"] + 2, 0, None)
    core -= _level(core, tumour.core_ml * voxels_per_ml)
    tissue = fine["tissue"]
    reach = fine["reach"] + 7 * np.clip((4.5 - tissue) / 4.5, 0, 1)  # white matter first
    reach += 4 * share_inside(fine["nuclei"], 2) + 10 * np.clip(1 - tissue, 0, None)
    reach[core < 1] = reach.min()
    reach -= _level(reach, tumour.whole_ml * voxels_per_ml)
    necrosis = core + tumour.rim * np.clip(1 + 0.4 * fine["patchy"], 0.3, None)
    return {"whole": reach, "core": core, "necrosis": necrosis, "patchy": fine["patchy"]}


def _level(field: Array, voxels: float) -> float:
    """The value that so many voxels of the field lie below."""
    return float(np.partition(field, round(voxels), axis=None)[round(voxels)])


def tumour_layers(growth: Shapes, tumour: Tumour, edge: float) -> Shapes:
    """Share (z, y, x) of each voxel by tissue of the tumour; `edge` in mm."""
    core, necrosis, patchy = growth["core"], growth["necrosis"], growth["patchy"]
    soaked = np.clip(0.7 - growth["whole"] / 9, 0, 1) * np.clip(0.88 + 0.06 * patchy, 0, 1)
    if not tumour.enhancing:
        return {
            "oedema": soaked,
            "solid": share_inside(core, 3 * edge) * np.clip(0.8 + 0.1 * patchy, 0, 1),
        }
    enhancing = share_inside(core, edge) * np.clip(0.9 + 0.1 * patchy, 0.6, 1)
    return {
        "oedema": soaked,
        "enhancing": enhancing,
        "necrosis": share_inside(necrosis, 1.5 * edge) * np.clip(0.9 + 0.1 * patchy, 0.5, 1),
    }


def label_map(growth: Shapes, brain: Array) -> npt.NDArray[np.uint8]:
    """Labels (z, y, x) as in `metakd.regions`; `brain` is its outline's signed distance, mm."""
    labels = np.zeros(brain.shape, np.uint8)
    labels[(growth["whole"] < 0) & (brain < 0)] = ED.value
    labels[growth["core"] < 0] = ET.value
    labels[growth["necrosis"] < 0] = NCR.value
    return labels
