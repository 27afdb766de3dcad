"""A warm session gives the bits of a fresh start and does only what must be done."""

import os
import shutil
from collections import Counter

import metakd.session
import numpy as np
import pytest
import SimpleITK as sitk
from metakd.cases import find_cases
from metakd.contrasts import CONTRASTS
from metakd.model import load_model
from metakd.network import MetaKDNet
from metakd.packages import CARD
from metakd.regions import REGIONS
from metakd.segment import Options, segment
from metakd.session import Session, file_identity
from metakd.study import read_study

T1, T1C, T2, FLAIR = CONTRASTS
CPU = Options(device="cpu")


@pytest.fixture
def files(tmp_path, scan):
    """Files of the four contrasts, on one grid, the brain at one place."""
    return write_patient(tmp_path / "patient", scan)


def write_patient(folder, scan, first_seed=0, **options):
    folder.mkdir()
    paths = {contrast: folder / f"{contrast.value}.nrrd" for contrast in CONTRASTS}
    for contrast, path in paths.items():
        sitk.WriteImage(scan(first_seed + contrast.index, **options), str(path))
    return paths


@pytest.fixture
def encoded(monkeypatch):
    """Which encoders ran since it was last cleared."""
    encode, ran = MetaKDNet.encode, Counter()

    def count(self, contrast, image):
        ran[CONTRASTS[contrast]] += 1
        return encode(self, contrast, image)

    monkeypatch.setattr(MetaKDNet, "encode", count)
    return ran


def fingerprint(result):
    """Everything but the times."""
    report = result.report.as_json()
    del report["seconds"]
    images = [result.label_map, *(result.probabilities[region] for region in REGIONS)]
    return [sitk.Hash(image) for image in images], [image.GetOrigin() for image in images], report


def same_as_fresh(session, paths, package, options=CPU):
    """Segments in the session and afresh; asserts that they agree to the bit."""
    warm = session.segment(paths, model=str(package), options=options)
    fresh = segment(read_study(paths), load_model(str(package)), options)
    assert fingerprint(warm) == fingerprint(fresh)
    return warm


def without(paths, *contrasts):
    return {contrast: path for contrast, path in paths.items() if contrast not in contrasts}


def ran_in(encoded, session, paths, package, options=CPU):
    """The encoders that the session ran, once its result is found right."""
    encoded.clear()
    session.segment(paths, model=str(package), options=options)
    ran = set(encoded)
    same_as_fresh(session, paths, package, options)
    return ran


def test_only_what_changed_is_encoded_again(files, tiny_package, encoded):
    session = Session()
    everything = set(CONTRASTS)
    assert ran_in(encoded, session, files, tiny_package) == everything
    assert ran_in(encoded, session, without(files, T1), tiny_package) == set()
    assert ran_in(encoded, session, without(files, T1, T1C), tiny_package) == set()
    assert ran_in(encoded, session, without(files, T1C), tiny_package) == set()
    assert ran_in(encoded, session, files, tiny_package) == set()
    reference = Options(device="cpu", reference=FLAIR)
    assert ran_in(encoded, session, files, tiny_package, reference) == set()


def test_a_file_with_other_content_under_the_same_name_is_read_again(
    files, tiny_package, encoded, scan
):
    session = Session()
    session.segment(files, model=str(tiny_package), options=CPU)
    size = files[T2].stat().st_size
    sitk.WriteImage(scan(9), str(files[T2]))
    assert files[T2].stat().st_size == size
    assert ran_in(encoded, session, files, tiny_package) == {T2}


def test_a_brain_box_of_another_size_prepares_everything_anew(files, tiny_package, encoded, scan):
    """The box holds every contrast's brain: without the one that reaches farthest it shrinks."""
    wide = sitk.ConstantPad(scan(1)[4:-4, 4:-4, 4:-4], [4] * 3, [4] * 3, 0.0)
    wide[0:36, 2, 2] = 300.0
    sitk.WriteImage(wide, str(files[FLAIR]))
    session = Session()
    session.segment(files, model=str(tiny_package), options=CPU)
    assert ran_in(encoded, session, without(files, FLAIR), tiny_package) == {T1, T1C, T2}


def test_another_reference_on_another_grid_prepares_everything_anew(
    files, tiny_package, encoded, scan
):
    sitk.WriteImage(sitk.DICOMOrient(scan(3), "PIR")[::2], str(files[FLAIR]))
    session = Session()
    session.segment(files, model=str(tiny_package), options=CPU)
    reference = Options(device="cpu", reference=FLAIR)
    assert ran_in(encoded, session, files, tiny_package, reference) == set(CONTRASTS)


def test_another_patient_replaces_the_last_one(files, tmp_path, tiny_package, encoded, scan):
    session = Session()
    other = write_patient(tmp_path / "other", scan, first_seed=10)
    session.segment(files, model=str(tiny_package), options=CPU)
    two = without(other, T1, T2)
    assert ran_in(encoded, session, two, tiny_package) == {T1C, FLAIR}
    assert not session.memory.holds((T1, "scan"), None, file_identity(files[T1]))
    assert ran_in(encoded, session, files, tiny_package) == set(CONTRASTS)


def test_another_model_encodes_again_what_was_prepared(files, tiny_package, encoded, tmp_path):
    """The same network under another name, then other numbers under the same name."""
    session = Session()
    session.segment(files, model=str(tiny_package), options=CPU)
    other = shutil.copytree(tiny_package, tmp_path / "other")
    assert ran_in(encoded, session, files, other) == set(CONTRASTS)
    card = other / CARD
    card.write_text(card.read_text().replace("random weights for tests", "another description"))
    assert ran_in(encoded, session, files, other) == set(CONTRASTS)
    assert session.segment(files, model=str(other), options=CPU).report.model == "other"


