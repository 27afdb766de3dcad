"""What a worker answers; how it ends is in `test_worker_ending`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from metakd import __version__
from metakd.cases import find_cases
from metakd.contrasts import CONTRASTS
from metakd.metrics import PENALTY_MM, dice, hd95
from metakd.model import load_model
from metakd.regions import REGIONS, Region
from metakd.segment import Options, segment
from metakd.study import read_study
from worker_client import WorkerClient

T1, T1C, T2, FLAIR = CONTRASTS


@pytest.fixture(scope="module")
def shared_worker():
    with WorkerClient() as client:
        client.ready()
        yield client


@pytest.fixture
def worker(shared_worker):
    """A worker that other tests have used, and use after this one."""
    assert shared_worker.process.poll() is None
    return shared_worker


@pytest.fixture
def files(write_image, scan):
    return {c: write_image(f"{c.value}.nrrd", scan(c.index)) for c in CONTRASTS}


def pixels(path):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def test_it_announces_itself_before_torch_is_there_and_says_when_it_is_ready():
    with WorkerClient() as client:
        starting = client.event()
        assert starting == {"event": "starting", "pid": client.process.pid, "version": __version__}
        ready = client.event()
    assert {**ready, "event": "starting"}.items() >= starting.items()
    assert ready["torch"] == torch.__version__
    assert ready["problem"] == ""
    assert torch.device(ready["device"])
    if torch.version.cuda is None:
        assert ready["device"] == "cpu"
        assert ready["unusable"] == {"cuda": "this PyTorch is built without CUDA"}


def test_a_study_is_segmented_as_the_engine_does_it(worker, files, folder, tiny_package):
    output = folder / "seg.nrrd"
    events = worker.answer(worker.segment(files, output, model=str(tiny_package)))
    steps = [(event["stage"], event["done"], event["total"]) for event in events[:-1]]
    stages = [*["read"] * 4, *["register"] * 3, "brain", *["prepare"] * 4, *["encode"] * 4]
    stages += ["decode", "finish", "write"]
    assert steps == [(stage, done, 19) for done, stage in enumerate(stages, start=1)]
    expected = segment(read_study(files), load_model(str(tiny_package)), Options(device="cpu"))
    assert np.array_equal(pixels(output), sitk.GetArrayFromImage(expected.label_map))
    result = events[-1]
    assert set(result) == {"event", "id", "output", "report"}
    assert result["output"] == str(output)
    report, expected_report = result["report"], json.loads(json.dumps(expected.report.as_json()))
    assert set(report.pop("seconds")) == {
        "read", "orient", "register", "brain", "grid", "normalise", "network", "finish", "write"
    }  # fmt: skip
    assert expected_report.pop("seconds")
    assert report == expected_report
    assert b"encoding: raw" in output.read_bytes()[:500]
    assert [path.name for path in folder.iterdir()] == ["seg.nrrd"]


def test_every_option_is_heeded(worker, files, folder, tiny_package, write_image, scan):
    files[T1] = write_image("small.nii.gz", sitk.BinShrink(scan(1), [1, 1, 2]))
    options = {"model": str(tiny_package), "reference": "t1", "labels": "brats2018"}
    name = worker.segment(
        {c: files[c] for c in (T1, T2)}, folder / "seg.nii.gz",
        probabilities=str(folder / "probabilities"), **options,
    )  # fmt: skip
    result = worker.answer(name)[-1]
    assert result["report"]["reference"] == "T1"
    labels = pixels(folder / "seg.nii.gz")
    assert labels.shape == pixels(files[T1]).shape
    assert 4 in labels
    assert 3 not in labels
    assert set(result["probabilities"]) == {"ET", "TC", "WT"}
    assert np.array_equal(labels > 0, pixels(result["probabilities"]["WT"]) > 0.5)
    assert {path.name for path in (folder / "probabilities").iterdir()} == {
        Path(path).name for path in result["probabilities"].values()
    }


def test_options_that_are_null_are_as_if_left_out(worker, files, folder, tiny_package):
    nothing = dict.fromkeys(("reference", "labels", "probabilities"))
    name = worker.segment({T1: files[T1]}, folder / "seg.nrrd", model=str(tiny_package), **nothing)
    assert worker.answer(name)[-1]["report"]["reference"] == "T1"


def test_requests_are_served_in_order_and_an_id_may_come_again(worker, files, folder, tiny_package):
    names = [
        worker.segment({c: files[c]}, folder / f"{c.value}.nrrd", model=str(tiny_package))
        for c in (T1, T2)
    ]
    for name, contrast in zip(names, (T1, T2), strict=True):
        assert worker.answer(name)[-1]["report"]["available"] == [contrast.label]
    inputs = {"t1": str(files[T1])}
    for _ in range(2):
        fields = {"inputs": inputs, "output": str(folder / "seg.nrrd"), "id": "the same"}
        assert worker.ask("segment", **fields)["event"] == "result"


def test_a_real_patient_with_the_embedded_model(worker, shared_data, folder):
    (case,) = find_cases(shared_data / "brats" / "BraTS2021" / "BraTS2021_00002")
    whole = worker.answer(worker.segment(case.images, folder / "all.nrrd"))
    fewer = {c: path for c, path in case.images.items() if c != T1}
    again = worker.answer(worker.segment(fewer, folder / "fewer.nrrd"))
    truth = np.isin(pixels(case.segmentation), (1, 2, 4))
    for events, name in ((whole, "all"), (again, "fewer")):
        assert events[-1]["report"]["volumes_ml"]["ED"] > 1
        assert dice(pixels(folder / f"{name}.nrrd") > 0, truth) > 0.5
    with WorkerClient() as fresh:
        fresh.ready()
        fresh.answer(fresh.segment(fewer, folder / "fresh.nrrd"))
    assert (folder / "fresh.nrrd").read_bytes() == (folder / "fewer.nrrd").read_bytes()


BAD_LINES = {
    "garbage": b"hello\n",
    "half an object": b'{"op": "segment"\n',
    "a list": b"[1]\n",
    "a number": b"7\n",
    "no text": b'{"op": 7, "id": "1"}\n',
    "bytes that are no UTF-8": b'{"op": "\xff\xfe"}\n',
    "an endless line": b"x" * 3_000_000 + b"\n",
    "a bottomless line": b"[" * 200_000 + b"\n",
    "an id as deep as can be read": b'{"op": "import", "id": ' + b"[" * 900 + b"]" * 900 + b"}\n",
    "no op": b'{"id": "1"}\n',
    "an unknown op": b'{"op": "dance", "id": "1"}\n',
    "no id": b'{"op": "phantom", "output": "/"}\n',
    "an id that is a number": b'{"op": "phantom", "id": 1, "output": "/"}\n',
    "a cancel without an id": b'{"op": "cancel"}\n',
    "a cancel with more than an id": b'{"op": "cancel", "id": "1", "now": true}\n',
}


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES)
def test_a_line_that_is_no_request_is_an_error_and_the_next_one_is_served(worker, line):
    worker.write(line)
    event = worker.event()
    assert (event["event"], event["kind"]) == ("error", "input")
    assert event["id"] == ("1" if b'"id": "1"' in line else None)
    assert event["message"]
    assert event["hint"]
    assert worker.ask("import", path="/nowhere")["kind"] == "model"


def test_blank_lines_and_the_other_systems_line_ends_are_no_errors(worker):
    worker.write(b'\n  \r\n{"op": "import", "id": "a", "path": "/nowhere"}\r\n')
    assert worker.event()["id"] == "a"


def fields_of(change):
    """A sound request to segment with a change; `None` removes a field."""

    def fields(files, folder, package):
        sound = {
            "inputs": {"t1": str(files[T1])},
            "output": str(folder / "seg.nrrd"),
            "options": {"device": "cpu", "model": str(package)},
        }
        places = {"here": str(folder), "t1": str(files[T1])}
        text = json.dumps({**sound, **change})
        for name, place in places.items():
            text = text.replace(f"<{name}>", json.dumps(place)[1:-1])
        return {key: value for key, value in json.loads(text).items() if value is not None}

    return fields


def options(**changed):
    return fields_of({"options": {"device": "cpu", **changed}})


BAD_REQUESTS = {
    "no inputs": (fields_of({"inputs": None}), "input", "inputs"),
    "inputs that are none": (fields_of({"inputs": {}}), "input", "no contrast given"),
    "inputs that are a list": (fields_of({"inputs": ["<t1>"]}), "input", "inputs"),
    "an unknown contrast": (fields_of({"inputs": {"ct": "<t1>"}}), "input", '"ct"'),
    "an input that is a number": (fields_of({"inputs": {"t1": 7}}), "input", "t1 is 7"),
    "a missing file": (fields_of({"inputs": {"t1": "/no/t1.nrrd"}}), "input", "no such file"),
    "a relative path": (fields_of({"inputs": {"t1": "t1.nrrd"}}), "input", "absolute"),
    "a path with a zero": (fields_of({"inputs": {"t1": "/t1\0"}}), "input", "absolute"),
    "a path that cannot be": (fields_of({"inputs": {"t1": "/\ud800"}}), "input", "absolute"),
    "one file twice": (fields_of({"inputs": {"t1": "<t1>", "t2": "<t1>"}}), "input", "T2"),
    "no image": (fields_of({"inputs": {"t1": __file__}}), "input", "not a readable image"),
    "no output": (fields_of({"output": None}), "input", "output"),
    "an output of no format": (fields_of({"output": "<here>/seg.jpg"}), "input", ".nrrd"),
    "an output in no folder": (
        fields_of({"output": "<here>/no/s.nrrd"}),
        "input",
        "no such folder",
    ),
    "an output that cannot be": (fields_of({"output": "/proc/s.nrrd"}), "input", "written"),
    "an output on the input": (fields_of({"output": "<t1>"}), "input", "is an input"),
    "an unknown field": (fields_of({"colour": 1}), "input", '"colour"'),
    "options that are a text": (fields_of({"options": "fast"}), "input", "options"),
    "an unknown option": (options(speed="high"), "input", '"speed"'),
    "a device that is a number": (options(device=1), "input", "device"),
    "an unknown device": (options(device="toaster"), "input", "'toaster' cannot be used"),
    "an absent reference": (options(reference="t2"), "input", "reference"),
    "an unknown reference": (options(reference="ct"), "input", "reference"),
    "unknown labels": (options(labels="msd9"), "input", "brats2023"),
    "labels that are a list": (options(labels=["msd"]), "input", "labels"),
    "an unknown model": (options(model="nope"), "model", "unknown model 'nope'"),
    "a folder that is no model": (options(model="<here>"), "model", "is missing"),
    "probabilities nowhere": (options(probabilities="<here>/a/b"), "input", "no such folder"),
    "probabilities in a file": (options(probabilities="<t1>"), "input", "no such folder"),
}


@pytest.mark.parametrize(("fields", "kind", "says"), BAD_REQUESTS.values(), ids=BAD_REQUESTS)
def test_a_request_that_cannot_be_met_is_an_error_with_a_hint_and_leaves_nothing(
    worker, files, folder, tiny_package, fields, kind, says
):
    event = worker.ask("segment", **fields(files, folder, tiny_package))
    assert (event["event"], event["kind"]) == ("error", kind), event
    assert says in event["message"] + event["hint"]
    for text in (event["message"], event["hint"]):
        assert text
        assert "\n" not in text
    assert not list(folder.iterdir())


def test_an_id_that_is_in_use_is_refused_without_an_answer_to_the_one_that_has_it(
    worker, files, folder, tiny_package
):
    fields = {
        "inputs": {"t1": str(files[T1])},
        "output": str(folder / "seg.nrrd"),
        "options": {"model": str(tiny_package)},
    }
    two = [json.dumps({"op": "segment", "id": "twin", **fields}).encode()] * 2
    worker.write(b"\n".join(two) + b"\n")  # in one piece, so that both are heard at once
    events = [worker.event()]
    while len([event for event in events if event["event"] != "progress"]) < 2:
        events.append(worker.event())
    answers = {event["event"]: event for event in events}
    assert answers["result"]["id"] == "twin"
    assert answers["error"]["id"] is None
    assert "twin" in answers["error"]["message"]


def test_a_bad_cancel_is_not_taken_for_the_answer_to_the_request(
    worker, files, folder, tiny_package
):
    fields = {
        "inputs": {"t1": str(files[T1])},
        "output": str(folder / "seg.nrrd"),
        "options": {"model": str(tiny_package)},
    }
    lines = [
        {"op": "segment", "id": "run", **fields},
        {"op": "cancel", "id": "run", "why": "no reason"},
    ]
    worker.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    events = [worker.event() for _ in range(2)]
    while events[-1]["event"] == "progress" or len(events) < 8:
        events.append(worker.event())
    (error,) = (event for event in events if event["event"] == "error")
    assert error["id"] is None
    assert events[-1] == {**events[-1], "event": "result", "id": "run"}


def test_a_package_is_imported_and_used(package, tmp_path, files, folder):
    with WorkerClient(METAKD_MODELS=str(tmp_path / "models")) as client:
        client.ready()
        assert client.ask("import", path=str(package))["model"] == "mine"
        result = client.answer(client.segment({T1: files[T1]}, folder / "s.nrrd", model="mine"))[-1]
        assert result["report"]["model"] == "mine"
        again = client.ask("import", path=str(package))
        assert (again["kind"], again["hint"]) == ("model", "remove it first")


def test_a_bug_is_an_internal_error_told_without_names_in_the_log(files, folder, tiny_package):
    broken = """
