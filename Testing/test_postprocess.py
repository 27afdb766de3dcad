import numpy as np
import pytest
import SimpleITK as sitk
from metakd.contrasts import Contrast
from metakd.postprocess import label_map, to_reference
from metakd.preprocess import prepare
from metakd.regions import ED, ET, NCR, REGIONS, Region
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
    prepared = prepare(make_study({Contrast.T1: reference}), spacing=1.0, stride=16)
    raw = rng.random((3, *prepared.shape)).astype(np.float32)
    images = to_reference(raw, prepared)
    enhancing, core, whole = (sitk.GetArrayFromImage(images[region]) for region in REGIONS)
    assert (enhancing <= core + 1e-6).all()
    assert (core <= whole + 1e-6).all()
    assert images[Region.WT].GetSize() == reference.GetSize()


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
