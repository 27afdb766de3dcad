"""What the panel says of the chosen volumes before a run."""

from dataclasses import replace
from itertools import combinations

import pytest
from metakd.contrasts import CONTRASTS, Contrast
from metakd.study import StudyError, make_study
from volume_descriptions import volume

from MetaKDSegmentationLib.findings import Finding, Level, findings, state_text
from MetaKDSegmentationLib.slots import Plan

T1, T1C, T2, FLAIR = CONTRASTS


def study(*contrasts, **changes):
    """A sound study of these contrasts, or all; `changes` replaces volumes by value's name."""
    slots = {contrast: volume(contrast) for contrast in contrasts or CONTRASTS}
    slots |= {Contrast(value): changed for value, changed in changes.items()}
    return slots


def texts(slots, reference=None, level=None, **plan):
    found = findings(slots, reference, Plan(**plan))
    return [finding.text for finding in found if level in (None, finding.level)]


def the_only(slots, level, **plan):
    """The text of the only finding, which has this level."""
    (finding,) = findings(slots, None, Plan(**plan))
    assert finding.level is level
    return finding.text


def test_nothing_to_say_of_a_sound_study():
    assert findings(study()) == ()


def test_state_of_a_slot():
    assert state_text(volume(T1)) == "240 × 240 × 155, 1.0 × 1.0 × 1.0 mm"
    thick = volume(T1, (512, 512, 24), (0.46875, 0.46875, 5.5))
    assert state_text(thick) == "512 × 512 × 24, 0.5 × 0.5 × 5.5 mm"
    assert state_text(None) == "absent: its features will be generated"


def test_no_contrast_at_all_blocks_and_says_nothing_else():
    assert findings({}, T1C) == (
        Finding(Level.BLOCKING, "No contrast is given: choose at least one volume"),
    )


def test_absent_contrasts():
    t1c_absent = "T1c is absent: the enhancing tumour will not be reliable"
    no_oedema = "FLAIR and T2 are absent: the oedema will not be reliable"
    assert texts(study(T1, T2, FLAIR)) == [t1c_absent]
    assert texts(study(T1, T1C)) == [no_oedema]
    assert texts(study(T1)) == [t1c_absent, no_oedema]
    assert texts(study(T1C, T2)) == texts(study(T1C, FLAIR)) == []


def test_a_reference_that_is_absent():
    text = "T2 is chosen as reference but absent: the result will be on the grid of T1c"
    assert texts(study(T1, T1C, FLAIR), T2) == [text]
    assert texts(study(T1C, FLAIR), FLAIR) == []


def test_other_grids_are_named_against_the_reference_in_force():
    slots = study(flair=volume(FLAIR, (320, 320, 40), (0.7, 0.7, 4.0)))
    assert texts(slots, level=Level.NOTE) == [
        "FLAIR has slices of up to 4.0 mm: small parts of the tumour may be missed",
        "FLAIR lies on another grid than T1c: will be registered to it where needed",
    ]
    assert texts(slots, FLAIR, register=False)[-1] == (
        "T1, T1c, T2 lie on other grids than FLAIR: will be resampled, not registered"
    )


def test_no_overlap_in_space_blocks_unless_registration_may_mend_it():
    far = study(T1C, FLAIR, flair=volume(FLAIR, origin=(0, 0, 400.0)))
    assert texts(far, level=Level.BLOCKING, register=False) == [
        "FLAIR and T1c do not overlap in space: choose volumes of one study, register them, or put "
        "them in place with a transform"
    ]
    assert not texts(far, level=Level.BLOCKING)
    assert (
        "FLAIR and T1c do not overlap in space: will be registered, check that they are of one "
        "patient"
    ) in texts(far, level=Level.CAUTION)
    bent = study(T1C, FLAIR, flair=volume(FLAIR, origin=(0, 0, 400.0), linear=False))
    assert not texts(bent, level=Level.BLOCKING)
    touching = study(T1C, FLAIR, flair=volume(FLAIR, origin=(0, 0, 155.0)))
    assert not texts(touching, level=Level.BLOCKING)


def test_patients_are_told_apart_and_never_shown():
    slots = {c: volume(c, patient="Doe^Jane", study="1.2.3") for c in CONTRASTS}
    assert not findings(slots)
    slots[T2] = volume(T2, patient="Smith^John", study="9.8")
    text = the_only(slots, Level.CAUTION)
    assert text == ("T1, T1c, FLAIR | T2 are of different patients: choose volumes of one patient")
    slots[T1], slots[T2] = replace(slots[T1], day="20240131"), replace(slots[T2], day="20240220")
    text = the_only(slots, Level.CAUTION)  # T1c and FLAIR may be of any day
    assert text.startswith("T1, T1c, FLAIR | T2 (2024-02-20) are of different patients")


