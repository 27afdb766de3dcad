"""What the scanner recorded of a series (DICOM attributes), and which weighting that makes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from metakd.contrasts import Contrast

from MetaKDSegmentationLib.series_names import kind_of
from MetaKDSegmentationLib.series_words import T2_STAR


@dataclass(frozen=True)
class SeriesFacts:
    """What is known of a loaded volume without looking at its voxels; empty where unknown.

    Attributes:
        id: the volume's node id.
        name: the volume's name in the scene.
        description: DICOM SeriesDescription, ProtocolName.
        modality: DICOM Modality, such as MR or CT.
        sequence: DICOM ScanningSequence and SequenceName, any separator.
        repetition_ms, echo_ms, inversion_ms: TR, TE and TI in milliseconds.
        contrast_agent: DICOM ContrastBolusAgent.
        image_type: DICOM ImageType, any separator.
    """

    id: str
    name: str
    description: str = ""
    modality: str = ""
    sequence: str = ""
    repetition_ms: float | None = None
    echo_ms: float | None = None
    inversion_ms: float | None = None
    contrast_agent: str = ""
    image_type: str = ""


@dataclass(frozen=True)
class AcquisitionReading:
    """What the recorded values say.

    Attributes:
        weighting: T1, T2 or FLAIR; never T1C, which is T1 with `agent`.
        agent: with contrast agent, without, or `None` where nothing is recorded.
        other: what it is for certain instead of one of the four contrasts; empty otherwise.
        resembles: what else its timing is usual for, such as proton density; empty otherwise.
        timing: the values in words.
    """

    weighting: Contrast | None = None
    agent: bool | None = None
    other: str = ""
    resembles: str = ""
    timing: str = ""


_MODALITIES = {"CT": "CT", "PT": "PET", "NM": "nuclear medicine", "US": "ultrasound"}
_NO_AGENT = {
    "no",
    "none",
    "n",
    "0",
    "without",
    "nein",
    "kein",
    "non",
    "nessuno",
    "ninguno",
    "nativ",
}

# Milliseconds. Between short and long echo lies what none of the four is acquired with.
_SHORT_ECHO, _LONG_ECHO = 30, 60
_LONGEST_GRADIENT_ECHO, _MPRAGE_ECHO = 12, 6  # beyond the first, a gradient echo is T2*
_SPIN_ECHO_REPETITION, _SHORT_REPETITION, _LONG_REPETITION = 300, 1600, 1500
_STIR_INVERSION, _FLAIR_INVERSION = 400, 1500


def read_acquisition(facts: SeriesFacts) -> AcquisitionReading:
    """What modality, image type, TR, TE, TI and contrast agent say; nothing is an answer too."""
    weighting, resembles = _by_timing(facts)
    return AcquisitionReading(
        weighting, _agent(facts.contrast_agent), _other(facts), resembles, _timing(facts)
    )


def _other(facts: SeriesFacts) -> str:
    modality = facts.modality.strip().upper()
    if modality not in ("", "MR"):
        return _MODALITIES.get(modality, f"modality {modality}")
    image_type = _words(facts.image_type)
    if "p" in image_type:
        return "a phase image"
    if any(word.startswith("ep") for word in _words(facts.sequence)):
        return "echo-planar imaging"
    return kind_of(image_type)


def _by_timing(facts: SeriesFacts) -> tuple[Contrast | None, str]:
    echo = facts.echo_ms
    if not echo or _SHORT_ECHO < echo < _LONG_ECHO:
        return None, ""
    return _long_echo(facts) if echo >= _LONG_ECHO else _short_echo(facts)


def _long_echo(facts: SeriesFacts) -> tuple[Contrast | None, str]:
    inversion = facts.inversion_ms or 0
    if inversion > _FLAIR_INVERSION:
        return Contrast.FLAIR, ""
    if inversion:
        return None, "STIR" if inversion < _STIR_INVERSION else ""
    is_t2 = facts.repetition_ms is None or facts.repetition_ms >= _LONG_REPETITION
    return (Contrast.T2 if is_t2 else None), ""


def _short_echo(facts: SeriesFacts) -> tuple[Contrast | None, str]:
    echo, repetition = facts.echo_ms or 0, facts.repetition_ms
    inversion = facts.inversion_ms or 0
    if repetition is None:
        return None, ""
    sequence = _words(facts.sequence)
    is_gradient_echo = "se" not in sequence and (
        "gr" in sequence or repetition < _SPIN_ECHO_REPETITION
    )
    if is_gradient_echo and echo > _LONGEST_GRADIENT_ECHO:
        return None, T2_STAR
    if repetition <= _SHORT_REPETITION or inversion or echo <= _MPRAGE_ECHO:
        is_t1 = inversion <= _FLAIR_INVERSION
        return (Contrast.T1 if is_t1 else None), ""
    return None, "proton density"


def _agent(recorded: str) -> bool | None:
    text = recorded.strip().lower()
    return None if not text else text not in _NO_AGENT


def _timing(facts: SeriesFacts) -> str:
    values = {"TR": facts.repetition_ms, "TE": facts.echo_ms, "TI": facts.inversion_ms}
    return ", ".join(f"{name} {value:g} ms" for name, value in values.items() if value)


def _words(text: str) -> list[str]:
    return re.findall("[a-z0-9]+", text.lower())