import metakd.session as session
def fail(*arguments, **options):
    raise KeyError("Muster, Max")
session.segment = fail
"""
    with WorkerClient(broken) as client:
        client.ready()
        for _ in range(2):
            name = client.segment({T1: files[T1]}, folder / "s.nrrd", model=str(tiny_package))
            event = client.answer(name)[-1]
            assert event["kind"] == "internal"
            assert "Muster" in event["message"]
        client.process.stdin.close()
        client.ended()
    log = b"".join(client.log).decode()
    assert "KeyError" in log
    assert "in _run" in log
    for secret in ("Muster", str(folder), str(files[T1])):
        assert secret not in log


NOISE = """
import ctypes, os
import metakd.session as session
from metakd.session import Session
real = Session.segment
def noisy(*arguments, **options):
    print("from Python")
    os.write(1, b"from a file descriptor\\n")
    ctypes.CDLL(None).puts(b"from C")
    ctypes.CDLL(None).fflush(None)
    return real(*arguments, **options)
Session.segment = noisy
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has several C libraries at once")
def test_what_libraries_print_goes_to_stderr(files, folder, tiny_package):
    with WorkerClient(NOISE) as client:
        client.ready()
        client.answer(client.segment({T1: files[T1]}, folder / "s.nrrd", model=str(tiny_package)))
        client.process.stdin.close()
        client.ended()
    assert all(json.loads(line)["event"] for line in client.lines)
    log = b"".join(client.log).decode()
    for source in ("from Python", "from a file descriptor", "from C"):
        assert source in log


