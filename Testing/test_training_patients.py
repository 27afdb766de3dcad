"""What a run trains on: prepared patients and their cache, draws, and crops."""

import gzip
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import SimpleITK as sitk
import torch
from metakd.cases import Case, find_cases
from metakd.contrasts import CONTRASTS
from metakd.phantom import PhantomSettings, make_phantom, write_phantom
from metakd.preprocess import prepare
from metakd.study import read_study
from metakd.tensors import to_tensor
from metakd_training.config.sections import Subsets
from metakd_training.config.segmentation import Crops
from metakd_training.data.augment import random_crop
from metakd_training.data.chance import Chance
from metakd_training.data.draws import DrawnPatients, Draws, make_batch, whole_patient
from metakd_training.data.patients import Patient, Patients
from metakd_training.subsets import SubsetSampler
from torch.utils.data import DataLoader

CPU = torch.device("cpu")
T1, T1C, T2, FLAIR = CONTRASTS


@pytest.fixture(scope="module")
def two_patients(tmp_path_factory):
    """Folder of P1 and P3, phantoms with tumours, at 4 mm; not to be changed."""
    folder = tmp_path_factory.mktemp("patients")
    for seed in (1, 3):
        write_phantom(make_phantom(seed, PhantomSettings(spacing=4.0)), folder / f"P{seed}")
    return folder


@pytest.fixture
def cohort(two_patients, tmp_path):
    """A copy of the two patients to change."""
    return Path(shutil.copytree(two_patients, tmp_path / "cohort"))


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def patients(cohort, cache):
    """`patients(cases)`: prepared with the cache of this test; the whole cohort without cases."""

    def made(cases=None, spacing=4.0, stride=2):
        sources = find_cases(cohort) if cases is None else cases
        return Patients(sources, spacing=spacing, stride=stride, cache=cache)

    return made


@pytest.fixture(scope="module")
def patient(two_patients, tmp_path_factory):
    """P3, who has all contrasts and a tumour of every tissue."""
    cache = tmp_path_factory.mktemp("cache")
    return Patients(find_cases(two_patients), spacing=4.0, stride=2, cache=cache)[1]


def same(one, other):
    return all(
        torch.equal(getattr(one, part), getattr(other, part))
        for part in ("images", "regions", "present")
    )


def entries(cache):
    return sorted(cache.glob("*.pt"))


def without(case, *contrasts):
    images = {c: path for c, path in case.images.items() if c not in contrasts}
    return Case(case.name, images, case.segmentation)


def recompress(path, level=1):
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), level, mtime=1))


def rewrite(path, change):
    """The image at a path, changed."""
    sitk.WriteImage(change(sitk.ReadImage(str(path))), str(path))


# Patients


def test_patients_are_prepared_as_the_engine_prepares_a_study(patients, cohort):
    made = patients()
    assert (len(made), made.names, [p.name for p in made]) == (2, ["P1", "P3"], ["P1", "P3"])
    for case, patient in zip(find_cases(cohort), made, strict=True):
        prepared = prepare(read_study(case.images), spacing=4.0, stride=2)
        for contrast in CONTRASTS:
            expected = to_tensor(prepared.channels[contrast]).half()
            assert torch.equal(patient.images[contrast.index], expected)
        assert patient.present.tolist() == [True] * 4


def test_regions_are_nested_and_lie_on_the_images(patients, cohort):
    patient, case = patients()[1], find_cases(cohort)[1]
    enhancing, core, whole = patient.regions.bool()
    assert patient.regions.shape[1:] == patient.images.shape[1:]
    assert enhancing.any()
    assert (enhancing <= core).all()
    assert (core <= whole).all()
    labels = sitk.GetArrayFromImage(case.read_segmentation())
    assert [int(r.sum()) for r in (enhancing, core, whole)] == [
        (labels == 3).sum(),
        ((labels == 1) | (labels == 3)).sum(),
        (labels > 0).sum(),
    ]
    flair, brain = patient.images[FLAIR.index].float(), (patient.images != 0).any(dim=0)
    assert flair[whole & ~core].mean() > flair[brain & ~whole].mean() + 1


