"""What a run is asked for: taken from the parameter node once, which may change meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metakd.contrasts import CONTRASTS, REFERENCE_PREFERENCE, Contrast

from MetaKDSegmentationLib.parameter_node import ParameterNode, Reference


@dataclass(frozen=True)
class Order:
    """One run, by node ids.

    Attributes:
        volumes: contrast → volume.
        reference: whose grid the result comes back on.
        brain_mask: the label map to take instead of finding the brain.
        segmentation: the output that was chosen.
        overlapping, convention: how the labels become segments; see `segmentation_output`.
        keep_probabilities, keep_prepared: which volumes to keep beside it.
        options: what else the worker is told, as its protocol names it.
    """

    volumes: Mapping[Contrast, str]
    reference: Contrast
    brain_mask: str | None
    segmentation: str | None
    overlapping: bool
    convention: str
    keep_probabilities: bool
    keep_prepared: bool
    options: Mapping[str, str | None]

    @property
    def inputs(self) -> frozenset[str]:
        """The ids of all nodes that are sent."""
        return frozenset([*self.volumes.values(), *filter(None, [self.brain_mask])])


def order_of(parameters: ParameterNode) -> Order:
    """The run that the parameter node describes now; at least one volume is chosen."""
    reference = reference_contrast(parameters)
    assert reference is not None  # noqa: S101 - Apply is disabled without a volume
    mask, segmentation = used_mask(parameters), parameters.output_segmentation
    return Order(
        volumes={c: node.GetID() for c, node in chosen_volumes(parameters).items()},
        reference=reference,
        brain_mask=mask.GetID() if mask else None,
        segmentation=segmentation.GetID() if segmentation else None,
        overlapping=parameters.overlapping_regions,
        convention=parameters.label_convention.value,
        keep_probabilities=parameters.keep_probabilities,
        keep_prepared=parameters.keep_prepared,
        options={
            "device": parameters.device.value,
            "reference": reference.value,
            "model": parameters.model or None,
            "registration": _registration(parameters),
            "brain": "auto" if parameters.extract_brain else "off",
        },
    )


def chosen_volumes(parameters: ParameterNode) -> dict[Contrast, Any]:
    """Contrast → volume node of the slots that are filled."""
    nodes = {c: getattr(parameters, f"{c.value}_volume") for c in CONTRASTS}
    return {contrast: node for contrast, node in nodes.items() if node is not None}


def used_mask(parameters: ParameterNode) -> Any:
    """The brain mask that a run would take; `None` for none."""
    return parameters.brain_mask if parameters.extract_brain else None


def wanted_reference(parameters: ParameterNode) -> Contrast | None:
    """The contrast chosen as reference, be it there or not; `None` for the automatic choice."""
    chosen = parameters.reference
    return None if chosen is Reference.AUTO else Contrast(chosen.value)


def reference_contrast(parameters: ParameterNode) -> Contrast | None:
    """Whose grid the result comes back on.

    The chosen one's where that contrast is there, else T1c > FLAIR > T2 > T1.
    """
    chosen, wanted = chosen_volumes(parameters), wanted_reference(parameters)
    if wanted in chosen:
        return wanted
    return next((contrast for contrast in REFERENCE_PREFERENCE if contrast in chosen), None)


def _registration(parameters: ParameterNode) -> str:
    if not parameters.register:
        return "off"
    return "affine" if parameters.affine else "rigid"
