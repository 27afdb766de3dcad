"""SynthStrip and HD-BET, played by small programs that keep to their command lines.

The tools themselves are large and not installed where tests run. What plays them is started as a
program, reads and writes real files, and notes how it was called.
"""

import json
import os
import stat
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from metakd import brain_tools
from metakd.brain_tools import find_tool, installed_tool, run_tool
from metakd.progress import Cancelled
from metakd.study import StudyError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="what plays the tools needs a shebang line")

NOTE = """
import argparse, json, os, sys, time
import SimpleITK as sitk
parser = argparse.ArgumentParser()
{options}
arguments = parser.parse_args()
read = sitk.ReadImage(arguments.i)
note = {{
    "arguments": vars(arguments), "variables": dict(os.environ), "folder": os.getcwd(),
    "files": os.listdir(), "mode": os.stat(".").st_mode,
    "header": [read.GetMetaData(key) for key in read.GetMetaDataKeys()],
    "axes": sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(
        read.GetDirection()
    ),
}}
with open({note!r}, "w", encoding="utf-8") as file:
    json.dump(note, file)
"""

SYNTHSTRIP = """
for name in ("-i", "-o", "-m", "-b", "--model"):
    parser.add_argument(name)
parser.add_argument("-g", action="store_true")
"""

HD_BET = """
for name in ("-i", "-o", "-device"):
    parser.add_argument(name)
for name in ("--disable_tta", "--save_bet_mask", "--no_bet_image", "--verbose"):
    parser.add_argument(name, action="store_true")
"""

FIND = "mask = sitk.Cast(sitk.ReadImage(arguments.i) > 300, sitk.sitkUInt8)\n"
SYNTHSTRIP_WRITES = FIND + "sitk.WriteImage(mask, arguments.m)\n"
HD_BET_WRITES = FIND + "sitk.WriteImage(mask, arguments.o.replace('.nii.gz', '_bet.nii.gz'))\n"


