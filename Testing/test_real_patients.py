"""The main job on real patients, with the embedded model; skipped where there are none."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from metakd.cases import find_cases
from metakd.cli import main
from metakd.evaluate import dice
from metakd.regions import Region
from PIL import Image


def segment(*arguments):
    return main(["segment", "--device", "cpu", *map(str, arguments)])


def test_t1c_and_flair_alone_segment_a_patient_the_model_never_saw(shared_data, tmp_path, capsys):
    (case,) = find_cases(shared_data / "brats/BraTS2021/BraTS2021_00002")
    stem = str(case.segmentation).removesuffix("seg.nii.gz")
    output, report, preview = (tmp_path / n for n in ("seg.nii.gz", "report.json", "preview.png"))
    assert segment("--t1c", f"{stem}t1ce.nii.gz", "--flair", f"{stem}flair.nii.gz",
                   "--output", output, "--report", report, "--preview", preview) == 0  # fmt: skip

    found, scan = sitk.ReadImage(str(output)), sitk.ReadImage(f"{stem}t1ce.nii.gz")
    assert found.GetSize() == scan.GetSize()
    np.testing.assert_allclose(found.GetOrigin(), scan.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(found.GetDirection(), scan.GetDirection(), atol=1e-6)
    assert dice(found, case.read_segmentation(), Region.WT) > 0.6  # 0.66 measured

    said = json.loads(report.read_text())
    assert said["generated"] == ["T1", "T2"]
    voxels = np.count_nonzero(sitk.GetArrayViewFromImage(found))
    assert said["regions"]["WT"]["volume_ml"] == pytest.approx(voxels / 1000)
    with Image.open(preview) as picture:
        assert picture.width == 1500
    assert "Whole tumour" in capsys.readouterr().out


def test_a_4d_decathlon_file_serves_every_slot(shared_data, tmp_path):
    (case,) = find_cases(shared_data / "brats/MSD_Task01_BrainTumour")
    file = next(iter(case.images.values()))
    slots = [text for slot in ("--t1", "--t1c", "--t2", "--flair") for text in (slot, file)]
    assert segment(*slots, "--output", tmp_path / "seg.nrrd") == 0
    found = sitk.ReadImage(str(tmp_path / "seg.nrrd"))
    assert dice(found, case.read_segmentation(), Region.WT) > 0.7  # a training patient


def test_a_study_as_scanned_comes_back_on_its_own_grid(shared_data, tmp_path, capsys):
    """Four grids, 5.5 mm slices, skull, a head that moved: no option is needed."""
    raw = shared_data / "clinical/TCGA-FG-6692/raw"
    slots = [t for n in ("t1", "t1c", "t2", "flair") for t in (f"--{n}", raw / f"{n}.nii.gz")]
    output = tmp_path / "seg.nii.gz"
    assert segment(*slots, "--reference", "flair", "--output", output) == 0
    flair = sitk.ReadImage(str(raw / "flair.nii.gz"))
    assert sitk.ReadImage(str(output)).GetSize() == flair.GetSize()
    said = capsys.readouterr()
    for contrast in ("T1", "T1c", "T2"):
        assert f"{contrast} registered to FLAIR" in said.out
    assert "built-in network" in said.out
    assert "warning" not in said.err