def test_sides_are_multiples_of_the_stride(patients):
    assert all(side % 16 == 0 for side in patients(stride=16)[0].images.shape[1:])
    assert any(side % 16 for side in patients(stride=2)[0].images.shape[1:])


def test_a_patient_who_lacks_contrasts_is_there_without_them(patients, cohort):
    patient = patients([without(find_cases(cohort)[0], T1, FLAIR)])[0]
    assert patient.present.tolist() == [False, True, True, False]
    for contrast in CONTRASTS:
        assert bool(patient.images[contrast.index].any()) == (contrast in (T1C, T2))


def test_patients_are_sliced_and_run_out_as_a_list_does(patients):
    made = patients()
    assert [p.name for p in made[1:]] == ["P3"]
    assert made[-1].name == "P3"
    with pytest.raises(IndexError):
        made[2]


def test_every_eighth_phantom_is_healthy(patients):
    made = patients(range(7, 10))
    assert made.names == ["phantom 7", "phantom 8", "phantom 9"]
    assert [bool(phantom.regions.any()) for phantom in made] == [True, False, True]
    assert all(phantom.present.all() for phantom in made)
    made.check()


# The cache


def test_patients_are_read_from_the_cache_the_second_time(patients, cache):
    patients().check()
    assert len(entries(cache)) == 2
    marked = torch.load(entries(cache)[0], weights_only=True)
    marked["images"] += 1
    torch.save(marked, entries(cache)[0])
    written = {path: path.stat().st_mtime_ns for path in cache.rglob("*.pt")}
    again = patients()
    again.check()
    assert any(torch.equal(patient.images, marked["images"]) for patient in again)
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.pt")} == written


def test_what_comes_from_the_cache_is_what_was_prepared(patients):
    made = patients()
    first = [made[0], made[1]]
    assert all(map(same, first, patients()))


def test_a_cohort_that_moves_keeps_its_cache(patients, cohort, cache):
    patients().check()
    moved = shutil.copytree(cohort, cohort.parent / "elsewhere" / "cohort")
    patients(find_cases(moved)).check()
    assert len(entries(cache)) == 2


def test_a_file_that_changes_is_prepared_anew(patients, cohort, cache):
    before = list(patients())
    rewrite(
        cohort / "P1" / "t2.nii.gz", lambda image: sitk.Square(sitk.Cast(image, sitk.sitkInt32))
    )
    rewrite(cohort / "P3" / "seg.nii.gz", lambda labels: labels * 0)
    after = list(patients())
    assert len(entries(cache)) == 4
    assert not torch.equal(before[0].images[T2.index], after[0].images[T2.index])
    assert torch.equal(before[0].regions, after[0].regions)
    assert torch.equal(before[1].images, after[1].images)
    assert not after[1].regions.any()


@pytest.mark.parametrize("settings", [{"spacing": 5.0}, {"stride": 16}])
def test_other_settings_are_another_entry(patients, cache, settings):
    before = patients()[0]
    assert patients(**settings)[0].images.shape != before.images.shape
    assert len(entries(cache)) == 2
    assert same(patients()[0], before)


def test_other_contrasts_are_another_entry(patients, cohort):
    case = find_cases(cohort)[0]
    both = patients([case, without(case, T1)])
    assert [patient.present.sum() for patient in both] == [4, 3]
    one, other = patients([Case("P1", {c: case.images[T1]}, case.segmentation) for c in (T1, T2)])
    assert torch.equal(one.images[T1.index], other.images[T2.index])
    assert other.present.tolist() == [False, False, True, False]


def test_the_same_labels_by_another_convention_are_another_entry(patients, cohort):
    case = find_cases(cohort)[0]
    decathlon = cohort / "labelsTr" / "seg.nii.gz"
    decathlon.parent.mkdir()
    shutil.copy(case.segmentation, decathlon)
    named, found = (
        patients([Case(case.name, case.images, *truth)])[0].regions
        for truth in ((case.segmentation, "msd"), (decathlon,))
    )
    assert torch.equal(named, found)
    usual = patients([case])[0].regions
    assert torch.equal(usual[2], found[2])
    assert not torch.equal(usual[1], found[1])  # oedema and necrosis change places