def region_map(path, masks):
    values = sum(mask.astype(np.uint8) << place for place, mask in enumerate(masks))
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((1.0, 1.0, 2.0))
    sitk.WriteImage(image, str(path))
    return str(path)


def test_two_maps_of_regions_are_compared(worker, tmp_path):
    rng = np.random.default_rng(0)
    ours, theirs = (rng.random((3, 20, 24, 22)) > 0.6 for _ in range(2))
    ours[0] = False
    paths = {
        "segmentation": region_map(tmp_path / "a.nrrd", ours),
        "reference": region_map(tmp_path / "b.nrrd", theirs),
    }
    scores = worker.ask("compare", **paths)["scores"]
    assert list(scores) == ["ET", "TC", "WT"]
    assert scores["ET"] == {"dice": 0.0, "hd95_mm": PENALTY_MM}
    for place, region in enumerate(REGIONS):
        expected = dice(ours[place], theirs[place])
        assert scores[region.value]["dice"] == pytest.approx(expected)
        assert scores[region.value]["hd95_mm"] == hd95(ours[place], theirs[place], (2, 1, 1))
    assert list(worker.ask("compare", regions=["WT"], **paths)["scores"]) == [Region.WT.value]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"reference": "/no/such.nrrd"}, "no such file"),
        ({"regions": ["ED"]}, "ED"),
        ({"regions": "WT"}, "regions"),
        ({"regions": []}, "regions"),
        ({"reference": "<coarse>"}, "different grids"),
        ({"reference": "<float>"}, "no map of regions"),
        ({"reference": None}, "reference"),
    ],
)
def test_maps_that_cannot_be_compared_are_refused(worker, tmp_path, scan, change, says):
    paths = {
        "segmentation": region_map(tmp_path / "a.nrrd", np.ones((3, 8, 8, 8), bool)),
        "<coarse>": region_map(tmp_path / "b.nrrd", np.ones((3, 8, 8, 7), bool)),
        "<float>": str(tmp_path / "c.nrrd"),
    }
    sitk.WriteImage(scan(), paths["<float>"])
    fields = {"reference": paths["segmentation"], **change}
    fields["reference"] = paths.get(fields["reference"], fields["reference"])
    event = worker.ask("compare", segmentation=paths["segmentation"], **fields)
    assert event["kind"] == "input"
    assert says in event["message"] + event["hint"]


