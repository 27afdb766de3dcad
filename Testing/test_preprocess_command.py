"""`metakd preprocess`: what it writes, where that lies, and what it says about it."""

import json
import os
import sys

import numpy as np
import pytest
import SimpleITK as sitk

MOVED = sitk.Euler3DTransform((119.0, -120.0, 75.0), 0.08, -0.06, 0.1, (4.0, -5.0, 3.0))


def read(path):
    return sitk.ReadImage(str(path))


def values(path):
    return sitk.GetArrayFromImage(read(path))


def report_in(folder):
    return json.loads((folder / "report.json").read_text("utf-8"))


@pytest.fixture
def pair(write_image, scan):
    """Options for a T1c of whole numbers and a T2 on its grid, both stripped."""
    t1c = sitk.Cast(scan(0) * 3, sitk.sitkInt16)
    return ("--t1c", write_image("t1c.nrrd", t1c), "--t2", write_image("t2.nii.gz", scan(1)))


@pytest.fixture
def head(write_image, scan):
    """A head of 3 mm voxels whose brain is all above 300, in noisy air."""
    brain = sitk.GetArrayFromImage(scan())
    noise = np.abs(np.random.default_rng(7).normal(60, 20, brain.shape))
    noisy = sitk.GetImageFromArray((brain + noise).astype(np.float32))
    noisy.SetSpacing((3.0, 3.0, 3.0))
    return write_image("flair.nii.gz", noisy)


def test_aligned_stripped_images_come_out_as_they_went_in(run, pair, folder):
    status, out, err = run("preprocess", *pair, "--output", folder / "prepared")
    assert status == 0, err
    places = {path.name: path for path in (folder / "prepared").iterdir()}
    assert set(places) == {"t1c.nii.gz", "t2.nii.gz", "brain_mask.nii.gz", "report.json"}
    inside = values(pair[3]) > 0
    assert np.array_equal(values(places["brain_mask.nii.gz"]), inside)
    for given, name in ((pair[1], "t1c.nii.gz"), (pair[3], "t2.nii.gz")):
        written = read(places[name])
        for get in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
            assert np.allclose(getattr(written, get)(), getattr(read(given), get)(), atol=1e-5), get
        assert np.allclose(values(places[name])[inside], values(given)[inside], atol=0.01)
        assert not values(places[name])[~inside].any()
    report = report_in(folder / "prepared")
    assert report["available"] == ["T1c", "T2"]
    assert report["reference"] == "T1c"
    assert report["registration"]["T2"]["outcome"] == "aligned"
    assert report["brain"] == {"source": "background", "volume_ml": round(inside.sum() / 1000, 1)}
    assert report["coverage"] == {"T1c": 1.0, "T2": 1.0}
    assert set(report["seconds"]) == {
        "read", "orient", "register", "brain", "grid", "normalise", "write"
    }  # fmt: skip
    assert report["grid"]["to_reference_lps_mm"] == np.eye(4).tolist()
    assert report["warnings"] == [
        "the brain measures 7 ml in T1c, unlike a whole one; look at its mask, and whether all of "
        "the head was scanned"
    ]
    assert "T2 aligned with T1c already" in out
    assert "brain 7 ml, as the images are stripped" in out


def test_a_contrast_that_has_moved_is_brought_back(run, shared_data, write_image, folder):
    patient = shared_data / "brats" / "BraTS2018" / "Brats18_TCIA02_606_1"
    t1c, t1 = (
        sitk.BinShrink(sitk.ReadImage(str(patient / f"{patient.name}_{c}.nii.gz"), 8), [3, 3, 3])
        for c in ("t1ce", "t1")
    )
    moved = sitk.Resample(t1, t1, MOVED.GetInverse(), sitk.sitkLinear)
    status, out, err = run(
        *("preprocess", "--t1c", write_image("t1c.nii.gz", t1c)),
        *("--t1", write_image("t1.nii.gz", moved), "--output", folder),
    )
    assert status == 0, err
    inside = values(folder / "brain_mask.nii.gz") > 0
    back, still = values(folder / "t1.nii.gz")[inside], sitk.GetArrayFromImage(t1)[inside]
    assert np.corrcoef(back, still)[0, 1] > 0.97
    assert np.corrcoef(sitk.GetArrayFromImage(moved)[inside], still)[0, 1] < 0.8
    done = report_in(folder)["registration"]["T1"]
    assert done["outcome"] == "registered"
    assert done["turned_degrees"] == pytest.approx(8.1, abs=2.0)
    assert f"T1 registered to T1c: moved {done['moved_mm']:.1f} mm" in out


