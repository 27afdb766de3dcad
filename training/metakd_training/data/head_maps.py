"""Label maps of whole heads: anatomy that synthetic scans are painted on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
import torch
from torch import Tensor

AIR, WHITE_MATTER, GREY_MATTER, DEEP_GREY, FLUID = 0, 1, 2, 3, 4
"""Classes that contrasts of MRI are told of; every other label is a class of its own."""

_FIRST_OTHER = 5
_TISSUES = {
    WHITE_MATTER: (2, 41, 7, 46, 16, 28, 60, 251, 252, 253, 254, 255),
    GREY_MATTER: (3, 42, 8, 47),
    DEEP_GREY: (10, 49, 11, 50, 12, 51, 13, 52, 17, 53, 18, 54, 26, 58, 136, 137, 163, 164),
    FLUID: (4, 43, 5, 44, 14, 15, 24),
}
_OUTER_FLUID, _FIRST_OUTSIDE = 24, 500
_CLOSING_MM, _RIM_MM = 6.0, 1.0


@dataclass(frozen=True)
class HeadMap:
    """One head at 1 mm, axes towards S, P, L.

    Attributes:
        classes: (D, H, W) uint8, what each voxel is made of; 0 is air.
        brain: (D, H, W) uint8, 0 or 1: brain tissue with the fluid of its furrows.
        count: how many classes there are.
    """

    name: str
    classes: Tensor
    brain: Tensor
    count: int


def read_head_map(path: Path) -> HeadMap:
    """Read a label map. Raises `ValueError` naming the file when it is none."""
    try:
        image = sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS")
    except RuntimeError as error:
        raise ValueError(f"{path}: cannot be read; give the folder of head label maps") from error
    if np.abs(np.array(image.GetSpacing()) - 1).max() > 1e-3:
        raise ValueError(f"{path}: voxels are {image.GetSpacing()} mm; 1 mm is needed")
    labels = sitk.GetArrayFromImage(image)
    if not labels.any():
        raise ValueError(f"{path}: shows no whole brain")
    labels = _cropped(labels)
    brain = _brain(labels, path)
    classes, count = _classes(labels)
    name = path.name.removesuffix(".nii.gz")
    return HeadMap(name, torch.from_numpy(classes), torch.from_numpy(brain), count)


def _cropped(labels: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
    """To the head."""
    sides = [np.flatnonzero(labels.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    box = tuple(slice(side[0], side[-1] + 1) for side in sides)
    return np.ascontiguousarray(labels[box]).astype(np.int32)


def _classes(labels: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.uint8], int]:
    table = np.zeros(labels.max() + 1, dtype=np.uint8)
    known = {label: kind for kind, members in _TISSUES.items() for label in members}
    others = [label for label in np.unique(labels) if label and label not in known]
    for label, kind in known.items():
        if label < len(table):
            table[label] = kind
    for place, label in enumerate(others):
        table[label] = _FIRST_OTHER + place
    return table[labels], _FIRST_OTHER + len(others)


def _brain(labels: npt.NDArray[np.int32], path: Path) -> npt.NDArray[np.uint8]:
    """Brain tissue, its furrows closed and a rim of a voxel: what stripped scans show.

    The fluid between the brain's surface and the skull is left out.
    """
    tissue = (labels > 0) & (labels < _FIRST_OUTSIDE) & (labels != _OUTER_FLUID)
    opened = sitk.BinaryMorphologicalOpening(
        sitk.GetImageFromArray(tissue.astype(np.uint8)), [1] * 3
    )
    largest = sitk.RelabelComponent(sitk.ConnectedComponent(opened)) == 1
    if sitk.GetArrayViewFromImage(largest).sum() < 5e5:
        raise ValueError(f"{path}: shows no whole brain")
    grown = _distance(largest) <= _CLOSING_MM
    # What is far enough from all that lies outside the grown brain.
    closed = _distance(sitk.Cast(grown == 0, sitk.sitkUInt8)) > _CLOSING_MM - _RIM_MM
    filled = sitk.BinaryFillhole(closed)
    return sitk.GetArrayFromImage(filled).astype(np.uint8)


def _distance(mask: sitk.Image) -> sitk.Image:
    """Distance from the mask's border in voxels, negative inside."""
    return sitk.SignedMaurerDistanceMap(mask, squaredDistance=False, insideIsPositive=False)
