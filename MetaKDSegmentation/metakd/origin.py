"""Where an image comes from, by its DICOM tags: the same patient, the same day?

Nobody is named: identifiers are kept as digests, which are compared and never shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256

import SimpleITK as sitk

from metakd.contrasts import CONTRASTS, Contrast

_PATIENT, _STUDY, _FRAME_OF_REFERENCE = "0010|0020", "0020|000d", "0020|0052"
_DATE, _MODALITY = "0008|0020", "0008|0060"
TAGS = (_PATIENT, _STUDY, _FRAME_OF_REFERENCE, _DATE, _MODALITY)
"""The tags that count, as SimpleITK names them in an image's metadata."""


@dataclass(frozen=True)
class Origin:
    """What the tags say; empty where there is none.

    Attributes:
        patient, study, frame: digests of PatientID, StudyInstanceUID, FrameOfReferenceUID.
        day: of the study, YYYY-MM-DD.
        modality: as DICOM has it, ``MR``.
    """

    patient: str = ""
    study: str = ""
    frame: str = ""
    day: str = ""
    modality: str = ""


def origin_of(image: sitk.Image) -> Origin:
    """The origin of an image that has DICOM tags as its metadata, whatever its file's format."""

    def tag(name: str) -> str:
        return str(image.GetMetaData(name)).strip(" \0") if image.HasMetaDataKey(name) else ""

    return Origin(
        patient=_digest(tag(_PATIENT)),
        study=_digest(tag(_STUDY)),
        frame=_digest(tag(_FRAME_OF_REFERENCE)),
        day=_day(tag(_DATE)),
        modality=tag(_MODALITY).upper(),
    )


def differences(origins: Mapping[Contrast, Origin]) -> tuple[str, ...]:
    """What contrasts of one study should have in common and have not: the gravest, one line."""
    if patients := _groups(origins, lambda origin: origin.patient):
        return (
            f"{' | '.join(patients)} are of different patients by their DICOM tags; "
            "give images of one patient",
        )
    if days := _groups(origins, lambda origin: origin.day, shown=True):
        return (
            f"{' | '.join(days)} are of different days; the tumour may have changed in between",
        )
    if studies := _groups(origins, lambda origin: origin.study):
        return (
            f"{' | '.join(studies)} are of different studies by their DICOM tags; "
            "the tumour may have changed in between",
        )
    if frames := _groups(origins, lambda origin: origin.frame):
        return (
            f"{' | '.join(frames)} have different frames of reference; the patient was placed "
            "anew in between, check that they match",
        )
    return ()


def _groups(
    origins: Mapping[Contrast, Origin], key: Callable[[Origin], str], *, shown: bool = False
) -> list[str]:
    """The contrasts that belong together, where there is more than one such group."""
    members: dict[str, list[str]] = {}
    for contrast in CONTRASTS:
        if contrast in origins and key(origins[contrast]):
            members.setdefault(key(origins[contrast]), []).append(contrast.label)
    if len(members) < 2:
        return []
    return [", ".join(m) + (f" ({value})" if shown else "") for value, m in members.items()]


def _digest(identifier: str) -> str:
    return sha256(identifier.encode("utf-8", "surrogateescape")).hexdigest() if identifier else ""


def _day(date: str) -> str:
    """`20240131`, or as it was written before DICOM 3.0, `2024.01.31`."""
    digits = date.replace(".", "")
    known = len(digits) == 8 and digits.isdigit()
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:]}" if known else ""
