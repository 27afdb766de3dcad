"""The preview picture, judged by its pixels."""

import numpy as np
import pytest
import SimpleITK as sitk
from metakd.preview import LegendEntry, draw_preview
from metakd.regions import ED, ET, LABELS, NCR

AMBER = (245, 178, 66)
SHAPE = (24, 60, 50)  # slices, rows, columns
SPACING = (3.0, 3.0, 5.5)
VIEWS = ("axial", "coronal", "sagittal")


def ball(shape, spacing, centre, radius):
    """Voxels within `radius` mm of `centre` (fractions of the volume: slice, row, column)."""
    places = np.indices(shape).transpose(1, 2, 3, 0) + 0.5
    away = (places - np.array(centre) * shape) * spacing[::-1]
    return (away**2).sum(-1) < radius**2


def make(balls, *, shape=SHAPE, spacing=SPACING, air=0.0):
    """A textured head in constant air and a label map of balls (label, centre, radius in mm)."""
    texture = np.random.default_rng(7).uniform(-2, 3, shape)
    head = ball(shape, spacing, (0.5, 0.5, 0.5), 62) & (np.indices(shape)[2] > 8)
    voxels = np.where(head, texture, air).astype(np.float32)
    labels = np.zeros(shape, np.uint8)
    for label, centre, radius in balls:
        labels[ball(shape, spacing, centre, radius)] = label.value
    images = [sitk.GetImageFromArray(array) for array in (voxels, labels)]
    for image in images:
        image.SetSpacing(spacing)
        image.SetOrigin((-70.0, -80.0, -60.0))
    return images


def draw(reference, label_map, *, title="Case", legend=()):
    picture = draw_preview(reference, label_map, title=title, subtitle="from T1c", legend=legend)
    return np.asarray(picture)


