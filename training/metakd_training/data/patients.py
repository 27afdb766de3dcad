"""Training patients and phantoms, prepared exactly as the engine prepares a study."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from metakd.cases import Case, find_cases
from metakd.contrasts import CONTRASTS
from metakd.phantom import PhantomSettings, make_phantom
from metakd.preprocess import PreparedStudy, prepare
from metakd.regions import REGIONS, region_mask
from metakd.study import make_study, read_study
from metakd.tensors import to_tensor
from torch import Tensor


@dataclass(frozen=True)
class Patient:
    """One study on the network's grid.

    Attributes:
        images: (4, D, H, W) float16, z-scored, in canonical contrast order.
        regions: (3, D, H, W) uint8, the nested regions in the order of `REGIONS`.
    """

    name: str
    images: Tensor
    regions: Tensor


def split_cases(
    cohorts: tuple[str, ...], split: str, held_out: tuple[str, ...]
) -> tuple[list[Case], list[Case]]:
    """Cases to train the network on, and those to learn the importance weights on.

    Raises `ValueError` when a name is missing, or stands in both ``train`` and ``val``.
    """
    found = {case.name: case for folder in cohorts for case in find_cases(Path(folder))}
    lists = json.loads(Path(split).read_text(encoding="utf-8"))
    leaked = sorted(set(lists["train"]) & set(lists["val"]))
    if leaked:
        raise ValueError(f"{split}: {leaked} stand in both train and val")
    missing = sorted((set(lists["train"]) | set(held_out)) - set(found))
    if missing:
        raise ValueError(f"{split}: no case named {missing} in {list(cohorts)}")
    strangers = sorted(set(held_out) - set(lists["train"]))
    if strangers:
        raise ValueError(f"held_out: {strangers} are not training patients of {split}")
    train = [found[name] for name in lists["train"] if name not in held_out]
    return train, [found[name] for name in held_out]


def load_patient(case: Case, spacing: float, stride: int) -> Patient:
    """Read, check and prepare one patient. Raises `metakd.study.StudyError`."""
    prepared = prepare(read_study(case.images), spacing=spacing, stride=stride)
    return _patient(case.name, prepared, case.read_segmentation())


def load_phantom(seed: int, spacing: float, stride: int) -> Patient:
    """A synthetic study; one in eight is healthy, so that the network learns to find nothing."""
    phantom = make_phantom(seed, PhantomSettings(spacing=spacing, tumour=seed % 8 != 0))
    prepared = prepare(make_study(phantom.images), spacing=spacing, stride=stride)
    return _patient(f"phantom {seed}", prepared, phantom.labels)


def _patient(name: str, prepared: PreparedStudy, segmentation: sitk.Image) -> Patient:
    labels = sitk.GetArrayFromImage(
        sitk.Resample(segmentation, prepared.grid, sitk.Transform(), sitk.sitkNearestNeighbor)
    )
    images = torch.stack([to_tensor(prepared.channels[c]).half() for c in CONTRASTS])
    masks = np.stack([region_mask(labels, region) for region in REGIONS])
    return Patient(name, images, to_tensor(masks.astype(np.float32)).to(torch.uint8))
