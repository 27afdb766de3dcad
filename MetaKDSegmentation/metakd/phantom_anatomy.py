"""A phantom's person: the brain's outline, folds, ventricles and nuclei, and the head around it.

Lattice fields go in two steps to tissues: `anatomy_fields`, and, once these are interpolated to the
grid asked for, `brain_layers` and `layers_around_the_brain`. Lengths are in mm, the brain's centre
at the origin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .phantom_shapes import (
    LATTICE_STEP,
    Array,
    Axes,
    Points,
    Shapes,
    coordinates,
    ellipsoid,
    share_inside,
    smooth_noise,
    tube,
    union,
)


@dataclass(frozen=True)
class Person:
    """A brain before any tumour; its fields have the lattice's shape (z, y, x)."""

    points: Points  # the lattice in the average brain's coordinates
    brain: Array  # outline of the skull-stripped brain
    lobes: Array  # outline of the parenchyma, sulci closed
    atrophy: float
    lesion_level: float  # of the speckle field, above which white matter has a lesion


def draw_person(rng: np.random.Generator, nodes: Axes) -> Person:
    """Draw a size, a shape, an age and chance lesions, on the lattice of `nodes`."""
    x, y, z = (
        p * float(rng.uniform(0.96, 1.05)) + 2.2 * smooth_noise(rng, 30, nodes)
        for p in coordinates(nodes)
    )
    atrophy = float(rng.uniform(0, 1))
    lesion_level = float(rng.uniform(1.7, 2.3)) if rng.uniform() < 0.4 else 9.0
    points, side = (x, y, z), (np.abs(x), y, z)
    cerebrum = ellipsoid(side, (17, 0, 5), (51, 87, 61))
    floor = -17 + 0.1 * np.clip(y, -40, 60) - z
    cerebrum = -union(-cerebrum, -floor, 8)
    temporal = ellipsoid(side, (43, -4, -20), (21, 43, 18))
    cerebellum = ellipsoid(side, (19, 48, -33), (34, 31, 23))
    stem = union(
        tube(points, (0, 6, -6, 14), (0, 12, -30, 13), (0, 22, -66, 8)),
        ellipsoid(points, (0, 5, -28), (17, 12, 13)),
        4,
    )
    lobes = union(union(cerebrum, temporal, 2), np.minimum(cerebellum, stem), 1)
    brain = union(union(cerebrum, temporal, 8), union(cerebellum, stem, 6), 9) - 0.5
    brain = union(brain, ellipsoid(points, (0, 0, 22), (45, 85, 42)), 8)
    return Person(points, brain, lobes + 1.5, atrophy, lesion_level)


def anatomy_fields(
    rng: np.random.Generator, person: Person, points: Points, squeeze: Array, nodes: Axes
) -> Shapes:
    """The fields (z, y, x) on the lattice that `brain_layers` cuts tissues from.

    `points`: where the tissue at each node was before a tumour grew, in the average brain's
    coordinates, mm; `squeeze`: how compressed it is now, 0 to 1.
    """
    x, y, z = points
    side = np.abs(x), y, z
    grown = person.atrophy * 1.2
    lateral = tube(
        side, (10, -38, 5, 5 + grown), (8, -18, 14, 5.5 + grown), (8.5, 5, 19, 5 + grown),
        (19, 25, 13, 7 + grown), (22, 46, 6, 3.5 + grown),
    )  # fmt: skip
    temporal_horn = tube(side, (19, 25, 12, 5), (30, 16, -8, 3.5), (34, -6, -17, 3))
    third = ellipsoid(points, (0, -6, 1), (2.2 + grown, 13, 9))
    fourth = tube(points, (0, 6, -6, 0.8), (0, 17, -16, 1.5), (0, 26, -30, 4), (0, 26, -42, 1.5))
    ventricles = np.minimum(union(lateral, temporal_horn, 2), np.minimum(third, fourth))
    caudate = tube(side, (18, -32, 3, 6), (18, -20, 13, 5), (21, 4, 20, 3))
    thalamus = ellipsoid(side, (12, 4, 4), (10, 16, 9))
    lentiform = ellipsoid((side[0] + 0.25 * y, y, z), (22, -12, 2), (6, 17, 10))
    insula = ellipsoid((side[0] - 0.1 * z, y, z), (39, -8, 0), (2, 22, 14))
    sylvian = ellipsoid((side[0], y, z + 0.25 * y), (55, -2, -3), (19, 32, 1.8))
    cerebellum = ellipsoid(side, (19, 48, -33), (36, 33, 24))
    stem = tube(points, (0, 6, -6, 14), (0, 12, -30, 15), (0, 22, -66, 11))
    away = share_inside(stem, 6)
    deep = np.maximum(away, share_inside(ellipsoid(points, (0, -2, 2), (31, 43, 30)), 22))
    return {
        "brain": person.brain,
        "lobes": person.lobes,
        "midline": x,
        "callosum": -ellipsoid((np.zeros_like(x), y, z), (1, -2, -4), (9, 43, 34)),
        "fold": np.where(cerebellum < 0, _folia(points), _folds(rng, points)),
        "floor": np.where(cerebellum < 0, 13, 21) + 6 * smooth_noise(rng, 12, nodes) - 40 * deep,
        "cortex": np.where(cerebellum < 0, 1.4, 3.1) * (1 - away),
        "width": np.where(cerebellum < 0, 0.3, 0.45 + 0.7 * person.atrophy) - 1.2 * squeeze,
        "fissure": np.minimum(insula, sylvian) + 2 * squeeze,
        "ventricles": ventricles + 3 * squeeze,
        "nuclei": np.minimum(np.minimum(caudate, thalamus), lentiform),
        "choroid": ellipsoid(side, (19, 25, 11), (3, 6, 4)),
        "speckle": smooth_noise(rng, 4.5, nodes),
    }


