"""`metakd` as a user meets it: results, help, and what a kill leaves."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from metakd.contrasts import CONTRASTS


@pytest.fixture
def inputs(write_image, scan):
    """Files of all four contrasts: `--t1 …` and so on."""
    return [
        part
        for contrast in CONTRASTS
        for part in (
            f"--{contrast.value}",
            write_image(f"{contrast.value}.nii.gz", scan(contrast.index)),
        )
    ]


def read(path):
    return sitk.ReadImage(str(path))


def values(path):
    return sitk.GetArrayFromImage(read(path))


@pytest.mark.parametrize("name", ["seg.nii.gz", "seg.nii", "seg.nrrd", "seg.mha"])
def test_a_result_lies_on_the_references_grid_in_any_format(
    run, folder, write_image, scan, tiny_package, name
):
    reference = scan()
    reference.SetSpacing((0.9, 1.2, 2.0))
    reference.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    path = write_image("t2.nii.gz", reference)
    status, out, _ = run(
        "segment", "--t2", path, "--output", folder / name, "--model", tiny_package
    )
    assert status == 0
    assert "Research use only" in out
    assert [path.name for path in folder.iterdir()] == [name]
    result = read(folder / name)
    assert result.GetPixelID() == sitk.sitkUInt8
    for get in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert np.allclose(getattr(result, get)(), getattr(reference, get)(), atol=1e-5), get
    assert set(np.unique(values(folder / name))) <= {0, 1, 2, 3}


def test_every_result_that_is_asked_for_is_written(run, folder, inputs, tiny_package):
    (folder / "seg.nii.gz").write_text("an earlier result")
    status, _, _ = run(
        *("segment", *inputs, "--model", tiny_package, "--output", folder / "seg.nii.gz"),
        *("--report", folder / "r.json", "--preview", folder / "p.png"),
        *("--probabilities", folder / "probabilities"),
    )
    assert status == 0
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {
        *("seg.nii.gz", "r.json", "p.png"),
        *(f"probabilities/{region}.nii.gz" for region in ("et", "tc", "wt")),
    }
    report = json.loads((folder / "r.json").read_text())
    assert report["available"] == ["T1", "T1c", "T2", "FLAIR"]
    assert report["reference"] == "T1c"
    labels = values(folder / "seg.nii.gz")
    assert report["volumes_ml"]["ED"] == pytest.approx((labels == 2).sum() / 1000, abs=1e-3)
    likely = values(folder / "probabilities" / "wt.nii.gz")
    assert np.array_equal(labels > 0, likely > 0.5)
    assert (folder / "p.png").read_bytes().startswith(b"\x89PNG")


def test_enhancing_tumour_is_4_in_brats2018_labels(run, folder, inputs, tiny_package):
    for convention in ("brats2023", "brats2018"):
        path = folder / f"{convention}.nii.gz"
        run("segment", *inputs, "--output", path, "--labels", convention, "--model", tiny_package)
    new, old = values(folder / "brats2023.nii.gz"), values(folder / "brats2018.nii.gz")
    assert (new == 3).any()
    assert np.array_equal(np.where(new == 3, 4, new), old)


def test_the_reference_can_be_chosen(run, folder, write_image, scan, tiny_package):
    t1c = write_image("t1c.nii.gz", scan(0))
    t1 = write_image("t1.nii.gz", sitk.BinShrink(scan(1), [1, 1, 2]))
    both = ("segment", "--t1", t1, "--t1c", t1c, "--model", tiny_package)
    for chosen, expected in (((), t1c), (("--reference", "t1"), t1)):
        status, _, _ = run(*both, *chosen, "--output", folder / "seg.nii")
        assert status == 0
        assert read(folder / "seg.nii").GetSize() == read(expected).GetSize()


def test_what_was_prepared_is_left_where_asked(run, folder, write_image, scan, tiny_package):
    coarse = sitk.BinShrink(scan(1), [1, 1, 2])
    t1c, t1 = write_image("t1c.nii.gz", scan(0)), write_image("t1.nii.gz", coarse)
    asked = ("segment", "--t1", t1, "--t1c", t1c, "--model", tiny_package)
    results = ("--output", folder / "seg.nii.gz", "--report", folder / "r.json")
    status, out, _ = run(*asked, *results, "--prepared", folder / "prepared")
    assert status == 0
    prepared = {path.name: path for path in (folder / "prepared").iterdir()}
    assert set(prepared) == {"t1.nii.gz", "brain.nii.gz"}  # the reference is there already
    expected = values(write_image("fine.nii.gz", sitk.Resample(coarse, scan(0))))
    assert np.allclose(values(prepared["t1.nii.gz"]), expected, atol=0.01)
    assert set(np.unique(values(prepared["brain.nii.gz"]))) == {0, 1}
    report = json.loads((folder / "r.json").read_text("utf-8"))
    brain_ml = values(prepared["brain.nii.gz"]).sum() / 1000
    assert report["brain"]["volume_ml"] == pytest.approx(brain_ml, rel=0.05)
    assert report["registration"]["T1"]["outcome"] == "aligned"
    assert "T1 aligned with T1c already" in out
    assert "as the images are stripped" in out


def test_every_step_can_be_chosen(run, folder, write_image, scan, tiny_package):
    large = (96, 104, 88)  # so that the mask can be a brain's
    pair = (write_image(f"{seed}.nii.gz", scan(seed, large)) for seed in (0, 1))
    inputs = [part for option in zip(("--t1c", "--t1"), pair, strict=True) for part in option]
    asked = ("segment", *inputs, "--model", tiny_package, "--report", folder / "r.json")
    mask = write_image("mask.nrrd", scan(0, large) > 300)
    for chosen, outcome, source, says in (
        (("--no-registration",), "off", "background", "registration is off"),
        (("--registration", "affine"), "aligned", "background", "aligned with T1c already"),
        (("--no-brain-extraction",), "aligned", "off", "brain not extracted"),
        (("--brain-mask", mask), "aligned", "mask", "of the mask given"),
    ):
        status, out, _ = run(*asked, *chosen, "--output", folder / "seg.nii.gz")
        report = json.loads((folder / "r.json").read_text("utf-8"))
        assert status == 0
        assert {done["outcome"] for done in report["registration"].values()} == {outcome}
        assert report["brain"]["source"] == source
        assert says in out
    assert report["brain"]["volume_ml"] == pytest.approx(values(mask).sum() / 1000, rel=0.2)


def test_ct_is_segmented_with_a_warning(run, folder, write_image, scan, tiny_package):
    path = write_image("ct.nii.gz", scan() * 3 - 1000)
    out, report = folder / "seg.nii.gz", folder / "r.json"
    status, _, err = run(
        "segment", "--t1", path, "--output", out, "--report", report, "--model", tiny_package
    )
    assert status == 0
    assert out.exists()
    warning, size = (line for line in err if "warning" in line)
    assert "T1 looks like CT" in warning
    assert "the brain measures" in size
    assert "CT" in json.loads(report.read_text())["warnings"][0]


def test_a_cohort_is_scored(run, folder, write_image, scan, tiny_package):
    for contrast in ("t1", "t2"):
        write_image(f"cohort/P1/P1_{contrast}.nii.gz", scan(len(contrast) + ord(contrast[1])))
    truth = sitk.Cast(scan() > 420, sitk.sitkUInt8) * 4
    cohort = write_image("cohort/P1/P1_seg.nii.gz", truth).parents[1]
    status, out, _ = run(
        *("evaluate", "--cases", cohort, "--subsets", "t1,t1+t2,flair"),
        *("--output", folder, "--model", tiny_package),
    )
    assert status == 0
    assert "1 case" in out
    rows = [line.split(",") for line in (folder / "scores.csv").read_text().splitlines()]
    assert [row[:4] for row in rows[1:]] == [
        ["P1", subset, region, postprocessing]
        for subset in ("t1", "t1+t2")
        for region in ("ET", "TC", "WT")
        for postprocessing in ("True", "False")
    ]
    assert "Empty in truth and result: Dice 1" in out
    assert json.loads((folder / "summary.json").read_text())["cases"] == ["P1"]


def test_a_model_is_imported_shown_verified_listed_and_removed(run, package, user_models):
    assert run("models", "import", package)[0] == 0
    assert "mine  version 0.0.1  (imported)" in run("models", "list")[1]
    assert "Intended use: Research use only" in run("models", "show", "mine")[1]
    assert "mine: sound" in run("models", "verify", "mine")[1]
    assert run("models", "remove", "mine")[0] == 0
    assert "mine" not in run("models", "list")[1]
    assert not list(user_models.iterdir())


def test_one_damaged_model_does_not_hide_the_others(run, package, user_models):
    run("models", "import", package)
    (user_models / "broken" / "configs").mkdir(parents=True)
    (user_models / "broken" / "configs" / "metadata.json").write_text("{")
    _, out, _ = run("models", "list")
    assert "mine  version" in out


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("", "segment preprocess evaluate models phantom worker --version"),
        (
            "segment",
            "--t1 --t1c --t2 --flair --output --model --device --labels --reference --report "
            "--probabilities --preview brats2023 brats2018 auto|cpu|cuda[:N]|mps t1,t1c,t2,flair "
            "--prepared --registration rigid,affine --no-registration --brain-mask --brain "
            "auto,builtin,synthstrip,hd-bet --no-brain-extraction --bias-correction",
        ),
        (
            "preprocess",
            "--t1 --t1c --t2 --flair --output --grid reference,sri24 --keep-skull --registration "
            "--no-registration --brain-mask --brain --no-brain-extraction --bias-correction "
            "report.json --device 0 linear",
        ),
        ("evaluate", "--cases --subsets --model --output all t1c+flair"),
        ("models", "list show verify import remove"),
        ("phantom", "--output --seed --cases"),
        (
            "worker",
            "stdin stdout segment import phantom compare cancel shutdown probabilities prepared",
        ),
    ],
)
def test_help_names_every_option(run, command, names):
    status, out, err = run(*command.split(), "--help")
    assert status == 0
    assert not err
    for name in names.split():
        assert name in out, name


def test_the_version_names_torch_and_the_device(run):
    status, out, _ = run("--version")
    assert status == 0
    assert f"torch {torch.__version__}" in out
    assert any(f"device {device}" in out for device in ("cpu", "cuda", "mps"))


KILLED_AFTER_A_WRITE = """
import os, signal, sys
import SimpleITK as sitk
from metakd.cli import main
write = sitk.WriteImage
def write_and_be_killed(*arguments, **options):
    write(*arguments, **options)
    os.kill(os.getpid(), signal.{signal})
sitk.WriteImage = write_and_be_killed
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_a_kill_while_writing_leaves_no_output(folder, inputs, tiny_package, name):
    (folder / "seg.nii.gz").write_text("an earlier result")
    script = KILLED_AFTER_A_WRITE.format(signal=name)
    done = subprocess.run(
        [
            *(sys.executable, "-c", script, "segment", *inputs, "--model", tiny_package),
            *("--output", folder / "seg.nii.gz", "--report", folder / "r.json"),
        ],
        capture_output=True,
        text=True,
    )
    visible = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert visible == {"seg.nii.gz"}
    assert (folder / "seg.nii.gz").read_text() == "an earlier result"
    if name == "SIGTERM":
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == "metakd: stopped"
        assert len(list(folder.iterdir())) == 1  # no hidden temporary file either
    else:
        assert done.returncode == -signal.SIGKILL
