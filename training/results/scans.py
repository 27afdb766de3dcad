"""Raw scans, measured: registration, brain extraction, the whole way, and what thick slices cost.

Writes ``scans.json`` and prints the tables of RESULTS.md. The default model is used; nothing here
chooses anything by these figures.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from metakd.brain_network import brain_of
from metakd.cases import Case, find_cases
from metakd.contrasts import CONTRASTS, SUBSETS, Contrast, subset_name
from metakd.foreground import foreground
from metakd.memory import Memory
from metakd.metrics import dice, hd95
from metakd.model import Model, load_model
from metakd.regions import Region, region_mask
from metakd.registration import register
from metakd.segment import Options, segment
from metakd.steps import Steps
from metakd.study import Study, make_study, read_study
from metakd_training.markdown import table
from tqdm import tqdm

TURN_DEGREES, SHIFT_MM = 30.0, 40.0
THICK_MM = (1.0, 6.0)
CLINICAL = "clinical/TCGA-FG-6692"
_CPU = torch.device("cpu")
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--output", type=Path, default=Path("runs/scans"))
    parser.add_argument("--shifts", type=int, default=4, help="of each pair of contrasts (4)")
    parser.add_argument("--draws", type=int, default=2, help="of each spoilt patient (2)")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    model, data = load_model(), arguments.data
    patients = _validation(data / "brats")
    raw, twin = (_study_in(data / CLINICAL / name) for name in ("raw", "sri24_stripped"))
    found: Row = {"registration, 1 mm": _registration(
        {case.name: read_study(case.images).images for case in patients}, arguments.shifts
    )}  # fmt: skip
    found["registration, 5.5 mm"] = _registration({"clinical": raw.images}, 3 * arguments.shifts)
    found["brain"] = _brain(raw, twin)
    found["end to end"] = _end_to_end(raw, twin, model, data)
    found["robustness"] = _robustness(patients, model, arguments.draws)
    found["bias correction"] = _bias_correction(patients, model)
    found["no tumour"] = _no_tumour(_study_in(data / "no_tumour/openms_patient07"), model)
    text = json.dumps(found, indent=2) + "\n"
    (arguments.output / "scans.json").write_text(text, encoding="utf-8")
    print("\n\n".join(_tables(found)))


def _validation(brats: Path) -> list[Case]:
    names = json.loads((brats / "splits.json").read_text(encoding="utf-8"))["val"]
    cases = [c for folder in ("BraTS2018", "BraTS2021") for c in find_cases(brats / folder)]
    return [case for case in cases if case.name in names]


def _study_in(folder: Path) -> Study:
    return read_study({c: folder / f"{c.value}.nii.gz" for c in CONTRASTS})


def _registration(studies: Mapping[str, Mapping[Contrast, sitk.Image]], shifts: int) -> Row:
    """Landmark errors after random rigid shifts of each contrast against T1c.

    The truth is the shift, on top of where the unshifted image was found to lie: scans of one study
    need not lie on one another.
    """
    chance, rows = np.random.default_rng(1), []
    for name, images in studies.items():
        fixed = sitk.DICOMOrient(images[Contrast.T1C], "LPS")
        points = _landmarks(fixed)
        for contrast in tqdm([c for c in images if c is not Contrast.T1C], desc=name, leave=False):
            moving = sitk.DICOMOrient(images[contrast], "LPS")
            there = register(fixed, moving).transform
            for _ in range(shifts):
                shift = _random_shift(chance, points.mean(axis=0))
                start = time.perf_counter()
                done = register(fixed, _moved(moving, shift))
                seconds = time.perf_counter() - start
                wanted = _mapped(shift, _mapped(there, points))
                before, after = (
                    float(np.linalg.norm(ends - wanted, axis=1).mean())
                    for ends in (points, _mapped(done.transform, points))
                )
                rows.append((before, after, seconds, done.outcome))
    errors, seconds = np.array([r[1] for r in rows if r[3] != "failed"]), [r[2] for r in rows]
    return {
        "pairs": len(rows),
        "before_mm": _round(np.median([r[0] for r in rows])),
        "after_mm": {q: _round(np.percentile(errors, q)) for q in (50, 95, 100)},
        "failed": sum(r[3] == "failed" for r in rows),
        "silently_wrong": int((errors > 5).sum()),
        "seconds": {"median": _round(np.median(seconds)), "longest": _round(max(seconds))},
    }


def _landmarks(image: sitk.Image) -> np.ndarray:
    """(n, 3) LPS points of the head, some 20 mm apart."""
    coarse = sitk.GetArrayFromImage(foreground(image)) > 0
    steps = [max(round(20 / s), 1) for s in image.GetSpacing()[::-1]]
    places = np.argwhere(coarse[:: steps[0], :: steps[1], :: steps[2]]) * steps
    return np.array([image.TransformIndexToPhysicalPoint(p[::-1].tolist()) for p in places])


def _random_shift(chance: np.random.Generator, centre: np.ndarray) -> sitk.VersorRigid3DTransform:
    axis, way = (v / np.linalg.norm(v) for v in chance.normal(size=(2, 3)))
    shift = sitk.VersorRigid3DTransform()
    shift.SetCenter(centre.tolist())
    shift.SetRotation(axis.tolist(), float(np.deg2rad(chance.uniform(-TURN_DEGREES, TURN_DEGREES))))
    shift.SetTranslation((way * chance.uniform(0, SHIFT_MM)).tolist())
    return shift


def _moved(image: sitk.Image, shift: sitk.VersorRigid3DTransform) -> sitk.Image:
    """The same voxels elsewhere in space."""
    moved = sitk.Image(image)
    turn, axes = (np.array(m).reshape(3, 3) for m in (shift.GetMatrix(), image.GetDirection()))
    moved.SetOrigin(shift.TransformPoint(image.GetOrigin()))
    moved.SetDirection((turn @ axes).ravel().tolist())
    return moved


def _mapped(transform: sitk.Transform, points: np.ndarray) -> np.ndarray:
    return np.array([transform.TransformPoint(point) for point in points.tolist()])


def _brain(raw: Study, twin: Study) -> Row:
    """The built-in network on each contrast of the clinical case, against the twin's mask."""
    rows = {}
    for contrast in CONTRASTS:
        head = sitk.DICOMOrient(raw.images[contrast], "LPS")
        theirs = sitk.DICOMOrient(twin.images[contrast], "LPS")
        start = time.perf_counter()
        mask = brain_of(head, _CPU)
        seconds = time.perf_counter() - start
        to_raw = register(theirs, head)
        likely = sitk.Resample(sitk.Cast(mask, sitk.sitkFloat32), theirs, to_raw.transform)
        ours = sitk.GetArrayFromImage(likely) > 0.5
        truth = sitk.GetArrayFromImage(sitk.BinaryFillhole(foreground(theirs))) > 0
        rows[contrast.label] = {
            "dice": _round(dice(ours, truth), 3),
            "hd95_mm": _round(hd95(ours, truth, theirs.GetSpacing()[::-1])),
            "ml": _round(ours.sum() / 1000), "twin_ml": _round(truth.sum() / 1000),
            "seconds": _round(seconds),
        }  # fmt: skip
    return rows


