"""Cohorts on disk: one folder a patient, files named by contrast as BraTS or as a person would.

Understood: BraTS 2018 to 2021 (``…_t1ce.nii.gz``), BraTS 2023 on (``…-t2f.nii.gz``), plain names
(``t1c.nrrd``), and the Medical Segmentation Decathlon's ``imagesTr`` and ``labelsTr``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from metakd.contrasts import CONTRASTS, Contrast, contrast_from_name
from metakd.files import read_image
from metakd.regions import from_convention
from metakd.study import StudyError

_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")


@dataclass(frozen=True)
class Case:
    """One patient of a cohort: a file for every contrast there is, and perhaps the truth."""

    name: str
    images: Mapping[Contrast, Path]
    segmentation: Path | None = None

    def read_segmentation(self) -> sitk.Image:
        """The true label map in the engine's convention (uint8), on the segmentation's grid.

        Raises `StudyError` naming the file when it is missing, unreadable, or holds labels that
        its data set does not have.
        """
        path = self.segmentation
        if path is None:
            raise StudyError(f"{self.name}: has no segmentation beside its images")
        try:
            stored = read_image(path)
        except ValueError as error:
            raise StudyError(f"{path}: not a readable label map") from error
        values = sitk.GetArrayFromImage(stored)
        try:
            labels = from_convention(values.astype(np.int64), _convention(path, values.max()))
        except ValueError as error:
            raise StudyError(f"{path}: {error}") from error
        translated = sitk.GetImageFromArray(labels)
        translated.CopyInformation(stored)
        return translated


def find_cases(folder: Path) -> list[Case]:
    """Every case below a folder, by name. Raises `StudyError` when there is none."""
    if not folder.is_dir():
        raise StudyError(f"{folder}: no such folder; give one with a folder for each patient")
    if (folder / "imagesTr").is_dir():
        cases = [_decathlon_case(file) for file in _images(folder / "imagesTr")]
    else:
        folders = [folder, *(path for path in folder.iterdir() if path.is_dir())]
        cases = [case for path in folders if (case := _case(path))]
    if not cases:
        raise StudyError(
            f"{folder}: no case found; each patient's folder needs files named by contrast, "
            "such as t1c.nii.gz or …_flair.nii.gz"
        )
    return sorted(cases, key=lambda case: case.name)


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
        if _stem(path).lower().endswith("seg"):
            segmentation = path
        elif contrast in images:
            raise StudyError(f"{path}: a second {contrast.label} beside {images[contrast].name}")
        elif contrast:
            images[contrast] = path
    return Case(folder.resolve().name, images, segmentation) if images else None


def _decathlon_case(path: Path) -> Case:
    labels = path.parent.parent / "labelsTr" / path.name
    return Case(_stem(path), dict.fromkeys(CONTRASTS, path), labels if labels.exists() else None)


def _convention(path: Path, highest: int) -> str:
    if path.parent.name == "labelsTr":
        return "msd"
    # From 2023 on files begin "BraTS-"; there a 4 is no enhancing tumour but a resection cavity.
    return "brats2018" if highest == 4 and not path.name.startswith("BraTS-") else "brats2023"
