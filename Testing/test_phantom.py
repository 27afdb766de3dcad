"""The phantom's promises: determined by its seed, contrast-true, and true to its labels."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk
from metakd.contrasts import CONTRASTS, Contrast
from metakd.phantom import Phantom, PhantomSettings, make_phantom, write_phantom
from metakd.regions import ED, ET, NCR, Region, region_mask

NECROTIC_SEED = 1  # about 45 ml, necrotic, enhancing, much oedema
SEEDS = range(10)
SPACING = 3.0


@cache
def phantom(seed: int = NECROTIC_SEED, **settings: object) -> Phantom:
    return make_phantom(seed, PhantomSettings(**{"spacing": SPACING, **settings}))  # type: ignore[arg-type]


def voxels(image: sitk.Image) -> npt.NDArray[np.float64]:
    return sitk.GetArrayFromImage(image).astype(float)


def labels(made: Phantom) -> npt.NDArray[np.uint8]:
    return sitk.GetArrayFromImage(made.labels)


def positions(image: sitk.Image) -> npt.NDArray[np.float64]:
    """Physical x, y, z (LPS, mm) of every voxel, shape (3, z, y, x)."""
    points = sitk.PhysicalPointSource(sitk.sitkVectorFloat64, *geometry(image))
    return np.moveaxis(sitk.GetArrayFromImage(points), -1, 0)


def geometry(image: sitk.Image) -> tuple[tuple[float, ...], ...]:
    return image.GetSize(), image.GetOrigin(), image.GetSpacing(), image.GetDirection()


def healthy_medians(seed: int, contrast: Contrast) -> dict[str, float]:
    """Medians in white matter, thalamus and lateral ventricles, found where anatomy has them."""
    images = phantom(seed, tumour=False).images
    x, y, z = positions(images[contrast])
    t1 = voxels(images[Contrast.T1])
    deep = (abs(x) < 32) & (abs(y) < 38) & (z > 0) & (z < 32)
    at_thalamus = np.hypot(np.hypot(abs(x) - 13, y - 6), z - 4) < 5
    at_ventricle = deep & (abs(x) < 16) & (t1 < np.percentile(t1[deep], 4))
    masks = {
        "white": deep & (t1 > np.percentile(t1[deep], 75)),
        "grey": at_thalamus & (t1 > np.percentile(t1[deep], 10)),
        "csf": at_ventricle,
    }
    image = voxels(images[contrast])
    return {name: float(np.median(image[mask])) for name, mask in masks.items()}


def tumour_medians(seed: int, contrast: Contrast) -> dict[str, float]:
    """Medians in the truth's labels, and in the same voxels of the healthy twin as `before`."""
    made = phantom(seed)
    image = voxels(made.images[contrast])
    masks = {label.short: labels(made) == label.value for label in (NCR, ED, ET)}
    medians = {name: float(np.median(image[mask])) for name, mask in masks.items() if mask.any()}
    twin = voxels(phantom(seed, tumour=False).images[contrast])
    return medians | {"before": float(np.median(twin[masks["ED"]]))}


