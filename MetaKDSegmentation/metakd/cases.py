"""Cohorts on disk: a folder with one folder a patient, or a list of cases.

Understood in folders: BraTS 2018 to 2021 (``…_t1ce.nii.gz``), BraTS 2023 on (``…-t2f.nii.gz``),
plain names (``t1c.nrrd``), and the Medical Segmentation Decathlon's ``imagesTr`` and ``labelsTr``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from metakd.case_lists import LIST_SUFFIXES, Row, read_rows
from metakd.contrasts import CONTRASTS, Contrast, contrast_from_name
from metakd.files import read_image
from metakd.rectangular import skew
from metakd.regions import CONVENTIONS, from_convention, unknown_labels
from metakd.study import StudyError

_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")
_TRUTH = ("seg", "segm")  # BraTS 2020's patient 355 has W39_1998.09.19_Segm.nii


@dataclass(frozen=True)
class Case:
    """One patient of a cohort: a file for every contrast there is, and perhaps the truth.

    Attributes:
        labels: the truth's convention, a key of `metakd.regions.CONVENTIONS`; `None` finds it by
            the file's name and content.
    """

    name: str
    images: Mapping[Contrast, Path]
    segmentation: Path | None = None
    labels: str | None = None

    def read_segmentation(self) -> sitk.Image:
        """The true label map in the engine's convention (uint8), on the segmentation's grid.

        Raises `StudyError` naming the file when it is missing, unreadable, or holds labels that
        its data set does not have.
        """
        path = self.segmentation
        if path is None:
            raise StudyError(f"{self.name}: has no segmentation beside its images")
        stored = _read_label_map(path)
        values = sitk.GetArrayFromImage(stored)
        try:
            labels = from_convention(values, self.labels or _convention(path, values))
        except ValueError as error:
            raise StudyError(f"{path}: {error}") from error
        translated = sitk.GetImageFromArray(labels)
        translated.CopyInformation(stored)
        return translated


def find_cases(path: Path, labels: str | None = None) -> list[Case]:
    """Every case of a cohort, by name.

    Args:
        path: a folder with one folder a patient, directly or one level deeper (``HGG/<patient>``);
            a patient's own folder; the Decathlon's folder; or a .json or .csv list, see
            `metakd.case_lists`.
        labels: the convention of the truth, where a list's row names none; see `Case`.

    Raises `StudyError` naming the folder, file or row: there is no case, two cases have one name,
    a contrast or the truth is there twice, or a list is wrong.
    """
    _check_convention(labels, str(path))
    if path.is_dir():
        cases = _in_folder(path)
    elif path.suffix.lower() in LIST_SUFFIXES:
        cases = [_listed_case(path.parent, row) for row in read_rows(path)]
    else:
        raise StudyError(
            f"{path}: no such folder; give one with a folder for each patient, or a .json or .csv "
            "list of cases"
        )
    if not cases:
        raise StudyError(
            f"{path}: no case found; each patient's folder needs files named by contrast, such as "
            "t1c.nii.gz or …_flair.nii.gz, and a list needs a row for each case"
        )
    _refuse_repeated(cases)
    cases = [replace(case, labels=case.labels or labels) for case in cases]
    return sorted(cases, key=lambda case: case.name)


def _in_folder(folder: Path) -> list[Case]:
    own = _case(folder)
    return [own, *_below(folder, levels=1)] if own else _below(folder, levels=2)


def _below(folder: Path, levels: int) -> list[Case]:
    """Cases at most so many levels below; folders within a patient's are not looked into."""
    if (folder / "imagesTr").is_dir():
        return [_decathlon_case(file) for file in _images(folder / "imagesTr")]
    cases: list[Case] = []
    for inner in sorted(folder.iterdir()) if levels else []:
        if inner.is_dir() and not inner.name.startswith("."):
            case = _case(inner)
            cases += [case] if case else _below(inner, levels - 1)
    return cases


def _images(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.name.endswith(_SUFFIXES) and not path.name.startswith(".")
    )


def _stem(path: Path) -> str:
    return next(path.name.removesuffix(end) for end in _SUFFIXES if path.name.endswith(end))


def _case(folder: Path) -> Case | None:
    images: dict[Contrast, Path] = {}
    segmentation = None
    for path in _images(folder):
        contrast = contrast_from_name(_stem(path))
        if _stem(path).lower().endswith(_TRUTH):
            if segmentation:
                raise StudyError(f"{path}: a second segmentation beside {segmentation.name}")
            segmentation = path
        elif contrast in images:
            raise StudyError(f"{path}: a second {contrast.label} beside {images[contrast].name}")
        elif contrast:
            images[contrast] = path
    return Case(folder.resolve().name, images, segmentation) if images else None


def _decathlon_case(path: Path) -> Case:
    labels = path.parent.parent / "labelsTr" / path.name
    return Case(_stem(path), dict.fromkeys(CONTRASTS, path), labels if labels.exists() else None)


def _listed_case(folder: Path, row: Row) -> Case:
    files = {
        column: folder / cell
        for column, cell in row.cells.items()
        if column not in ("name", "labels")
    }
    for column, path in files.items():
        if not path.exists():
            raise StudyError(
                f"{row.place}: {column}: no such file {path}; paths are relative to the list"
            )
    images = {c: files[c.value] for c in CONTRASTS if c.value in files}
    if not images:
        raise StudyError(f"{row.place}: has no image; give at least one of t1, t1c, t2, flair")
    labels = row.cells.get("labels")
    _check_convention(labels, row.place)
    return Case(row.cells["name"], images, files.get("segmentation"), labels)


def _check_convention(labels: str | None, place: str) -> None:
    if labels is not None and labels not in CONVENTIONS:
        known = ", ".join(CONVENTIONS)
        raise StudyError(f"{place}: labels '{labels}' are no known convention; use one of {known}")


def _refuse_repeated(cases: Iterable[Case]) -> None:
    first: dict[str, Case] = {}
    for case in cases:
        before = first.setdefault(case.name, case)
        if before is not case:
            one, other = (next(iter(c.images.values())) for c in (before, case))
            raise StudyError(
                f"{other}: its case is named {case.name} as that of {one}; rename one of them"
            )


def _read_label_map(path: Path) -> sitk.Image:
    if not path.exists():
        raise StudyError(f"{path}: no such file; the segmentation is missing")
    try:
        stored = read_image(path)
    except ValueError as error:
        raise StudyError(f"{path}: not a readable label map") from error
    kind = stored.GetPixelIDTypeAsString()
    if stored.GetDimension() != 3 or "vector" in kind or "complex" in kind:
        raise StudyError(f"{path}: no label map ({stored.GetDimension()}D, {kind}); 3D is needed")
    if skew(stored) > 0:
        raise StudyError(f"{path}: its axes are not at right angles; save it on a plain grid")
    return stored


def _convention(path: Path, values: npt.NDArray[np.number]) -> str:
    """The convention by name and content. Raises `ValueError` where only the user can know it."""
    if path.parent.name == "labelsTr":
        return "msd"
    # From 2023 on names begin "BraTS-"; there the highest label is never enhancing tumour.
    new = any(name.lower().startswith("brats-") for name in (path.name, path.parent.name))
    for convention in ("brats2023",) if new else ("brats2023", "brats2018"):
        if not unknown_labels(values, convention):
            return convention
    if not unknown_labels(values, "brats2024"):
        raise ValueError(
            f"label {values.max():g} is the resection cavity in BraTS 2024's files; "
            "name the convention brats2024 if this is one"
        )
    return "brats2023"
