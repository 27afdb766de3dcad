"""What `metakd` cannot do it says in one line, with status 2 and no output."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scans import make_scan

METAKD = [sys.executable, "-m", "metakd.cli"]


def contents(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def is_one_helpful_line(err, *parts):
    return len(err) == 1 and err[0].startswith("metakd") and all(part in err[0] for part in parts)


def cut(path):
    sitk.WriteImage(make_scan(), str(path))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def image(change):
    return lambda path: sitk.WriteImage(change(make_scan()), str(path))


def with_voxel(scan, value):
    scan[9, 9, 9] = value
    return scan


BAD_FILES = {
    "missing": ("t1.nii.gz", lambda path: None, "no such file"),
    "empty": ("t1.nii.gz", Path.touch, "is empty"),
    "text": ("t1.nii.gz", lambda path: path.write_text("hello " * 99), "not a readable image"),
    "text in a .nrrd": ("t1.nrrd", lambda path: path.write_text("hi"), "not a readable image"),
    "cut .nii.gz": ("t1.nii.gz", cut, "export T1 again"),
    "cut .nii": ("t1.nii", cut, "export T1 again"),
    "cut .nrrd": ("t1.nrrd", cut, "export T1 again"),
    "cut .mha": ("t1.mha", cut, "export T1 again"),
    "2D": ("t1.nii.gz", image(lambda scan: scan[:, :, 9]), "is 2D"),
    "photograph": ("t1.png", image(lambda scan: sitk.Cast(scan[:, :, 9], 1)), "is 2D"),
    "complex": ("t1.nii.gz", image(lambda s: sitk.RealAndImaginaryToComplex(s, s)), "complex"),
    "RGB": ("t1.nrrd", image(lambda s: sitk.Compose(*[sitk.Cast(s / 4, 1)] * 3)), "colour"),
    "three volumes": ("t1.nii", image(lambda s: sitk.JoinSeries([s] * 3)), "4D with 3 volumes"),
    "zeros": ("t1.nii.gz", image(lambda scan: scan * 0), "every voxel is 0"),
    "NaN": ("t1.nii.gz", image(lambda scan: with_voxel(scan, np.nan)), "NaN or infinite"),
    "infinite": ("t1.nii.gz", image(lambda scan: with_voxel(scan, np.inf)), "NaN or infinite"),
    "segmentation": ("t1.nii.gz", image(lambda s: sitk.Cast(s > 400, 1)), "is a segmentation"),
    "folder without images": ("t1", Path.mkdir, "0 DICOM series"),
}


@pytest.mark.parametrize(("name", "make", "says"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_one_line_status_2_and_no_output(
    run, folder, tmp_path, tiny_package, name, make, says
):
    make(tmp_path / name)
    status, out, err = run(
        *("segment", "--t1", tmp_path / name, "--model", tiny_package),
        *("--output", folder / "seg.nii.gz", "--report", folder / "r.json"),
    )
    assert (status, out, list(folder.iterdir())) == (2, "", [])
    assert is_one_helpful_line(err, "T1" if "T1" in err[0] else str(tmp_path / name), says), err


BAD_USE = {
    "no contrast": ("--output {out}/s.nii", "no contrast given"),
    "no output": ("--t1 {t1}", "--output"),
    "one file twice": ("--t1 {t1} --t2 {t1} --output {out}/s.nii", "leave out"),
    "far apart": (
        "--t1 {t1} --t2 {far} --no-registration --output {out}/s.nii",
        "do not overlap",
    ),
    "unknown option": ("--t1 {t1} --output {out}/s.nii --frobnicate", "--frobnicate"),
    "unknown extension": ("--t1 {t1} --output {out}/s.jpg", ".nii.gz"),
    "no extension": ("--t1 {t1} --output {out}/s", ".nii.gz"),
    "unknown labels": ("--t1 {t1} --output {out}/s.nii --labels msd", "brats2018"),
    "absent reference": ("--t1 {t1} --output {out}/s.nii --reference t2", "not given"),
    "unknown reference": ("--t1 {t1} --output {out}/s.nii --reference pd", "t1c"),
    "unknown model": ("--t1 {t1} --output {out}/s.nii --model nope", "unknown model 'nope'"),
    "unknown device": ("--t1 {t1} --output {out}/s.nii --device gpu", "--device auto"),
    "output in no folder": ("--t1 {t1} --output {out}/no/s.nii", "no such folder"),
    "output in a file": ("--t1 {t1} --output {t1}/s.nii", "no such folder"),
    "output a folder": ("--t1 {t1} --output {taken}", "is a folder"),
    "output in /proc": ("--t1 {t1} --output /proc/s.nii", "/proc: cannot be written to"),
    "report in /proc": ("--t1 {t1} --output {out}/s.nii --report /proc/r", "/proc: cannot"),
    "output is an input": ("--t1 {t1} --output {t1}", "is an input"),
    "report is an input": ("--t1 {t1} --output {out}/s.nii --report {link}", "is an input"),
    "two results in one": ("--t1 {t1} --output {out}/s.nii --report {out}/../results/s.nii", "two"),
    "probabilities in no folder": (
        "--t1 {t1} --output {out}/s.nii --probabilities {out}/no/p",
        "no such folder",
    ),
    "probabilities in a file": ("--t1 {t1} --output {out}/s.nii --probabilities {t1}", "folder"),
    "result on a probability": (
        "--t1 {t1} --output {out}/et.nii.gz --probabilities {out}",
        "two results",
    ),
    "probability on an input": ("--t1 {wt} --output {out}/s.nii --probabilities {dir}", "an input"),
    "registration on and off": (
        "--t1 {t1} --output {out}/s.nii --registration rigid --no-registration",
        "not allowed with",
    ),
    "brain by a tool and not at all": (
        "--t1 {t1} --output {out}/s.nii --brain builtin --no-brain-extraction",
        "not allowed with",
    ),
    "brain by a tool and by a mask": (
        "--t1 {t1} --output {out}/s.nii --brain builtin --brain-mask {mask}",
        "not allowed with",
    ),
    "unknown registration": ("--t1 {t1} --output {out}/s.nii --registration demons", "affine"),
    "unknown brain extraction": ("--t1 {t1} --output {out}/s.nii --brain bet", "synthstrip"),
    "absent brain mask": ("--t1 {t1} --output {out}/s.nii --brain-mask {out}/m.nii", "no such"),
    "scan for a brain mask": ("--t1 {t1} --output {out}/s.nii --brain-mask {wt}", "not a mask"),
    "empty brain mask": ("--t1 {t1} --output {out}/s.nii --brain-mask {empty}", "is empty"),
    "tool that is not there": (
        "--t1 {t1} --output {out}/s.nii --brain synthstrip",
        "SynthStrip is not installed (there is no program mri_synthstrip); install FreeSurfer",
    ),
    "other tool that is not there": (
        "--t1 {out}/none.nii --output {out}/s.nii --brain hd-bet",
        "HD-BET is not installed",  # said before anything is read
    ),
    "result on the brain mask": ("--t1 {t1} --output {mask} --brain-mask {mask}", "is an input"),
    "prepared in no folder": (
        "--t1 {t1} --output {out}/s.nii --prepared {out}/no/p",
        "no such folder",
    ),
    "prepared in a file": ("--t1 {t1} --output {out}/s.nii --prepared {t1}", "folder"),
    "result on a prepared image": (
        "--t1 {t1} --output {out}/brain.nii.gz --prepared {out}",
        "two results",
    ),
    "prepared on an input": (
        "--t1 {t1} --t1c {wt} --output {out}/s.nii --prepared {dir}",
        "an input",
    ),
    "preview no picture": ("--t1 {t1} --output {out}/s.nii --preview {out}/p.jpg", ".png"),
}


@pytest.mark.parametrize(("arguments", "says"), BAD_USE.values(), ids=BAD_USE)
def test_bad_use_is_one_line_status_2_and_no_output(
    run, folder, tmp_path, write_image, tiny_package, user_models, monkeypatch, arguments, says
):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("FREESURFER_HOME", raising=False)
    far = make_scan(1)
    far.SetOrigin((500.0, 0.0, 0.0))
    (tmp_path / "taken.nii").mkdir()
    places = {
        "t1": write_image("t1.nii.gz", make_scan()),
        "wt": write_image("wt.nii.gz", make_scan()),
        "far": write_image("far.nii.gz", far),
        "mask": write_image("mask.nii.gz", make_scan() > 0),
        "empty": write_image("empty.nii.gz", make_scan() > 1e6),
        "link": tmp_path / "link.nii.gz",
        "taken": tmp_path / "taken.nii",
        "out": folder,
        "dir": tmp_path,
    }
    places["link"].symlink_to(places["t1"])
    before = contents(tmp_path)
    model = [] if "--model" in arguments else ["--model", str(tiny_package)]
    status, out, err = run("segment", *arguments.format(**places).split(), *model)
    assert is_one_helpful_line(err, says), err
    assert (status, out) == (2, "")
    assert contents(tmp_path) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device")
def test_a_device_that_is_not_there_is_refused(run, folder, write_image, scan, tiny_package):
    status, _, err = run(
        *("segment", "--t1", write_image("t1.nii", scan()), "--model", tiny_package),
        *("--output", folder / "s.nii"),
        *("--device", "cuda"),
    )
    assert status == 2
    assert is_one_helpful_line(err, "'cuda' cannot be used", "--device auto"), err
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("", "metakd --help"),
        ("frobnicate", "segment"),
        ("models", "metakd models --help"),
        ("models show nope", "unknown model 'nope'"),
        ("models remove nope", "no model named 'nope'"),
        ("models import {dir}/nope.zip", "no such file or folder"),
        ("models import {dir}", "not a MetaKD model package"),
        ("evaluate --cases {dir}/none --output {dir}", "no such folder"),
        ("evaluate --cases {dir} --output {dir}", "no case found"),
        ("evaluate --cases {dir} --output {dir} --subsets t1+pd", "t1, t1c, t2, flair"),
        ("evaluate --cases {dir}/P1 --output {dir}/P1/t1.nii", "folder"),
        ("phantom --output {dir} --cases 0", "'0' is not a whole number from 1"),
    ],
)
def test_other_commands_say_what_is_wrong_in_one_line(
    run, tmp_path, write_image, tiny_package, user_models, arguments, says
):
    if "P1" in arguments:
        write_image("P1/t1.nii", make_scan())
        write_image("P1/seg.nii", sitk.Cast(make_scan() > 400, sitk.sitkUInt8))
    model = ["--model", tiny_package] if "evaluate" in arguments else []
    status, _, err = run(*arguments.format(dir=tmp_path).split(), *model)
    assert status == 2
    assert is_one_helpful_line(err, says), err


@pytest.mark.parametrize("case", ["no contrast", "cut file", "wrong option"])
def test_a_shell_sees_one_line_and_status_2(tmp_path, folder, tiny_package, case):
    cut(tmp_path / "t1.nii.gz")
    more = {"no contrast": [], "cut file": ["--t1", "t1.nii.gz"], "wrong option": ["--wrong"]}[case]
    done = subprocess.run(
        [*METAKD, "segment", "--output", folder / "s.nii", "--model", tiny_package, *more],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert is_one_helpful_line(done.stderr.splitlines()), done.stderr
    assert not list(folder.iterdir())