def _end_to_end(raw: Study, twin: Study, model: Model, data: Path) -> Row:
    """Whole tumour from raw scans against that from the twin, brought to the raw reference."""
    to_raw = {c: register(twin.images[c], raw.images[c]).transform for c in CONTRASTS}
    name = "sri24_stripped/seg_fusion_of_five_algorithms.nii.gz"
    fusion = sitk.ReadImage(str(data / CLINICAL / name))
    memories, rows = (Memory(), Memory()), {}
    for subset in tqdm(SUBSETS, desc="end to end", leave=False):
        ours, theirs = (
            segment(study.subset(subset), model, memory=memory)
            for study, memory in zip((raw, twin), memories, strict=True)
        )
        back = to_raw[raw.subset(subset).default_reference].GetInverse()
        wt = _whole_tumour(ours.label_map)
        expected, fused = (
            _on_grid(_image(_whole_tumour(labels), labels), ours.label_map, back) > 0.5
            for labels in (theirs.label_map, fusion)
        )
        expected_whole = _image(_whole_tumour(theirs.label_map), theirs.label_map)
        twin_found = _on_grid(expected_whole, fusion) > 0.5
        rows[subset_name(subset)] = {
            "raw_ml": ours.report.regions["WT"].volume_ml,
            "twin_ml": theirs.report.regions["WT"].volume_ml,
            "dice": _round(dice(wt, expected), 3),
            "dice_with_fusion": _round(dice(wt, fused), 3),
            "twin_dice_with_fusion": _round(dice(twin_found, _whole_tumour(fusion)), 3),
            "failed": [c for c, r in ours.report.registration.items() if r.outcome == "failed"],
        }
    return rows


