"""Names of contrasts as data sets, scanners and users write them."""

import pytest
from metakd.contrasts import (
    CONTRASTS,
    MSD_CHANNELS,
    SUBSETS,
    Contrast,
    contrast_from_name,
    parse_subset,
    subset_name,
)

T1, T1C, T2, FLAIR = CONTRASTS


def test_the_canonical_order_is_that_of_the_encoders():
    assert [contrast.label for contrast in CONTRASTS] == ["T1", "T1c", "T2", "FLAIR"]
    assert [contrast.index for contrast in CONTRASTS] == [0, 1, 2, 3]


def test_the_decathlon_order_is_flair_t1_t1c_t2():
    assert MSD_CHANNELS == (FLAIR, T1, T1C, T2)


def test_there_are_15_subsets_single_contrasts_first():
    assert len(set(SUBSETS)) == len(SUBSETS) == 15
    assert [len(subset) for subset in SUBSETS] == [1] * 4 + [2] * 6 + [3] * 4 + [4]


@pytest.mark.parametrize(
    ("name", "contrast"),
    [
        ("Brats18_TCIA01_201_1_t1", T1),
        ("Brats18_TCIA01_201_1_t1ce", T1C),
        ("Brats18_TCIA01_201_1_t2", T2),
        ("Brats18_TCIA01_201_1_flair", FLAIR),
        ("BraTS-GLI-00000-000-t1n", T1),
        ("BraTS-GLI-00000-000-t1c", T1C),
        ("BraTS-GLI-00000-000-t2w", T2),
        ("BraTS-GLI-00000-000-t2f", FLAIR),
        ("UPENN-GBM-00001_11_T1GD", T1C),
        ("t1w_gd", T1C),
        ("T1 post", T1C),
        ("T2_FLAIR", FLAIR),
        ("FLAIR", FLAIR),
    ],
)
def test_a_files_name_tells_its_contrast(name, contrast):
    assert contrast_from_name(name) is contrast


@pytest.mark.parametrize("name", ["P1_seg", "dwi", "t1_to_t2_transform", "t12", "", "_"])
def test_a_name_that_ends_in_no_contrast_is_not_guessed(name):
    assert contrast_from_name(name) is None


@pytest.mark.parametrize("subset", SUBSETS, ids=subset_name)
def test_a_subsets_name_reads_back(subset):
    assert parse_subset(subset_name(subset)) == subset


def test_a_subsets_name_does_not_depend_on_the_order_given():
    assert subset_name([FLAIR, T1C]) == subset_name([T1C, FLAIR]) == "t1c+flair"


def test_a_subset_may_be_written_with_synonyms_and_spaces():
    assert parse_subset("FLAIR + T1ce") == {FLAIR, T1C}


@pytest.mark.parametrize("text", ["t1+pd", "pd", "", "t1+", "t1,t2"])
def test_a_subset_with_a_wrong_word_is_refused_with_the_right_ones(text):
    with pytest.raises(ValueError, match="no contrast: use t1, t1c, t2, flair"):
        parse_subset(text)


def test_a_contrast_is_found_by_its_value():
    assert Contrast("flair") is FLAIR
