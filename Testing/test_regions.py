"""Labels, nested regions, and the conventions of the data sets."""

import itertools

import numpy as np
import pytest
from metakd.regions import (
    CONVENTIONS,
    REGIONS,
    Region,
    from_convention,
    labels_from_regions,
    region_mask,
    to_convention,
)

NCR, ED, ET = 1, 2, 3  # the engine's values, BraTS 2023's order


@pytest.mark.parametrize(
    ("convention", "necrosis", "oedema", "enhancing"),
    [("brats2018", 1, 2, 4), ("brats2023", 1, 2, 3), ("brats2024", 1, 2, 3), ("msd", 2, 1, 3)],
)
def test_each_data_set_numbers_its_tissues_its_own_way(convention, necrosis, oedema, enhancing):
    stored = np.array([[0, necrosis], [oedema, enhancing]])
    assert from_convention(stored, convention).tolist() == [[0, NCR], [ED, ET]]


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_writing_a_convention_undoes_reading_it(convention):
    labels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4) % 4
    assert np.array_equal(from_convention(to_convention(labels, convention), convention), labels)


def test_a_resection_cavity_is_no_tumour_and_background_never_becomes_one():
    labels = from_convention(np.array([0, 4, 3]), "brats2024")
    assert labels.tolist() == [0, 0, ET]
    assert to_convention(labels, "brats2024").tolist() == [0, 0, 3]


@pytest.mark.parametrize(
    ("convention", "stranger"),
    [
        ("brats2018", 3),
        ("brats2023", 4),
        ("brats2024", 5),
        ("msd", 4),
        ("brats2023", -1),
        ("msd", 257),
        ("brats2023", 1.5),
    ],
)
def test_a_label_that_the_convention_does_not_have_is_refused_by_number(convention, stranger):
    with pytest.raises(ValueError, match=rf"\[{stranger}\].*{convention}"):
        from_convention(np.array([0, 1, 2, stranger]), convention)


def test_a_scan_in_place_of_labels_is_refused_in_a_short_line():
    with pytest.raises(ValueError, match="brats2023") as refusal:
        from_convention(np.linspace(0, 1, 10_000), "brats2023")
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize(
    ("region", "tissues"),
    [(Region.ET, [ET]), (Region.TC, [NCR, ET]), (Region.WT, [NCR, ED, ET])],
)
def test_a_region_is_the_union_of_its_tissues(region, tissues):
    mask = region_mask(np.arange(4), region)
    assert np.flatnonzero(mask).tolist() == tissues


def test_label_maps_survive_the_way_through_regions():
    labels = np.arange(64, dtype=np.uint8).reshape(4, 4, 4) % 4
    masks = np.stack([region_mask(labels, region) for region in REGIONS])
    assert np.array_equal(labels_from_regions(masks), labels)


def test_any_masks_give_nested_regions():
    masks = np.array(list(itertools.product([False, True], repeat=3))).T  # all 8 combinations
    labels = labels_from_regions(masks)
    enhancing, core, whole = (region_mask(labels, region) for region in REGIONS)
    assert not (enhancing & ~core).any()
    assert not (core & ~whole).any()
    assert np.array_equal(enhancing, masks[0])
    assert np.array_equal(core, masks[0] | masks[1])
    assert np.array_equal(whole, masks.any(axis=0))