def test_studies_are_told_apart():
    slots = {c: volume(c, patient="Doe^Jane", study="1.2.3") for c in (T1C, FLAIR)}
    slots[FLAIR] = replace(slots[FLAIR], study="1.2.4")
    text = the_only(slots, Level.CAUTION)
    assert text == ("T1c | FLAIR are of different studies: the tumour may have changed in between")
    slots = {T1C: replace(slots[T1C], day="20240131"), FLAIR: replace(slots[FLAIR], day="20240220")}
    text = the_only(slots, Level.CAUTION)
    assert text.startswith("T1c (2024-01-31) | FLAIR (2024-02-20) are of different studies")
    slots[FLAIR] = replace(slots[FLAIR], day="some day")
    assert "| FLAIR are of" in the_only(slots, Level.CAUTION)


def test_an_unknown_patient_is_no_other_patient():
    assert not findings(study(t1=volume(T1, patient="Doe^Jane", study="1.2")))


def heads(*contrasts):
    """Volumes in which the skull is seen."""
    return {contrast: volume(contrast, looks_stripped=False) for contrast in contrasts}


def test_a_visible_skull_and_what_becomes_of_it():
    raw = heads(*CONTRASTS)
    text = "T1, T1c, T2, FLAIR: skull visible"
    mask = volume(T1C)
    assert the_only(raw, Level.NOTE) == f"{text}: the brain will be extracted first"
    assert the_only(raw, Level.NOTE, brain_mask=mask) == (
        f"{text}: what lies outside the brain mask will be left out"
    )
    assert the_only(raw, Level.CAUTION, extract_brain=False) == (
        f"{text}; tick Extract brain, the model knows brains without skull only"
    )
    assert not findings(study(t1=volume(T1, looks_stripped=None)))


def test_some_with_skull_and_some_without():
    mixed = study() | heads(T1, T2)
    assert the_only(mixed, Level.NOTE) == (
        "T1, T2: skull visible: the brain of T1c, FLAIR, without skull, will be used for all"
    )
    slab = texts(study(T1, FLAIR) | heads(T1C), level=Level.NOTE)
    assert any(text.endswith("without skull, will be used if it is most of it") for text in slab)
    assert "tick Extract brain" in the_only(mixed, Level.CAUTION, extract_brain=False)


def test_brain_masks():
    given = volume(T1C, lowest=0, highest=1)
    assert not findings(study(), None, Plan(brain_mask=given))
    empty, nothing = replace(given, highest=0), replace(given, size=(0, 0, 0))
    for mask in (empty, nothing):
        assert the_only(study(), Level.BLOCKING, brain_mask=mask) == (
            "The brain mask is empty: choose another one, or Automatic"
        )
    coarse = volume(T1C, (120, 120, 78), (2, 2, 2), lowest=0)
    assert the_only(study(), Level.NOTE, brain_mask=coarse) == (
        "The brain mask lies on another grid than T1c: will be resampled to it"
    )
    far = volume(T1C, origin=(0, 0, 400.0), lowest=0)
    assert "do not overlap" in the_only(study(), Level.BLOCKING, brain_mask=far)


@pytest.mark.parametrize(
    ("facts", "is_mri"),
    [
        ({"modality": "CT"}, False),
        ({"modality": "PT"}, False),
        ({"modality": "MR", "lowest": -1024, "highest": 3071}, True),
        ({"lowest": -1024, "highest": 1500}, False),
        ({"lowest": -1024, "highest": 200}, True),
        ({"lowest": 0, "highest": 4095}, True),
    ],
)
def test_what_is_no_mri(facts, is_mri):
    slots = study(t1=volume(T1, **facts))
    if is_mri:
        assert not findings(slots)
    else:
        assert "the model knows MRI only" in the_only(slots, Level.CAUTION)


def test_ct_with_skull_is_said_once():
    slots = study(t1=volume(T1, modality="CT", looks_stripped=False))
    assert the_only(slots, Level.CAUTION).startswith("T1: looks like CT")


@pytest.mark.parametrize(("one", "other"), list(combinations(CONTRASTS, 2)))
def test_the_same_image_twice_blocks(one, other):
    same_node = study() | {one: volume(one, fingerprint=""), other: volume(one, fingerprint="")}
    same_voxels = study() | {other: replace(volume(other), fingerprint=one.value)}
    for slots in (same_node, same_voxels):
        assert the_only(slots, Level.BLOCKING) == (
            f"{one.label} and {other.label} are the same image: take out the one it is not"
        )


def test_voxels_that_were_not_compared_are_not_the_same():
    blank = {c: replace(volume(c), fingerprint="") for c in CONTRASTS}
    assert not findings(blank)


def test_a_constant_image_blocks():
    slots = study(t2=volume(T2, lowest=7, highest=7))
    assert the_only(slots, Level.BLOCKING) == ("T2: every voxel is 7: load it again or take it out")


