"""Tumour labels, nested regions, and the conventions that data sets write them in.

Nothing else in the project knows a label's number, colour or code.

Inside the engine a label map always holds 0 background, 1 NCR, 2 ED, 3 ET (BraTS 2023's order).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Label:
    """One of the disjoint tissues: name, colour (RGB 0 to 255) and SNOMED CT code."""

    value: int
    short: str
    name: str
    rgb: tuple[int, int, int]
    snomed: tuple[str, str]


NCR = Label(1, "NCR", "Necrotic core", (216, 60, 60), ("6574001", "Necrosis"))
ED = Label(2, "ED", "Oedema", (86, 190, 110), ("79654002", "Edema"))
ET = Label(3, "ET", "Enhancing tumour", (250, 210, 60), ("86049000", "Neoplasm, Primary"))
LABELS: tuple[Label, ...] = (NCR, ED, ET)


class Region(Enum):
    """The regions that BraTS scores, nested ET ⊂ TC ⊂ WT, in the order of the network's outputs."""

    ET = "ET"
    TC = "TC"
    WT = "WT"

    @property
    def title(self) -> str:
        return {"ET": "Enhancing tumour", "TC": "Tumour core", "WT": "Whole tumour"}[self.value]

    @property
    def label_values(self) -> tuple[int, ...]:
        """The engine's label values that make up this region."""
        values = {"ET": (ET,), "TC": (NCR, ET), "WT": (NCR, ED, ET)}[self.value]
        return tuple(label.value for label in values)


REGIONS: tuple[Region, ...] = tuple(Region)

REGION_OF_LABEL = {NCR: Region.TC, ED: Region.WT, ET: Region.ET}
"""The smallest region that a tissue lies in; its reliability speaks for the tissue."""


CONVENTIONS: dict[str, dict[int, int]] = {
    "brats2018": {1: NCR.value, 2: ED.value, 4: ET.value},  # 2017 to 2021
    "brats2023": {1: NCR.value, 2: ED.value, 3: ET.value},
    # Glioma after treatment: 4 is the resection cavity, which is no tumour.
    "brats2024": {1: NCR.value, 2: ED.value, 3: ET.value, 4: 0},
    "msd": {1: ED.value, 2: NCR.value, 3: ET.value},
}
"""For each convention: value in the file → value in the engine. 0 is background in all of them."""


def unknown_labels(label_map: npt.NDArray[np.number], convention: str) -> list[int | float]:
    """The values of a label map of any shape that a convention does not have, in order."""
    values: list[int | float] = np.unique(label_map).tolist()
    return sorted(set(values) - {0, *CONVENTIONS[convention]})


def from_convention(label_map: npt.NDArray[np.number], convention: str) -> npt.NDArray[np.uint8]:
    """Translate a label map of any shape from a data set's convention to the engine's.

    Raises `ValueError` naming the values, the first ten, that the convention does not have.
    """
    unknown = unknown_labels(label_map, convention)
    if unknown:
        raise ValueError(f"labels {unknown[:10]} are not in the convention {convention}")
    return _translate(label_map, CONVENTIONS[convention])


def to_convention(label_map: npt.NDArray[np.uint8], convention: str) -> npt.NDArray[np.uint8]:
    """Translate a label map of any shape from the engine's convention to a data set's.

    Background stays 0: what a data set marks beside the tumour does not come back.
    """
    inverse = {own: theirs for theirs, own in CONVENTIONS[convention].items() if own}
    return _translate(label_map, inverse)


def _translate(label_map: npt.NDArray[np.number], mapping: dict[int, int]) -> npt.NDArray[np.uint8]:
    table = np.zeros(256, dtype=np.uint8)
    for value, translated in mapping.items():
        table[value] = translated
    return table[label_map.astype(np.uint8)]


def region_mask(label_map: npt.NDArray[np.integer], region: Region) -> npt.NDArray[np.bool_]:
    """Voxels of one nested region in a label map of the engine's convention, any shape."""
    return np.isin(label_map, region.label_values)


def labels_from_regions(masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Label map from the nested regions' masks, shape (3, …) in the order of `REGIONS`.

    A voxel of a smaller region belongs to the larger ones too, whatever their own mask says.
    """
    enhancing, core, whole = masks
    core = core | enhancing
    label_map = np.zeros(masks.shape[1:], dtype=np.uint8)
    label_map[whole | core] = ED.value
    label_map[core] = NCR.value
    label_map[enhancing] = ET.value
    return label_map