def test_same_seed_same_files_in_any_process(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from metakd.phantom import *;"
        "settings = PhantomSettings(spacing=4, separate_grids=True);"
        "write_phantom(make_phantom(3, settings), Path(sys.argv[1]))"
    )
    for threads in ("1", "3"):  # of the BLAS
        environment = os.environ | {"OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        command = [sys.executable, "-c", code, str(tmp_path / threads)]
        subprocess.run(command, env=environment, check=True)
    for name in ("here", "again"):
        made = make_phantom(3, PhantomSettings(spacing=4, separate_grids=True))
        write_phantom(made, tmp_path / "new" / name)
    folders = [tmp_path / name for name in ("1", "3", "new/here", "new/again")]
    first, *others = ({p.name: p.read_bytes() for p in folder.iterdir()} for folder in folders)
    names = ["flair.nii.gz", "seg.nii.gz", "t1.nii.gz", "t1c.nii.gz", "t2.nii.gz"]
    assert sorted(first) == names
    assert all(first == other for other in others)
    assert first["t1.nii.gz"][4:8] == bytes(4)  # gzip's MTIME: a clock would differ between runs


def test_another_seed_is_another_patient() -> None:
    one, two = phantom(1), phantom(2)
    assert not np.array_equal(labels(one), labels(two))
    for contrast in CONTRASTS:
        assert not np.array_equal(voxels(one.images[contrast]), voxels(two.images[contrast]))


def test_written_files_hold_the_phantom(tmp_path: Path) -> None:
    made = phantom(separate_grids=True)
    write_phantom(made, tmp_path)
    for contrast, image in made.images.items():
        read = sitk.ReadImage(str(tmp_path / f"{contrast.value}.nii.gz"))
        assert read.GetPixelID() == sitk.sitkInt16
        assert np.array_equal(voxels(read), voxels(image))
        assert read.GetOrigin() == pytest.approx(image.GetOrigin(), abs=1e-3)
        assert read.GetDirection() == pytest.approx(image.GetDirection(), abs=1e-6)


def test_unfinished_writing_leaves_no_file(tmp_path: Path) -> None:
    unwritable = replace(phantom(), labels=None)  # these are written last
    with pytest.raises((TypeError, AttributeError)):
        write_phantom(unwritable, tmp_path)
    assert not list(tmp_path.iterdir())


def test_seeds_bring_every_kind_of_tumour() -> None:
    kinds = set()
    volumes = []
    for seed in SEEDS:
        found = labels(phantom(seed))
        kinds.add(frozenset(np.unique(found).tolist()) - {0})
        volumes.append(region_mask(found, Region.WT).sum() * SPACING**3 / 1000)
    assert kinds == {frozenset({1, 2, 3}), frozenset({2, 3}), frozenset({1, 2})}
    assert 5 < min(volumes) < 20
    assert 60 < max(volumes) < 160


@pytest.mark.parametrize(
    ("contrast", "order"),
    [
        (Contrast.T1, ("white", "grey", "csf")),
        (Contrast.T1C, ("white", "grey", "csf")),
        (Contrast.T2, ("csf", "grey", "white")),
        (Contrast.FLAIR, ("grey", "white", "csf")),
    ],
)
def test_normal_tissues_rank_as_in_the_contrast(contrast: Contrast, order: tuple[str, ...]) -> None:
    for seed in SEEDS:
        medians = healthy_medians(seed, contrast)
        assert tuple(sorted(medians, key=lambda name: -medians[name])) == order, seed


@pytest.mark.parametrize("seed", SEEDS)
def test_tumour_shows_as_in_each_contrast(seed: int) -> None:
    t1, t1c, t2, flair = (tumour_medians(seed, contrast) for contrast in CONTRASTS)
    white = {contrast: healthy_medians(seed, contrast)["white"] for contrast in CONTRASTS}
    for medians, contrast in ((t2, Contrast.T2), (flair, Contrast.FLAIR)):
        assert medians["ED"] > 1.2 * white[contrast]
        assert medians["ED"] > 1.1 * medians["before"]
    if "ET" in t1:
        assert t1c["ET"] > 1.15 * white[Contrast.T1C]
        assert t1["ET"] < white[Contrast.T1]  # bright through the contrast agent only
        assert flair["ED"] > flair["ET"]
    if "ET" in t1 and "NCR" in t1:
        assert t1["NCR"] < t1["ED"]
        assert t1c["NCR"] < 0.85 * t1c["ET"]
    if "ET" not in t1:  # low grade
        assert t1c["NCR"] < 1.05 * white[Contrast.T1C]


def test_core_lies_within_the_tumour() -> None:
    made = phantom(spacing=2.0)
    assert set(np.unique(labels(made))) == {0, NCR.value, ED.value, ET.value}
    around_necrosis = labels_around(made.labels, NCR.value)
    assert np.mean(around_necrosis == ET.value) > 0.8  # a rim, closed but for thin spots
    around_rim = labels_around(made.labels, ET.value)
    assert np.mean(around_rim == 0) < 0.2  # oedema, but for where it meets fluid or the surface
    brain = voxels(made.images[Contrast.T1]) > 0
    assert brain[labels(made) > 0].mean() > 0.99


def labels_around(found: sitk.Image, value: int) -> npt.NDArray[np.uint8]:
    """Labels of the other voxels that share a face with one of `value`."""
    mask = found == value
    shell = sitk.BinaryDilate(mask, (1, 1, 1), sitk.sitkCross) - mask
    return sitk.GetArrayFromImage(found)[sitk.GetArrayFromImage(shell) > 0]


def test_without_tumour_there_is_no_label() -> None:
    assert not labels(phantom(tumour=False)).any()


def test_background_is_zero_and_brain_is_not() -> None:
    images = [voxels(image) for image in phantom().images.values()]
    assert all(image.min() == 0 for image in images)
    masks = [image > 0 for image in images]
    assert all(np.array_equal(mask, masks[0]) for mask in masks)
    assert 1.1e6 < masks[0].sum() * SPACING**3 < 1.9e6  # mm³ of an adult's
    for axis in range(3):  # the brain fits, edges of the field of view are empty
        assert not np.take(masks[0], (0, -1), axis).any()


def test_scalp_adds_tissue_around_the_same_brain() -> None:
    bare, whole = phantom(), phantom(scalp=True)
    for contrast in CONTRASTS:
        stripped = voxels(resampled(bare.images[contrast], whole.images[contrast]))
        image = voxels(whole.images[contrast])
        outside = stripped == 0
        grey_level = np.median(image[~outside])
        assert (image[outside] > 0.5 * grey_level).sum() * SPACING**3 > 4e5
    assert whole.labels.GetSize() != bare.labels.GetSize()
    moved = sitk.Resample(bare.labels, whole.labels, sitk.Transform(), sitk.sitkNearestNeighbor)
    a, b = voxels(moved) > 0, labels(whole) > 0
    assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.85  # Dice


def resampled(image: sitk.Image, like: sitk.Image) -> sitk.Image:
    return sitk.Resample(image, like, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat64)


def test_thick_slices_average_the_thin_ones() -> None:
    thin, thick = phantom(), phantom(slice_thickness=5 * SPACING)
    assert thick.labels.GetSpacing() == pytest.approx((SPACING,) * 3)
    for contrast in CONTRASTS:
        assert thick.images[contrast].GetSpacing() == pytest.approx((SPACING, SPACING, 15))
        averaged, fine = voxels(thick.images[contrast]), voxels(thin.images[contrast])
        slabs = fine.reshape(-1, 5, *fine.shape[1:])
        inside = (slabs > 0).all(axis=1)
        scale = np.median(fine[fine > 0])
        error = np.abs(averaged - slabs.mean(axis=1))[inside] / scale
        middle = np.abs(averaged - slabs[:, 2])[inside] / scale
        assert np.median(error) < 0.06  # the noise of both
        assert error.mean() < 0.5 * middle.mean()


def test_separate_grids_share_physical_space() -> None:
    shared, separate = phantom(), phantom(separate_grids=True)
    assert len({geometry(image) for image in separate.images.values()}) == 4
    assert len({image.GetDirection() for image in separate.images.values()}) == 4
    assert np.array_equal(labels(shared), labels(separate))
    for contrast in CONTRASTS:
        moved = voxels(resampled(separate.images[contrast], separate.labels))
        image = voxels(shared.images[contrast])
        both = (moved > 0) & (image > 0)
        assert np.corrcoef(moved[both], image[both])[0, 1] > 0.85, contrast


def test_lesion_stays_in_place_on_its_own_grid() -> None:
    made, healthy = (phantom(separate_grids=True, tumour=tumour) for tumour in (True, False))
    truth = labels(made) > 0
    change = voxels(made.images[Contrast.FLAIR]) - voxels(healthy.images[Contrast.FLAIR])
    bright = np.clip(change, 0.5 * np.percentile(change, 99.5), None)
    weights = bright - bright.min()
    own = positions(made.images[Contrast.FLAIR])
    centre = (own * weights).sum(axis=(1, 2, 3)) / weights.sum()
    expected = positions(made.labels)[:, truth].mean(axis=1)
    assert np.abs(centre - expected).max() < SPACING


def test_tumour_displaces_the_anatomy() -> None:
    """The twin differs far outside the tumour's labels, and not on the other side."""
    diseased, healthy = phantom(), phantom(tumour=False)
    contrast = Contrast.T1
    where = positions(diseased.labels)
    truth = labels(diseased)
    core = where[:, np.isin(truth, (NCR.value, ET.value))]
    distance = np.linalg.norm(where - core.mean(axis=1)[:, None, None, None], axis=0)
    change = voxels(diseased.images[contrast]) - voxels(healthy.images[contrast])
    both = (voxels(healthy.images[contrast]) > 0) & (truth == 0)
    near = both & (distance > 32) & (distance < 45)
    far = both & (distance > 85)
    assert np.abs(change[near]).mean() > 2 * np.abs(change[far]).mean()
    masks = [voxels(made.images[contrast]) > 0 for made in (diseased, healthy)]
    assert np.array_equal(*masks)  # the skull does not give way


def test_tumour_compresses_the_ventricles() -> None:
    x, y, z = positions(phantom().labels)
    deep = (abs(x) < 30) & (abs(y) < 45) & (z > -5) & (z < 32) & (labels(phantom()) == 0)
    millilitres = []
    for tumour in (True, False):
        t1 = voxels(phantom(tumour=tumour).images[Contrast.T1])
        fluid = deep & (t1 < 0.5 * np.percentile(t1[deep], 75))
        millilitres.append(fluid.sum() * SPACING**3 / 1000)
    assert millilitres[0] < 0.9 * millilitres[1]


@pytest.mark.parametrize("seed", [1, 4, 8])
def test_coarse_and_fine_grids_hold_the_same_tumour(seed: int) -> None:
    volumes, centres = [], []
    for spacing in (2.0, 4.0):
        made = phantom(seed, spacing=spacing)
        truth = labels(made) > 0
        volumes.append(truth.sum() * spacing**3)
        centres.append(positions(made.labels)[:, truth].mean(axis=1))
    assert volumes[1] == pytest.approx(volumes[0], rel=0.1)
    assert np.abs(centres[0] - centres[1]).max() < 3


@pytest.mark.parametrize(
    "settings", [{"spacing": 0.0}, {"slice_thickness": 1.0, "spacing": 3.0}], ids=str
)
def test_impossible_settings_are_named(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="mm: use"):
        PhantomSettings(**settings)  # type: ignore[arg-type]
