"""A brain mask that the user gives, from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from metakd.files import read_image
from metakd.study import StudyError

_MOST_LABELS = 400  # FreeSurfer's finest map of a brain, with its parcels, has some 200
_FEW, _ALIKE = 10, 0.4  # of more values than a few, neighbours repeat in a label map, not in a scan
_ADVICE = "give a mask that is 1 in the brain and 0 around it"


def read_brain_mask(path: Path) -> sitk.Image:
    """The brain mask in a file: 3D, uint8, 1 in the brain and 0 around it, on the file's own grid.

    Whatever is not 0 is brain: masks of 0 and 1 or of 0 and 255, and label maps of a brain's parts
    as FreeSurfer and SynthSeg write them.

    Raises `StudyError` for a file that is missing, unreadable or no such mask.
    """
    if not path.is_file():
        raise StudyError(f"{path}: no such file; check the path given for the brain mask")
    try:
        image = read_image(path)
    except ValueError as error:
        raise StudyError(f"{path}: {error}; export the brain mask again") from error
    image = _one_volume(path, image)
    values = sitk.GetArrayViewFromImage(image)
    _refuse_scan(path, values)
    inside = values != 0
    if not inside.any():
        raise StudyError(f"{path}: the brain mask is empty; {_ADVICE}")
    if inside.all():
        raise StudyError(f"{path}: covers the whole image, so it is no brain mask; {_ADVICE}")
    mask = sitk.GetImageFromArray(inside.astype(np.uint8))
    mask.CopyInformation(image)
    return mask


def _one_volume(path: Path, image: sitk.Image) -> sitk.Image:
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = image[..., 0]
    if image.GetDimension() != 3:
        raise StudyError(f"{path}: is {image.GetDimension()}D; the brain mask has to be 3D")
    if image.GetNumberOfComponentsPerPixel() > 1 or "complex" in image.GetPixelIDTypeAsString():
        raise StudyError(f"{path}: has more than one value a voxel; {_ADVICE}")
    return image


def _refuse_scan(path: Path, values: npt.NDArray[np.number]) -> None:
    """A map of probabilities, most of them neither 0 nor 1, is refused as well."""
    levels = np.array(sorted(_levels(values)))
    whole = bool((levels == np.round(levels)).all())
    many = len(levels) > _MOST_LABELS
    if many or not whole or (len(levels) > _FEW and not _repeats(values)):
        count = f"more than {_MOST_LABELS}" if many else f"{len(levels)}"
        raise StudyError(f"{path}: is a scan, not a mask (it has {count} values); {_ADVICE}")


def _levels(values: npt.NDArray[np.number]) -> set[float]:
    """The different values, or the first of them where there are too many for a mask."""
    levels: set[float] = set()
    for plane in values:
        levels.update(np.unique(plane).tolist())
        if len(levels) > _MOST_LABELS:
            break
    return levels


def _repeats(values: npt.NDArray[np.number]) -> bool:
    """Whether voxels mostly equal their neighbour, in the brighter half: air is alike in any image.

    In label maps of heads 45 to 90 % do, the fewer the thicker the slices; in scans of 100 or more
    levels 2 to 36 %.
    """
    bright = values > values[values != 0].mean(dtype=np.float64)
    alike = (values[..., 1:] == values[..., :-1])[bright[..., 1:]]
    return bool(alike.size) and float(alike.mean()) > _ALIKE
