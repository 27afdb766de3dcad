"""The whole pipeline with the embedded model, on phantoms."""

import itertools

import numpy as np
import pytest
import SimpleITK as sitk
from metakd.contrasts import CONTRASTS, SUBSETS, Contrast, subset_name
from metakd.evaluate import dice
from metakd.model import load_model
from metakd.phantom import PhantomSettings, make_phantom
from metakd.progress import Cancelled
from metakd.regions import REGIONS, Region
from metakd.segment import Options, segment
from metakd.study import Study, make_study

CPU = Options(device="cpu")
SEED = 1003  # the embedded model has seen seeds 0 to 15


@pytest.fixture(scope="module")
def model():
    return load_model()


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(SEED, PhantomSettings(spacing=2.0))


@pytest.fixture(scope="module")
def study(phantom):
    return make_study(phantom.images)


@pytest.fixture(scope="module")
def result(study, model):
    return segment(study, model, CPU)


def same_grid(one, other):
    return (
        one.GetSize() == other.GetSize()
        and one.GetOrigin() == other.GetOrigin()
        and one.GetSpacing() == other.GetSpacing()
        and one.GetDirection() == other.GetDirection()
    )


def test_the_tumour_of_a_phantom_is_found_on_the_references_own_grid(phantom, study, result):
    assert same_grid(result.label_map, study.images[Contrast.T1C])
    assert dice(result.label_map, phantom.labels, Region.WT) > 0.6


@pytest.mark.parametrize("subset", SUBSETS, ids=subset_name)
def test_every_subset_runs_and_says_what_was_generated(study, model, subset):
    part = study.subset(subset)
    result = segment(part, model, CPU)
    assert same_grid(result.label_map, study.images[part.default_reference])
    assert set(result.report.available) == {c.label for c in subset}
    assert set(result.report.generated) == {c.label for c in CONTRASTS if c not in subset}
    assert result.report.reference == part.default_reference.label


@pytest.mark.parametrize("window", [None, 128])
def test_progress_covers_the_whole_of_a_run(study, model, window):
    steps = []
    part = study.subset(frozenset([Contrast.T1C, Contrast.FLAIR]))
    segment(
        part, model, Options(device="cpu", window=window), on_progress=lambda *s: steps.append(s)
    )
    # Until the grid is known, the units of one pass are expected.
    (total,) = {total for stage, _, total in steps if stage not in ("register", "brain")}
    assert [done for _, done, _ in steps] == list(range(1, total + 1))
    stages = [stage for stage, _, _ in steps]
    windows = stages.count("decode")
    before = ["register", "brain", "prepare", "prepare"]
    assert stages == before + ["encode", "encode", "decode"] * windows + ["finish"]
    assert (windows == 1) == (window is None)


def test_a_run_can_be_stopped_while_it_prepares(study, model):
    steps = []
    with pytest.raises(Cancelled):
        segment(
            study,
            model,
            CPU,
            on_progress=lambda *s: steps.append(s),
            is_cancelled=lambda: len(steps) == 2,
        )
    assert [stage for stage, _, _ in steps] == ["register"] * 2


def test_the_same_input_gives_the_same_bytes_twice(study, model, result):
    again = segment(study, model, CPU)
    for region in REGIONS:
        assert sitk.Hash(again.probabilities[region]) == sitk.Hash(result.probabilities[region])


def test_any_storage_orientation_gives_the_same_physical_result(study, model, result):
    """Four of the 48 through the whole pipeline; all 48 through preprocessing elsewhere."""
    for order, flips in list(itertools.product(
        [(2, 0, 1), (1, 0, 2)], [(True, False, True), (False, True, True)]
    )):  # fmt: skip
        stored = {
            contrast: sitk.Flip(sitk.PermuteAxes(image, order), flips)
            for contrast, image in study.images.items()
        }
        turned = segment(Study(stored), model, CPU)
        assert same_grid(turned.label_map, stored[Contrast.T1C])
        back = sitk.DICOMOrient(turned.label_map, "LPS")
        expected = sitk.DICOMOrient(result.label_map, "LPS")
        assert np.array_equal(
            sitk.GetArrayViewFromImage(back), sitk.GetArrayViewFromImage(expected)
        )


def test_four_different_grids_give_nearly_the_result_of_one(phantom, model, result):
    scattered = make_phantom(SEED, PhantomSettings(spacing=2.0, separate_grids=True))
    sizes = {image.GetSize() for image in scattered.images.values()}
    assert len(sizes) == 4
    study = make_study(scattered.images)
    found = segment(study, model, CPU)
    assert same_grid(found.label_map, study.images[Contrast.T1C])
    on_truth = sitk.Resample(
        found.label_map, phantom.labels, sitk.Transform(), sitk.sitkNearestNeighbor
    )
    lost = dice(result.label_map, phantom.labels, Region.WT) - dice(
        on_truth, phantom.labels, Region.WT
    )
    assert lost < 0.1


@pytest.mark.parametrize("reference", CONTRASTS, ids=lambda c: c.value)
def test_the_result_lies_on_the_grid_of_the_chosen_reference(model, reference):
    scattered = make_phantom(SEED, PhantomSettings(spacing=3.0, separate_grids=True))
    study = make_study(scattered.images)
    found = segment(study, model, Options(device="cpu", reference=reference))
    assert same_grid(found.label_map, study.images[reference])
    assert found.report.reference == reference.label


def test_sliding_window_and_whole_pass_agree(model):
    study = make_study(make_phantom(SEED, PhantomSettings(spacing=1.0)).images)
    whole = segment(study, model, CPU)
    sliding = segment(study, model, Options(device="cpu", window=128))
    assert whole.report.window is None
    assert sliding.report.window == 128
    for region in REGIONS:
        assert dice(sliding.label_map, whole.label_map, region) >= 0.98, region


@pytest.mark.parametrize("size", [(64, 64, 64), (96, 112, 4), (512, 512, 300)])
def test_studies_of_any_size_come_back_in_their_own(phantom, model, size):
    """A small cube, four slices, and half-millimetre voxels."""
    flair = phantom.images[Contrast.FLAIR]
    extent = np.array(flair.GetSize()) * flair.GetSpacing()
    spacing = (extent / size).tolist()
    origin = (np.array(flair.GetOrigin()) + np.array(spacing) / 2 - 1.0).tolist()
    image = sitk.Resample(flair, size, sitk.Transform(), sitk.sitkLinear, origin, spacing)
    result = segment(make_study({Contrast.FLAIR: image}), model, CPU)
    assert same_grid(result.label_map, image)


def test_a_healthy_phantom_is_called_nearly_empty(model):
    healthy = make_phantom(1008, PhantomSettings(spacing=2.0, tumour=False))
    report = segment(make_study(healthy.images), model, CPU).report
    assert report.regions["WT"].volume_ml < 10
