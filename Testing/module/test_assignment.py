"""Names as they are met in data sets and on scanners, and what the scanner records."""

import random
from dataclasses import replace
from itertools import permutations

import pytest
from metakd.contrasts import Contrast

from MetaKDSegmentationLib.assignment import SeriesFacts, assign, guess

REFUSED, UNKNOWN = "refused", "unknown"

NAMES = {
    # BraTS 2012 to 2024 and its relatives
    "VSD.Brain.XX.O.MR_Flair.54192": "FLAIR",
    "VSD.Brain.XX.O.MR_T1.54194": "T1",
    "VSD.Brain.XX.O.MR_T1c.54193": "T1c",
    "VSD.Brain.XX.O.MR_T2.54195": "T2",
    "VSD.Brain_3more.XX.XX.OT.54196": REFUSED,
    "Brats17_2013_2_1_flair.nii.gz": "FLAIR",
    "Brats18_TCIA02_370_1_t1ce": "T1c",
    "BraTS20_Training_001_t1": "T1",
    "BraTS20_Training_001_seg": REFUSED,
    "BraTS2021_00002_t1ce": "T1c",
    "BraTS2021_00002_t2": "T2",
    "BraTS-GLI-00000-000-t1n": "T1",
    "BraTS-GLI-00000-000-t1c": "T1c",
    "BraTS-GLI-00000-000-t2w": "T2",
    "BraTS-GLI-00000-000-t2f": "FLAIR",
    "BraTS-MEN-RT-0001-1_t1c": "T1c",
    "BraTS-MEN-RT-0001-1_gtv_mask": REFUSED,
    "PatientID_0003_Timepoint_1_brain_t2f": "FLAIR",
    "PatientID_0003_Timepoint_1_tumorMask": REFUSED,
    "BRATS_001_0000": "FLAIR",  # the Decathlon's channels
    "BRATS_001_0001": "T1",
    "BRATS_001_0002": "T1c",
    "BRATS_001_0003": "T2",
    "BRATS_001": UNKNOWN,
    "UPENN-GBM-00001_11_T1GD": "T1c",
    "UCSF-PDGM-0004_T1c_bias": "T1c",
    "UCSF-PDGM-0004_FLAIR_bias": "FLAIR",
    "UCSF-PDGM-0004_SWI_bias": REFUSED,
    "UCSF-PDGM-0004_DTI_eddy_FA": REFUSED,
    "UCSF-PDGM-0004_brain_parenchyma_segmentation": REFUSED,
    "CT1": "T1c",  # LUMIERE
    "t1.nii.gz": "T1",
    "patient07_T1WKS": "T1c",
    "sub-01_ses-pre_acq-mprage_ce-gadolinium_T1w": "T1c",
    "sub-01_T1w": "T1",
    "sub01_T2w": "T2",
    "sub-01_desc-brain_mask": REFUSED,
    "3D_AX_T1_postcontrast": "T1c",
    "3D_SAG_T2_SPACE_FLAIR": "FLAIR",
    # Siemens
    "t1_mprage_sag_p2_iso": "T1",
    "t1_mprage_sag_p2_iso_KM": "T1c",
    "t1_mprage_tra_p2_iso nativ": "T1",
    "t1_se_tra_KM": "T1c",
    "t2_tse_tra": "T2",
    "T2_TSE_TRA": "T2",
    "t2_tirm_tra_dark-fluid": "FLAIR",
    "t2_space_dark-fluid_sag_p2_iso": "FLAIR",
    "t1_tirm_tra_dark-fluid": "T1",
    "DARK FLUID": "FLAIR",
    "DarkFluid 3D": "FLAIR",
    "TIRM": "FLAIR",
    "t1_vibe_fs_tra": "T1",
    "t1_fl2d_tra": "T1",
    "t2_fl2d_tra_hemo": REFUSED,
    "t2_blade_tra": "T2",
    "t2_space_sag": "T2",
    "ep2d_diff_3scan_trace_p2_ADC": REFUSED,
    "ep2d_bold_moco": REFUSED,
    "SWI_Images": REFUSED,
    "mIP_Images(SW)": REFUSED,
    "TOF_3D_multi-slab": REFUSED,
    "AAHead_Scout": REFUSED,
    "localizer": REFUSED,
    "MP RAGE post KM": "T1c",
    # GE
    "AX T1 POST GAD": "T1c",
    "T1 MPRAGE +C": "T1c",
    "3D T1 C+ FSPGR": "T1c",
    "C+ T1 SAG": "T1c",
    "T1 C-": "T1",
    "AX T1 C FS": "T1c",
    "BRAVO +C": "T1c",
    "3D BRAVO": "T1",
    "SAG CUBE T1 Gd": "T1c",
    "Sag CUBE T2 FLAIR": "FLAIR",
    "T2 FLAIR SPACE": "FLAIR",
    "Ax T2 FLAIR FS post": "FLAIR",
    "Ax T2 PROPELLER": "T2",
    "Ax FRFSE": "T2",
    "T1 FLAIR": "T1",
    "Sag T1 FLAIR +C": "T1c",
    "Ax T2* GRE": REFUSED,
    "AX GRE": REFUSED,
    "AX DWI ASSET b=1000": REFUSED,
    "eADC (10^-6 mm2/s)": REFUSED,
    "Average DC": REFUSED,
    "3 Plane Loc": REFUSED,
    "FILT_PHA: Ax SWAN": REFUSED,
    "Ax FIESTA": REFUSED,
    "Screen Save": REFUSED,
    "GE T2 FLAIR": "FLAIR",
    # Philips
    "eT1W_TFE_GADO": "T1c",
    "WIP sT1W_3D_TFE SENSE": "T1",
    "T2W_TSE": "T2",
    "T2W_FLAIR_SPIR": "FLAIR",
    "T2_FFE": REFUSED,
    "T1_FFE": "T1",
    "VEN_BOLD_HR": REFUSED,
    "Survey": REFUSED,
    "sB-TFE": REFUSED,
    "dADC": REFUSED,
    "3D_Brain_VIEW_FLAIR_SHC": "FLAIR",
    # Canon
    "Sag 3D MPV T2 FLAIR": "FLAIR",
    "FSE T2 Ax": "T2",
    "FFE3D_T1": "T1",
    "FSBB": REFUSED,
    # with and without contrast, in words
    "T1": "T1",
    "T1 post": "T1c",
    "T1 pre": "T1",
    "T1+": "T1c",
    "T1KM": "T1c",
    "T1PostGad": "T1c",
    "t1w_gd_reg": "T1c",
    "POST GAD": "T1c",
    "VIBE post contrast": "T1c",
    "AX T1 W/O": "T1",
    "T1 w/o contrast": "T1",
    "T1 WITHOUT GAD": "T1",
    "T1 non contrast": "T1",
    "T1 unenhanced": "T1",
    "T1 pre contrast": "T1",
    "T1 PRE GAD": "T1",
    "T1 nativ": "T1",
    "T1 ohne KM": "T1",
    "T1 SE nach KM-Gabe": "T1c",
    "T1 sans injection": "T1",
    "T1 sans injection de gadolinium": "T1",
    "T1 avec injection": "T1c",
    "T1 après gado": "T1c",
    "T1 con contraste": "T1c",
    "T1 sin contraste": "T1",
    "T1 s/c": "T1",
    "T1 c/c": "T1c",
    "T1 c/c axial": "T1c",
    "T1 sin civ": "T1",
    "T1 senza mdc": "T1",
    "T1 SE dopo m.d.c.": "T1c",
    "T1 basale": "T1",
    "T1 pós contraste": "T1c",
    "AX T1 W/WO CONTRAST": UNKNOWN,
    "T1 with and without contrast": UNKNOWN,
    # as recorded in UPENN-GBM, RHUH-GBM, ADNI and PPMI
    "AX T1  POST : Processed_CaPTk": "T1c",
    "t1 axial stealth-post : Processed_CaPTk": "T1c",
    "AXIAL T1 FLOW COMP POST": "T1c",
    "POST AX T1  FS FSE": "T1c",
    "AX T1 MPRAGE ISOTROPIC": "T1",
    "t2_Flair_axial": "FLAIR",
    "14.000000-T1 3D VIBE AXIAL FS  GADO-14660": "T1c",
    "13.000000-T1 3D VIBE AXIAL  avant gado -24651": "T1",
    "12.000000-T2 EG TRA 256 NEW-55362": REFUSED,
    "5.000000-AX DIFUSION B 1500-89195": REFUSED,
    "3.000000-Ax FRFSE T2-30196": "T2",
    "MPRAGE_GRAPPA_ADNI": "T1",
    "STRUC FSGPR Pre": "T1",
    "SAGITTAL T 1": "T1",
    "SENSE_BRAINT1W_AX": "T1",
    "T1_MEMPRAGE_RMS": "T1",
    "Cor_T1+C_SE_fc_F": "T1c",
    "Axial PD-T2 TSE": REFUSED,
    "t2 weighted double echo": "T2",
    "Cor FLAIR TI_2800ms": "FLAIR",
    "AX FLAIR T2": "FLAIR",
    "DTI_NON-GATED": REFUSED,
    "HighResHippo": UNKNOWN,
    # looks like one thing and is another
    "T1 post op": "T1",
    "T1 postoperative": "T1",
    "T1 posterior fossa": "T1",
    "T1 POST FOSSA": "T1",
    "T1 no fat sat": "T1",
    "T1 w/o FS post gad": "T1c",
    "T1 C SPINE": REFUSED,
    "T2_to_T1_post": "T2",
    "FLAIR_in_T1": "FLAIR",
    "rFLAIR_reg_T1c": "FLAIR",
    "T1 T2": UNKNOWN,
    "t2fse": "T2",
    "T2FLAIR2": "FLAIR",
    "B12_FLAIR": "FLAIR",
    "post1": UNKNOWN,
    "axt1fs": "T1",
    "T1 map": REFUSED,
    "T2 mapping": REFUSED,
    "T1/T2 ratio": REFUSED,
    "FLAIR_mask": REFUSED,
    "T1c label": REFUSED,
    "T1 SUB": REFUSED,
    "SUB-T1-POST": REFUSED,
    "T1 subtraction": REFUSED,
    "T1 MIP": REFUSED,
    "PD T2": REFUSED,
    "T2 EG": REFUSED,
    "T2 étoile": REFUSED,
    "T2 STIR": REFUSED,
    "DCE T1": REFUSED,
    "MRA CE": REFUSED,
    "phase contrast venography": REFUSED,
    "rCBV": REFUSED,
    "DSC perfusion": REFUSED,
    "ASL": REFUSED,
    "fMRI motor": REFUSED,
    "DTI 64 dir": REFUSED,
    "spectroscopy": REFUSED,
    "CT head": REFUSED,
    "FDG PET": REFUSED,
    "screenshot 1": REFUSED,
    "MRBrainTumor1": UNKNOWN,
    "Series 4": UNKNOWN,
    "": UNKNOWN,
    "äöü 漢字": UNKNOWN,
}

