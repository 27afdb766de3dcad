import dataclasses
import json

import numpy as np
import pytest
import SimpleITK as sitk
from metakd.contrasts import SUBSETS, Contrast, subset_name
from metakd.inference import Prediction
from metakd.model import Model, load_model
from metakd.preprocess import PreparedStudy
from metakd.regions import ED, ET, NCR, Region
from metakd.registration import Registration
from metakd.report import make_report
from metakd.study import Study, make_study


@pytest.fixture(scope="module")
def model():
    """The embedded network under a card with round figures."""
    embedded = load_model()
    card = json.loads(json.dumps(embedded.card))
    card["metakd"]["expected_dice"] = {
        "measured_on": "a test",
        "subsets": {"t1c+flair": {"ET": 0.59, "TC": 0.6, "WT": 0.9}},
    }
    card["metakd"]["reliability"] = {"reliable": 0.8, "use with care": 0.6}
    return Model("round", card, embedded.network)


@pytest.fixture(scope="module")
def labels():
    values = np.zeros((10, 10, 10), dtype=np.uint8)
    values[0], values[1, :5], values[2, 0] = ED.value, NCR.value, ET.value
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((1.0, 2.0, 5.0))  # 0.01 ml a voxel
    return image


def preparation(*contrasts, registrations=None, **found):
    """What the network is said to have seen: 2 mm voxels, half of the eight of them brain."""
    grid = sitk.Image([2, 2, 2], sitk.sitkUInt8)
    grid.SetSpacing([2.0] * 3)
    brain = np.zeros((2, 2, 2), dtype=bool)
    brain[0] = True
    channels = {c: np.zeros((2, 2, 2), dtype=np.float32) for c in contrasts}
    return PreparedStudy(channels, brain, grid, grid, registrations or {}, **found)


def report(labels, model, *contrasts, prepared=None):
    rng = np.random.default_rng(0)
    images = {c: sitk.GetImageFromArray(rng.random((4, 4, 4))) for c in contrasts}
    study = make_study(images)
    prediction = Prediction(np.zeros((3, 4, 4, 4), np.float32), "cpu", None)
    return make_report(
        labels,
        Study(study.images, {contrasts[0]: ("a warning",)}),
        model,
        prepared=prepared or preparation(*contrasts),
        reference=contrasts[0],
        prediction=prediction,
        seconds={"network": 1.5},
    )


def test_volumes_are_in_millilitres_and_regions_are_nested(labels, model):
    found = report(labels, model, Contrast.T1C, Contrast.FLAIR)
    assert found.volumes_ml == {"NCR": 0.5, "ED": 1.0, "ET": 0.1}
    volumes = {name: region.volume_ml for name, region in found.regions.items()}
    assert volumes == {"ET": 0.1, "TC": 0.6, "WT": 1.6}


def test_reliability_follows_the_cards_figures_for_these_contrasts(labels, model):
    found = report(labels, model, Contrast.T1C, Contrast.FLAIR)
    words = {name: region.reliability for name, region in found.regions.items()}
    assert words == {"ET": "not reliable", "TC": "use with care", "WT": "reliable"}
    assert found.regions["WT"].expected_dice == 0.9


def test_contrasts_without_a_figure_are_not_called_reliable(labels, model):
    found = report(labels, model, Contrast.T1)
    assert {r.reliability for r in found.regions.values()} == {"not reliable"}
    assert {r.expected_dice for r in found.regions.values()} == {None}


def test_the_report_says_what_it_came_from(labels, model):
    found = report(labels, model, Contrast.FLAIR)
    assert found.available == ("FLAIR",)
    assert found.generated == ("T1", "T1c", "T2")
    assert found.weights_sha256 == model.settings["sha256"]
    assert found.device == "cpu"
    assert found.seconds == {"network": 1.5}
    assert found.warnings == ("a warning",)
    assert json.loads(json.dumps(found.as_json())) == json.loads(
        json.dumps(dataclasses.asdict(found))
    )


def test_a_label_map_without_tumour_is_called_that(labels, model):
    found = report(labels, model, Contrast.T1C)
    assert found.finding == "tumour found"
    nothing = report(labels * 0, model, Contrast.T1C)
    assert nothing.finding == "no tumour found"
    assert set(nothing.volumes_ml.values()) == {0.0}


def test_registration_is_told_of_every_contrast_but_the_reference(labels, model):
    there = sitk.Transform(3, sitk.sitkIdentity)
    registrations = {
        Contrast.FLAIR: Registration("registered", there, 0.23456, 3.2, 1.5, "affine"),
        Contrast.T1: Registration("aligned", there, 0.3),
    }
    contrasts = (Contrast.T1C, Contrast.FLAIR, Contrast.T1, Contrast.T2)
    prepared = preparation(*contrasts, registrations=registrations)
    found = report(labels, model, *contrasts, prepared=prepared)
    assert found.as_json()["registration"] == {
        "T1": {"outcome": "aligned", "moved_mm": 0.0, "turned_degrees": 0.0, "similarity": 0.3,
               "kind": None},
        "T2": {"outcome": "off", "moved_mm": 0.0, "turned_degrees": 0.0, "similarity": None,
               "kind": None},
        "FLAIR": {"outcome": "registered", "moved_mm": 3.2, "turned_degrees": 1.5,
                  "similarity": 0.235, "kind": "affine"},
    }  # fmt: skip
    assert list(found.registration) == ["T1", "T2", "FLAIR"]
    assert found.warnings == ("a warning",)


