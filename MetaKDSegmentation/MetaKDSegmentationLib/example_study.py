"""The example study's files as nodes, as if the user had loaded a patient."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import slicer
from metakd.contrasts import CONTRASTS, Contrast

_PATIENT = "Example (synthetic)"


def load_example(files: Mapping[str, Path]) -> dict[Contrast, str]:
    """Load the contrasts of a synthetic patient; contrast → id of its volume node.

    Args:
        files: by contrast (``t1`` …), NIfTI.
    """
    given = [contrast for contrast in CONTRASTS if contrast.value in files]
    return {c: _load(files[c.value], f"{_PATIENT} {c.label}") for c in given}


def _load(path: Path, name: str) -> str:
    node: Any = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.AddDefaultStorageNode()
    storage = node.GetStorageNode()
    storage.SetFileName(str(path))
    storage.ReadData(node)
    # The file is temporary: without a storage node, saving the scene writes the voxels anew.
    slicer.mrmlScene.RemoveNode(storage)
    node.CreateDefaultDisplayNodes()
    return str(node.GetID())
