"""How volumes lie to each other."""

from dataclasses import replace

import numpy as np
import pytest
from metakd.contrasts import CONTRASTS
from volume_descriptions import BRATS_SIZE, geometry, volume

from MetaKDSegmentationLib.slots import Geometry, covered, overlap, same_grid

T1, _, T2, _ = CONTRASTS


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"origin": (0.05, 0, 0)}, True),  # rounding of DICOM positions
        ({"origin": (0.2, 0, 0)}, False),
        ({"spacing": (1.0001, 1, 1)}, True),
        ({"spacing": (1.01, 1, 1)}, False),
        ({"size": (240, 240, 154)}, False),
        ({"linear": False}, False),
    ],
)
def test_the_same_grid_to_a_tenth_of_a_voxel(change, same):
    one, other = volume(T1), volume(T2, **change)
    assert same_grid(one, other) is same
    assert same_grid(other, one) is same


def test_a_flipped_grid_is_another_grid():
    flipped = [-1, 0, 0, 239, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    other = replace(volume(T2), geometry=Geometry(BRATS_SIZE, tuple(map(float, flipped))))
    assert not same_grid(volume(T1), other)


def test_corners_are_the_outer_ones():
    corners = geometry((2, 3, 4), (1.0, 2.0, 3.0), (10.0, 0.0, 0.0)).corners()
    assert len(corners) == 8
    assert min(corners) == (9.5, -1.0, -1.5)
    assert max(corners) == (11.5, 5.0, 10.5)


def test_places_within_a_grid():
    turned = [0, -2, 0, 10, 1, 0, 0, -5, 0, 0.5, 3, 0, 0, 0, 0, 1]  # also sheared
    grid = Geometry((4, 5, 6), tuple(map(float, turned)))
    rng = np.random.default_rng(0)
    for ijk in rng.uniform(-2, 8, (500, 3)):
        inside = all(-0.5 <= x <= n - 0.5 for x, n in zip(ijk, grid.size, strict=True))
        assert grid.contains(grid.position(ijk)) is inside
    flat = Geometry((4, 5, 6), (1.0, 0, 0, 0, 0, 1.0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1.0))
    assert not flat.contains((0, 0, 0))


def test_how_much_is_covered():
    head = geometry((100, 200, 130), (1.0, 1.0, 1.0))
    assert covered(head, head) == pytest.approx((1, 100))
    upper = geometry((100, 200, 65), (1.0, 1.0, 1.0), (0, 0, 60.0))
    part, least = covered(head, upper)
    assert part == pytest.approx(0.5, abs=0.05) and least == pytest.approx(65, abs=10)
    assert covered(head, geometry(origin=(900.0, 0, 0))) == (0, 0)
    assert covered(upper, head) == pytest.approx((0.96, 63), rel=0.08)


def test_what_is_bent_may_be_anywhere():
    far = volume(T1, origin=(0, 0, 400.0))
    assert not overlap(far, volume(T2))
    assert overlap(replace(far, linear=False), volume(T2))
