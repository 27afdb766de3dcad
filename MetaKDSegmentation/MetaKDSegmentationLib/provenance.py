"""How a segmentation came about, as attributes of its node: saved with the scene, readable.

Names of contrasts, model and software, nothing of the patient.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import slicer

_PREFIX = "MetaKDSegmentation."
_REPORT = _PREFIX + "Report"
# Attribute → key of the report.
_READABLE = {
    "Model": "model",
    "ModelVersion": "model_version",
    "WeightsSHA256": "weights_sha256",
    "Contrasts": "available",
    "GeneratedContrasts": "generated",
    "ReferenceContrast": "reference",
    "Engine": "metakd",
    "PyTorch": "torch",
    "Device": "device",
    "IntendedUse": "intended_use",
}


def write_report(node: slicer.vtkMRMLSegmentationNode, report: Mapping[str, Any]) -> None:
    """Keep a report with the segmentation: one attribute a fact, and all of it as JSON."""
    with slicer.util.NodeModify(node):
        for attribute, key in _READABLE.items():
            node.SetAttribute(_PREFIX + attribute, _text(report.get(key, "")))
        node.SetAttribute(_REPORT, json.dumps(report))


def read_report(node: slicer.vtkMRMLSegmentationNode) -> dict[str, Any] | None:
    """The report that a segmentation carries; `None` where this module did not make it."""
    try:
        report = json.loads(node.GetAttribute(_REPORT) or "null")
    except ValueError:
        return None
    return report if isinstance(report, dict) else None


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