@pytest.fixture(autouse=True)
def nothing_is_installed(tmp_path, monkeypatch):
    """A home, a FreeSurfer, a PATH and a folder for temporary files of this test's own."""
    for name in ("bin", "home", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATIENT", "not handed on by Slicer")
    for name in ("FREESURFER_HOME", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


@pytest.fixture
def install(tmp_path):
    """`install(tool, does)`: put a tool and its weights in place; the file it notes its call in."""

    def install(tool, does=None, weights=True):
        note = tmp_path / f"{tool}.json"
        program, options, writes, place = {
            "synthstrip": (
                "mri_synthstrip",
                SYNTHSTRIP,
                SYNTHSTRIP_WRITES,
                "models/synthstrip.1.pt",
            ),
            "hd-bet": (
                *("hd-bet", HD_BET, HD_BET_WRITES),
                "home/hd-bet_params/release_2.0.0/fold_all/checkpoint_final.pth",
            ),
        }[tool]
        body = NOTE.format(options=options, note=str(note)) + (writes if does is None else does)
        script = tmp_path / "bin" / program
        script.write_text(f"#!{sys.executable}\n{body}", "utf-8")
        script.chmod(0o755)
        if weights:
            (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / place).write_text("weights", "utf-8")
        return note

    return install


@pytest.fixture
def head(scan):
    """A tilted image whose axes are in an unusual order; its brain is all above 300."""
    image = sitk.PermuteAxes(scan(), [2, 0, 1])
    tilt = sitk.Euler3DTransform((0, 0, 0), 0.2, -0.1, 0.3).GetMatrix()
    image.SetDirection((np.reshape(tilt, (3, 3)) @ [[0, 1, 0], [0, 0, -1], [1, 0, 0]]).ravel())
    image.SetSpacing((3.0, 1.0, 1.2))
    return image


def read_note(note):
    return json.loads(note.read_text("utf-8"))


def left_over(tmp_path):
    return list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize("tool", ["synthstrip", "hd-bet"])
def test_the_mask_lies_on_the_images_own_grid(install, tmp_path, head, tool):
    note = read_note if install(tool) else None
    mask = run_tool(tool, head, "cpu")
    assert mask.GetPixelID() == sitk.sitkUInt8
    for get in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(mask, get)() == getattr(head, get)(), get
    assert np.array_equal(sitk.GetArrayFromImage(mask), sitk.GetArrayFromImage(head) > 300)
    assert note(tmp_path / f"{tool}.json")["axes"] == "LAS"  # what HD-BET asks for
    assert not left_over(tmp_path)


@pytest.mark.parametrize("tool", ["synthstrip", "hd-bet"])
def test_nothing_that_names_the_patient_leaves_the_process(install, tmp_path, head, tool):
    note = install(tool)
    head.SetMetaData("0010|0010", "Muster^Max")
    head.SetMetaData("descrip", "Max Muster")  # NIfTI has a place for this one
    run_tool(tool, head, "cpu")
    assert head.GetMetaData("descrip") == "Max Muster"
    call = read_note(note)
    assert stat.S_IMODE(call["mode"]) == 0o700
    assert sorted(call["files"]) == ["head.nii.gz", "log.txt"]
    assert Path(call["folder"]).parent == tmp_path / "temporary"
    read = note.read_text("utf-8")
    assert "Muster" not in read.replace(str(tmp_path), "")


def test_the_options_are_those_the_tools_know(install, head, monkeypatch):
    note = install("synthstrip")
    for device, gpu in (("cpu", False), ("cuda", True), ("cuda:0", True), ("cuda:1", False)):
        run_tool("synthstrip", head, device)
        assert read_note(note)["arguments"]["g"] is gpu, device
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")  # it would take the first GPU all the same
    run_tool("synthstrip", head, "cuda")
    assert read_note(note)["arguments"]["g"] is False
    note = install("hd-bet")
    for device in ("cpu", "cuda:1", "mps"):
        run_tool("hd-bet", head, device)
        given = read_note(note)["arguments"]
        assert given["device"] == device
        assert given["disable_tta"] is (device == "cpu")
        assert given["save_bet_mask"]
        assert given["no_bet_image"]


def test_a_tool_counts_only_with_its_weights_and_synthstrip_comes_first(install):
    assert installed_tool() is None
    install("hd-bet", weights=False)
    install("synthstrip", weights=False)
    assert installed_tool() is None
    install("hd-bet")
    assert installed_tool() == "hd-bet"
    install("synthstrip")
    assert installed_tool() == "synthstrip"


def test_freesurfer_is_found_by_its_home_alone(install, tmp_path, head, monkeypatch):
    note = install("synthstrip")
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert installed_tool() is None
    monkeypatch.setenv("FREESURFER_HOME", str(tmp_path))
    assert installed_tool() == "synthstrip"
    run_tool("synthstrip", head, "cpu")
    assert read_note(note)["variables"]["FREESURFER_HOME"] == str(tmp_path)


def test_freesurfers_home_follows_from_its_program(install, tmp_path, head):
    note = install("synthstrip")
    run_tool("synthstrip", head, "cpu")
    assert read_note(note)["variables"]["FREESURFER_HOME"] == str(tmp_path)


def test_no_tool_reaches_the_network(install, head, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    note = install("hd-bet", HD_BET_WRITES + "import urllib.request\n")
    run_tool("hd-bet", head, "cpu")
    variables = read_note(note)["variables"]
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY"):
        assert variables[name] == "http://127.0.0.1:9"
    assert variables["no_proxy"] == ""
    install(
        "hd-bet",
        "import urllib.request\nurllib.request.urlopen('https://zenodo.org/x', timeout=9)\n",
    )
    with pytest.raises(StudyError, match=r"has failed: .*refused"):
        run_tool("hd-bet", head, "cpu")


def test_a_tool_of_another_python_gets_the_users_variables_not_slicers(install, head, monkeypatch):
    note = install("hd-bet")
    inside = {"PYTHONPATH": "/slicer", "LD_LIBRARY_PATH": "/slicer/lib", "APPLAUNCHER_LEVEL": "1"}
    before = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "LD_LIBRARY_PATH": "/users"}
    for name, value in inside.items():
        monkeypatch.setenv(name, value)
    for name, value in before.items():
        monkeypatch.setenv(f"APPLAUNCHER_0_{name}", value)
    run_tool("hd-bet", head, "cpu")
    variables = read_note(note)["variables"]
    assert {name: variables[name] for name in before} == before
    assert "PYTHONPATH" not in variables
    assert "PATIENT" not in variables


def test_pythons_home_is_not_handed_to_another_python(install, head, monkeypatch):
    note = install("hd-bet")
    run_tool("hd-bet", head, "cpu")
    assert read_note(note)["variables"]["PATIENT"]  # without Slicer nothing is taken away
    monkeypatch.setenv("PYTHONHOME", "/slicer")
    monkeypatch.setenv("PYTHONPATH", "/slicer")
    run_tool("hd-bet", head, "cpu")
    assert not {"PYTHONHOME", "PYTHONPATH"} & set(read_note(note)["variables"])


FAILURES = {
    "an error": ("print('starting')\nraise RuntimeError('CUDA; is gone')", "CUDA; is gone"),
    "a status": ("print('10 %', end='\\r')\nprint('no licence\\n\\n')\nsys.exit(3)", "no licence"),
    "silence": ("sys.exit(1)", "it said nothing"),
    "no mask": ("", "has left no mask"),
    "half a mask": ("open(arguments.m, 'wb').write(b'\\x1f\\x8b no')", "has left no mask"),
    "nothing found": (
        SYNTHSTRIP_WRITES.replace("> 300", "> 1e6"),
        "has found no brain",
    ),
    "another grid": (
        SYNTHSTRIP_WRITES.replace("(mask,", "(mask[1:],"),
        "another grid",
    ),
}


@pytest.mark.parametrize(("does", "says"), FAILURES.values(), ids=FAILURES)
def test_a_failure_is_told_in_one_line_with_what_to_do(install, tmp_path, head, does, says):
    install("synthstrip", does)
    with pytest.raises(StudyError) as error:
        run_tool("synthstrip", head, "cpu")
    message = str(error.value)
    assert message.startswith("SynthStrip ")
    assert says in message
    assert "\n" not in message
    assert "choose another way to find the brain" in message.rpartition("; ")[2]
    assert not left_over(tmp_path)


def test_a_program_that_cannot_be_started_is_told(install, tmp_path, head):
    install("hd-bet")
    (tmp_path / "bin" / "hd-bet").write_text("#!/nowhere/python\n", "utf-8")
    with pytest.raises(StudyError, match=r"HD-BET cannot be started \(No such file"):
        run_tool("hd-bet", head, "cpu")


@pytest.mark.parametrize(
    ("tool", "absent", "without"),
    [
        ("synthstrip", "install FreeSurfer 7.3", "models/synthstrip"),
        ("hd-bet", "install HD-BET 2", "run hd-bet once by hand"),
    ],
)
def test_a_tool_that_is_not_there_says_what_to_do(install, head, tool, absent, without):
    for ask in (lambda: find_tool(tool), lambda: run_tool(tool, head, "cpu")):
        with pytest.raises(StudyError, match=f"is not installed .*; {absent}"):
            ask()
    install(tool, weights=False)
    with pytest.raises(StudyError, match="is installed without its weights") as error:
        find_tool(tool)
    assert without in str(error.value)


WAITS = """
try:
    open({there!r}, "w").close()
    time.sleep(60)
except KeyboardInterrupt:
    open({ended!r}, "w").close()
"""


@pytest.fixture
def endless(install, tmp_path):
    """An HD-BET that waits, and notes that it was asked to end."""
    places = {name: str(tmp_path / name) for name in ("there", "ended")}
    install("hd-bet", WAITS.format(**places))
    return {name: Path(place) for name, place in places.items()}


def test_a_run_can_be_cancelled_and_nothing_is_left(tmp_path, head, endless):
    with pytest.raises(Cancelled):
        run_tool("hd-bet", head, "cpu", is_cancelled=endless["there"].exists)
    assert endless["ended"].exists()
    assert not left_over(tmp_path)


def test_a_tool_that_does_not_end_is_ended(tmp_path, head, endless, monkeypatch):
    monkeypatch.setattr(brain_tools, "_PATIENCE", 0.5)
    with pytest.raises(StudyError, match="was not done after"):
        run_tool("hd-bet", head, "cpu")
    assert not left_over(tmp_path)


def test_a_tool_that_does_not_listen_is_killed(install, tmp_path, head, monkeypatch):
    monkeypatch.setattr(brain_tools, "_GRACE", 0.2)
    there = tmp_path / "there"
    deaf = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    install("hd-bet", f"{deaf}open({str(there)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n")
    with pytest.raises(Cancelled):
        run_tool("hd-bet", head, "cpu", is_cancelled=lambda: there.exists() and there.read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(int(there.read_text("utf-8")), 0)
