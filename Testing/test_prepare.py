"""The steps of `prepare` together: movement taken out, brain, coverage, what is remembered."""

import time

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from metakd import preprocess
from metakd.bias import without_bias
from metakd.contrasts import Contrast
from metakd.inference import predict
from metakd.memory import Memory
from metakd.network import MetaKDNet
from metakd.oriented import box_around
from metakd.phantom import PhantomSettings, make_phantom
from metakd.preprocess import prepare, units_of_steps
from metakd.report import preparation_warnings
from metakd.steps import AS_IT_IS, Steps
from metakd.study import StudyError, make_study
from scans import moved, rigid

T1, T1C, T2, FLAIR = Contrast
CPU = torch.device("cpu")
GRID = {"spacing": 4.0, "stride": 4}
MOVES = {
    T1: rigid(8, (0, 0, 1), (12, -6, 4)),
    T2: rigid(15, (1, 1, 0), (-5, 10, 8)),
    FLAIR: rigid(5, (0, 1, 0), (20, 0, -15)),
}


@pytest.fixture(scope="module")
def images():
    """Of one patient at 4 mm, without skull, aligned."""
    return make_phantom(3, PhantomSettings(spacing=4.0)).images


@pytest.fixture(scope="module")
def aligned(images):
    return make_study(images)


@pytest.fixture(scope="module")
def shifted(images):
    """The same patient, who moved between the series."""
    return make_study({c: moved(i, MOVES[c]) if c in MOVES else i for c, i in images.items()})


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return MetaKDNet(channels=[4, 8], decoder_channels=[4, 8]).eval()


def same_bits(one, other):
    return (
        one.channels.keys() == other.channels.keys()
        and all(np.array_equal(one.channels[c], other.channels[c]) for c in one.channels)
        and np.array_equal(one.brain, other.brain)
        and one.grid == other.grid
    )


