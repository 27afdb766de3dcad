import itertools

import numpy as np
import pytest
import SimpleITK as sitk
from metakd.contrasts import Contrast
from metakd.foreground import foreground
from metakd.postprocess import to_reference
from metakd.preprocess import prepare as prepare_anything
from metakd.regions import Region
from metakd.steps import AS_IT_IS
from metakd.study import StudyError, make_study

STRIDE = 16


def prepare(*arguments, **options):
    """Geometry and normalisation alone; registration and brain have tests of their own."""
    return prepare_anything(*arguments, steps=AS_IT_IS, **options)


def brain(size=(40, 48, 36), spacing=(1.0, 1.0, 1.0), seed=0, centre=None):
    """An ellipsoid of textured tissue on a zero background, lopsided so that axes differ."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in size[::-1]), indexing="ij")
    inside = (x / 0.7) ** 2 + (y / 0.8) ** 2 + (z / 0.6) ** 2 < 1
    tissue = 100 + 30 * x + 20 * y + 10 * z + rng.normal(0, 3, x.shape)
    image = sitk.GetImageFromArray(np.where(inside, tissue, 0).astype(np.float32))
    image.SetSpacing(spacing)
    extent = np.array(size) * spacing
    image.SetOrigin((np.zeros(3) if centre is None else np.array(centre) - extent / 2).tolist())
    return image


def orientations():
    for order in itertools.permutations(range(3)):
        for flips in itertools.product([False, True], repeat=3):
            yield order, flips


def stored_as(image, order, flips):
    """The same voxels at the same places in space, stored along other axes."""
    return sitk.Flip(sitk.PermuteAxes(image, order), flips)


def test_48_storage_orientations_are_prepared_alike():
    image = brain()
    expected = prepare(make_study({Contrast.T1: image}), spacing=1.0, stride=STRIDE)
    seen = set()
    for order, flips in orientations():
        stored = stored_as(image, order, flips)
        seen.add((stored.GetDirection(), stored.GetSize()))
        study = make_study({Contrast.T1: stored})
        prepared = prepare(study, spacing=1.0, stride=STRIDE)
        assert np.array_equal(prepared.channels[Contrast.T1], expected.channels[Contrast.T1]), (
            order,
            flips,
        )
    assert len({direction for direction, _ in seen}) == 48


def test_48_orientations_of_an_oblique_thick_sliced_image_come_back_to_their_voxels():
    """There and back again through the network's grid, on the image's own, to the voxel."""
    image = brain((44, 40, 20), (0.9, 1.3, 2.7))
    turn = sitk.Euler3DTransform((0, 0, 0), 0.2, -0.15, 0.3)
    image.SetDirection(turn.GetMatrix())
    smooth = sitk.SmoothingRecursiveGaussian(image, 4.0)
    image = sitk.Mask(smooth, smooth > 5)
    expected = None
    for order, flips in orientations():
        stored = stored_as(image, order, flips)
        prepared = prepare(make_study({Contrast.T1: stored}), spacing=1.0, stride=STRIDE)
        values = np.where(prepared.brain, prepared.channels[Contrast.T1] + 5, 0)
        back = to_reference(np.stack([values] * 3).astype(np.float32), prepared)[Region.WT]
        assert back.GetSize() == stored.GetSize()
        assert back.GetDirection() == stored.GetDirection()
        home = sitk.GetArrayFromImage(sitk.DICOMOrient(back, "LPS"))
        expected = home if expected is None else expected
        np.testing.assert_allclose(home, expected, atol=1e-4)
        inside = sitk.GetArrayFromImage(stored) > 60
        returned = sitk.GetArrayFromImage(back)[inside]
        assert np.corrcoef(returned, sitk.GetArrayFromImage(stored)[inside])[0, 1] > 0.99


def test_contrasts_on_four_grids_meet_at_the_same_place_in_space():
    """One blob, seen by four grids of other spacing, origin and orientation."""
    fine = sitk.GaussianSource(
        sitk.sitkFloat32, size=[80, 90, 70], sigma=[14, 16, 12], mean=[40, 47, 33], scale=100
    )
    blob = sitk.Mask(fine, fine > 5)
    images = {Contrast.T1C: blob}
    for contrast, spacing, start, order in (
        (Contrast.T1, (0.8, 1.1, 2.5), (-4.0, 3.0, -6.0), (0, 1, 2)),
        (Contrast.T2, (3.0, 0.9, 0.9), (2.0, -5.0, -2.0), (2, 0, 1)),
        (Contrast.FLAIR, (1.3, 1.3, 1.3), (-10.0, -10.0, -10.0), (1, 2, 0)),
    ):
        size = [round(e / s) + 6 for e, s in zip((80, 90, 70), spacing, strict=True)]
        on_grid = sitk.Resample(blob, size, sitk.Transform(), sitk.sitkLinear, start, spacing)
        images[contrast] = sitk.PermuteAxes(on_grid, order)
    prepared = prepare(make_study(images), spacing=1.0, stride=STRIDE)
    inside = sitk.GetArrayFromImage(sitk.Resample(fine, prepared.grid)) > 20
    reference = prepared.channels[Contrast.T1C][inside]
    for contrast, channel in prepared.channels.items():
        assert np.corrcoef(channel[inside], reference)[0, 1] > 0.99, contrast


@pytest.mark.parametrize(("scale", "offset"), [(1e-9, 0), (1e6, 1e7), (-1, 0), (1, -1000)])
def test_intensities_of_any_scale_and_sign_are_prepared_alike(scale, offset):
    image = brain()
    other = sitk.Cast(image, sitk.sitkFloat64) * scale + offset
    expected, prepared = (
        prepare(make_study({Contrast.T2: i}), spacing=1.0, stride=STRIDE) for i in (image, other)
    )
    assert np.array_equal(prepared.brain, expected.brain)
    np.testing.assert_allclose(
        np.sign(scale) * prepared.channels[Contrast.T2], expected.channels[Contrast.T2], atol=2e-3
    )


def test_channels_are_standardised_inside_the_brain_and_zero_outside():
    prepared = prepare(make_study({Contrast.T1: brain()}), spacing=1.0, stride=STRIDE)
    channel = prepared.channels[Contrast.T1]
    assert channel[prepared.brain].mean() == pytest.approx(0, abs=1e-3)
    assert channel[prepared.brain].std() == pytest.approx(1, abs=1e-3)
    assert not channel[~prepared.brain].any()


def test_a_reference_at_the_models_spacing_is_not_interpolated():
    image = brain(seed=3)
    prepared = prepare(make_study({Contrast.T1: image}), spacing=1.0, stride=STRIDE)
    back = sitk.GetArrayFromImage(
        sitk.Resample(prepared.image(prepared.brain.astype(np.float32)), image)
    )
    assert np.array_equal(back > 0.5, sitk.GetArrayFromImage(foreground(image)) > 0)
    assert set(np.unique(back)) == {0.0, 1.0}


def test_the_box_leaves_the_air_out():
    roomy = sitk.ConstantPad(brain(), [60] * 3, [50] * 3)
    prepared = prepare(make_study({Contrast.T1: roomy}), spacing=1.0, stride=STRIDE)
    assert prepared.shape == (32, 48, 48)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_four_slices_are_prepared(axis):
    size, spacing = [40, 48, 36], [1.0, 1.0, 1.0]
    cut = [slice(None)] * 3
    cut[axis] = slice(16, 20)
    slab = brain(tuple(size), tuple(spacing))[tuple(cut)]
    prepared = prepare(make_study({Contrast.T1: slab}), spacing=1.0, stride=STRIDE)
    assert prepared.brain.any()
    assert np.isfinite(prepared.channels[Contrast.T1]).all()


def test_thick_slices_fill_their_thickness():
    thick = sitk.BinShrink(brain((40, 48, 40)), [1, 1, 5])
    prepared = prepare(make_study({Contrast.T1: thick}), spacing=1.0, stride=STRIDE)
    depth = prepared.brain.any(axis=(1, 2)).sum()
    assert depth == pytest.approx(25, abs=5)  # 0.6 of 40 mm


def test_a_head_with_skull_in_noisy_air_is_found_too():
    image = brain((40, 48, 36))
    rng = np.random.default_rng(1)
    noisy = sitk.GetArrayFromImage(image) + rng.normal(5, 1, (36, 48, 40))
    head = sitk.GetImageFromArray(noisy.astype(np.float32))
    found = sitk.GetArrayFromImage(foreground(head)) > 0
    truth = sitk.GetArrayFromImage(image) > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.99


def test_a_contrast_that_shows_nothing_where_the_reference_has_brain_is_refused():
    left, right = brain(), brain(seed=1)
    right[:30, :, :] = 0.0
    study = make_study({Contrast.T1C: left[:10], Contrast.T1: right})
    with pytest.raises(StudyError, match="T1 shows nothing where T1c has brain"):
        prepare(study, spacing=1.0, stride=STRIDE)


def test_an_absent_reference_is_refused():
    with pytest.raises(StudyError, match="FLAIR"):
        prepare(
            make_study({Contrast.T1: brain()}),
            spacing=1.0,
            stride=STRIDE,
            reference=Contrast.FLAIR,
        )


@pytest.mark.parametrize("spacing", [12.0, 0.1])
def test_a_head_of_impossible_size_is_refused(spacing):
    study = make_study({Contrast.T1: brain((80, 80, 80), (spacing,) * 3)})
    with pytest.raises(StudyError, match="mm long; check the voxel spacing"):
        prepare(study, spacing=1.0, stride=STRIDE)


def test_a_brain_without_any_detail_is_refused():
    flat = brain() > 0
    odd = sitk.Cast(flat, sitk.sitkFloat32)
    odd[0, 0, 0] = 0.5
    with pytest.raises(StudyError, match=r"T1 is the same everywhere|T1: is a segmentation"):
        prepare(make_study({Contrast.T1: odd}), spacing=1.0, stride=STRIDE)
