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
    report = _report(set(inputs), int((labels > 0).sum()), image)
    _say(event="result", id=number, output=message["output"], report=report)


def _report(available: set[str], voxels: int, image: sitk.Image) -> dict[str, Any]:
    volume = voxels * float(np.prod(image.GetSpacing())) / 1000
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
        "reference": "",
        "importance": {c.value: 1.0 for c in CONTRASTS},
        "model": "rehearsal", "model_version": "0", "weights_sha256": "", "metakd": "rehearsal",
        "torch": "none", "device": "cpu", "window": None, "seconds": {}, "warnings": [_WARNING],
        "intended_use": "Self-test only.",
    }  # fmt: skip


def _say(**message: Any) -> None:
    print(json.dumps(message), flush=True)
