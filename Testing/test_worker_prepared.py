"""A worker's client chooses the steps of the preparation, and gets what was prepared."""

import numpy as np
import pytest
import SimpleITK as sitk
from metakd.contrasts import Contrast
from scans import make_scan
from worker_client import WorkerClient

T1, T1C, T2 = Contrast.T1, Contrast.T1C, Contrast.T2


def pixels(path):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    with WorkerClient(PATH="", FREESURFER_HOME="") as client:
        client.ready()
        yield client


@pytest.fixture
def files(write_image):
    coarse = sitk.BinShrink(make_scan(1), [1, 1, 2])
    return {
        T1: write_image("t1.nrrd", coarse),
        T1C: write_image("t1c.nrrd", make_scan(0)),
        T2: write_image("t2.nrrd", make_scan(2) * 2 - 100),
    }


def segment(worker, files, folder, package, **options):
    name = worker.segment(files, folder / "seg.nrrd", model=str(package), **options)
    return worker.answer(name)[-1]


def test_what_was_prepared_is_written_and_answered(worker, files, folder, tiny_package):
    kept = folder / "kept"
    for reference in ("t1c", "t1"):  # the second time from the session's memory
        options = {"prepared": str(kept), "reference": reference}
        answer = segment(worker, files, folder, tiny_package, **options)
        assert answer["event"] == "result", answer
        on = sitk.ReadImage(str(files[Contrast(reference)]))
        others = {"t1", "t1c", "t2"} - {reference}
        assert answer["prepared"] == {n: str(kept / f"{n}.nrrd") for n in (*others, "brain")}
        for name, path in answer["prepared"].items():
            image = sitk.ReadImage(path)
            assert image.GetSize() == on.GetSize()
            if name != "brain":
                expected = sitk.Resample(sitk.ReadImage(str(files[Contrast(name)])), on)
                assert np.allclose(pixels(path), sitk.GetArrayFromImage(expected), atol=0.01)
        assert sitk.ReadImage(answer["prepared"]["brain"]).GetPixelID() == sitk.sitkUInt8
        assert set(np.unique(pixels(answer["prepared"]["brain"]))) == {0, 1}
        assert b"encoding: raw" in (kept / "t2.nrrd").read_bytes()[:500]
    assert answer["report"]["registration"]["T2"]["outcome"] == "aligned"


def test_without_asking_nothing_more_is_written(worker, files, folder, tiny_package):
    answer = segment(worker, files, folder, tiny_package)
    assert set(answer) == {"event", "id", "output", "report"}
    assert [path.name for path in folder.iterdir()] == ["seg.nrrd"]


def test_each_step_is_heeded(worker, folder, write_image, tiny_package):
    large = (96, 104, 88)  # so that the mask can be a brain's
    files = {
        c: write_image(f"{c.value}.nrrd", make_scan(seed, large))
        for seed, c in enumerate((T1C, T2))
    }
    mask = write_image("mask.nrrd", make_scan(0, large) > 300)
    for options, outcome, source in (
        ({}, "aligned", "background"),
        ({"registration": "off", "brain": "off"}, "off", "off"),
        ({"registration": "affine", "bias_correction": True}, "aligned", "background"),
        ({"brain": "hd-bet", "brain_mask": str(mask)}, "aligned", "mask"),
    ):
        report = segment(worker, files, folder, tiny_package, **options)["report"]
        assert {done["outcome"] for done in report["registration"].values()} == {outcome}
        assert report["brain"]["source"] == source


def test_a_bias_correction_changes_what_the_network_sees(worker, files, folder, tiny_package):
    likely = []
    for correct in (False, True):
        options = {"bias_correction": correct, "probabilities": str(folder / "p")}
        answer = segment(worker, files, folder, tiny_package, **options)
        likely.append(pixels(answer["probabilities"]["WT"]))
    assert not np.array_equal(*likely)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"brain_mask": "{t1}"}, "is a scan, not a mask"),
        ({"brain_mask": "{folder}/none.nrrd"}, "no such file"),
        ({"brain": "hd-bet"}, "HD-BET is not installed"),
        ({"prepared": "{folder}/no/kept"}, "no such folder"),
        ({"prepared": "{t1}"}, "folder"),
        ({"prepared": "{inputs}"}, "is an input"),
        ({"registration": "off", "prepared": "relative"}, "absolute path"),
    ],
)
def test_what_cannot_be_is_an_input_error_and_nothing_is_written(
    worker, files, folder, tiny_package, options, says
):
    places = {"t1": files[T1], "folder": folder, "inputs": files[T1].parent}
    options = {name: value.format(**places) for name, value in options.items()}
    answer = segment(worker, files, folder, tiny_package, **options)
    assert (answer["event"], answer["kind"]) == ("error", "input")
    assert says in answer["message"]
    assert not list(folder.iterdir())


def test_a_result_does_not_replace_the_brain_mask(worker, files, write_image, tiny_package):
    mask = write_image("mask.nrrd", make_scan() > 0)
    before = mask.read_bytes()
    options = {"brain_mask": str(mask), "model": str(tiny_package)}
    answer = worker.answer(worker.segment(files, mask, **options))[-1]
    assert answer["kind"] == "input"
    assert "is an input" in answer["message"]
    assert mask.read_bytes() == before


def test_what_a_tool_leaves_goes_with_the_workers_folder(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    start = (
        "import sys, tempfile\n"
        "import metakd.worker as worker\n"
        "worker.Worker.serve = lambda self: print(tempfile.mkdtemp(), file=sys.stderr)\n"
        f"worker.main({str(scratch)!r})\n"
    )
    with WorkerClient(start) as client:
        client.ended()
        assert not scratch.exists()
    (made,) = [line.decode().strip() for line in client.log if b"scratch" in line]
    assert made.startswith(str(scratch))