def test_a_windowed_run_is_as_fresh_too(files, tiny_package, encoded, monkeypatch):
    session, windowed = Session(), Options(device="cpu", window=16)
    session.segment(files, model=str(tiny_package), options=CPU)
    assert ran_in(encoded, session, files, tiny_package, windowed) == set(CONTRASTS)
    assert ran_in(encoded, session, without(files, T2), tiny_package) == set()


def test_progress_counts_every_unit_once_and_ends_at_the_total(files, tiny_package):
    session, steps = Session(), []
    for paths in (files, without(files, T1, T2)):  # cold, then warm
        steps.clear()
        session.segment(
            paths, model=str(tiny_package), options=CPU, on_progress=lambda *s: steps.append(s)
        )
        n = len(paths)
        stages = ["read"] * n + ["register"] * (n - 1) + ["brain"] + ["prepare"] * n
        stages += ["encode"] * n + ["decode", "finish"]
        assert steps == [(stage, k, 4 * n + 2) for k, stage in enumerate(stages, start=1)]


def test_releasing_keeps_the_model_and_nothing_of_the_study(files, tiny_package, monkeypatch):
    session = Session()
    session.segment(files, model=str(tiny_package), options=CPU)
    session.release()
    assert not session.memory.forget()
    monkeypatch.setattr("metakd.session.read_package", None)  # would fail if it were asked
    same_as_fresh(session, files, tiny_package)


@pytest.mark.parametrize("where", ["read_scan", "segment"])
def test_what_is_kept_makes_room_when_memory_runs_out(files, tiny_package, monkeypatch, where):
    """Once with what is kept, once without; a second shortage is an error."""
    session = Session()
    session.segment(files, model=str(tiny_package), options=CPU)
    os.utime(files[T1], ns=(0, 0))
    real, failures, done = getattr(metakd.session, where), [], []

    def scarce(*arguments, **options):
        if len(failures) < limit:
            failures.append(len(session.memory._kept))
            raise MemoryError
        return real(*arguments, **options)

    monkeypatch.setattr(f"metakd.session.{where}", scarce)
    limit = 1
    session.segment(
        files,
        model=str(tiny_package),
        options=CPU,
        on_progress=lambda _, step, __: done.append(step),
    )
    assert done == sorted(set(done))
    os.utime(files[T1], ns=(1, 1))
    limit = 3
    with pytest.raises(MemoryError):
        session.segment(files, model=str(tiny_package), options=CPU)
    assert len(failures) == 3
    assert failures[2] <= failures[1]


def test_a_smaller_window_is_tried_only_without_what_is_kept(files, tiny_package, monkeypatch):
    """Else a warm session would give another result than a fresh one."""
    session = Session()
    session.segment(files, model=str(tiny_package), options=CPU)
    generate, failed = MetaKDNet.generate, []

    def scarce(features, available):
        if not failed:
            failed.append(True)
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return generate(features, available)

    monkeypatch.setattr(MetaKDNet, "generate", staticmethod(scarce))
    same_as_fresh(session, files, tiny_package)
    assert failed


def test_the_same_files_have_the_same_identity_and_changed_ones_another(tmp_path, scan):
    image, series = tmp_path / "t1.nrrd", tmp_path / "series"
    series.mkdir()
    for path in (image, series / "1.dcm"):
        sitk.WriteImage(scan(), str(image))
        shutil.copy(image, path) if path != image else None
    for path in (image, series):
        before = file_identity(path)
        assert file_identity(path) == before
        os.utime(path if path.is_file() else series / "1.dcm", ns=(5, 5))
        assert file_identity(path) != before
    before = file_identity(series)
    (series / "2.dcm").touch()
    assert file_identity(series) != before


@pytest.mark.parametrize("name", ["t1.nhdr", "t1.mhd", "t1.hdr", "detached.nrrd", "missing.nii"])
def test_a_header_whose_voxels_lie_elsewhere_is_never_what_it_was(tmp_path, scan, name):
    path = tmp_path / name
    if name == "detached.nrrd":
        sitk.WriteImage(scan(), str(tmp_path / "t1.nhdr"))
        (tmp_path / "t1.nhdr").rename(path)
    elif name != "missing.nii":
        sitk.WriteImage(scan(), str(path))
    assert file_identity(path) != file_identity(path)


@pytest.mark.parametrize("name", ["t1.nrrd", "t1.mha", "t1.nii.gz", "t1.nii"])
def test_a_file_that_holds_its_voxels_keeps_its_identity(tmp_path, scan, name):
    sitk.WriteImage(scan(), str(tmp_path / name))
    assert file_identity(tmp_path / name) == file_identity(tmp_path / name)


def test_a_real_patient_gives_the_bits_of_a_fresh_start(shared_data, encoded):
    """The embedded model; four contrasts, then one fewer."""
    (case,) = find_cases(shared_data / "brats" / "BraTS2021" / "BraTS2021_00002")
    files = {contrast: case.images[contrast] for contrast in CONTRASTS}
    session, model = Session(), load_model()
    for paths, again in ((files, 4), (without(files, T1C), 0)):
        encoded.clear()
        warm = session.segment(paths, options=CPU)
        assert len(encoded) == again
        assert fingerprint(warm) == fingerprint(segment(read_study(paths), model, CPU))
    assert np.any(sitk.GetArrayViewFromImage(warm.label_map))
