"""How a segmentation came about, as attributes of its node: saved with the scene, readable.

Names of contrasts, model and software, nothing of the patient.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import slicer
from metakd.contrasts import CONTRASTS, Contrast

from MetaKDSegmentationLib.preparation import brain_text, registration_texts
from MetaKDSegmentationLib.segment_layers import fingerprint
from MetaKDSegmentationLib.segment_roles import Role

_PREFIX = "MetaKDSegmentation."
_REPORT = _PREFIX + "Report"
_FINGERPRINT = _PREFIX + "Fingerprint"
_INPUT = _PREFIX + "Input."  # + contrast: role of the volume's node reference
# What is shown of a report; one without is of another version.
_NEEDED = {
    "regions", "volumes_ml", "measured_on", "available", "generated", "importance", "warnings",
    "intended_use", "model", "device",
}  # fmt: skip
# Attribute → key of the report.
_READABLE = {
    "Model": "model",
    "ModelVersion": "model_version",
    "WeightsSHA256": "weights_sha256",
    "Contrasts": "available",
    "GeneratedContrasts": "generated",
    "ReferenceContrast": "reference",
    "Finding": "finding",
    "Engine": "metakd",
    "PyTorch": "torch",
    "Device": "device",
    "IntendedUse": "intended_use",
}


def write_report(
    node: slicer.vtkMRMLSegmentationNode,
    report: Mapping[str, Any],
    volumes: Mapping[Contrast, str],
) -> None:
    """Keep a report with the segmentation: one attribute a fact, and all of it as JSON.

    Args:
        volumes: contrast → id of the volume node that went in.
    """
    with slicer.util.NodeModify(node):
        for attribute, key in _READABLE.items():
            node.SetAttribute(_PREFIX + attribute, _text(report.get(key, "")))
        node.SetAttribute(_PREFIX + "Registration", "; ".join(registration_texts(report)))
        node.SetAttribute(_PREFIX + "BrainExtraction", brain_text(report))
        node.SetAttribute(_REPORT, json.dumps(report))
        node.SetAttribute(_FINGERPRINT, _own(node))
        for contrast in CONTRASTS:
            node.SetNodeReferenceID(_INPUT + contrast.value, volumes.get(contrast))


def read_report(node: slicer.vtkMRMLSegmentationNode) -> dict[str, Any] | None:
    """The report that a segmentation carries; `None` where this version did not make it."""
    try:
        report = json.loads(node.GetAttribute(_REPORT) or "null")
    except ValueError:
        return None
    return report if isinstance(report, dict) and set(report) >= _NEEDED else None


def made_from(node: slicer.vtkMRMLSegmentationNode) -> dict[Contrast, str]:
    """Contrast → id of the volume node that a result was made from, of those still there."""
    ids = {c: node.GetNodeReferenceID(_INPUT + c.value) for c in CONTRASTS}
    return {contrast: id_ for contrast, id_ in ids.items() if id_}


def is_edited(node: slicer.vtkMRMLSegmentationNode) -> bool:
    """Whether this module's segments were changed since it made them."""
    return bool(node.GetAttribute(_FINGERPRINT)) and node.GetAttribute(_FINGERPRINT) != _own(node)


def may_be_replaced(
    node: slicer.vtkMRMLSegmentationNode, reference: slicer.vtkMRMLScalarVolumeNode
) -> bool:
    """Whether a new result on a reference volume may take the place of what is in the node."""
    role = node.GetReferenceImageGeometryReferenceRole()
    if node.GetAttribute(_REPORT):
        return node.GetNodeReference(role) is reference and not is_edited(node)
    labels = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    segmentation = node.GetSegmentation()
    if _own(node) != _NOTHING:  # read from a file, which keeps no report: who knows what was done
        return False
    return (
        not segmentation.GetNumberOfSegments()
        or segmentation.GetSourceRepresentationName() == labels
    )


_NOTHING = json.dumps({})


def _own(node: slicer.vtkMRMLSegmentationNode) -> str:
    """The fingerprint of this module's segments alone."""
    own = {role.segment_id for role in Role}
    found = json.loads(fingerprint(node))
    return json.dumps({id_: figures for id_, figures in found.items() if id_ in own})


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