def panels_of(pixels):
    """The three panels, found as what is not page at mid-height."""
    page = pixels[0, 0]
    other = (pixels[pixels.shape[0] // 2] != page).any(-1)
    edges = np.flatnonzero(np.diff(np.r_[False, other, False].astype(int))).reshape(-1, 2)
    rows = np.flatnonzero((pixels[:, edges[0, 0] + 1] == 0).all(-1))
    panels = [pixels[rows[0] : rows[-1] + 1, left:right] for left, right in edges]
    assert len(panels) == 3
    return dict(zip(VIEWS, panels, strict=True))


def where(pixels, colour):
    """Rows and columns of the pixels of a colour."""
    return np.nonzero((abs(pixels.astype(int) - colour) < 10).all(-1))


def extent(pixels, colour):
    rows, columns = where(pixels, colour)
    return np.ptp(rows) + 1, np.ptp(columns) + 1


TUMOUR = [(ED, (0.6, 0.4, 0.4), 30), (ET, (0.6, 0.4, 0.4), 20), (NCR, (0.6, 0.4, 0.4), 12)]


@pytest.fixture(scope="module")
def usual():
    return draw(*make(TUMOUR))


def test_storage_orientation_does_not_show():
    images = make(TUMOUR)
    for image in images:  # slightly oblique, so that the positions under test are too
        turn = sitk.Euler3DTransform((0, 0, 0), 0.1, 0.05, -0.08)
        image.SetDirection(turn.GetMatrix())
    expected = draw(*images)
    for order, flips in (
        ((0, 1, 2), (False, False, True)),
        ((1, 2, 0), (True, False, False)),
        ((2, 1, 0), (True, True, False)),
    ):
        stored = [sitk.Flip(sitk.PermuteAxes(image, order), flips) for image in images]
        assert np.array_equal(draw(*stored), expected), f"axes {order}, flipped {flips}"


def test_a_sphere_in_anisotropic_voxels_is_round_and_to_scale():
    spacing = (1.0, 1.5, 2.5)
    reference, label_map = make([(ET, (0.5,) * 3, 25)], shape=(56, 90, 130), spacing=spacing)
    panels = panels_of(draw(reference, label_map))
    width = panels["axial"].shape[1]
    _, five_cm = extent(panels["axial"][-16:-14, width * 5 // 9 :], (240, 242, 245))
    for panel in panels.values():
        assert extent(panel, ET.rgb) == pytest.approx((five_cm, five_cm), rel=0.05)


def test_panels_share_one_height(usual):
    assert len({panel.shape[0] for panel in panels_of(usual).values()}) == 1


def test_radiological_convention():
    right_anterior_superior = (0.7, 0.3, 0.35)  # the arrays run towards S, P, L
    panels = panels_of(draw(*make([(ED, right_anterior_superior, 12)])))
    for view, panel in panels.items():
        rows, columns = where(panel, ED.rgb)
        assert rows.max() < panel.shape[0] / 2, f"{view}: not in the upper half"
        assert columns.max() < panel.shape[1] / 2, f"{view}: not in the left half"


def test_the_planes_go_through_the_largest_extent():
    panels = panels_of(draw(*make([(NCR, (0.3, 0.3, 0.35), 10), (ED, (0.65, 0.65, 0.65), 18)])))
    for panel in panels.values():
        assert where(panel, ED.rgb)[0].size
        assert not where(panel, NCR.rgb)[0].size


@pytest.mark.parametrize("present", [{NCR}, {ED, ET}, {NCR, ED, ET}, set()])
def test_contours_have_the_colours_of_the_labels_that_are_there(present):
    legend = [LegendEntry(label, f"{label.name}  1.0 ml") for label in LABELS]
    pixels = draw(*make([ball for ball in TUMOUR if ball[0] in present]), legend=legend)
    for panel in panels_of(pixels).values():
        for label in LABELS:
            assert bool(where(panel, label.rgb)[0].size) == (label in present)
    below = pixels[-130:]
    assert all(where(below, label.rgb)[0].size for label in LABELS)  # the legend's swatches


def test_an_enclosed_tissue_keeps_its_own_line(usual):
    panel = panels_of(usual)["axial"]
    widths = [extent(panel, label.rgb)[1] for label in (NCR, ET, ED)]
    assert widths == sorted(widths)
    assert widths[0] > 0


def test_an_empty_label_map_is_said_to_be_one(usual):
    reference, label_map = make(TUMOUR)
    header = slice(0, 120)
    assert not where(usual[header], AMBER)[0].size
    assert where(draw(reference, label_map * 0)[header], AMBER)[0].size


@pytest.mark.parametrize("shape", [(1, 60, 50), (24, 1, 50), (24, 60, 1), (2, 60, 50), (24, 60, 2)])
def test_thin_volumes(shape):
    reference, label_map = make([(ET, (0.5,) * 3, 25)], shape=shape)
    for panel in panels_of(draw(reference, label_map)).values():
        assert where(panel, ET.rgb)[0].size


def test_what_number_air_has_does_not_show(usual):
    assert np.array_equal(draw(*make(TUMOUR, air=-1000.0)), usual)


def test_air_amid_the_scale_is_black():
    assert not panels_of(draw(*make([])))["axial"][4:14, 4:14].any()


def test_intensity_offset_and_scale_do_not_show(usual):
    reference, label_map = make(TUMOUR)
    shifted = draw(reference * 400 - 3000, label_map)
    assert abs(shifted.astype(int) - usual).max() <= 1


def test_a_constant_image_is_drawn():
    reference, label_map = make(TUMOUR)
    panels = panels_of(draw(reference * 0 + 5, label_map))
    assert where(panels["axial"], ED.rgb)[0].size


@pytest.mark.parametrize("what", ["size", "spacing", "origin", "direction"])
def test_a_label_map_on_another_grid_is_refused(what):
    reference, label_map = make(TUMOUR)
    if what == "size":
        label_map = label_map[1:]
    elif what == "spacing":
        label_map.SetSpacing((3.0, 3.0, 5.0))
    elif what == "origin":
        label_map.SetOrigin((-70.0, -80.0, -59.0))
    else:
        label_map.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    with pytest.raises(ValueError, match=f"not on the reference's grid: {what}"):
        draw(reference, label_map)


def test_colour_and_2d_images_are_refused():
    reference, label_map = make(TUMOUR)
    with pytest.raises(ValueError, match="the reference is not a 3D image"):
        draw(sitk.Compose(reference, reference), label_map)
    with pytest.raises(ValueError, match="the label map is not a 3D image"):
        draw(reference, label_map[:, :, 3])


def test_long_texts_stay_inside_the_page():
    entry = LegendEntry(ET, "Enhancing tumour " * 9, "expected " * 20, "not reliable")
    pixels = draw(*make([]), title="Müller–Østergård " * 20, legend=[entry] * 4)
    assert (pixels[:, -38:] == pixels[0, 0]).all()
    assert pixels.shape[1] == 1500


def test_notes_carry_the_mark_of_their_level():
    images = make([])

    def amber(level):
        entry = LegendEntry(ET, "Enhancing tumour", "expected Dice 0.52", level)
        return where(draw(*images, legend=[entry])[-130:], AMBER)[0].size

    assert amber("use with care")
    assert not amber("reliable")
    assert not amber("not reliable")


def test_an_unknown_level_is_refused():
    with pytest.raises(ValueError, match="'sure' is no level of trust"):
        LegendEntry(ET, "Enhancing tumour", level="sure")
