"""Shapes of a phantom: signed distances and smooth noise, on a lattice or on any grid.

Distances are in mm, negative inside, in patient coordinates: LPS, x to the left, y to the back, z
up. Arrays are indexed (z, y, x). The lattice is the same whatever the grid asked for.
"""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]
Axes = tuple[Array, Array, Array]
"""Positions of the voxel centres along z, y and x, mm."""
Point = tuple[float, float, float]
Points = tuple[Array, Array, Array]
"""Coordinates x, y, z of every point of a lattice, mm."""
Shapes = dict[str, Array]
"""Fields on one grid by name: signed distances, or shares of a voxel."""

BRAIN_EXTENT: Point = (160.0, 200.0, 150.0)
"""Field of view of a skull-stripped brain; x, y, z, mm."""
HEAD_EXTENT: Point = (196.0, 236.0, 196.0)
"""Field of view of a head; x, y, z, mm."""
LATTICE_STEP = 3.0
"""Between the nodes of the lattice that shapes are evaluated on; mm."""


def grid_axes(extent: Point, spacing: float) -> Axes:
    """Voxel centres of a grid of `extent` (x, y, z, mm), its centre at the origin."""
    counts = [round(length / spacing) for length in reversed(extent)]
    z, y, x = ((np.arange(n) - (n - 1) / 2) * spacing for n in counts)
    return z, y, x


def lattice_axes(extent: Point, step: float) -> Axes:
    """Nodes at multiples of `step` (mm), so that all extents share them; two to spare."""
    counts = [int(length / 2 / step) + 3 for length in reversed(extent)]
    z, y, x = (np.arange(-n, n + 1) * step for n in counts)
    return z, y, x


def interpolate(values: Array, nodes: Axes, axes: Axes) -> Array:
    """Values on the grid of `axes` of the cubic B-spline with coefficients `values` at `nodes`.

    Without matrix products: their rounding depends on the number of threads, a phantom must not.
    """
    values = values.astype(np.float32)
    for axis in (2, 1, 0):  # so that the largest arrays are taken from in contiguous slabs
        node, shape = nodes[axis], [1, 1, 1]
        shape[axis] = len(axes[axis])
        at = (axes[axis] - node[0]) / (node[1] - node[0])
        first = np.floor(at).astype(int) - 1
        t = (at - first - 1).astype(np.float32).reshape(shape)
        taps = (1 - t) ** 3, 4 - 3 * t * t * (2 - t), 1 + 3 * t * (1 + t - t * t), t**3
        values = sum(
            values.take(np.clip(first + k, 0, len(node) - 1), axis) * (tap / np.float32(6))
            for k, tap in enumerate(taps)
        )
    return values


def smooth_noise(rng: np.random.Generator, step: float, axes: Axes) -> Array:
    """Smooth random field on `axes`, about standard normal; `step` is a third of its grain, mm."""
    nodes = lattice_axes(HEAD_EXTENT, step)  # of fixed size: independent of the grid
    values = rng.standard_normal([len(node) for node in nodes], dtype=np.float32)
    return interpolate(values * np.float32(3), nodes, axes)


def coordinates(axes: Axes, sparse: bool = False) -> Points:
    """Coordinates of the points of a grid, each of shape (z, y, x), or broadcastable to it."""
    z, y, x = np.meshgrid(*(np.float32(axis) for axis in axes), indexing="ij", sparse=sparse)
    return x, y, z


def ellipsoid(points: Points, centre: Point, radii: Point) -> Array:
    """Signed distance (mm, near the surface) to the ellipsoid of these radii (x, y, z, mm)."""
    scaled = [(p - c) / r for p, c, r in zip(points, centre, radii, strict=True)]
    near = np.sqrt(sum(s * s for s in scaled))
    slope = np.sqrt(sum((s / r) ** 2 for s, r in zip(scaled, radii, strict=True)))
    distance: Array = near * (near - 1) / (slope + np.float32(1e-6))
    return distance


def tube(points: Points, *stops: tuple[float, float, float, float]) -> Array:
    """Signed distance (mm) to the round cones through the stops (x, y, z, radius; mm)."""
    parts = []
    for (*start, radius), (*end, end_radius) in pairwise(stops):
        along = [e - s for s, e in zip(start, end, strict=True)]
        offset = [p - s for p, s in zip(points, start, strict=True)]
        dot = sum(o * a for o, a in zip(offset, along, strict=True))
        h = np.clip(dot / sum(a * a for a in along), 0, 1)
        gap = np.sqrt(sum((o - h * a) ** 2 for o, a in zip(offset, along, strict=True)))
        parts.append(gap - (radius + h * (end_radius - radius)))
    return reduce(lambda a, b: union(a, b, 3), parts)


def union(a: Array, b: Array, rounding: float) -> Array:
    """Signed distance (mm) to either shape, their seam filled over `rounding` mm."""
    h = np.clip(0.5 + 0.5 * (b - a) / rounding, 0, 1)
    return b + (a - b) * h - rounding * h * (1 - h)


def share_inside(distance: Array, edge: float) -> Array:
    """Share of a voxel `edge` mm wide that is inside, from its centre's signed distance (mm)."""
    share: Array = np.clip(0.5 - distance / edge, 0, 1)
    return share
