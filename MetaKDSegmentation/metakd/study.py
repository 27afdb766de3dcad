"""`Study`: the contrasts of one patient, read from files and checked.

Every problem raises `StudyError` with one line that names the contrast or file, says what is
wrong and what to do; what is merely suspicious is a warning that travels with the study.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from metakd.contrasts import CONTRASTS, REFERENCE_PREFERENCE, Contrast
from metakd.origin import Origin, differences
from metakd.scan import Scan, StudyError, check_scan, read_scan, refuse_other_shapes

__all__ = ["Scan", "Study", "StudyError", "make_study", "read_scan", "read_study"]

_FLOAT32 = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Study:
    """The available contrasts of one patient.

    Attributes:
        images: 3D float32 images, each on its own right-angled grid in the patient's LPS space
            (mm); most intensities are brought to 0 to 1, so that any scale and sign fits.
        suspicions: what looks wrong with a contrast but does not stop the work.
        windows: what of a scan's own intensities became 0 and 1: the images hold
            (own - low) / (high - low), cut off at -4 and 5. Where there is none, the images'
            intensities are the scan's own.
        origins: where the contrasts come from by their DICOM tags.
    """

    images: Mapping[Contrast, sitk.Image]
    suspicions: Mapping[Contrast, tuple[str, ...]] = field(default_factory=dict)
    windows: Mapping[Contrast, tuple[float, float]] = field(default_factory=dict)
    origins: Mapping[Contrast, Origin] = field(default_factory=dict)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The suspicions about all contrasts, in canonical order, and what tells them apart."""
        own = tuple(text for c in CONTRASTS for text in self.suspicions.get(c, ()))
        return (*own, *differences(self.origins))

    @property
    def default_reference(self) -> Contrast:
        """The contrast whose grid the result comes back in: T1c > FLAIR > T2 > T1."""
        return next(contrast for contrast in REFERENCE_PREFERENCE if contrast in self.images)

    def subset(self, contrasts: frozenset[Contrast]) -> Study:
        """The same patient as if only these contrasts had been acquired."""
        kept = [contrast for contrast in self.images if contrast in contrasts]
        return Study(
            {c: self.images[c] for c in kept},
            {c: self.suspicions[c] for c in kept if c in self.suspicions},
            {c: self.windows[c] for c in kept if c in self.windows},
            {c: self.origins[c] for c in kept if c in self.origins},
        )

    def own_intensities(self, contrast: Contrast, image: sitk.Image) -> sitk.Image:
        """An image in this study's units for a contrast, in the scan's own intensities.

        Float32 where that holds them to a hundred-thousandth of their range, else float64. What
        was cut off stays so.
        """
        if contrast not in self.windows:
            return image
        low, high = self.windows[contrast]
        values = sitk.GetArrayViewFromImage(image).astype(np.float64) * (high - low) + low
        largest = float(np.abs(values).max())
        exact = largest < _FLOAT32 and np.spacing(np.float32(largest)) < 1e-5 * abs(high - low)
        own = sitk.GetImageFromArray(values.astype(np.float32) if exact else values)
        own.CopyInformation(image)
        return own


def read_study(
    paths: Mapping[Contrast, Path], read: Callable[[Contrast, Path], Scan] = read_scan
) -> Study:
    """Read and check one patient: files that SimpleITK reads, or DICOM series folders.

    A 4D file with four channels is a Medical Segmentation Decathlon file; each contrast takes
    its own channel of it. Raises `StudyError`.

    Args:
        read: `read_scan`, or what remembers scans that it has read.
    """
    _refuse_shared_files(paths)
    return _study({contrast: read(contrast, path) for contrast, path in paths.items()})


def make_study(images: Mapping[Contrast, sitk.Image]) -> Study:
    """Check images at hand and make a study of them. Raises `StudyError`."""
    for contrast, image in images.items():
        refuse_other_shapes(contrast.label, image)
    return _study({contrast: check_scan(contrast, image) for contrast, image in images.items()})


def _study(scans: Mapping[Contrast, Scan]) -> Study:
    """What only the contrasts together can show to be wrong is looked for here."""
    if not scans:
        raise StudyError("no contrast given: name at least one of T1, T1c, T2, FLAIR")
    study = Study(
        {contrast: scan.image for contrast, scan in scans.items()},
        {contrast: scan.suspicions for contrast, scan in scans.items()},
        {contrast: scan.window for contrast, scan in scans.items()},
        {contrast: scan.origin for contrast, scan in scans.items()},
    )
    _refuse_copies(study)
    return study


def _refuse_shared_files(paths: Mapping[Contrast, Path]) -> None:
    for (one, first), (other, second) in combinations(paths.items(), 2):
        same = first.exists() and second.exists() and first.samefile(second)
        if same and not _is_four_dimensional(first):
            raise StudyError(
                f"{first}: given as {one.label} and as {other.label}; "
                "a file belongs to one contrast, leave out the one it is not"
            )


def _is_four_dimensional(path: Path) -> bool:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return False
    return bool(reader.GetDimension() == 4)


def _refuse_copies(study: Study) -> None:
    for (one, first), (other, second) in combinations(study.images.items(), 2):
        if first.GetSize() != second.GetSize():
            continue
        values, others = sitk.GetArrayViewFromImage(first), sitk.GetArrayViewFromImage(second)
        middle = len(values) // 2  # a plane is enough to tell most images apart
        if np.array_equal(values[middle], others[middle]) and np.array_equal(values, others):
            raise StudyError(
                f"{one.label} and {other.label} are the same image; leave out the one it is not"
            )
