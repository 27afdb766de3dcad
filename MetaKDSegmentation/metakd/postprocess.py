"""Region probabilities → label map on the reference image's own grid."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from metakd.preprocess import PreparedStudy
from metakd.regions import NCR, REGIONS, Region, labels_from_regions, region_mask


def to_reference(
    probabilities: npt.NDArray[np.float32], prepared: PreparedStudy
) -> dict[Region, sitk.Image]:
    """Probabilities (3, D, H, W) of the network's grid as images on the reference's grid.

    Nesting ET ⊂ TC ⊂ WT is enforced first: a region is at least as likely as those inside it.
    Linear interpolation; 0 outside the brain box.
    """
    nested = np.maximum.accumulate(probabilities, axis=0)
    return {
        region: sitk.Resample(
            prepared.image(nested[place]), prepared.reference, sitk.Transform(), sitk.sitkLinear,
            0.0, sitk.sitkFloat32,
        )
        for place, region in enumerate(REGIONS)
    }  # fmt: skip


def label_map(
    probabilities: Mapping[Region, sitk.Image], *, smallest_ml: Mapping[str, float]
) -> sitk.Image:
    """Label map (uint8, the engine's convention) at probability one half.

    Args:
        smallest_ml: by region name, from the model card: connected parts of WT smaller than this
            are removed; ET smaller than this as a whole becomes necrotic core.
    """
    images = [probabilities[region] for region in REGIONS]
    masks = np.stack([sitk.GetArrayViewFromImage(image) > 0.5 for image in images])
    voxel_ml = float(np.prod(images[0].GetSpacing())) / 1000
    labels = labels_from_regions(masks)
    _drop_small_parts(labels, smallest_ml.get("WT", 0.0) / voxel_ml)
    enhancing = region_mask(labels, Region.ET)
    if enhancing.sum() < smallest_ml.get("ET", 0.0) / voxel_ml:
        labels[enhancing] = NCR.value
    result = sitk.GetImageFromArray(labels)
    result.CopyInformation(images[0])
    return result


def _drop_small_parts(labels: npt.NDArray[np.uint8], voxels: float) -> None:
    """Clear, in place, the 26-connected parts that have fewer voxels."""
    if voxels <= 1 or not labels.any():
        return
    whole = sitk.GetImageFromArray((labels > 0).astype(np.uint8))
    parts = sitk.GetArrayFromImage(sitk.ConnectedComponent(whole, True))
    counts = np.bincount(parts.ravel())
    labels[(counts < voxels)[parts]] = 0