T1 = {"repetition_ms": 600, "echo_ms": 9, "sequence": "SE"}
MPRAGE = {"repetition_ms": 2300, "echo_ms": 2.98, "inversion_ms": 900, "sequence": "GR\\IR"}
T2 = {"repetition_ms": 5000, "echo_ms": 95, "sequence": "SE"}
FLAIR = {"repetition_ms": 9000, "echo_ms": 120, "inversion_ms": 2500, "sequence": "SE\\IR"}
SPACE_FLAIR = {"repetition_ms": 5000, "echo_ms": 388, "inversion_ms": 1800, "sequence": "SE\\IR"}
FSPGR = {"repetition_ms": 8.2, "echo_ms": 3.2, "inversion_ms": 450, "sequence": "GR"}
T1_FLAIR = {"repetition_ms": 2500, "echo_ms": 24, "inversion_ms": 860, "sequence": "SE\\IR"}
SWI = {"repetition_ms": 28, "echo_ms": 20, "sequence": "GR"}
GRE = {"repetition_ms": 600, "echo_ms": 20, "sequence": "GR"}
PD = {"repetition_ms": 2500, "echo_ms": 15, "sequence": "SE"}
STIR = {"repetition_ms": 4000, "echo_ms": 70, "inversion_ms": 160, "sequence": "SE\\IR"}
DWI = {"repetition_ms": 8000, "echo_ms": 90, "sequence": "EP"}


