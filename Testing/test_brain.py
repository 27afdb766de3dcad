"""Where the brain is taken from, and the built-in network that finds it."""

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from metakd import brain, brain_network
from metakd.brain import find_brain
from metakd.brain_network import brain_of, builtin
from metakd.contrasts import Contrast
from metakd.foreground import foreground, looks_stripped
from metakd.memory import Memory
from metakd.network import MetaKDNet
from metakd.oriented import Oriented, Placed
from metakd.packages import CARD, WEIGHTS, ModelError
from metakd.phantom import PhantomSettings, make_phantom
from metakd.study import StudyError, make_study, read_scan

T1, T1C, T2, FLAIR = Contrast
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def stripped():
    return make_phantom(3, PhantomSettings(spacing=4.0)).images


@pytest.fixture(scope="module")
def heads():
    return make_phantom(3, PhantomSettings(spacing=4.0, scalp=True)).images


@pytest.fixture
def asked(monkeypatch):
    """Who is asked for the brain, in turn; each answers with all that is not air."""
    asked = []

    def network(image, device):
        asked.append("builtin")
        return foreground(image)

    def tool(name, image, device, **_):
        asked.append(name)
        return foreground(image)

    monkeypatch.setattr(brain, "brain_of", network)
    monkeypatch.setattr(brain, "run_tool", tool)
    monkeypatch.setattr(brain, "installed_tool", lambda: None)
    return asked


def placed(contrast, image):
    scan = Oriented(contrast, image)
    return Placed(scan, scan.extent(), sitk.Transform(3, sitk.sitkIdentity))


def find(images, source="auto", mask=None, memory=None, in_place=None):
    study = make_study(images)
    return find_brain(
        {c: placed(c, image) for c, image in study.images.items()},
        study.default_reference,
        in_place=list(study.images) if in_place is None else in_place,
        source=source,
        mask=mask,
        device=CPU,
        memory=memory or Memory(),
        is_cancelled=lambda: False,
    )


@pytest.mark.parametrize("source", ["auto", "off", "builtin"])
def test_a_mask_given_beats_all_else(stripped, asked, source):
    mine = stripped[T1] > 0
    found = find({T1C: stripped[T1C]}, source, mine)
    assert (found.source, found.foregrounds) == ("mask", ())
    assert found.mask is mine
    assert not asked


def test_off_takes_what_is_not_air_of_every_contrast(stripped, heads, asked):
    found = find({T1C: heads[T1C], FLAIR: stripped[FLAIR]}, "off")
    assert (found.source, found.mask, found.foregrounds) == ("off", None, (T1C, FLAIR))
    assert not asked


def test_scans_without_skull_are_taken_as_they_are(stripped, asked, monkeypatch):
    monkeypatch.setattr(brain, "installed_tool", lambda: "synthstrip")
    found = find({T1C: stripped[T1C], FLAIR: stripped[FLAIR]})
    assert (found.source, found.mask, found.foregrounds) == ("background", None, (T1C, FLAIR))
    assert not asked


@pytest.fixture
def knows_the_brain(stripped, asked, monkeypatch):
    """The network finds in a whole head what the scan without skull shows."""
    brain_alone = make_study({FLAIR: stripped[FLAIR]}).images[FLAIR]
    monkeypatch.setattr(brain, "brain_of", lambda image, device: foreground(brain_alone))


@pytest.mark.usefixtures("knows_the_brain")
def test_one_scan_without_skull_serves_those_that_have_theirs(stripped, heads):
    found = find({T1C: heads[T1C], FLAIR: stripped[FLAIR], T2: heads[T2]})
    assert (found.source, found.foregrounds) == ("background", (FLAIR,))


