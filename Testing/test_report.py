import dataclasses
import json

import numpy as np
import pytest
import SimpleITK as sitk
from metakd.contrasts import SUBSETS, Contrast, subset_name
from metakd.inference import Prediction
from metakd.model import Model, load_model
from metakd.regions import ED, ET, NCR, Region
from metakd.report import make_report
from metakd.study import make_study


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


def report(labels, model, *contrasts):
    rng = np.random.default_rng(0)
    images = {c: sitk.GetImageFromArray(rng.random((4, 4, 4))) for c in contrasts}
    prediction = Prediction(np.zeros((3, 4, 4, 4), np.float32), "cpu", None)
    return make_report(
        labels,
        make_study(images),
        model,
        reference=contrasts[0],
        prediction=prediction,
        seconds={"network": 1.5},
        warnings=("a warning",),
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


def test_the_embedded_card_has_a_figure_for_every_subset_and_region():
    embedded = load_model()
    for subset in SUBSETS:
        for region in Region:
            figure = embedded.expected_dice(subset, region)
            assert figure is not None, (subset_name(subset), region)
            assert 0 <= figure <= 1