@pytest.mark.parametrize(
    ("t1c", "flair", "suspected"),
    [
        ("BraTS2021_00002_t1ce", "BraTS2021_00495_flair", True),
        ("BraTS2021_00002_t1ce", "BraTS2021_00002_flair", False),
        ("301 T1 post", "401 FLAIR", False),  # numbers of series
        ("1001: T1C", "1101: FLAIR", False),
        ("BraTS2021_00002_t1ce", "FLAIR", False),
    ],
)
def test_numbers_in_names_may_be_of_two_patients(t1c, flair, suspected):
    slots = {T1C: replace(volume(T1C), name=t1c), FLAIR: replace(volume(FLAIR), name=flair)}
    found = [text for text in texts(slots) if "one patient's" in text]
    assert bool(found) is suspected
    assert not any("00002" in text for text in found)  # no name is shown
    known = {contrast: replace(facts, patient="7") for contrast, facts in slots.items()}
    assert not [text for text in texts(known) if "one patient's" in text]


def test_a_volume_without_voxels_blocks():
    slots = study(t2=volume(T2, (0, 0, 0)))
    assert the_only(slots, Level.BLOCKING) == "T2: no voxels: load it again or take it out"


def test_thick_few_and_single_slices():
    thick = study(T1C, FLAIR, flair=volume(FLAIR, (240, 240, 30), (1, 1, 5.5)))
    assert texts(thick)[0].startswith("FLAIR has slices of up to 5.5 mm:")
    single = study(T1C, FLAIR, flair=volume(FLAIR, (240, 240, 1), (1, 1, 5.0)))
    assert texts(single, level=Level.BLOCKING) == [
        "FLAIR is a single slice: no localizer can be segmented, choose the whole series"
    ]
    few = study(T1C, FLAIR, flair=volume(FLAIR, (3, 240, 155)))
    assert texts(few, level=Level.BLOCKING) == [
        "FLAIR has only 3 slices: no localizer can be segmented, choose the whole series"
    ]


@pytest.mark.parametrize("slices", [1, 3, 4])
def test_too_few_slices_are_those_that_the_engine_refuses(scan, slices):
    size = (36, 40, slices)
    blocked = findings({FLAIR: volume(FLAIR, size)})[0].level is Level.BLOCKING
    try:
        make_study({FLAIR: scan(size=size)})
    except StudyError:
        assert blocked
    else:
        assert not blocked


def test_what_covers_only_a_part():
    slab = study(T1C, FLAIR, flair=volume(FLAIR, (240, 240, 20), (1, 1, 2.0)))
    assert texts(slab, level=Level.CAUTION) == [
        "FLAIR covers only 40 mm in one direction: used where it covers"
    ]
    assert texts(slab, FLAIR, level=Level.CAUTION) == [
        "FLAIR covers only 40 mm in one direction: nothing outside is segmented"
    ]
    half = study(T1C, FLAIR, flair=volume(FLAIR, (240, 240, 90), origin=(0, 0, 65.0)))
    assert texts(half, level=Level.CAUTION) == [
        "FLAIR covers about 60 % of T1c's extent: used where it covers"
    ]
    turned = {T1C: half[FLAIR], FLAIR: half[T1C]}
    assert not texts(turned, level=Level.CAUTION)


def test_neck_and_air_need_not_be_covered():
    """A sagittal 3D image shows the neck, axial slices do not."""
    long = volume(T1C, (240, 240, 250))
    axial = volume(FLAIR, (220, 220, 26), (0.9, 0.9, 5.5), origin=(20, 20, 100.0))
    assert not texts({T1C: long, FLAIR: axial}, level=Level.CAUTION)


def test_the_gravest_comes_first():
    slots = study(
        T1,
        T2,
        t1=volume(T1, looks_stripped=False),
        t2=volume(T2, (120, 120, 40), (2, 2, 4.0), lowest=0, highest=0),
    )
    levels = [finding.level for finding in findings(slots)]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] is Level.BLOCKING and levels[-1] is Level.NOTE


def test_the_order_of_the_slots_does_not_matter():
    coarse = {"size": (120, 120, 30), "spacing": (2.0, 2.0, 5.0), "looks_stripped": False}
    slots = study(t1=volume(T1, **coarse), t2=volume(T2, **coarse))
    backwards = dict(reversed(slots.items()))
    assert findings(slots) == findings(backwards)


def test_every_finding_is_one_line_of_plain_words():
    slots = {
        T1: volume(T1, patient="Doe^Jane", looks_stripped=False),
        T1C: volume(T1, patient="Smith^John"),
        T2: volume(T2, (50, 50, 1), (1, 1, 5.0), origin=(999, 0, 0), lowest=0, highest=0),
        FLAIR: volume(FLAIR, modality="CT"),
    }
    for finding in findings(slots):
        assert "\n" not in finding.text and "^" not in finding.text
        assert len(finding.text) < 130
        assert any(contrast.label in finding.text for contrast in CONTRASTS)