def facts(name, number=0, **recorded):
    return SeriesFacts(f"vtkMRMLScalarVolumeNode{number}", name, **recorded)


def outcome(guessed):
    if guessed.contrast:
        return guessed.contrast.label
    return REFUSED if guessed.refused else UNKNOWN


@pytest.mark.parametrize(("name", "expected"), NAMES.items())
def test_a_name_alone(name, expected):
    guessed = guess(facts(name))
    assert outcome(guessed) == expected, guessed.reason
    assert (guessed.confidence > 0.5) == (guessed.contrast is not None)
    assert guessed.reason


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        (T1, "T1"),
        (MPRAGE, "T1"),
        (MPRAGE | {"inversion_ms": None}, "T1"),
        (FSPGR, "T1"),
        (T1_FLAIR, "T1"),
        (T1 | {"contrast_agent": "GADAVIST"}, "T1c"),
        (T1 | {"contrast_agent": "NONE"}, "T1"),
        (T2, "T2"),
        (T2 | {"contrast_agent": "GADAVIST"}, "T2"),
        (FLAIR, "FLAIR"),
        (SPACE_FLAIR, "FLAIR"),
        (SWI, REFUSED),
        (GRE, REFUSED),
        (PD, REFUSED),
        (STIR, REFUSED),
        (DWI, REFUSED),
        (T2 | {"image_type": "DERIVED\\PRIMARY\\DIFFUSION\\ADC"}, REFUSED),
        (T1 | {"image_type": "ORIGINAL\\PRIMARY\\P\\ND"}, REFUSED),
        (T1 | {"image_type": "DERIVED\\PRIMARY\\PROJECTION IMAGE\\MIP"}, REFUSED),
        (T1 | {"image_type": "ORIGINAL\\PRIMARY\\M_FFE\\M\\FFE"}, "T1"),
        (T1 | {"modality": "CT"}, REFUSED),
        (T1 | {"modality": "MR"}, "T1"),
        ({"repetition_ms": 2000, "echo_ms": 45}, UNKNOWN),
        ({"repetition_ms": 5000, "echo_ms": 3, "inversion_ms": 2500}, UNKNOWN),  # MP2RAGE's second
        ({"echo_ms": 3}, UNKNOWN),
        ({}, UNKNOWN),
    ],
)
def test_recorded_values_alone(recorded, expected):
    assert outcome(guess(facts("Series 4", **recorded))) == expected