def test_without_registration_nothing_is_moved(run, pair, folder):
    status, out, _ = run("preprocess", *pair, "--output", folder, "--no-registration")
    assert status == 0
    assert report_in(folder)["registration"]["T2"]["outcome"] == "off"
    assert "registration is off" in out


def test_on_an_sri24_grid_the_way_back_is_in_the_report(run, pair, folder):
    status, out, _ = run("preprocess", *pair, "--output", folder, "--grid", "sri24")
    assert status == 0
    assert "not registered to the atlas" in out
    written = read(folder / "t1c.nii.gz")
    assert written.GetSize() == (240, 240, 155)
    assert written.GetOrigin() == (0.0, -239.0, 0.0)
    grid = report_in(folder)["grid"]
    assert "not registered" in grid["name"]
    brain = values(folder / "brain_mask.nii.gz")
    index = np.argwhere(brain).mean(axis=0).round().astype(int)[::-1].tolist()
    point = np.array(grid["to_reference_lps_mm"]) @ [
        *written.TransformIndexToPhysicalPoint(index),
        1,
    ]
    own = sitk.Cast(read(pair[1]), sitk.sitkFloat32)
    there = own.EvaluateAtPhysicalPoint(point[:3].tolist(), sitk.sitkLinear)
    assert written[index] == pytest.approx(there, abs=0.5)
    assert brain.sum() / 1000 == pytest.approx(report_in(folder)["brain"]["volume_ml"], rel=0.02)


def test_the_skull_can_be_kept(run, head, folder, install_synthstrip):
    status, _, _ = run("preprocess", "--flair", head, "--output", folder, "--keep-skull")
    assert status == 0
    assert np.allclose(values(folder / "flair.nii.gz"), values(head), atol=0.05)
    assert np.array_equal(values(folder / "brain_mask.nii.gz"), values(head) > 250)
    report = report_in(folder)
    assert (report["skull"], report["brain"]["source"]) == ("kept", "synthstrip")


def test_without_brain_extraction_images_stay_as_they_are(run, head, folder):
    status, out, _ = run("preprocess", "--flair", head, "--output", folder, "--no-brain-extraction")
    assert status == 0
    assert np.allclose(values(folder / "flair.nii.gz"), values(head), atol=0.05)
    assert report_in(folder)["skull"] == "kept"
    assert "brain not extracted" in out


def test_a_mask_on_another_grid_is_the_brain(run, head, folder, write_image):
    mask = read(head) > 250
    mask = mask[5:30, 4:, :]  # cut on one side, and finer
    fine = sitk.Expand(mask, [2, 2, 2], sitk.sitkNearestNeighbor) * 255
    status, out, err = run(
        *("preprocess", "--flair", head, "--output", folder),
        *("--brain-mask", write_image("mask.nrrd", fine)),
    )
    assert status == 0, err
    written = values(folder / "brain_mask.nii.gz") > 0
    expected = sitk.GetArrayFromImage(sitk.Resample(mask, read(head))) > 0
    assert (written & expected).sum() > 0.98 * max(written.sum(), expected.sum())
    assert not values(folder / "flair.nii.gz")[~written].any()
    assert report_in(folder)["brain"]["source"] == "mask"
    assert "ml, of the mask given" in out


SYNTHSTRIP = """#!{python}
import sys
import SimpleITK as sitk
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
unit = sitk.ReadImage(given["-i"])
level = sitk.OtsuThreshold(unit, 0, 1, 200)
sitk.WriteImage(sitk.BinaryFillhole(sitk.Cast(level, sitk.sitkUInt8)), given["-m"])
"""