def write_dicom(folder, image):
    """One file a slice; nothing but the voxels tells two patients' folders apart."""
    folder.mkdir(parents=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for number in range(image.GetDepth()):
        plane = image[:, :, number]
        place = image.TransformIndexToPhysicalPoint((0, 0, number))
        for tag, value in {
            "0008|0060": "MR",
            "0008|0018": f"1.2.3.{number + 1}",
            "0020|000e": "1.2.3",
            "0020|0032": "\\".join(map(str, place)),
            "0020|0037": "1\\0\\0\\0\\1\\0",
        }.items():
            plane.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{number}.dcm"))
        writer.Execute(plane)
    return folder


@pytest.mark.parametrize("form", ["t1.mhd", "t1.nhdr", "t1"])
def test_voxels_in_other_files_than_the_one_named_count_too(patients, cohort, scan, form):
    """Headers, contrasts and truth are the same in both patients, only voxels differ."""
    cases = []
    for seed in (1, 2):
        image = sitk.Cast(scan(seed), sitk.sitkInt16)
        path = cohort.parent / f"case {seed}" / form
        if path.suffix:
            path.parent.mkdir()
            sitk.WriteImage(image, str(path))
        else:
            write_dicom(path, image)
        truth = path.parent / "truth" / "seg.nii.gz"
        truth.parent.mkdir()
        sitk.WriteImage(sitk.Cast(image * 0, sitk.sitkUInt8), str(truth))
        cases.append(Case(f"case {seed}", {T1: path}, truth))
    made = patients(cases, spacing=1.0)
    made.check()
    assert not torch.equal(made[0].images, made[1].images)


@pytest.mark.parametrize("length", [0, 1000, -1])
@pytest.mark.parametrize("which", ["*.pt", "fingerprints/*.pt", "**/*.pt"])
def test_a_truncated_file_of_the_cache_is_made_anew(patients, cohort, cache, which, length):
    cases = find_cases(cohort)[:1]
    made = patients(cases)
    made.check()
    before = made[0]
    cut = {path: path.read_bytes() for path in cache.glob(which)}
    assert len(cut) == 1 + (which == "**/*.pt")
    for path, content in cut.items():
        path.write_bytes(content[:length])
    again = patients(cases)
    again.check()
    assert same(again[0], before)
    for path, content in cut.items():
        assert path.stat().st_size == len(content)


# Checks before the first step


def test_identical_images_are_found_under_another_name_and_compression(patients, cohort):
    copy = shutil.copytree(cohort / "P1", cohort / "P9")
    for path in copy.iterdir():
        before = path.read_bytes()
        recompress(path)
        assert path.read_bytes() != before
        path.rename(path.with_name(f"P9_{path.name}"))
    with pytest.raises(ValueError, match=r"^P1 and P9: have identical images[^\n]*$"):
        patients().check()


def test_identical_images_are_found_though_their_truths_differ(patients, cohort):
    shutil.copytree(cohort / "P3", cohort / "P9")
    rewrite(cohort / "P9" / "seg.nii.gz", lambda labels: labels * 0)
    made = patients()
    for _ in range(2):  # prepared, and from the cache
        with pytest.raises(ValueError, match="P3 and P9: have identical images"):
            made.check()


def test_every_problem_is_named_with_its_patient_and_file_at_once(patients, cohort):
    for name in ("missing", "cut", "strange", "bare", "flat", "copy"):
        shutil.copytree(cohort / "P1", cohort / name)
    cases = {case.name: case for case in find_cases(cohort)}
    (cohort / "missing" / "t2.nii.gz").unlink()
    cut = cohort / "cut" / "flair.nii.gz"
    cut.write_bytes(cut.read_bytes()[:5000])
    rewrite(cohort / "strange" / "seg.nii.gz", lambda labels: labels + 7 * (labels == 3))
    cases["bare"] = Case("bare", cases["bare"].images)
    rewrite(cohort / "flat" / "t1c.nii.gz", lambda image: image * 0 + 3)
    with pytest.raises(ValueError, match="P1") as raised:
        patients(cases.values()).check()
    lines = {line.split(": ")[0]: line for line in str(raised.value).splitlines()}
    assert set(lines) == {"missing", "cut", "strange", "bare", "flat", "P1 and copy"}
    assert f"{cohort / 'missing' / 't2.nii.gz'}: no such file" in lines["missing"]
    assert f"{cut}: not a readable image" in lines["cut"]
    assert f"{cohort / 'strange' / 'seg.nii.gz'}: labels [10] are not in" in lines["strange"]
    assert "no segmentation" in lines["bare"]
    assert "T1c: every voxel is 3" in lines["flat"]


def test_a_patient_is_accepted_once_its_files_are_put_right(patients, cohort):
    path = cohort / "P1" / "t1.nii.gz"
    content = path.read_bytes()
    path.write_bytes(content[:3000])
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^P1: \S*t1\.nii\.gz: "):
            patients().check()
    path.write_bytes(content)
    patients().check()


# Chance


def test_a_key_gives_the_same_numbers_anywhere_and_another_key_others():
    def numbers(*key):
        chance = Chance(*key)
        return torch.cat([chance.numbers(0, 1, 5), chance.noise((5,))]).tolist()

    keys = [(1, "train", 2), (1, "train", 3), (2, "train", 2), (1, "held out", 2), (1, 23), (12, 3)]
    found = [numbers(*key) for key in keys]
    assert found == [numbers(*key) for key in reversed(keys)][::-1]
    assert all(a != b for row, other in pairwise(found)
               for a, b in zip(row, other, strict=True))  # fmt: skip
    assert len({tuple(row) for row in found}) == len(keys)


def test_noise_changes_no_decision():
    silent, noisy = Chance(1), Chance(1)
    noisy.noise((100,))
    assert torch.equal(silent.numbers(0, 1, 5), noisy.numbers(0, 1, 5))


def test_numbers_keep_to_their_range_and_chances_to_their_probability():
    chance = Chance("ranges")
    assert {chance.below(3) for _ in range(100)} == {0, 1, 2}
    between = torch.tensor([chance.between(-2, 5) for _ in range(1000)])
    assert -2 <= between.min() < -1.9
    assert 4.9 < between.max() < 5
    assert between.mean() == pytest.approx(1.5, abs=0.3)
    for probability, slack in ((0.0, 0.0), (0.3, 0.06), (1.0, 0.0)):
        happened = sum(chance.happens(probability) for _ in range(1000)) / 1000
        assert happened == pytest.approx(probability, abs=slack)


# Draws


def pool(prefix, count):
    nothing = torch.zeros(0)
    return [Patient(f"{prefix}{i}", nothing, nothing, nothing) for i in range(count)]


def names(draws, numbers):
    return [draws[number][1].name for number in numbers]


def test_a_sample_is_the_same_whatever_was_asked_for_before():
    draws = Draws([pool("P", 50), pool("phantom", 50)], 0.5, 1, "train")
    row = names(draws, range(100))
    assert names(draws, reversed(range(100))) == row[::-1]
    again = Draws([pool("P", 50), pool("phantom", 50)], 0.5, 1, "train")
    assert names(again, [99, 3, 3, 57]) == [row[99], row[3], row[3], row[57]]
    assert [draws[number][0] for number in (0, 5, 2**40)] == [0, 5, 2**40]


@pytest.mark.parametrize(("seed", "purpose"), [(2, "train"), (1, "held out")])
def test_another_seed_or_purpose_draws_others(seed, purpose):
    one, other = (Draws([pool("P", 50)], 0.0, *key) for key in ((1, "train"), (seed, purpose)))
    alike = [a == b for a, b in zip(names(one, range(200)), names(other, range(200)), strict=True)]
    assert sum(alike) < 20


def test_all_patients_are_drawn_as_often():
    drawn = names(Draws([pool("P", 5)], 0.0, 1, "train"), range(2000))
    for patient in range(5):
        assert drawn.count(f"P{patient}") / 2000 == pytest.approx(1 / 5, abs=0.04)


@pytest.mark.parametrize(("share", "slack"), [(0.0, 0.0), (0.25, 0.04), (1.0, 0.0)])
def test_phantoms_have_their_share_however_many_there_are(share, slack):
    for count in (1, 40):
        drawn = names(Draws([pool("P", 5), pool("phantom", count)], share, 1, "train"), range(1000))
        phantoms = sum(name.startswith("phantom") for name in drawn)
        assert phantoms / 1000 == pytest.approx(share, abs=slack)


@pytest.mark.parametrize("pools", [[pool("P", 3)], [pool("P", 3), []]])
def test_without_phantoms_all_samples_are_patients(pools):
    assert set(names(Draws(pools, 0.9, 1, "train"), range(100))) == {"P0", "P1", "P2"}


def test_worker_processes_draw_the_same_samples(patients):
    draws = Draws([patients()], 0.0, 1, "train")
    wanted = [[2 * i, 2 * i + 1] for i in range(4)]
    loader = DataLoader(draws, batch_sampler=wanted, collate_fn=list, num_workers=2)
    for numbers, batch in zip(wanted, loader, strict=True):
        for number, (found, patient) in zip(numbers, batch, strict=True):
            assert found == number
            assert patient.name == draws[number][1].name
            assert same(patient, draws[number][1])


# Batches


def batch_of(*drawn, sampler="uniform", step=0, seed=1, purpose="train", from_step=0):
    crops = Crops(size=(8, 12, 10))
    subsets = SubsetSampler(Subsets(sampler=sampler, from_step=from_step), 4)
    together = DrawnPatients(drawn, purpose)
    return make_batch(together, crops, subsets, step=step, seed=seed, device=CPU)


def test_a_batch_has_the_images_by_contrast_and_what_may_be_used(patient):
    batch = batch_of((0, patient), (1, patient), (2, patient))
    assert [values.shape for values in batch.inputs] == [(3, 1, 8, 12, 10)] * 4
    assert batch.target.shape == (3, 3, 8, 12, 10)
    assert (batch.present.shape, batch.available.shape) == ((3, 4), (3, 4))
    assert batch.present.all()
    assert {batch.inputs[0].dtype, batch.target.dtype} == {torch.float32}


def test_a_sample_is_the_same_in_any_batch_and_at_any_step(patient):
    together = batch_of(*((number, patient) for number in range(6)))
    alone = batch_of((4, patient), step=17)
    assert torch.equal(together.available[4:5], alone.available)
    assert torch.equal(together.target[4:5], alone.target)
    for values, own in zip(together.inputs, alone.inputs, strict=True):
        assert torch.equal(values[4:5], own)


@pytest.mark.parametrize(
    "other",
    [{"number": 5}, {"seed": 2}, {"purpose": "held out"}],
    ids=lambda other: next(iter(other)),
)
def test_another_number_seed_or_purpose_is_another_sample(patient, other):
    one = batch_of((4, patient))
    number = other.pop("number", 4)
    assert not torch.equal(one.inputs[0], batch_of((number, patient), **other).inputs[0])


@pytest.mark.parametrize("sampler", ["uniform", "by_count", "full"])
def test_what_a_patient_lacks_is_never_available(patients, cohort, sampler):
    case = find_cases(cohort)[0]
    some = patients([without(case, T2), without(case, T1, T1C)])
    drawn = [(number, some[number % 2]) for number in range(40)]
    batch = batch_of(*drawn, sampler=sampler)
    assert batch.present[0].tolist() == [True, True, False, True]
    assert batch.present[1].tolist() == [False, False, True, True]
    assert (batch.available <= batch.present).all()
    assert batch.available.any(dim=1).all()
    kinds = len(batch.available.unique(dim=0))
    assert kinds == 2 if sampler == "full" else kinds > 4


def test_before_subsets_begin_everything_the_patient_has_is_available(patients, cohort):
    lacking = patients([without(find_cases(cohort)[0], T2)])[0]
    drawn = [(number, lacking) for number in range(20)]
    before, after = (batch_of(*drawn, step=step, from_step=10) for step in (9, 10))
    assert torch.equal(before.available, before.present)
    assert not torch.equal(after.available, after.present)


def test_a_whole_patient_is_unchanged(patient):
    batch = whole_patient(patient, CPU)
    assert torch.equal(torch.cat(batch.inputs, dim=1)[0], patient.images.float())
    assert torch.equal(batch.target[0], patient.regions.float())
    assert batch.present.tolist() == batch.available.tolist() == [[True] * 4]


# Crops


def crop_of(patient, *key, regions=None, **settings):
    crops = Crops(**{"size": (32, 40, 32), **settings})
    return random_crop(
        patient.images, patient.regions if regions is None else regions, crops, Chance(*key)
    )


@pytest.mark.parametrize("augment", [True, False])
@pytest.mark.parametrize("size", [(32, 40, 32), (7, 12, 9), (64, 64, 64)])
def test_a_crop_has_the_size_asked_for_and_nested_regions(patient, size, augment):
    for number in range(4):
        images, regions = crop_of(patient, number, size=size, augment=augment)
        assert (images.shape, regions.shape) == ((4, *size), (3, *size))
        assert (images.dtype, regions.dtype) == (torch.float32, torch.float32)
        assert images.isfinite().all()
        assert regions.min() >= 0
        assert regions.max() <= 1 + 1e-5
        enhancing, core, whole = regions
        assert (enhancing <= core + 1e-5).all()
        assert (core <= whole + 1e-5).all()


def test_a_crop_keeps_images_and_regions_together(patient):
    """Oedema is bright on FLAIR before and after."""
    for number in range(6):
        images, (_, core, whole) = crop_of(patient, number)
        assert whole.sum() > 20
        flair, brain = images[FLAIR.index], (images != 0).any(dim=0)
        oedema, normal = (whole > 0.9) & (core < 0.1), brain & (whole < 0.1)
        assert flair[oedema].mean() > flair[normal].mean() + 0.3


def test_a_crop_is_0_outside_the_brain_and_nowhere_else(patient):
    brain = (patient.images != 0).any(dim=0, keepdim=True)
    for number in range(6):
        images, regions = crop_of(patient, number, regions=torch.cat([brain, patient.regions]))
        assert (regions[0] == 0).any()
        assert not images[:, regions[0] == 0].any()
        assert (images[:, regions[0] > 0.99] != 0).float().mean() > 0.99


def test_a_key_is_one_crop_and_another_key_is_another(patient):
    one, again, other = (crop_of(patient, *key) for key in ((1, "a"), (1, "a"), (1, "b")))
    assert all(map(torch.equal, one, again))
    assert not any(map(torch.equal, one, other))


def test_the_patient_is_left_as_it_is(patient):
    before = patient.images.clone(), patient.regions.clone()
    crop_of(patient, 1)
    assert torch.equal(patient.images, before[0])
    assert torch.equal(patient.regions, before[1])


@pytest.mark.parametrize("augment", [True, False])
@pytest.mark.parametrize(
    ("share", "low", "high"), [(0.0, 0.0, 0.1), (0.5, 0.35, 0.65), (1.0, 1.0, 1.0)]
)
def test_crops_are_centred_in_the_tumour_as_often_as_asked(patient, share, low, high, augment):
    settings = {"size": (5, 5, 5), "tumour_share": share, "augment": augment}
    crops = [crop_of(patient, number, **settings)[1] for number in range(120)]
    inside = sum(bool(regions[-1, 2, 2, 2] > 0.5) for regions in crops) / len(crops)
    assert low <= inside <= high


def test_crops_of_the_tumour_reach_all_of_it(patient):
    """Not the same voxel of it each time: the smaller regions come up by their volume."""
    settings = {"size": (5, 5, 5), "tumour_share": 1.0, "augment": False}
    centres = torch.stack(
        [crop_of(patient, number, **settings)[1][:, 2, 2, 2] for number in range(300)]
    )
    volumes = patient.regions.flatten(1).sum(dim=1).float()
    assert torch.allclose(centres.mean(dim=0), volumes / volumes[-1], atol=0.1)


def test_crops_of_a_healthy_patient_are_taken_anywhere(patient):
    nothing = torch.zeros_like(patient.regions)
    crops = [crop_of(patient, n, regions=nothing, tumour_share=1.0) for n in range(4)]
    assert not any(regions.any() for _, regions in crops)
    assert all((images != 0).any() for images, _ in crops)
    assert not torch.equal(crops[0][0], crops[1][0])


def test_without_augmentation_a_crop_is_a_piece_of_the_patient(patient):
    size = tuple(patient.images.shape[1:])
    images, regions = crop_of(patient, 1, size=size, augment=False)
    assert torch.allclose(images, patient.images.float(), atol=1e-3)
    assert torch.allclose(regions, patient.regions.float(), atol=1e-3)


def ramps(shape):
    """(4, D, H, W): how far along each axis a voxel is, in voxels, and a tumour in the middle."""
    axes = torch.meshgrid(*(torch.arange(float(n)) for n in shape), indexing="ij")
    tumour = torch.zeros(shape)
    tumour[tuple(n // 2 for n in shape)] = 1
    return torch.stack([*axes, tumour])


def slopes(crop):
    """(3, 3): by how much each of three ramps grows along slices, rows and columns."""
    return torch.stack([torch.stack([part.diff(dim=axis).mean() for axis in range(3)])
                        for part in crop[:3]])  # fmt: skip


def test_crops_are_turned_scaled_and_mirrored_left_to_right_within_limits(patient):
    """How the patient's axes run through the crop is the deformation itself."""
    regions = ramps(patient.images.shape[1:])
    found = []
    for number in range(60):
        _, crop = crop_of(patient, number, regions=regions, size=(5, 5, 5), tumour_share=1.0)
        found.append(slopes(crop))
    matrices = torch.stack(found)
    scales = matrices.norm(dim=1)
    assert 0.8 * 0.93 - 1e-3 < scales.min() < 0.85
    assert 1.2 < scales.max() < 1.25 * 1.07 + 1e-3
    directions = matrices / scales[:, None]
    assert (directions[:, 0, 0] > 0.8).all()
    assert (directions[:, 1, 1] > 0.8).all()
    assert (directions[:, 2, 2].abs() > 0.8).all()
    mirrored = directions[:, 2, 2] < 0
    assert 0.3 < mirrored.float().mean() < 0.7
    assert torch.equal(torch.linalg.det(matrices) < 0, mirrored)
    assert directions[:, 0, 1].abs().max() > 0.15  # turned
    unit = torch.eye(3).expand(len(matrices), 3, 3)
    assert torch.allclose(directions.transpose(1, 2) @ directions, unit, atol=1e-3)


def test_without_augmentation_crops_are_neither_turned_nor_scaled(patient):
    regions = ramps(patient.images.shape[1:])
    _, crop = crop_of(patient, 3, regions=regions, size=(5, 5, 5), tumour_share=1.0, augment=False)
    assert torch.allclose(slopes(crop), torch.eye(3), atol=1e-3)


def test_contrasts_are_recoloured_each_in_its_own_way(patient):
    """Four copies of one image no longer fit each other."""
    copies = patient.images[FLAIR.index].expand(4, *patient.images.shape[1:])
    copied = Patient("copies", copies, patient.regions, patient.present)
    images, _ = crop_of(copied, 1)
    for one in range(4):
        for other in range(one):
            assert not torch.allclose(images[one], images[other], atol=0.05)