def _folds(rng: np.random.Generator, points: Points) -> Array:
    """Signed distance to the sulci: level set of random waves that are constant along the depth.

    Waves of one length and random direction have a labyrinth of zero lines on a surface, as the
    cortex has.
    """
    x, y, z = points
    centre = np.copysign(np.float32(20), x), np.clip(y * 0.8, -42, 42), np.full_like(z, 4)
    spoke = [p - c for p, c in zip(points, centre, strict=True)]
    stretch = (48 / (np.sqrt(sum(s * s for s in spoke)) + 4)) ** 0.75
    at = [c + s * stretch for c, s in zip(centre, spoke, strict=True)]
    directions = rng.standard_normal((28, 3)).astype(np.float32)
    lengths = rng.uniform(15, 21, 28).astype(np.float32)
    phases = rng.uniform(0, 2 * np.pi, 28).astype(np.float32)
    waves = np.zeros_like(x)
    for direction, length, phase in zip(directions, lengths, phases, strict=True):
        k = direction * (2 * np.pi / length / np.linalg.norm(direction))
        waves += np.cos(sum(a * b for a, b in zip(k, at, strict=True)) + phase)
    slope = np.sqrt(sum(g * g for g in np.gradient(waves, LATTICE_STEP)))
    distance: Array = waves / (slope + 0.25)
    return distance


def _folia(points: Points) -> Array:
    """Signed distance (mm) to the clefts of the cerebellum: sheets about a transverse axis."""
    x, y, z = points
    y, z = y - 26, z + 34 + 0.006 * x**2
    count = 19
    distance: Array = np.sin(count * np.arctan2(z, y)) * np.hypot(y, z) / count
    return distance


def brain_layers(fine: Shapes, person: Person, axes: Axes, edge: float) -> Shapes:
    """Share (z, y, x) of each voxel by tissue; adds `tissue`, mm from fluid, to `fine`."""
    brain, midline = fine["brain"], fine["midline"]
    cleft = np.maximum(np.abs(midline) - 0.9, fine["callosum"])
    surface = np.minimum(-fine["lobes"], cleft)
    sulci = np.maximum(np.abs(fine["fold"]) - fine["width"], surface - fine["floor"])
    tissue = np.minimum(np.minimum(surface, sulci), fine["fissure"])
    fine["tissue"] = np.minimum(tissue, fine["ventricles"])  # distance to fluid
    ventricles = share_inside(fine["ventricles"], edge)
    speckle = fine["speckle"]
    beside = np.maximum(fine["ventricles"] - 13, 5 - tissue)
    lesion = np.maximum(2.5 * (person.lesion_level - speckle), beside)
    artery = np.hypot(fine["fold"], 2.5 * speckle) - 0.5
    superior = np.hypot(midline, 0.7 * brain + 2) - 2.5
    superior[axes[0] < 10] = 20
    falx = np.maximum(np.abs(midline) - 0.5, fine["callosum"] + 8)
    fluid = np.maximum(share_inside(tissue, edge) * share_inside(brain - 2, edge), ventricles)
    return {
        "white": share_inside(brain, edge),
        "grey": share_inside(tissue - fine["cortex"], edge) * share_inside(brain, edge),
        "nuclei": share_inside(fine["nuclei"], edge),
        "lesion": share_inside(lesion, 2.5),
        "csf": fluid,
        "falx": share_inside(falx, edge) * fluid,
        "vessel": share_inside(np.minimum(artery, superior), edge) * fluid * (1 - ventricles),
        "choroid": ventricles * share_inside(fine["choroid"], 2),
    }


def layers_around_the_brain(fine: Shapes, axes: Axes, edge: float) -> Shapes:
    """Share (z, y, x) of each voxel by tissue of the head, the brain excepted; `edge` in mm."""
    points = coordinates(axes, sparse=True)
    x, y, z = points
    side = np.abs(x), y, z
    head = ellipsoid(points, (0, 0, -2), (82, 102, 86))
    face = tube(points, (0, -44, -20, 50), (0, -52, -100, 40))
    neck = tube(points, (0, 20, -40, 62), (0, 30, -130, 55))
    head = union(union(face, neck, 10), head, 15)
    vault = fine["brain"] - 2
    head = np.minimum(head, vault - 13)
    airway = tube(points, (0, -72, -62, 9), (0, -30, -62, 10), (0, -22, -110, 9))
    eye = ellipsoid(side, (32, -78, -30), (12, 12, 12))
    return {
        "air": np.ones_like(vault),
        "fat": share_inside(head, edge),
        "muscle": share_inside(head + 5, edge),
        "bone": np.maximum(share_inside(vault - 7, edge), share_inside(airway - 2, edge)),
        "marrow": share_inside(np.abs(vault - 4) - 1.3, edge),
        "eye": share_inside(eye, edge),
        "cavity": share_inside(airway, edge),
    }