@pytest.fixture
def install_synthstrip(tmp_path, monkeypatch):
    """A program in SynthStrip's place that takes Otsu's threshold for the brain."""
    if os.name == "nt":
        pytest.skip("what plays the tool needs a shebang line")
    for name in ("bin/mri_synthstrip", "models/synthstrip.1.pt"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(SYNTHSTRIP.format(python=sys.executable), "utf-8")
    (tmp_path / "bin" / "mri_synthstrip").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("FREESURFER_HOME", raising=False)


def test_an_installed_tool_finds_the_brain(run, head, folder, install_synthstrip):
    for more in ((), ("--brain", "synthstrip")):
        status, out, err = run("preprocess", "--flair", head, "--output", folder, *more)
        assert status == 0, err
        assert report_in(folder)["brain"]["source"] == "synthstrip"
        assert "found by SynthStrip" in out
        assert np.array_equal(values(folder / "flair.nii.gz") > 0, values(head) > 250)


def test_shading_is_taken_out_where_asked(run, pair, folder):
    assert run("preprocess", *pair, "--output", folder, "--bias-correction")[0] == 0
    assert report_in(folder)["bias_corrected"]
    inside = values(pair[3]) > 0
    assert not np.allclose(values(folder / "t2.nii.gz")[inside], values(pair[3])[inside], rtol=0.01)
    assert not values(folder / "t2.nii.gz")[~inside].any()


def test_a_brain_larger_than_the_grid_is_a_warning(run, write_image, scan, folder):
    image = scan()
    image.SetSpacing((11.0, 6.0, 6.0))
    given = (
        *("preprocess", "--t1", write_image("t1.nii.gz", image), "--output", folder),
        "--no-brain-extraction",
    )
    status, _, err = run(*given, "--grid", "sri24")
    assert status == 0
    (warning,) = [line for line in err if "warning" in line]
    assert "does not fit on the grid" in warning
    assert report_in(folder)["warnings"][0] in warning


def test_the_reference_can_be_chosen(run, pair, write_image, scan, folder):
    coarse = write_image("t1.nii.gz", sitk.BinShrink(scan(2), [1, 1, 2]))
    given = ("preprocess", *pair, "--t1", coarse, "--output", folder)
    assert run(*given, "--reference", "t1")[0] == 0
    assert report_in(folder)["reference"] == "T1"
    assert set(report_in(folder)["registration"]) == {"T1c", "T2"}
    for name in ("t1", "t1c", "t2", "brain_mask"):
        assert read(folder / f"{name}.nii.gz").GetSize() == read(coarse).GetSize()


def test_what_is_suspicious_is_told_and_reported(run, write_image, scan, folder):
    whole, part = scan(0), scan(1)[:, :, :16]
    ct = write_image("t1.nii.gz", whole * 3 - 1000)
    status, _, err = run(
        *("preprocess", "--t1", ct, "--t2", write_image("t2.nii.gz", part)),
        *("--reference", "t1", "--output", folder, "--no-registration"),
    )
    assert status == 0
    told = [line.partition("warning: ")[2] for line in err if "warning: " in line]
    assert told == report_in(folder)["warnings"]
    assert "T1 looks like CT" in told[0]
    assert "the brain measures" in told[1]
    assert "T2 covers" in told[2]
    assert told[2].endswith("; elsewhere its file holds no data")


def test_all_files_appear_or_none(run, pair, folder, monkeypatch):
    (folder / "t2.nii.gz").write_text("an earlier result", "utf-8")
    write, written = sitk.WriteImage, []

    def fill_the_disk(*arguments, **options):
        written.append(arguments)
        if len(written) == 3:
            raise OSError("No space left on device")
        write(*arguments, **options)

    monkeypatch.setattr(sitk, "WriteImage", fill_the_disk)
    status, out, err = run("preprocess", *pair, "--output", folder)
    assert (status, out) == (2, "")
    assert "No space left" in err[-1]
    assert [path.name for path in folder.iterdir()] == ["t2.nii.gz"]
    assert (folder / "t2.nii.gz").read_text("utf-8") == "an earlier result"


BAD_USE = {
    "no output": ("{t2}", "--output"),
    "no contrast": ("--output {out}/p", "no contrast given"),
    "an input in the folder": ("{t2} --output {in}", "is an input"),
    "a mask in the folder": (
        "{t2} --output {out} --brain-mask {out}/brain_mask.nii.gz",
        "an input",
    ),
    "no folder above": ("{t2} --output {out}/no/p", "no such folder"),
    "a file": ("{t2} --output {in}/t2.nii.gz", "no such folder"),
    "another grid": ("{t2} --output {out} --grid mni", "'sri24'"),
    "absent reference": ("{t2} --output {out} --reference t1", "not given"),
    "unknown device": ("{t2} --output {out} --device gpu", "--device auto"),
    "a scan as a mask": ("{t2} --output {out} --brain-mask {in}/t1c.nrrd", "is a scan, not a mask"),
    "on and off": ("{t2} --output {out} --registration affine --no-registration", "not allowed"),
    "a model": ("{t2} --output {out} --model mine", "--model"),
}


@pytest.mark.parametrize(("arguments", "says"), BAD_USE.values(), ids=BAD_USE)
def test_bad_use_is_one_line_status_2_and_no_output(run, pair, folder, tmp_path, arguments, says):
    places = {"t2": f"--t2 {pair[3]}", "in": tmp_path, "out": folder}
    status, out, err = run("preprocess", *arguments.format(**places).split())
    assert (status, out, len(err)) == (2, "", 1)
    assert says in err[0]
    assert not list(folder.iterdir())
