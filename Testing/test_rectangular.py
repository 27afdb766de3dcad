"""Skew axes: what is resampled, what is left alone, and what lies around it."""

import numpy as np
import pytest
import SimpleITK as sitk
from metakd.foreground import background
from metakd.rectangular import rectangular, skew, without_rounding
from scans import filled_with_ramp, make_ramp, make_scan, places, ramp_at


def slanted(image, axis, towards, by):
    """The image with one of its axes leaning towards another, by so many mm a mm."""
    axes = np.reshape(image.GetDirection(), (3, 3)).copy()
    axes[:, axis] += by * axes[:, towards]
    axes[:, axis] /= np.linalg.norm(axes[:, axis])
    image.SetDirection(axes.ravel().tolist())
    return image


@pytest.mark.parametrize("spacing", [(1.0, 1.2, 5.0), (5.0, 1.0, 1.2), (1.0, 5.0, 1.2)])
def test_the_planes_of_the_slices_stay_whichever_axis_they_are_stacked_along(spacing):
    thick = int(np.argmax(spacing))
    frame = slanted(make_ramp((12, 12, 12), spacing), thick, (thick + 1) % 3, 0.3)
    straight = rectangular(filled_with_ramp(frame))
    assert skew(straight) == 0
    assert straight.GetSize()[thick] == 12
    others = [axis for axis in range(3) if axis != thick]
    np.testing.assert_allclose([straight.GetSpacing()[a] for a in others],
                               [frame.GetSpacing()[a] for a in others])  # fmt: skip
    # A slice is where it was: nothing of its neighbours is in it.
    middle = [n / 2 for n in frame.GetSize()]
    middle[thick] = 4
    place = frame.TransformContinuousIndexToPhysicalPoint(middle)
    assert abs(straight.TransformPhysicalPointToContinuousIndex(place)[thick] - 4) < 1e-6
    nearest = straight.TransformPhysicalPointToIndex(place)
    there = straight.TransformIndexToPhysicalPoint(nearest)
    assert abs(straight[nearest] - ramp_at(there)) < 0.01


def test_what_a_skew_image_does_not_cover_is_its_background():
    bright = rectangular(slanted(make_scan() + 50, 2, 1, 0.4))
    values = sitk.GetArrayViewFromImage(bright)
    assert background(values) == 50
    assert values.min() == 50 or np.isclose(values.min(), 50, atol=1e-3)


def test_right_angles_and_rounding_are_left_alone():
    image = make_scan()
    assert rectangular(image) is image
    rounded = slanted(make_scan(), 2, 1, 1e-3)
    placed = rectangular(rounded)
    assert skew(rounded) > 0
    assert skew(placed) == 0
    assert np.array_equal(*(sitk.GetArrayViewFromImage(i) for i in (placed, rounded)))
    assert np.abs(places(placed) - places(rounded)).max() < 0.5


def test_more_than_rounding_is_not_taken_for_it():
    image = slanted(make_scan(), 2, 1, 0.1)
    assert without_rounding(image) is image
    assert skew(image) == pytest.approx(np.degrees(np.arctan(0.1)))