def test_without_torch_it_says_so_and_does_what_needs_none(files, folder, package, tmp_path):
    with WorkerClient("import sys\nsys.modules.update(torch=None, tqdm=None, PIL=None)") as client:
        ready = client.ready()
        assert (ready["torch"], ready["device"], ready["unusable"]) == (None, None, {})
        assert ready["problem"] == "PyTorch is not installed"
        for name in (
            client.segment({T1: files[T1]}, folder / "seg.nrrd"),
            client.send("import", path=str(package)),
        ):
            event = client.answer(name)[-1]
            assert (event["kind"], event["message"]) == ("internal", "PyTorch is not installed")
            assert "install PyTorch" in event["hint"]
        written = client.ask("phantom", output=str(folder / "phantom"), seed=3)["files"]
        assert set(written) == {"t1", "t1c", "t2", "flair", "seg"}
        assert all(Path(path).is_file() for path in written.values())
        ones = region_map(tmp_path / "a.nrrd", np.ones((3, 8, 8, 8), bool))
        scores = client.ask("compare", segmentation=ones, reference=ones)["scores"]
        assert scores["WT"] == {"dice": 1.0, "hd95_mm": 0.0}


@pytest.mark.parametrize(
    ("torch_file", "problem"),
    [
        ("raise OSError('a library\\nis broken')", "cannot be loaded (a library is broken)"),
        ("__version__ = '1.13.1'", "PyTorch 1.13.1 is too old: 2.2 or newer is needed"),
    ],
)
def test_a_torch_that_is_broken_or_too_old_is_told_in_one_line(tmp_path, torch_file, problem):
    (tmp_path / "torch.py").write_text(torch_file)
    with WorkerClient(f"import sys\nsys.path.insert(0, {str(tmp_path)!r})") as client:
        assert problem in client.ready()["problem"]
        assert client.ask("import", path="/x")["kind"] == "internal"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"seed": -1}, "seed"),
        ({"seed": True}, "seed"),
        ({"seed": "1"}, "seed"),
        ({"output": "/proc/phantom"}, "/proc/phantom"),
        ({"output": None}, "output"),
    ],
)
def test_a_phantom_that_cannot_be_made_is_refused(worker, folder, fields, says):
    event = worker.ask("phantom", **{"output": str(folder), **fields})
    assert event["kind"] == "input"
    assert says in event["message"]


def test_importing_the_worker_brings_neither_torch_nor_simpleitk():
    script = (
        "import sys, metakd.worker\nprint({'torch', 'SimpleITK', 'tqdm', 'PIL'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def test_the_command_line_serves_too():
    command = [sys.executable, "-m", "metakd.cli", "worker"]
    done = subprocess.run(command, input=b'{"op": "shutdown"}\n', capture_output=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[0])["event"] == "starting"


def test_what_waits_when_it_must_end_is_answered(folder):
    """Also when it has not even imported torch yet."""
    lines = [
        {"op": "phantom", "id": "1", "output": str(folder / "phantom")},
        {"op": "shutdown"},
    ]
    command = [sys.executable, "-m", "metakd.cli", "worker"]
    said = "".join(json.dumps(line) + "\n" for line in lines).encode()
    done = subprocess.run(command, input=said, capture_output=True)
    answer = json.loads(done.stdout.splitlines()[-1])
    assert (answer["id"], answer["kind"]) == ("1", "cancelled")