def _robustness(patients: list[Case], model: Model, draws: int) -> Row:
    """WT Dice before and after each contrast was moved, in slices of a thickness of its own."""
    chance, rows = np.random.default_rng(2), {}
    for case in tqdm(patients, desc="robustness", leave=False):
        study, truth = read_study(case.images), case.read_segmentation()
        aligned = _dice_with(segment(study, model).label_map, truth, sitk.Transform())
        spoilt, outcomes = [], []
        for _ in range(draws):
            shifts, images = {}, {}
            for contrast, image in study.images.items():
                centre = image.TransformContinuousIndexToPhysicalPoint(
                    [n / 2 for n in image.GetSize()]
                )
                shifts[contrast] = _random_shift(chance, np.array(centre))
                images[contrast] = _moved(_in_slices(image, chance), shifts[contrast])
            result = segment(make_study(images), model)
            back = shifts[Contrast.T1C].GetInverse()
            spoilt.append(_dice_with(result.label_map, truth, back))
            outcomes += [r.outcome for r in result.report.registration.values()]
        rows[case.name] = {
            "aligned": _round(aligned, 3),
            "spoilt": [_round(d, 3) for d in spoilt],
            "failed": outcomes.count("failed"),
        }
    return rows


def _in_slices(image: sitk.Image, chance: np.random.Generator) -> sitk.Image:
    """Averaged to slices of a random thickness along a random axis, on a grid of its own."""
    axis, thickness = int(chance.integers(3)), float(chance.uniform(*THICK_MM))
    spacing = [float(chance.uniform(0.8, 1.2)) for _ in range(3)]
    spacing[axis] = thickness
    sigma = [max(np.sqrt(max(s**2 - o**2, 0) / 12), 1e-3)
             for s, o in zip(spacing, image.GetSpacing(), strict=True)]  # fmt: skip
    smooth = sitk.SmoothingRecursiveGaussian(image, sigma) if max(sigma) > 0.3 else image
    reach = np.array(image.GetSize()) * image.GetSpacing()
    size = [int(length / step) for length, step in zip(reach, spacing, strict=True)]
    inside = sitk.Cast(foreground(image), sitk.sitkFloat32)
    values, shown = (
        sitk.Resample(i, size, sitk.Transform(), sitk.sitkLinear, image.GetOrigin(), spacing,
                      image.GetDirection(), 0.0, sitk.sitkFloat32)
        for i in (smooth, inside)
    )  # fmt: skip
    return sitk.Mask(values, shown > 0.5, float(sitk.GetArrayViewFromImage(image).min()) - 0.1)


