"""The registered contrasts and the brain mask of a run as nodes, for those who want to keep them.

They lie on the reference volume's grid, below its parent transforms. A later run with the same
volumes writes into the same nodes, unless somebody has made something else of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from metakd.contrasts import CONTRASTS, Contrast

from MetaKDSegmentationLib.grids import Voxels, node_grid, vtk_matrix
from MetaKDSegmentationLib.preparation import has_found_brain, is_registered
from MetaKDSegmentationLib.segmentation_output import place_beside
from MetaKDSegmentationLib.volume_files import ExportedGrid, read_mask, read_scan

_KEPT = "MetaKDSegmentation.Kept"  # attribute: what the node is, as its name says it
_FINGERPRINT = "MetaKDSegmentation.Fingerprint"
_SOURCE, _REFERENCE = "MetaKDSegmentation.Source", "MetaKDSegmentation.Reference"  # roles
_REGISTERED, _BRAIN_MASK = "registered", "brain mask"


@dataclass(frozen=True, eq=False)
class PreparedVolumes:
    """What is worth keeping of what a run has made on the way, on the reference node's voxels.

    Attributes:
        registered: the contrasts that were moved, (k, j, i), with skull and in the intensities
            that they came in; one that was aligned already needs no copy.
        brain: 1 in the brain (k, j, i); `None` where it was given or not looked for.
    """

    registered: Mapping[Contrast, Voxels]
    brain: Voxels | None


def read_prepared(
    paths: Mapping[str, str], report: Mapping[str, Any], grid: ExportedGrid
) -> PreparedVolumes:
    """Read what the worker has written for keeping.

    Args:
        paths: by contrast (`t1`), and `brain`, on the file grid of the exported reference volume.

    Raises `VolumeError` for a file that cannot be read.
    """
    moved = [c for c in CONTRASTS if c.value in paths and is_registered(report, c.label)]
    wanted = "brain" in paths and has_found_brain(report)
    return PreparedVolumes(
        {contrast: read_scan(Path(paths[contrast.value]), grid) for contrast in moved},
        read_mask(Path(paths["brain"]), grid).astype(np.uint8) if wanted else None,
    )


def show_prepared(
    prepared: PreparedVolumes,
    reference_node: slicer.vtkMRMLScalarVolumeNode,
    volumes: Mapping[Contrast, str],
    inputs: Collection[str],
) -> None:
    """Have a node for each of the prepared volumes, named after the volume that it was made of.

    Args:
        volumes: contrast → id of the volume that was sent.
        inputs: ids of nodes that a run reads, and that are therefore not written into.
    """
    for contrast, voxels in prepared.registered.items():
        source = slicer.mrmlScene.GetNodeByID(volumes[contrast])
        if source is not None:  # else it was removed during the run
            node = _node("vtkMRMLScalarVolumeNode", _REGISTERED, source, reference_node, inputs)
            _fill(node, voxels, reference_node)
    if prepared.brain is not None:
        node = _node(
            "vtkMRMLLabelMapVolumeNode", _BRAIN_MASK, reference_node, reference_node, inputs
        )
        _fill(node, prepared.brain, reference_node)


def is_kept(node: slicer.vtkMRMLVolumeNode) -> bool:
    """Whether a volume is one that this module has kept of a run."""
    return bool(node.GetAttribute(_KEPT))


def _node(class_name: str, kind: str, source: Any, reference: Any, inputs: Collection[str]) -> Any:
    """The node of an earlier run with the same volumes, if it is as it was left; else a new one."""
    for node in slicer.util.getNodesByClass(class_name):
        same = (
            node.GetAttribute(_KEPT) == kind
            and node.GetNodeReference(_SOURCE) is source
            and node.GetNodeReference(_REFERENCE) is reference
        )
        if same and node.GetID() not in inputs and node.GetAttribute(_FINGERPRINT) == _digest(node):
            return node
    name = slicer.mrmlScene.GenerateUniqueName(f"{source.GetName()} {kind}")
    node = slicer.mrmlScene.AddNewNodeByClass(class_name, name)
    node.SetAttribute(_KEPT, kind)
    node.SetNodeReferenceID(_SOURCE, source.GetID())
    node.SetNodeReferenceID(_REFERENCE, reference.GetID())
    node.CreateDefaultDisplayNodes()
    if kind == _REGISTERED and source.GetDisplayNode() is not None:
        shown = source.GetDisplayNode()
        node.GetDisplayNode().SetAutoWindowLevel(False)
        node.GetDisplayNode().SetWindowLevel(shown.GetWindow(), shown.GetLevel())
    return node


def _fill(node: Any, voxels: Voxels, reference_node: Any) -> None:
    slicer.util.updateVolumeFromArray(node, voxels)
    node.SetIJKToRASMatrix(vtk_matrix(node_grid(reference_node).ijk_to_ras))
    node.SetAndObserveTransformNodeID(reference_node.GetTransformNodeID())
    node.SetAttribute(_FINGERPRINT, _digest(node))
    place_beside(reference_node, node)


def _digest(node: Any) -> str:
    """Equal as long as the voxels are the same, also after saving."""
    if node.GetImageData() is None:
        return ""
    return hashlib.blake2b(slicer.util.arrayFromVolume(node).tobytes(), digest_size=16).hexdigest()