def test_agreement_raises_and_contradiction_lowers_the_confidence():
    alone = guess(facts("FLAIR"))
    agreeing = guess(facts("FLAIR", **FLAIR))
    disputed = guess(facts("FLAIR", **FSPGR))
    assert disputed.confidence < 0.6 < alone.confidence < 0.9 < agreeing.confidence
    assert disputed.contrast is Contrast.FLAIR
    assert (
        disputed.reason == "its name says FLAIR, but TR 8.2 ms, TE 3.2 ms, TI 450 ms look like T1"
    )
    assert "TI 2500 ms agree" in agreeing.reason
    assert guess(facts("Series 4", **FLAIR)).reason == ("only by TR 9000 ms, TE 120 ms, TI 2500 ms")


def test_a_named_contrast_outweighs_timing_that_resembles_another_sequence():
    guessed = guess(facts("T1 SE", **PD))
    assert guessed.contrast is Contrast.T1 and guessed.confidence < 0.6
    assert guessed.reason.endswith("look like proton density, nothing is said of contrast agent")


def test_contrast_agent_by_name_and_by_record():
    assert guess(facts("T1", contrast_agent="Gd")).contrast is Contrast.T1C
    assert guess(facts("T1 post")).contrast is Contrast.T1C
    pre = guess(facts("T1 pre", contrast_agent="Gd"))  # sites record the agent in every series
    assert pre.contrast is Contrast.T1
    assert pre.confidence < guess(facts("T1 pre")).confidence
    assert "recorded one says otherwise" in pre.reason


def test_the_series_description_tells_what_the_name_does_not():
    assert guess(facts("Series 4", description="Ax T2 FLAIR")).contrast is Contrast.FLAIR
    assert guess(facts("T1", description="AX T1 POST")).contrast is Contrast.T1C
    assert guess(facts("T1", description="t1 mask")).refused
    renamed = guess(facts("FLAIR", description="t2_tse_tra"))
    assert renamed.contrast is Contrast.FLAIR
    assert renamed.confidence < 0.6 and "series description" in renamed.reason


CLINICAL = [
    facts("1: localizer", 1, **T1),
    facts("2: DWI", 2, **DWI),
    facts("3: ADC", 3, **DWI),
    facts("4: Ax T2 TSE", 4, **T2),
    facts("5: Ax FLAIR", 5, **FLAIR),
    facts("6: Ax SWI", 6, **SWI),
    facts("7: Ax T1", 7, **T1),
    facts("8: Perfusion", 8, **DWI),
    facts("9: Ax T1 post", 9, contrast_agent="Gadavist", **T1),
    facts("10: MPRAGE post", 10, contrast_agent="Gadavist", **MPRAGE),
    facts("11: MPRAGE post reformatted cor", 11, contrast_agent="Gadavist", **MPRAGE),
]


