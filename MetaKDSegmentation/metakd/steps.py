"""What may be done to a study before the network sees it; needs neither torch nor SimpleITK."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import SimpleITK as sitk

REGISTRATIONS = ("rigid", "affine", "off")
BRAIN_SOURCES = ("auto", "builtin", "synthstrip", "hd-bet", "off")


@dataclass(frozen=True)
class Steps:
    """The steps of `metakd.preprocess.prepare` that can be chosen.

    Attributes:
        registration: one of `REGISTRATIONS`; what is aligned already is left alone.
        brain: one of `BRAIN_SOURCES`. ``auto`` takes scans without skull as they are, else a tool
            that is installed, else the built-in network; ``off`` takes all that is not air.
        brain_mask: a mask (uint8) in the reference's space, on any grid; it beats `brain`.
        bias_correction: N4 inside the brain.
    """

    registration: str = "rigid"
    brain: str = "auto"
    brain_mask: sitk.Image | None = None
    bias_correction: bool = False


AS_IT_IS = Steps(registration="off", brain="off")
"""For studies that others have registered and stripped of the skull."""