def _bias_correction(patients: list[Case], model: Model) -> Row:
    """Dice of each region without and with N4, from all four contrasts as they are."""
    rows = {}
    for case in tqdm(patients, desc="bias correction", leave=False):
        study, truth = read_study(case.images), case.read_segmentation()
        plain, even = (
            segment(study, model, Options(steps=Steps(bias_correction=asked)))
            for asked in (False, True)
        )
        row = {
            region.value: [
                _round(_dice_with(result.label_map, truth, sitk.Transform(), region), 3)
                for result in (plain, even)
            ]
            for region in Region
        }
        rows[case.name] = {**row, "seconds": _round(even.report.seconds["bias"])}
    return rows


def _no_tumour(study: Study, model: Model) -> Row:
    report = segment(study, model).report
    return {"wt_ml": report.regions["WT"].volume_ml, "finding": report.finding}


def _dice_with(
    labels: sitk.Image, truth: sitk.Image, to_truth: sitk.Transform, region: Region = Region.WT
) -> float:
    """Dice on the result's own grid; the truth is brought there as a part of each voxel."""
    whole = _image(_inside(truth, region), truth)
    return dice(_inside(labels, region), _on_grid(whole, labels, to_truth) > 0.5)


def _whole_tumour(labels: sitk.Image) -> np.ndarray:
    return _inside(labels, Region.WT)


def _inside(labels: sitk.Image, region: Region) -> np.ndarray:
    values = sitk.GetArrayFromImage(labels)
    return region_mask(np.where(values == 4, 3, values), region)


def _image(mask: np.ndarray, like: sitk.Image) -> sitk.Image:
    image = sitk.GetImageFromArray(mask.astype(np.float32))
    image.CopyInformation(like)
    return image


def _on_grid(
    image: sitk.Image, grid: sitk.Image, transform: sitk.Transform | None = None
) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.Resample(image, grid, transform or sitk.Transform()))


def _round(value: float, digits: int = 2) -> float:
    return round(float(value), digits)


def _tables(found: Row) -> list[str]:
    lost = np.mean([r["aligned"] - np.mean(r["spoilt"]) for r in found["robustness"].values()])
    healthy = found["no tumour"]
    return [
        _registration_table({k: r for k, r in found.items() if k.startswith("registration")}),
        _table(
            {"Dice": "dice", "95 % distance, mm": "hd95_mm", "ml": "ml", "twin, ml": "twin_ml",
             "s": "seconds"}, found["brain"],
        ),
        _table(
            {"raw, ml": "raw_ml", "twin, ml": "twin_ml", "Dice": "dice",
             "raw with fusion": "dice_with_fusion", "twin with fusion": "twin_dice_with_fusion"},
            found["end to end"],
        ),
        _table(
            {"aligned": "aligned", "spoilt": "spoilt", "failed registrations": "failed"},
            found["robustness"],
        ),
        f"Dice lost, mean: {lost:.3f}",
        _table(
            {"WT, plain and N4": "WT", "TC": "TC", "ET": "ET", "N4, s": "seconds"},
            found["bias correction"],
        ),
        f"No-tumour patient: {healthy['wt_ml']:.1f} ml, {healthy['finding']}",
    ]  # fmt: skip


def _table(columns: Mapping[str, str], rows: Mapping[str, Row]) -> str:
    body = [[name, *(str(row[key]) for key in columns.values())] for name, row in rows.items()]
    return table(["", *columns], body)


def _registration_table(found: Mapping[str, Row]) -> str:
    head = ["", "pairs", "before, mm", "median after", "95 %", "largest", "failed, said so",
            "wrong, not said", "s, median", "s, longest"]  # fmt: skip
    rows = []
    for name, row in found.items():
        cells = [row["pairs"], row["before_mm"], *row["after_mm"].values(), row["failed"]]
        cells += [row["silently_wrong"], *row["seconds"].values()]
        rows.append([name.removeprefix("registration, "), *map(str, cells)])
    return table(head, rows)


if __name__ == "__main__":
    main()