def test_a_contrast_that_could_not_be_registered_is_warned_of(labels, model):
    failed = Registration("failed", sitk.Transform(3, sitk.sitkIdentity), 0.0123)
    contrasts = (Contrast.T1C, Contrast.T2)
    prepared = preparation(*contrasts, registrations={Contrast.T2: failed})
    found = report(labels, model, *contrasts, prepared=prepared)
    assert found.registration["T2"].outcome == "failed"
    suspicion, warning = found.warnings
    assert suspicion == "a warning"
    assert warning.startswith("T2 could not be registered to T1c (similarity 0.01)")


def test_a_contrast_out_of_place_or_of_a_part_gives_no_trust(labels, model):
    """The card has figures for T1c with FLAIR, and none for T1c alone."""
    contrasts = (Contrast.T1C, Contrast.FLAIR)
    failed = Registration("failed", sitk.Transform(3, sitk.sitkIdentity), 0.0123)
    half = {Contrast.FLAIR: np.eye(2, dtype=bool)[None].repeat(2, axis=0)}
    for prepared, expected in (
        (preparation(*contrasts), 0.9),
        (preparation(*contrasts, registrations={Contrast.FLAIR: failed}), None),
        (preparation(*contrasts, coverage={Contrast.FLAIR: 0.5}, partial=half), None),
    ):
        found = report(labels, model, *contrasts, prepared=prepared)
        assert found.regions["WT"].expected_dice == expected


def test_a_reference_that_nothing_fits_is_named_as_the_odd_one(labels, model):
    contrasts = (Contrast.T1C, Contrast.T2, Contrast.FLAIR)
    failed = Registration("failed", sitk.Transform(3, sitk.sitkIdentity), 0.0123)
    prepared = preparation(*contrasts, registrations=dict.fromkeys(contrasts[1:], failed))
    _, warning = report(labels, model, *contrasts, prepared=prepared).warnings
    assert "T1c, which may be the odd one" in warning


def test_a_reference_of_a_part_says_that_nothing_else_is_segmented(labels, model):
    part = {Contrast.T1C: np.eye(2, dtype=bool)[None].repeat(2, axis=0)}
    prepared = preparation(Contrast.T1C, coverage={Contrast.T1C: 0.4}, partial=part)
    *_, warning = report(labels, model, Contrast.T1C, prepared=prepared).warnings
    assert warning.startswith("T1c covers 40% of the brain; nothing outside it is segmented")


def test_the_brain_and_what_each_contrast_covers_of_it_are_told(labels, model):
    contrasts = (Contrast.T1C, Contrast.FLAIR)
    prepared = preparation(
        *contrasts,
        brain_source="builtin",
        coverage={Contrast.T1C: 1.0, Contrast.FLAIR: 0.61234},
        partial={Contrast.FLAIR: np.zeros((2, 2, 2), dtype=bool)},
    )
    found = report(labels, model, *contrasts, prepared=prepared)
    assert found.as_json()["brain"] == {"source": "builtin", "volume_ml": 0.0}
    assert found.coverage == {"T1c": 1.0, "FLAIR": 0.612}
    assert [w for w in found.warnings if w.startswith("FLAIR covers 61% of the brain")]


def test_the_brains_volume_is_that_of_its_voxels(labels, model):
    prepared = preparation(Contrast.T1C)
    prepared.grid.SetSpacing([20.0, 30.0, 50.0])
    assert report(labels, model, Contrast.T1C, prepared=prepared).brain.volume_ml == 120.0


@pytest.mark.parametrize(("side", "warned"), [(55.0, True), (70.0, False), (85.0, True)])
def test_a_brain_of_an_unlikely_size_is_warned_of(labels, model, side, warned):
    """665, 1372 and 2457 ml."""
    prepared = preparation(Contrast.T1C, brain_source="builtin")
    prepared.grid.SetSpacing([side] * 3)
    _, *warnings = report(labels, model, Contrast.T1C, prepared=prepared).warnings
    assert [w.partition(" ml")[0] for w in warnings] == (
        [f"the brain measures {4 * side**3 / 1000:.0f}"] if warned else []
    )


def test_a_contrast_that_came_from_far_away_is_warned_of(labels, model):
    far = Registration("registered", sitk.Transform(3, sitk.sitkIdentity), 0.3, 312.4)
    contrasts = (Contrast.T1C, Contrast.FLAIR)
    prepared = preparation(*contrasts, registrations={Contrast.FLAIR: far})
    _, warning = report(labels, model, *contrasts, prepared=prepared).warnings
    assert warning.startswith("FLAIR lay 312 mm from T1c and was moved onto it")


def test_what_went_wrong_with_the_brain_and_the_bias_field_are_told(labels, model):
    prepared = preparation(Contrast.T1C, brain_warning="SynthStrip has failed", bias_corrected=True)
    found = report(labels, model, Contrast.T1C, prepared=prepared)
    assert found.warnings == ("a warning", "SynthStrip has failed")
    assert found.bias_corrected


def test_the_embedded_card_has_a_figure_for_every_subset_and_region():
    embedded = load_model()
    for subset in SUBSETS:
        for region in Region:
            figure = embedded.expected_dice(subset, region)
            assert figure is not None, (subset_name(subset), region)
            assert 0 <= figure <= 1
