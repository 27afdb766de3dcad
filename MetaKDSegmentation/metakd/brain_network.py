"""The built-in brain extraction: a small network that knows heads of any contrast.

It was trained on synthetic scans alone, in the manner of SynthStrip (Hoopes et al. 2022, doi
10.1016/j.neuroimage.2022.119474), and comes with metakd as a model package; `metakd-train fit
training/configs/brain.yaml` makes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
import torch
from torch import Tensor

from metakd.card import brain_card_problem
from metakd.foreground import foreground
from metakd.grids import averaged, empty_grid
from metakd.memory import is_out_of_memory
from metakd.model import network_of
from metakd.network import MetaKDNet
from metakd.packages import card_of, package_files
from metakd.tensors import to_array, to_tensor

_MARGIN_MM = 8.0
_DARKEST, _BRIGHTEST = 0.01, 0.99


@dataclass(frozen=True)
class BrainNetwork:
    """A network for one contrast, whichever it is.

    Attributes:
        spacing: of the grid that it works on, mm.
        threshold: the probability from which a voxel is brain.
    """

    network: MetaKDNet
    spacing: float
    threshold: float


def as_input(values: Tensor) -> Tensor:
    """A head's intensities (D, H, W) as the network gets them: most of them in 0 to 1."""
    some = values.flatten()[::11].float()
    low, high = some.quantile(_DARKEST), some.quantile(_BRIGHTEST)
    return ((values - low) / (high - low).clamp_min(1e-6)).clamp(0, 1.5)


@cache
def builtin() -> BrainNetwork:
    """The one that comes with metakd. Raises `metakd.packages.ModelError`."""
    here = Path(__file__).resolve().parent
    places = [here.parent / "Resources" / "MetaKDSegmentationBrain", here / "Brain"]
    folder = next((place for place in places if place.is_dir()), places[0])
    files = package_files(folder)
    settings = card_of(files, folder, brain_card_problem)["metakd"]
    return BrainNetwork(
        network_of(files, settings, folder), float(settings["spacing_mm"]), settings["threshold"]
    )


@torch.no_grad()
def brain_of(
    head: sitk.Image, device: torch.device, found_by: BrainNetwork | None = None
) -> sitk.Image:
    """Mask (uint8) of the brain in a scan of a whole head, on the network's own grid.

    Args:
        head: 3D float32, axes near the patient's (L, P, S); any grid, any contrast.
        found_by: the built-in network when left out.

    The mask is empty when there is no brain.
    """
    found_by = found_by or builtin()
    grid = _grid_over(head, found_by)
    values = sitk.Resample(averaged(head, found_by.spacing), grid, sitk.Transform(),
                           sitk.sitkLinear, float(_lowest(head)), sitk.sitkFloat32)  # fmt: skip
    image = as_input(to_tensor(sitk.GetArrayFromImage(values)))
    found = found_above(_likely(image, device, found_by.network), found_by.threshold)
    mask = sitk.GetImageFromArray(found.astype(np.uint8))
    mask.CopyInformation(grid)
    return mask


def _likely(image: Tensor, device: torch.device, network: MetaKDNet) -> npt.NDArray[np.float32]:
    """The brain's probability (D, H, W); from the CPU where the device's memory is too small."""
    try:
        logits = network.to(device)(image[None, None].to(device))
    except RuntimeError as error:
        if device.type == "cpu" or not is_out_of_memory(error):
            raise
    else:
        return to_array(logits[0, 0].sigmoid())
    return _likely(image, torch.device("cpu"), network)


def found_above(likely: npt.NDArray[np.float32], threshold: float) -> npt.NDArray[np.bool_]:
    """The largest part (D, H, W) above a probability, without holes."""
    mask = sitk.GetImageFromArray((likely > threshold).astype(np.uint8))
    parts = sitk.RelabelComponent(sitk.ConnectedComponent(mask), sortByObjectSize=True)
    return sitk.GetArrayFromImage(sitk.BinaryFillhole(parts == 1)) > 0


def _lowest(head: sitk.Image) -> float:
    return float(sitk.GetArrayViewFromImage(head).min())


def _grid_over(head: sitk.Image, found_by: BrainNetwork) -> sitk.Image:
    """Empty image over the head at the network's spacing, with the scan's axes."""
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(foreground(head))
    box = np.array(statistics.GetBoundingBox(1), dtype=float)
    spacing, step = np.array(head.GetSpacing()), found_by.spacing
    low = np.maximum(box[:3] - 0.5 - _MARGIN_MM / spacing, -0.5)
    high = np.minimum(
        box[:3] + box[3:] - 0.5 + _MARGIN_MM / spacing, np.array(head.GetSize()) - 0.5
    )
    stride = found_by.network.stride
    # Of a single voxel at the network's coarsest scale there are no statistics.
    size = np.maximum(np.ceil((high - low) * spacing / step / stride - 1e-6), 2) * stride
    first = (low + high) / 2 - (size - 1) / 2 * step / spacing
    return empty_grid(head, first, size.tolist(), step)
