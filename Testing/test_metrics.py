"""Dice, HD95 and lesion-wise figures: by hand, and against MONAI where it is."""

import itertools

import numpy as np
import pytest
import SimpleITK as sitk
from metakd.metrics import PENALTY_MM, LesionScores, dice, hd95, lesion_wise

MILLIMETRE = (1.0, 1.0, 1.0)
SHAPE = (20, 30, 60)
NOTHING = np.zeros(SHAPE, dtype=bool)


def boxes(*corners, side=4):
    """Cubes of ``side`` voxels with their first corner there; 64 mm³ each unless told."""
    mask = NOTHING.copy()
    for z, y, x in corners:
        mask[z : z + side, y : y + side, x : x + side] = True
    return mask


def blobs(seed, shape=(24, 20, 28), share=0.1):
    """Smooth random blobs, and one more in a corner of the volume."""
    noise = np.random.default_rng(seed).normal(size=shape)
    for axis in range(3):
        for _ in range(6):
            noise = noise + np.roll(noise, 1, axis) + np.roll(noise, -1, axis)
    mask = noise > np.quantile(noise, 1 - share)
    mask[:3, -4 - seed % 3 :, :5] = True
    return mask


BOX = boxes((2, 2, 2))


@pytest.mark.parametrize(
    ("ours", "truth", "expected_dice", "expected_mm"),
    [
        (NOTHING, NOTHING, 1, 0),
        (BOX, NOTHING, 0, 374),
        (NOTHING, BOX, 0, 374),
        (BOX, BOX, 1, 0),
    ],
    ids=["both empty", "truth empty", "result empty", "neither"],
)
def test_empty_masks(ours, truth, expected_dice, expected_mm):
    assert dice(ours, truth) == expected_dice
    assert str(hd95(ours, truth, MILLIMETRE)) == f"{expected_mm:.1f}"  # and never -0.0
    assert lesion_wise(ours, truth, MILLIMETRE) == LesionScores(expected_dice, expected_mm)


def test_dice_and_hd95_by_hand():
    moved = boxes((2, 2, 3))
    assert dice(BOX, moved) == pytest.approx(2 * 48 / (64 + 64))
    assert hd95(BOX, moved, (1, 1, 2.5)) == 2.5  # 16 of 56 surface voxels are one step away
    plate, point = NOTHING.copy(), NOTHING.copy()
    plate[5, :20, 7] = point[5, 0, 7] = True
    # From the plate 0 to 19 voxels: percentile 95 at 0.95 × 19; back it is 0, the larger counts.
    assert hd95(plate, point, (1, 3, 1)) == pytest.approx(3 * 0.95 * 19)
    assert hd95(point, plate, (1, 3, 1)) == hd95(plate, point, (1, 3, 1))


def test_a_voxel_at_the_volumes_border_is_surface():
    full, middle = np.ones((5, 5, 5), dtype=bool), np.zeros((5, 5, 5), dtype=bool)
    middle[2, 2, 2] = True
    # 98 voxels lie on the faces, the 8 corners the farthest: that is more than 5 %.
    assert hd95(full, middle, MILLIMETRE) == pytest.approx(np.sqrt(12))


def batches(*masks):
    torch = pytest.importorskip("torch")
    return [torch.tensor(mask)[None, None] for mask in masks]


@pytest.mark.parametrize("seed", range(3))
def test_dice_is_monais(seed):
    metrics = pytest.importorskip("monai.metrics", reason="MONAI comes with metakd-training")
    ours, truth = blobs(seed), blobs(seed + 100)
    expected = metrics.compute_dice(*batches(ours, truth)).item()
    assert dice(ours, truth) == pytest.approx(expected, abs=1e-6)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("spacing", [MILLIMETRE, (5.5, 0.7, 1.3)])
def test_hd95_is_monais(seed, spacing):
    metrics = pytest.importorskip("monai.metrics", reason="MONAI comes with metakd-training")
    pytest.importorskip("scipy", reason="MONAI's surfaces and distances are SciPy's")
    ours, truth = blobs(seed), blobs(seed + 100, share=0.03 * (seed + 1))
    expected = metrics.compute_hausdorff_distance(
        *batches(ours, truth), include_background=True, percentile=95, spacing=spacing
    )
    assert hd95(ours, truth, spacing) == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_hd95_is_that_of_every_pair_of_surface_voxels(seed):
    spacing = (5.5, 0.7, 1.3)
    places = []
    for mask in (blobs(seed), blobs(seed + 100)):
        surface = mask & grown(~mask, sides=1, beyond=True)
        places.append(np.argwhere(surface) * spacing)
    distances = np.linalg.norm(places[0][:, None] - places[1][None], axis=-1)
    directions = [np.percentile(distances.min(axis=axis), 95) for axis in (0, 1)]
    found = hd95(blobs(seed), blobs(seed + 100), spacing)
    assert found == pytest.approx(max(directions), rel=1e-5)


def grown(mask, sides, beyond=False):
    """Dilated by the neighbours that differ along at most ``sides`` axes."""
    padded = np.pad(mask, 1, constant_values=beyond)
    result = padded.copy()
    for step in itertools.product((-1, 0, 1), repeat=3):
        if np.abs(step).sum() <= sides:
            result |= np.roll(padded, step, (0, 1, 2))
    return result[1:-1, 1:-1, 1:-1]


