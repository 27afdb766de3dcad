"""A worker without PyTorch, for the self-test only: the real protocol, a made-up segmentation.

It calls the brightest voxels enhancing tumour, so that everything around the engine can be tried
in a Slicer that has no PyTorch. Its report says what it is and trusts no region.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import Any

import numpy as np
import SimpleITK as sitk
from metakd.contrasts import CONTRASTS
from metakd.regions import ET, LABELS, REGIONS

_WARNING = "Rehearsal without PyTorch: the brightest voxels, not a segmentation."


def main(scratch: str) -> int:
    """Serve `segment` requests until standard input closes, then delete the folder `scratch`."""
    _say(event="starting", pid=os.getpid(), version="rehearsal")
    _say(event="ready", pid=os.getpid(), version="rehearsal", torch="none", device="cpu")
    for line in sys.stdin:
        message = json.loads(line)
        if message["op"] == "shutdown":
            break
        _segment(message)
    shutil.rmtree(scratch, ignore_errors=True)
    return 0


def _segment(message: dict[str, Any]) -> None:
    inputs, number = message["inputs"], message["id"]
    image = sitk.ReadImage(inputs[message["options"]["reference"]])
    _say(event="progress", id=number, stage="read", done=1, total=2)
    values = sitk.GetArrayFromImage(image)
    labels = (values > np.percentile(values, 99)).astype(np.uint8) * ET.value
    result = sitk.GetImageFromArray(labels)
    result.CopyInformation(image)
    sitk.WriteImage(result, message["output"])
    _say(event="progress", id=number, stage="write", done=2, total=2)
    answer = {"output": message["output"], "report": _report(message, labels, image)}
    if message["options"].get("prepared"):
        answer["prepared"] = _prepared(message, image)
    _say(event="result", id=number, **answer)


def _prepared(message: dict[str, Any], image: sitk.Image) -> dict[str, str]:
    """Each contrast but the reference on the reference's grid, and what is not 0 as the brain."""
    inputs, options = message["inputs"], message["options"]
    images = {
        contrast: sitk.Resample(sitk.ReadImage(path), image)
        for contrast, path in inputs.items()
        if contrast != options["reference"]
    }
    images["brain"] = sitk.Cast(image != 0, sitk.sitkUInt8)
    files = {name: f"{options['prepared']}/{name}.nrrd" for name in images}
    for name, path in files.items():
        sitk.WriteImage(images[name], path)
    return files


def _report(message: dict[str, Any], labels: Any, image: sitk.Image) -> dict[str, Any]:
    options, available = message["options"], message["inputs"]
    voxel_ml = float(np.prod(image.GetSpacing())) / 1000
    volume = float((labels > 0).sum()) * voxel_ml
    outcome = "off" if options["registration"] == "off" else "aligned"
    others = [
        c.label for c in CONTRASTS if c.value in available and c.value != options["reference"]
    ]
    return {
        "regions": {
            region.value: {
                "name": region.title, "volume_ml": volume, "expected_dice": None,
                "reliability": "not reliable",
            }
            for region in REGIONS
        },
        "volumes_ml": {label.short: volume * (label is ET) for label in LABELS},
        "measured_on": "nothing",
        "available": [c.label for c in CONTRASTS if c.value in available],
        "generated": [c.label for c in CONTRASTS if c.value not in available],
        "reference": options["reference"],
        "registration": {
            name: {
                "outcome": outcome, "moved_mm": 0.0, "turned_degrees": 0.0, "similarity": None,
                "kind": None,
            }
            for name in others
        },
        "brain": {"source": "background", "volume_ml": labels.size * voxel_ml},
        "coverage": {c.label: 1.0 for c in CONTRASTS if c.value in available},
        "bias_corrected": False,
        "finding": "tumour found",
        "importance": {c.value: 1.0 for c in CONTRASTS},
        "model": "rehearsal", "model_version": "0", "weights_sha256": "", "metakd": "rehearsal",
        "torch": "none", "device": "cpu", "window": None, "seconds": {}, "warnings": [_WARNING],
        "intended_use": "Self-test only.",
    }  # fmt: skip


def _say(**message: Any) -> None:
    print(json.dumps(message), flush=True)