def overlap(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def test_a_study_that_moved_is_prepared_as_if_it_had_not(aligned, shifted, monkeypatch):
    """And a second run of it with the first one's memory registers nothing anew."""
    registered = []
    register = preprocess.register

    def counted(*arguments):
        registered.append(arguments)
        return register(*arguments)

    monkeypatch.setattr(preprocess, "register", counted)
    expected = prepare(aligned, **GRID, steps=AS_IT_IS)
    memory, ticks = Memory(), []
    prepared = prepare(shifted, **GRID, memory=memory, on_step=lambda *step: ticks.append(step[:2]))
    assert prepared.brain_source == "background"
    back = sitk.Resample(  # on the other one's grid, which lies a voxel elsewhere at most
        prepared.image(prepared.brain.astype(np.float32)), expected.grid
    )
    # Interpolating the moved images has given each a rim, of up to a voxel of 4 mm.
    assert overlap(expected.brain, sitk.GetArrayFromImage(back) > 0.5) > 0.9
    core = sitk.BinaryErode(sitk.GetImageFromArray(expected.brain.astype(np.uint8)), [2] * 3)
    brain = sitk.GetArrayFromImage(core) > 0
    for contrast, channel in prepared.channels.items():
        there = sitk.GetArrayFromImage(sitk.Resample(prepared.image(channel), expected.grid))
        likeness = np.corrcoef(there[brain], expected.channels[contrast][brain])[0, 1]
        # Noise and voxels of 4 mm blurred twice: the true movement gives 0.92 to 0.95, none 0.3.
        assert likeness > 0.9, contrast
    assert set(prepared.registrations) == set(MOVES)
    for contrast, truth in MOVES.items():
        assert prepared.registrations[contrast].outcome == "registered"
        for point in ((0, 0, 0), (40, -30, 20), (-20, 30, -40)):
            found = prepared.transforms[contrast].TransformPoint(point)
            assert np.linalg.norm(np.subtract(found, truth.TransformPoint(point))) < 2.0
    assert prepared.transforms[T1C].TransformPoint((1, 2, 3)) == (1, 2, 3)
    assert not prepared.partial

    assert [done for _, done in ticks] == list(range(1, units_of_steps(4, Steps()) + 1))
    assert [step for step, _ in ticks] == ["register"] * 3 + ["brain"] + ["prepare"] * 4
    assert set(prepared.seconds) == {"orient", "register", "brain", "grid", "normalise"}

    assert len(registered) == 3
    again = prepare(shifted, **GRID, memory=memory)
    assert len(registered) == 3
    assert same_bits(prepared, again)


def test_another_reference_or_kind_is_registered_anew(images, monkeypatch):
    """What is remembered was made of other images, or otherwise."""
    kinds = []

    def noted(fixed, moving, kind):
        kinds.append((kind, fixed.GetSize(), moving.GetSize()))
        return preprocess.Registration("aligned", sitk.Transform(3, sitk.sitkIdentity), 0.5)

    monkeypatch.setattr(preprocess, "register", noted)
    study, memory = make_study({T1C: images[T1C], T2: images[T2]}), Memory()
    for steps, reference in (
        (Steps(), T1C), (Steps(), T1C), (Steps("affine"), T1C), (Steps(), T2), (Steps("off"), T1C),
    ):  # fmt: skip
        prepare(study, **GRID, steps=steps, reference=reference, memory=memory)
    assert [kind for kind, *_ in kinds] == ["rigid", "affine", "rigid"]


@pytest.mark.parametrize(
    ("steps", "count"),
    [(AS_IT_IS, 5), (Steps(registration="off"), 5), (Steps(brain="off"), 8)],
)
def test_units_are_what_is_ticked_and_steps_left_out_leave_no_trace(aligned, steps, count):
    ticks = []
    prepared = prepare(aligned, **GRID, steps=steps, on_step=lambda *step: ticks.append(step))
    assert [done for _, done, _ in ticks] == list(range(1, count + 1))
    assert units_of_steps(4, steps) == count
    shapes = [shape for _, _, shape in ticks if shape]
    assert shapes == [prepared.shape] * 4
    if steps.registration == "off":
        assert not prepared.registrations
    else:
        assert {r.outcome for r in prepared.registrations.values()} == {"aligned"}
    assert same_bits(prepared, prepare(aligned, **GRID, steps=AS_IT_IS))


def test_an_aligned_stripped_study_is_left_to_the_bit_as_it_is(aligned):
    left = prepare(aligned, **GRID)
    assert same_bits(left, prepare(aligned, **GRID, steps=AS_IT_IS))
    assert left.brain_source == "background"
    assert left.coverage == dict.fromkeys(aligned.images, 1.0)


@pytest.fixture(scope="module")
def heads():
    """Of one patient at 4 mm, with skull; FLAIR's lower half was not scanned."""
    images = make_phantom(3, PhantomSettings(spacing=4.0, scalp=True)).images
    return {**images, FLAIR: images[FLAIR][:, :, images[FLAIR].GetSize()[2] // 2 :]}


@pytest.fixture(scope="module")
def mask():
    """The brain of `heads`, on a grid of its own."""
    brain = make_phantom(3, PhantomSettings(spacing=3.0)).images[T1C] != 0
    return sitk.DICOMOrient(brain, "PIR")


OFF = {"registration": "off"}


def test_what_a_contrast_does_not_cover_is_decoded_as_if_it_were_absent(heads, mask, network):
    study, steps = make_study(heads), Steps(**OFF, brain_mask=mask)
    whole = prepare(study, **GRID, steps=steps)
    assert set(whole.partial) == {FLAIR}
    assert 0.3 < whole.coverage[FLAIR] < 0.7
    assert {whole.coverage[c] for c in (T1, T1C, T2)} == {1.0}
    covers = whole.partial[FLAIR]
    assert not whole.channels[FLAIR][~covers].any()
    assert abs(whole.channels[FLAIR][covers & whole.brain].mean()) < 1e-3

    less = prepare(study.subset(frozenset({T1, T1C, T2})), **GRID, steps=steps)
    assert np.array_equal(less.brain, whole.brain)
    both, without = (predict(network, p, CPU).probabilities for p in (whole, less))
    lacking = whole.brain & ~covers
    depth = np.flatnonzero(lacking.any(axis=(1, 2)))
    assert len(depth) > 8
    assert np.array_equal(both[:, lacking], without[:, lacking])
    covered = whole.brain & covers
    assert not np.array_equal(both[:, covered], without[:, covered])
    windows = predict(network, whole, CPU, window=16).probabilities
    less_windows = predict(network, less, CPU, window=16).probabilities
    np.testing.assert_allclose(windows[:, lacking], less_windows[:, lacking], atol=1e-6)


def test_a_mask_on_another_grid_is_taken_as_the_brain(heads, mask):
    truth = make_phantom(3, PhantomSettings(spacing=4.0)).images[T1C] != 0
    study = make_study({T1C: heads[T1C], T2: heads[T2]})
    prepared = prepare(study, **GRID, steps=Steps(**OFF, brain="off", brain_mask=mask))
    assert prepared.brain_source == "mask"
    there = sitk.Resample(truth, prepared.grid, sitk.Transform(), sitk.sitkNearestNeighbor)
    assert overlap(prepared.brain, sitk.GetArrayFromImage(there) > 0) > 0.94
    assert not prepared.channels[T2][~prepared.brain].any()
    litres = sitk.GetArrayFromImage(mask).sum() * 27 / 1e6
    assert prepared.brain_ml / 1000 == pytest.approx(litres, rel=0.02)


def test_a_mask_beats_the_scans_own_background(images, mask):
    """Half of the brain is asked for, and half is what the network gets of every contrast."""
    size = mask.GetSize()
    part = mask[:, : size[1] // 2, :]  # PIR: the second axis is towards the feet
    study = make_study({T1C: images[T1C], T2: images[T2]})
    prepared = prepare(study, **GRID, steps=Steps(**OFF, brain_mask=part))
    every = prepare(study, **GRID, steps=AS_IT_IS)
    assert prepared.brain_ml == pytest.approx(
        sitk.GetArrayFromImage(part).sum() * 27 / 1000, rel=0.05
    )
    assert prepared.brain_ml < 0.7 * every.brain_ml
    for channel in prepared.channels.values():
        # But for the seam, where the mask reaches beyond the scan's own brain.
        assert channel[prepared.brain].std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("mm", [150.0, 400.0, 2000.0])
def test_a_mask_elsewhere_is_refused(images, mask, mm):
    away = sitk.Image(mask)
    away.SetOrigin(np.add(mask.GetOrigin(), (0, 0, mm)).tolist())
    study = make_study({T1C: images[T1C]})
    with pytest.raises(StudyError, match=r"mask.*T1c|T1c.*mask") as error:
        prepare(study, **GRID, steps=Steps(brain_mask=away))
    assert "\n" not in str(error.value)


def test_a_mask_read_anew_leaves_what_was_made_with_it(heads, mask):
    study, memory = make_study({T1C: heads[T1C], T2: heads[T2]}), Memory()
    once, again = (
        prepare(study, **GRID, memory=memory, steps=Steps(**OFF, brain_mask=sitk.Image(mask) * 1))
        for _ in range(2)
    )
    assert all(again.channels[c] is once.channels[c] for c in study.images)
    size = mask.GetSize()
    less = prepare(
        study, **GRID, memory=memory, steps=Steps(**OFF, brain_mask=mask[:, : size[1] // 2, :])
    )
    assert less.brain_ml < 0.7 * once.brain_ml


def test_a_head_beside_a_brain_alone_is_prepared_once(images, heads):
    """Its channel is of the other's brain, which is put together anew each time."""
    study, memory = make_study({T1C: images[T1C], T2: heads[T2]}), Memory()
    once, again = (prepare(study, **GRID, memory=memory) for _ in range(2))
    assert once.brain_source == "background"
    assert all(again.channels[c] is once.channels[c] for c in study.images)


def test_a_mask_smaller_than_any_brain_is_refused_before_any_work(images, mask, monkeypatch):
    monkeypatch.setattr(preprocess, "register", None)
    size = mask.GetSize()
    part = mask[: size[0] // 2, : size[1] // 3, : size[2] // 3]
    assert sitk.GetArrayViewFromImage(part).any()
    study = make_study({T1C: images[T1C], T2: images[T2]})
    with pytest.raises(StudyError, match=r"the brain mask holds \d+ ml"):
        prepare(study, **GRID, steps=Steps(brain_mask=part))


def apart(images, axis, mm):
    """FLAIR, and T1c so far away along an axis."""
    origin = list(images[FLAIR].GetOrigin())
    origin[axis] += mm
    away = sitk.Image(images[FLAIR])
    away.SetOrigin(origin)
    return make_study({T1C: images[T1C], FLAIR: away})


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("mm", [-400, 400])
@pytest.mark.parametrize("reference", [T1C, FLAIR])
def test_contrasts_that_do_not_overlap_are_refused(images, axis, mm, reference):
    study = apart(images, axis, mm)
    with pytest.raises(StudyError, match="do not overlap in space"):
        prepare(study, **GRID, steps=Steps(**OFF), reference=reference)


def test_contrasts_that_lost_their_place_are_found(images):
    prepared = prepare(apart(images, 0, 400), **GRID)
    found = prepared.registrations[FLAIR]
    assert found.outcome == "registered"
    assert found.moved_mm == pytest.approx(400, abs=1)
    assert prepared.coverage[FLAIR] > 0.98
    (warning,) = preparation_warnings(prepared, T1C)
    assert warning.startswith("FLAIR lay 400 mm from T1c")


def tilted_slab(image, mm, degrees=30):
    """A slab of an image, its normal so far off the grid's, and 0 around it."""
    values = sitk.GetArrayFromImage(image)
    z, y, _ = np.indices(values.shape)
    normal = np.array([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))])
    middle = np.argwhere(values != 0).mean(axis=0)[:2]
    distance = (z - middle[0]) * normal[0] + (y - middle[1]) * normal[1]
    slab = sitk.GetImageFromArray(np.where(np.abs(distance) * 4.0 < mm / 2, values, 0))
    slab.CopyInformation(image)
    return slab


def test_what_a_slab_on_a_larger_grid_is_padded_with_is_no_data(images, network):
    slab = tilted_slab(images[FLAIR], 60.0)
    study = make_study({T1C: images[T1C], FLAIR: slab})
    prepared = prepare(study, **GRID, steps=Steps(**OFF))
    truth = sitk.Resample(slab != 0, prepared.grid, sitk.Transform(), sitk.sitkNearestNeighbor)
    truth = sitk.GetArrayFromImage(truth)[prepared.brain] > 0
    covers = prepared.partial[FLAIR][prepared.brain]
    assert overlap(covers, truth) > 0.9
    assert covers[~truth].mean() < 0.15  # voxels of 4 mm that the borders run through
    less = prepare(make_study({T1C: images[T1C]}), **GRID, steps=Steps(**OFF))
    assert np.array_equal(less.brain, prepared.brain)
    both, without = (predict(network, p, CPU).probabilities for p in (prepared, less))
    lacking = prepared.brain & ~prepared.partial[FLAIR]
    assert np.array_equal(both[:, lacking], without[:, lacking])


@pytest.mark.parametrize("cropped", [False, True])
@pytest.mark.parametrize("degrees", [5, 30])
def test_padding_in_a_brain_that_was_given_is_neither_data_nor_normalised(
    images, mask, cropped, degrees
):
    """Air is not 0 here: intensities were brought to 0 to 1."""
    slab = tilted_slab(images[FLAIR], 80.0, degrees)
    if cropped:  # to what it shows, and a little more
        box = [
            slice(int(low), int(high) + 1) for low, high in zip(*box_around(slab != 0), strict=True)
        ]
        slab = slab[tuple(box)]
    study = make_study({T1C: images[T1C], FLAIR: slab})
    prepared = prepare(study, **GRID, steps=Steps(**OFF, brain_mask=mask))
    truth = sitk.Resample(slab != 0, prepared.grid, sitk.Transform(), sitk.sitkNearestNeighbor)
    truth = (sitk.GetArrayFromImage(truth) > 0) & prepared.brain
    assert prepared.coverage[FLAIR] == pytest.approx(truth.sum() / prepared.brain.sum(), abs=0.06)
    shown = prepared.channels[FLAIR][truth]
    assert shown.mean() == pytest.approx(0, abs=0.1)
    assert shown.std() == pytest.approx(1, abs=0.1)


def test_where_no_contrast_covers_the_brain_nothing_is_found(images, mask, network):
    slab = tilted_slab(images[FLAIR], 60.0)
    study = make_study({FLAIR: slab})
    prepared = prepare(study, **GRID, steps=Steps(**OFF, brain_mask=mask))
    lacking = prepared.brain & ~prepared.partial[FLAIR]
    found = predict(network, prepared, CPU).probabilities
    assert not found[:, lacking].any()
    assert found[:, prepared.brain & ~lacking].all()
    (warning,) = [w for w in preparation_warnings(prepared, FLAIR) if "covers" in w]
    assert "nothing outside it is segmented" in warning


def test_a_reference_of_a_part_leaves_the_rest_to_the_others(images, mask):
    study = make_study({T1C: tilted_slab(images[T1C], 60.0), FLAIR: images[FLAIR]})
    prepared = prepare(study, **GRID, steps=Steps(**OFF, brain_mask=mask))
    (warning,) = [w for w in preparation_warnings(prepared, T1C) if "covers" in w]
    assert "elsewhere the result is from the other contrasts" in warning


def test_noisy_air_makes_nothing_of_a_whole_head_padding():
    """Without brain extraction a head ends where Otsu's threshold says, which is a guess."""
    images = make_phantom(3, PhantomSettings(spacing=4.0, scalp=True)).images
    rng = np.random.default_rng(0)
    noisy = {}
    for contrast in (T1C, FLAIR):
        values = sitk.GetArrayFromImage(images[contrast]).astype(np.float32)
        values *= np.linspace(0.15, 1, len(values))[:, None, None] if contrast is FLAIR else 1
        values += np.abs(rng.normal(0, 0.02 * values.max(), values.shape))
        noisy[contrast] = sitk.GetImageFromArray(values)
        noisy[contrast].CopyInformation(images[contrast])
    prepared = prepare(make_study(noisy), **GRID, steps=Steps(**OFF, brain="off"))
    assert not prepared.partial


def test_every_second_of_the_preparation_is_some_steps(images, mask):
    study = make_study({T1C: images[T1C], FLAIR: tilted_slab(images[FLAIR], 60.0)})
    memory = Memory()
    for steps in (Steps(), Steps(), Steps(brain_mask=mask)):
        start = time.perf_counter()
        prepared = prepare(study, **GRID, steps=steps, memory=memory)
        took = time.perf_counter() - start
        assert took - sum(prepared.seconds.values()) < 0.05 * took + 0.01


def test_dark_fluid_inside_a_scan_is_covered_by_it(images):
    """As black as the air around, but enclosed: ventricles on FLAIR."""
    values = sitk.GetArrayFromImage(images[FLAIR])
    middle = np.argwhere(values != 0).mean(axis=0)
    away = np.linalg.norm(np.indices(values.shape).transpose(1, 2, 3, 0) - middle, axis=-1)
    values[away * 4.0 < 25.0] = 0
    flair = sitk.GetImageFromArray(values)
    flair.CopyInformation(images[FLAIR])
    study = make_study({T1C: images[T1C], FLAIR: flair})
    prepared = prepare(study, **GRID, steps=Steps(**OFF))
    assert not prepared.partial
    assert prepared.coverage[FLAIR] == 1.0


def test_a_ramp_of_the_coils_is_evened_out(images):
    inside = sitk.GetArrayFromImage(images[T1C]) != 0
    rng = np.random.default_rng(0)
    z = np.linspace(-1, 1, len(inside))[:, None, None]
    tissue = np.where(rng.random(inside.shape) < 0.6, 1.0, 0.7)  # white matter and grey
    even = np.where(inside, tissue + 0.02 * rng.standard_normal(inside.shape), 0)
    uneven = (even * np.exp(0.5 * z)).astype(np.float32)
    corrected = without_bias(uneven, inside)
    assert corrected.dtype == np.float32

    def slope(values):
        """Of the logarithm along z."""
        white = inside & (tissue == 1)
        heights = np.broadcast_to(z, inside.shape)[white]
        return np.polyfit(heights, np.log(values[white]), 1)[0]

    assert slope(uneven) == pytest.approx(0.5, abs=0.02)
    assert abs(slope(corrected)) < 0.1
    assert np.corrcoef(corrected[inside], even[inside])[0, 1] > 0.98


def test_bias_correction_is_done_where_it_is_asked_for(images):
    image = images[T1C]
    z = np.linspace(-1, 1, image.GetSize()[2])[:, None, None]
    values = sitk.GetArrayFromImage(image) * np.exp(0.8 * z)
    ramped = sitk.GetImageFromArray(values.astype(np.float32))
    ramped.CopyInformation(image)
    study = make_study({T1C: ramped})
    plain, corrected = (
        prepare(study, **GRID, steps=Steps(bias_correction=asked)) for asked in (False, True)
    )
    assert np.array_equal(plain.brain, corrected.brain)
    height = np.nonzero(plain.brain)[0]

    def brighter_above(prepared):
        return np.corrcoef(prepared.channels[T1C][prepared.brain], height)[0, 1]

    assert brighter_above(plain) > 0.5
    assert abs(brighter_above(corrected)) < 0.5 * brighter_above(plain)