def test_one_lesion_found_one_missed_one_false():
    truth = boxes((2, 2, 2), (2, 2, 30))
    ours = boxes((2, 2, 3), (14, 20, 50))
    found = 2 * 48 / 128
    assert lesion_wise(ours, truth, MILLIMETRE) == LesionScores(
        pytest.approx((found + 0 + 0) / 3), pytest.approx((1 + PENALTY_MM + PENALTY_MM) / 3)
    )


def test_a_lesion_up_to_50_mm3_is_left_out_whether_found_or_missed():
    truth = boxes((2, 2, 2)) | boxes((2, 2, 30), side=3)  # 64 and 27 mm³
    perfect = LesionScores(1, 0)
    assert lesion_wise(BOX, truth, MILLIMETRE) == perfect
    assert lesion_wise(truth, truth, MILLIMETRE) == perfect  # its match is no false lesion either
    assert lesion_wise(NOTHING, boxes((2, 2, 30), side=3), MILLIMETRE) == perfect
    # The same voxels of 2 mm³: 54 mm³ missed.
    assert lesion_wise(BOX, truth, (2, 1, 1)) == LesionScores(0.5, PENALTY_MM / 2)


def test_50_mm3_itself_is_left_out():
    exactly = NOTHING.copy()
    exactly[2:7, 2:7, 2:4] = True
    assert lesion_wise(NOTHING, exactly, MILLIMETRE) == LesionScores(1, 0)
    exactly[2, 2, 4] = True
    assert lesion_wise(NOTHING, exactly, MILLIMETRE) == LesionScores(0, PENALTY_MM)


def test_a_false_lesion_counts_however_small_and_alone():
    speck = boxes((14, 20, 50), side=1)
    assert lesion_wise(BOX | speck, BOX, MILLIMETRE) == LesionScores(0.5, PENALTY_MM / 2)


@pytest.mark.parametrize(("apart", "lesions"), [(4, 1), (6, 1), (7, 2)])
def test_lesions_whose_dilations_touch_are_one(apart, lesions):
    """Each reaches three voxels further: up to six empty voxels between them are bridged."""
    other = boxes((2, 2, 6 + apart))
    expected_dice = 2 * 64 / (64 + 128) if lesions == 1 else 1 / 2
    expected_mm = pytest.approx(hd95(BOX, BOX | other, MILLIMETRE)) if lesions == 1 else 187
    assert lesion_wise(BOX, BOX | other, MILLIMETRE) == LesionScores(expected_dice, expected_mm)


def test_a_part_within_the_dilation_is_a_match_without_overlap():
    near, far = boxes((2, 2, 8)), boxes((2, 2, 9))  # two and three empty voxels from the truth
    assert lesion_wise(near, BOX, MILLIMETRE) == LesionScores(0, hd95(near, BOX, MILLIMETRE))
    farther = lesion_wise(far, BOX, MILLIMETRE)
    assert farther == LesionScores(0, PENALTY_MM)


def test_the_dilation_reaches_18_neighbours():
    """Three steps of at most two axes each: corner to corner (2, 2, 2) is in, (3, 3, 3) is not."""
    for step, reached in ((2, True), (3, False)):
        speck = boxes((5 + step, 5 + step, 5 + step), side=1)
        score = lesion_wise(speck, boxes((2, 2, 2)), MILLIMETRE)
        assert (score.hd95_mm < PENALTY_MM) == reached


def components(mask):
    image = sitk.ConnectedComponent(sitk.GetImageFromArray(mask.astype(np.uint8)), True)
    return sitk.GetArrayFromImage(image)


def dilated(mask):
    return grown(grown(grown(mask, sides=2), sides=2), sides=2)


def by_definition(ours, truth, spacing):
    """BraTS 2023's rules step by step, on the whole volume."""
    zones, parts = components(dilated(truth)), components(ours)
    unmatched, scores = set(range(1, parts.max() + 1)), []
    for number in range(1, zones.max() + 1):
        lesion = truth & (zones == number)
        matched = set(np.unique(parts[dilated(lesion)])) - {0}
        unmatched -= matched
        if lesion.sum() * np.prod(spacing) > 50:
            found = np.isin(parts, list(matched))
            scores.append((dice(found, lesion), hd95(found, lesion, spacing)))
    assert unmatched
    assert 1 < len(scores) < zones.max()
    scores += [(0, PENALTY_MM)] * len(unmatched)
    return LesionScores(*(pytest.approx(mean) for mean in np.mean(scores, axis=0)))


@pytest.mark.parametrize("seed", range(6))
def test_many_lesions_at_the_borders_are_scored_by_the_definition(seed):
    spacing = (3.0, 1.0, 0.9)
    ours, truth = (blobs(s, (30, 50, 40), share=0.012) for s in (seed, seed + 50))
    ours |= truth & blobs(seed + 90, truth.shape, share=0.5)
    truth[-1, -1, -1] = True  # too small to be scored
    assert lesion_wise(ours, truth, spacing) == by_definition(ours, truth, spacing)