def test_a_clinical_study():
    assignment = assign(CLINICAL)
    chosen = {contrast.label: volume[-1] for contrast, volume in assignment.slots.items()}
    assert chosen == {"T1": "7", "T1c": "9", "T2": "4", "FLAIR": "5"}
    assert not assignment.undecided
    reasons = {left.name: left.reason for left in assignment.passed_over}
    assert reasons["2: DWI"] == "looks like diffusion, not like one of the four contrasts"
    assert reasons["10: MPRAGE post"] == "T1c too, but 9: Ax T1 post is surer"
    assert len(assignment.slots) + len(reasons) == len(CLINICAL)


def test_t1_with_and_without_contrast_are_told_apart():
    slots = assign([facts("T1", 1), facts("T1 post", 2)]).slots
    assert slots == {
        Contrast.T1: "vtkMRMLScalarVolumeNode1",
        Contrast.T1C: "vtkMRMLScalarVolumeNode2",
    }


def test_two_that_look_alike_are_left_to_the_user():
    assignment = assign([facts("FLAIR ax", 1), facts("FLAIR cor", 2), facts("T2", 3)])
    assert set(assignment.slots) == {Contrast.T2}
    assert {left.reason for left in assignment.undecided} == {
        "two volumes look like FLAIR: FLAIR ax, FLAIR cor"
    }
    assert [left.name for left in assignment.undecided] == ["FLAIR ax", "FLAIR cor"]


@pytest.mark.parametrize(
    ("better", "worse", "why"),
    [
        (facts("T2", 1, **T2), facts("T2", 2), "surer"),
        (facts("T1 post", 1), facts("BRAVO post", 2), "surer"),
        (facts("SPACE T1 Gd", 1), facts("SAG T1 Gd", 2), "a 3D acquisition"),
        (facts("T1 Gd", 1), facts("T1 Gd reformatted", 2), "not reformatted from another series"),
        (
            facts("T1 Gd", 1, image_type="ORIGINAL\\PRIMARY"),
            facts("MPRAGE T1 Gd", 2, image_type="DERIVED\\SECONDARY"),
            "not reformatted from another series",
        ),
    ],
)
def test_the_clearly_better_takes_the_slot(better, worse, why):
    assignment = assign([worse, better])
    assert list(assignment.slots.values()) == [better.id]
    assert not assignment.undecided
    assert assignment.passed_over[0].reason.endswith(f"but {better.name} is {why}")


def test_who_is_unsure_gets_no_slot():
    assignment = assign([facts("MPRAGE", 1, **T2)])
    assert not assignment.slots
    assert assignment.undecided[0].reason.startswith("perhaps T1: its name points to T1, but TR")


def test_nothing_gives_nothing():
    assignment = assign([])
    assert (assignment.slots, assignment.undecided, assignment.passed_over) == ({}, (), ())


def random_series(seed):
    chance = random.Random(seed)
    recorded = [{}, {}, T1, MPRAGE, T2, FLAIR, DWI]
    return [
        facts(chance.choice(list(NAMES)), number, **chance.choice(recorded))
        for number in range(chance.randint(1, 14))
    ]


@pytest.mark.parametrize("seed", range(60))
def test_order_does_not_matter_and_nothing_is_used_twice_or_lost(seed):
    series = random_series(seed)
    assignment = assign(series)
    shuffled = random.Random(-seed).sample(series, len(series))
    assert assign(shuffled) == assign(iter(series + series)) == assignment
    placed = list(assignment.slots.values())
    left = [left.id for left in assignment.undecided + assignment.passed_over]
    assert sorted(placed + left) == sorted(one.id for one in series)
    assert assignment.guesses.keys() == assignment.slots.keys()
    by_id = {one.id: one for one in series}
    for contrast, volume in assignment.slots.items():
        assert guess(by_id[volume]) == assignment.guesses[contrast]
        assert assignment.guesses[contrast].contrast is contrast


def test_every_order_of_four_contrasts():
    study = [facts(name, n) for n, name in enumerate(("t1", "t1ce", "t2", "flair"))]
    found = {tuple(sorted(assign(order).slots.items(), key=str)) for order in permutations(study)}
    assert len(found) == 1 and len(found.pop()) == 4


def test_a_duplicate_of_a_volume_competes_with_it():
    study = facts("t2", 1)
    assert not assign([study, replace(study, id="vtkMRMLScalarVolumeNode2")]).slots