@pytest.mark.usefixtures("knows_the_brain")
def test_a_slab_without_skull_does_not_stand_for_the_brain(stripped, heads):
    values = sitk.GetArrayFromImage(stripped[FLAIR])
    values[: len(values) // 2] = values.min()
    slab = sitk.GetImageFromArray(values)
    slab.CopyInformation(stripped[FLAIR])
    assert find({T1C: heads[T1C], FLAIR: slab}).source == "builtin"


@pytest.mark.usefixtures("knows_the_brain")
def test_a_scan_that_could_not_be_registered_lends_no_brain(stripped, heads):
    images = {T1C: heads[T1C], FLAIR: stripped[FLAIR]}
    assert find(images, in_place=[T1C]).source == "builtin"


@pytest.mark.parametrize("tool", ["synthstrip", "hd-bet", None])
def test_heads_are_left_to_an_installed_tool_else_to_the_network(heads, asked, monkeypatch, tool):
    monkeypatch.setattr(brain, "installed_tool", lambda: tool)
    found = find({T1C: heads[T1C], FLAIR: heads[FLAIR]})
    assert found.source == (tool or "builtin")
    assert asked == [found.source]
    reference = make_study({T1C: heads[T1C]}).images[T1C]
    assert found.mask.GetSize() == reference.GetSize()  # looked for in the reference


def broken(name, image, device, **_):
    raise StudyError("SynthStrip has failed: a; b; install it again")


def blind(name, image, device, **_):
    return image < image  # nothing, on its grid


@pytest.mark.parametrize("tool", [broken, blind])
def test_a_tool_of_no_use_is_told_of_and_replaced_by_the_network(heads, asked, monkeypatch, tool):
    monkeypatch.setattr(brain, "installed_tool", lambda: "synthstrip")
    monkeypatch.setattr(brain, "run_tool", tool)
    found = find({T1C: heads[T1C]})
    assert (found.source, asked) == ("builtin", ["builtin"])
    said = {
        broken: "SynthStrip has failed: a; b; the built-in",
        blind: "SynthStrip finds no brain in T1c; the built-in",
    }
    assert found.warning.startswith(said[tool])


@pytest.mark.parametrize("tool", [broken, blind])
def test_a_tool_of_no_use_that_was_asked_for_is_an_error(heads, asked, monkeypatch, tool):
    monkeypatch.setattr(brain, "run_tool", tool)
    with pytest.raises(StudyError, match=r"SynthStrip (has failed|finds no brain)"):
        find({T1C: heads[T1C]}, "synthstrip")
    assert not asked


def test_a_failing_tool_is_not_run_again_on_the_same_image(heads, asked, monkeypatch):
    """It may have taken half an hour."""
    runs = []

    def failing(name, image, device, **_):
        runs.append(name)
        return broken(name, image, device)

    monkeypatch.setattr(brain, "installed_tool", lambda: "hd-bet")
    monkeypatch.setattr(brain, "run_tool", failing)
    study, memory = make_study({T1C: heads[T1C]}), Memory()
    for _ in range(2):
        found = find_brain({T1C: placed(T1C, study.images[T1C])}, T1C, in_place=[T1C],
                           source="auto", mask=None, device=CPU, memory=memory,
                           is_cancelled=lambda: False)  # fmt: skip
        assert found.warning
    assert runs == ["hd-bet"]


def test_off_leaves_out_what_could_not_be_put_in_place(heads):
    found = find({T1C: heads[T1C], FLAIR: heads[FLAIR]}, "off", in_place=[T1C])
    assert found.foregrounds == (T1C,)


@pytest.mark.parametrize("source", ["builtin", "synthstrip", "hd-bet"])
def test_who_is_chosen_is_asked_even_where_nothing_is_to_be_stripped(stripped, asked, source):
    found = find({T1C: stripped[T1C]}, source)
    assert found.source == source
    assert asked == [source]


def test_what_was_found_in_an_image_is_remembered(heads, asked):
    study, memory = make_study({T1C: heads[T1C]}), Memory()
    once, again = (
        find_brain({T1C: placed(T1C, study.images[T1C])}, T1C, in_place=[T1C], source="auto",
                   mask=None, device=CPU, memory=memory, is_cancelled=lambda: False)
        for _ in range(2)
    )  # fmt: skip
    assert again.mask is once.mask
    assert asked == ["builtin"]


def half(image):
    """Cut through the middle of the brain: its outside cannot tell whether there is a skull."""
    return image[:, :, : image.GetSize()[2] // 2]


def test_a_cut_off_scan_that_is_all_brain_is_taken_as_it_is(stripped, asked):
    found = find({T1C: half(stripped[T1C])})
    assert (found.source, found.foregrounds) == ("background", (T1C,))
    assert asked == ["builtin"]


def test_a_cut_off_scan_that_shows_more_than_brain_is_stripped(stripped, asked, monkeypatch):
    def a_part(image, device):
        asked.append("builtin")
        return sitk.BinaryErode(foreground(image), [3] * 3)

    monkeypatch.setattr(brain, "brain_of", a_part)
    found = find({T1C: half(stripped[T1C])})
    assert (found.source, found.foregrounds) == ("builtin", ())
    assert asked == ["builtin"]  # once: what it found to decide is what is used


@pytest.mark.parametrize("source", ["auto", "hd-bet"])
def test_a_scan_without_a_brain_is_refused(heads, asked, monkeypatch, source):
    def a_speck(image):
        speck = sitk.Image(image.GetSize(), sitk.sitkUInt8)
        speck.CopyInformation(image)
        speck[5:9, 5:9, 5:9] = 1  # 4 ml
        return speck

    monkeypatch.setattr(brain, "brain_of", lambda image, device: a_speck(image))
    monkeypatch.setattr(brain, "run_tool", lambda name, image, device, **_: a_speck(image))
    with pytest.raises(StudyError, match=r"no brain.* in (it|T1c); .*brain mask$"):
        find({T1C: heads[T1C]}, source)


def ball(radii_mm, spacing=(2.0, 2.0, 2.0), air=0.0, noise=0.0, size=(110, 110, 110)):
    """(D, H, W) with an ellipsoid of tissue in the middle."""
    rng = np.random.default_rng(0)
    offsets = (np.arange(n) - (n - 1) / 2 for n in size)
    axes = np.meshgrid(*(o * s for o, s in zip(offsets, spacing, strict=True)), indexing="ij")
    inside = sum((a / r) ** 2 for a, r in zip(axes, radii_mm, strict=True)) < 1
    values = np.where(inside, 100 + 10 * rng.random(inside.shape), air)
    return values + noise * rng.standard_normal(inside.shape)


BRAIN, HEAD = (60, 80, 65), (85, 95, 75)  # 1.3 l and 2.5 l


@pytest.mark.parametrize("air", [0.0, -1000.0])
@pytest.mark.parametrize("factor", [1, 4])
def test_a_brain_alone_looks_stripped_and_a_head_does_not(air, factor):
    spacing, size = (2.0 * factor, 2.0, 2.0), (110 // factor, 110, 110)
    assert looks_stripped(ball(BRAIN, spacing, air, size=size), spacing) is True
    assert looks_stripped(ball(HEAD, spacing, air, size=size), spacing) is False


def test_noisy_air_is_never_left_by_stripping():
    assert looks_stripped(ball(BRAIN, noise=1.0), (2.0, 2.0, 2.0)) is False


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_scan_that_is_cut_off_cannot_tell(axis):
    spacing = (2.0, 2.0, 2.0)
    whole = ball(BRAIN)
    assert looks_stripped(whole.take(range(55), axis), spacing) is None
    grazed = whole.take(range(55 - BRAIN[axis] // 2, 110), axis)
    assert looks_stripped(grazed, spacing) is True  # less than 20 cm² of it is cut


@pytest.fixture(scope="module")
def clinical(shared_data):
    """As it came from the scanner: 5.5 mm slices, with skull."""
    return read_scan(T1C, shared_data / "clinical/TCGA-FG-6692/raw/t1c.nii.gz").image


def test_the_network_finds_the_brain_in_a_real_head_however_it_is_stored(clinical):
    head = Oriented(T1C, clinical)
    mask = brain_of(head.image, CPU)
    values = sitk.GetArrayFromImage(mask)
    assert set(np.unique(values)) == {0, 1}
    assert np.ptp(mask.GetSpacing()) == 0
    litres = values.sum() * np.prod(mask.GetSpacing()) / 1e6
    assert 1.0 < litres < 1.8
    statistics = sitk.LabelShapeStatisticsImageFilter()
    assert sitk.GetArrayViewFromImage(sitk.ConnectedComponent(mask)).max() == 1
    statistics.Execute(mask)
    in_scan = head.image.TransformPhysicalPointToIndex(statistics.GetCentroid(1))
    assert head.mask[in_scan] == 1
    assert min(statistics.GetBoundingBox(1)[3:]) * mask.GetSpacing()[0] > 80  # mm; no shell
    other = Oriented(T1C, sitk.Flip(sitk.PermuteAxes(clinical, (2, 0, 1)), (True, False, True)))
    again = brain_of(other.image, CPU)
    assert np.array_equal(sitk.GetArrayFromImage(again), values)
    np.testing.assert_allclose(again.GetOrigin(), mask.GetOrigin(), atol=1e-3)


def test_a_gpu_without_memory_leaves_the_brain_to_the_cpu(heads, monkeypatch):
    head = make_study({T1C: heads[T1C]}).images[T1C]
    expected = brain_of(head, CPU)
    to = MetaKDNet.to

    def scarce(network, device):
        if device.type == "cuda":
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return to(network, device)

    monkeypatch.setattr(MetaKDNet, "to", scarce)
    found = brain_of(head, torch.device("cuda"))
    assert np.array_equal(sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(expected))


def test_48_storage_orientations_are_one_image_to_the_network():
    image = sitk.GetImageFromArray(np.random.default_rng(0).random((4, 5, 6)).astype(np.float32))
    image.SetSpacing((1.0, 2.0, 3.0))
    for order in itertools.permutations(range(3)):
        for flips in itertools.product([False, True], repeat=3):
            oriented = Oriented(T1, sitk.Flip(sitk.PermuteAxes(image, order), flips)).image
            assert np.array_equal(
                sitk.GetArrayViewFromImage(oriented), sitk.GetArrayViewFromImage(image)
            )
            np.testing.assert_allclose(oriented.GetOrigin(), image.GetOrigin(), atol=1e-6)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A copy of the embedded package where the engine looks for it, to spoil."""
    here = Path(brain_network.__file__).resolve().parent
    sources = [here.parent / "Resources" / "MetaKDSegmentationBrain", here / "Brain"]
    source = next(place for place in sources if place.is_dir())
    copy = tmp_path / "Resources" / "MetaKDSegmentationBrain"
    shutil.copytree(source, copy)
    monkeypatch.setattr(brain_network, "__file__", str(tmp_path / "metakd" / "brain_network.py"))
    return copy


def load():
    return builtin.__wrapped__()  # without its cache


def test_the_embedded_package_is_sound(installed):
    found_by = load()
    assert found_by.network.arguments["contrasts"] == 1
    assert found_by.network.arguments["regions"] == 1
    assert not found_by.network.training
    assert 1.0 <= found_by.spacing <= 3.0


def test_damaged_weights_are_refused(installed):
    path = installed / WEIGHTS
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        load()


@pytest.mark.parametrize("name", [CARD, WEIGHTS])
def test_a_missing_part_is_named(installed, name):
    (installed / name).unlink()
    with pytest.raises(ModelError, match=f"{Path(name).name}.*missing"):
        load()


def test_a_package_of_another_architecture_is_refused(installed):
    path = installed / CARD
    card = path.read_text("utf-8")
    assert '"architecture_version": 1' in card
    path.write_text(card.replace('"architecture_version": 1', '"architecture_version": 9'), "utf-8")
    with pytest.raises(ModelError, match="version 9; update metakd"):
        load()


def test_no_package_at_all_is_an_error_that_names_the_place(installed):
    shutil.rmtree(installed)
    with pytest.raises(ModelError, match="MetaKDSegmentationBrain"):
        load()


def test_a_scan_smaller_than_the_networks_coarsest_voxels_is_refused():
    noise = np.random.default_rng(0).random((18, 22, 20)).astype(np.float32)
    with pytest.raises(StudyError, match="no brain is found"):
        find({T1C: sitk.GetImageFromArray(noise)})
