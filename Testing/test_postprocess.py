import numpy as np
import pytest
import SimpleITK as sitk
from metakd.contrasts import Contrast
from metakd.postprocess import label_map, to_reference
from metakd.preprocess import PreparedStudy, prepare
from metakd.regions import ED, ET, NCR, REGIONS, Region
from metakd.steps import AS_IT_IS
from metakd.study import make_study


def probability(mask, spacing=1.0):
    image = sitk.GetImageFromArray(np.where(mask, 0.9, 0.1).astype(np.float32))
    image.SetSpacing([spacing] * 3)
    return image


def regions(enhancing, core, whole):
    masks = (enhancing, core, whole)
    return dict(zip(REGIONS, (probability(m) for m in masks), strict=True))


def block(start, stop, shape=(20, 20, 20)):
    mask = np.zeros(shape, dtype=bool)
    mask[start:stop, start:stop, start:stop] = True
    return mask


def labels_of(probabilities, **smallest_ml):
    return sitk.GetArrayFromImage(label_map(probabilities, smallest_ml=smallest_ml))


def test_nested_regions_become_disjoint_labels():
    labels = labels_of(regions(block(8, 12), block(6, 14), block(4, 16)))
    assert labels[10, 10, 10] == ET.value
    assert labels[7, 7, 7] == NCR.value
    assert labels[5, 5, 5] == ED.value
    assert labels[1, 1, 1] == 0


def test_a_region_is_at_least_as_likely_as_those_inside_it():
    rng = np.random.default_rng(0)
    reference = sitk.GetImageFromArray(rng.random((20, 30, 25)).astype(np.float32))
    prepared = prepare(make_study({Contrast.T1: reference}), spacing=1.0, stride=16, steps=AS_IT_IS)
    raw = rng.random((3, *prepared.shape)).astype(np.float32)
    images = to_reference(raw, prepared)
    enhancing, core, whole = (sitk.GetArrayFromImage(images[region]) for region in REGIONS)
    assert (enhancing <= core + 1e-6).all()
    assert (core <= whole + 1e-6).all()
    assert images[Region.WT].GetSize() == reference.GetSize()


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("start", [(2, 3, 4), (-3, -4, 5), (12, -2, 9), (40, 0, 0), (2.5, 3, 4)])
def test_copying_where_voxels_are_shared_gives_what_interpolation_gives(turned, start):
    """Inside, across the border of, and outside the reference; half a voxel apart is not shared."""
    rng = np.random.default_rng(0)
    reference = sitk.GetImageFromArray(rng.random((18, 22, 20)).astype(np.float32))
    reference.SetSpacing((0.9, 1.1, 1.3))
    reference.SetOrigin((-20.3, 11.9, 5.1))
    angle = 0.3 if turned else 0.0
    sine, cosine = np.sin(angle), np.cos(angle)
    reference.SetDirection((cosine, -sine, 0, sine, cosine, 0, 0, 0, 1))
    grid = sitk.Image([10, 12, 8], sitk.sitkUInt8)
    grid.SetSpacing(reference.GetSpacing())
    grid.SetDirection(reference.GetDirection())
    grid.SetOrigin(reference.TransformContinuousIndexToPhysicalPoint([float(v) for v in start]))
    stored = sitk.Flip(sitk.PermuteAxes(reference, (2, 0, 1)), (True, False, True))
    prepared = PreparedStudy({}, np.ones((8, 12, 10), dtype=bool), grid, stored)
    values = rng.random((3, *prepared.shape)).astype(np.float32)
    expected = sitk.Resample(
        prepared.image(values[0]), stored, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32
    )
    found = to_reference(values, prepared)[Region.ET]
    assert np.abs(sitk.GetArrayFromImage(found - expected)).max() < 1e-6
    assert sitk.GetArrayViewFromImage(found).any() == (start != (40, 0, 0))


def test_small_parts_of_the_tumour_are_removed_and_large_ones_stay():
    none = np.zeros((20, 20, 20), dtype=bool)
    whole = block(0, 3) | block(8, 16)  # 0.027 ml and 0.512 ml
    probabilities = regions(none, none, whole)
    assert (labels_of(probabilities, WT=0.1) > 0).sum() == 512
    assert (labels_of(probabilities, WT=0.01) > 0).sum() == 512 + 27
    assert (labels_of(probabilities) > 0).sum() == 512 + 27


def test_too_little_enhancing_tumour_becomes_necrotic_core():
    probabilities = regions(block(8, 10), block(6, 14), block(4, 16))
    assert not (labels_of(probabilities, ET=0.05) == ET.value).any()
    assert (labels_of(probabilities, ET=0.05) == NCR.value).sum() == 512
    assert (labels_of(probabilities, ET=0.005) == ET.value).sum() == 8


@pytest.mark.parametrize("spacing", [1.0, 2.0])
def test_sizes_are_millilitres_whatever_the_voxel(spacing):
    none = np.zeros((20, 20, 20), dtype=bool)
    images = {region: probability(none, spacing) for region in REGIONS}
    images[Region.WT] = probability(block(8, 12), spacing)  # 0.064 ml or 0.512 ml
    kept = sitk.GetArrayFromImage(label_map(images, smallest_ml={"WT": 0.1})).any()
    assert kept == (spacing == 2.0)
