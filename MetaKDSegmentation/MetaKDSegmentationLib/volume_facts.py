"""A volume node as the facts that assignment and findings work on.

The panel asks at every change, so voxels are looked at once for each state of an image.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from metakd.foreground import looks_stripped

from MetaKDSegmentationLib.acquisition import SeriesFacts
from MetaKDSegmentationLib.grids import GridError, linear_matrix, node_grid, transform_to_world
from MetaKDSegmentationLib.slots import Geometry, VolumeFacts
from MetaKDSegmentationLib.volume_files import VolumeError, voxels_of

_EVERY = 5  # voxels along each axis, of which one goes into the fingerprint
_PATIENT, _STUDY = "Patient", "Study"  # levels of the subject hierarchy

# DICOM tags as a ctkDICOMDatabase wants them.
_DESCRIPTION = ("0008,103E", "0018,1030")  # SeriesDescription, ProtocolName
_SEQUENCE = ("0018,0020", "0018,0021", "0018,0024")  # ScanningSequence, SequenceVariant, its name
_MODALITY, _IMAGE_TYPE, _CONTRAST_AGENT = "0008,0060", "0008,0008", "0018,0010"
_REPETITION, _ECHO, _INVERSION = "0018,0080", "0018,0081", "0018,0082"

_seen: dict[str, tuple[int, dict[str, Any]]] = {}
"""By node id: the image's modification time, which no later image has again, and its facts."""


def volume_facts(node: slicer.vtkMRMLScalarVolumeNode) -> VolumeFacts:
    """What the panel shows and checks of a volume; cheap while nothing changed.

    The size is 0 where the node has no voxels; its geometry leaves out a transform that bends or
    flattens it.
    """
    grid = node_grid(node)
    try:
        matrix = linear_matrix(transform_to_world(node))
    except GridError:
        matrix = None
    world = grid if matrix is None else grid.moved(matrix)
    return VolumeFacts(
        id=node.GetID(),
        name=node.GetName(),
        size=grid.size,
        spacing=grid.spacing,
        geometry=Geometry(world.size, tuple(world.ijk_to_ras.ravel().tolist())),
        linear=matrix is not None,
        patient=_ancestor(node, _PATIENT),
        study=_ancestor(node, _STUDY),
        day=_day(node),
        modality=_modality(node),
        **_voxel_facts(node),
    )


def series_facts(node: slicer.vtkMRMLScalarVolumeNode, database: Any = None) -> SeriesFacts:
    """What is known of a volume from its names and its DICOM header, if it has one.

    Args:
        database: a `ctkDICOMDatabase`, as `slicer.dicomDatabase`; `None` where there is none.
    """
    instances = (node.GetAttribute("DICOM.instanceUIDs") or "").split()

    def text(*tags: str) -> str:
        if database is None or not instances:
            return ""
        return " ".join(filter(None, (str(database.instanceValue(instances[0], t)) for t in tags)))

    return SeriesFacts(
        id=node.GetID(),
        name=node.GetName(),
        description=text(*_DESCRIPTION) or _file_name(node),
        modality=text(_MODALITY) or _modality(node),
        sequence=text(*_SEQUENCE),
        repetition_ms=_number(text(_REPETITION)),
        echo_ms=_number(text(_ECHO)),
        inversion_ms=_number(text(_INVERSION)),
        contrast_agent=text(_CONTRAST_AGENT),
        image_type=text(_IMAGE_TYPE),
    )


def _voxel_facts(node: slicer.vtkMRMLScalarVolumeNode) -> dict[str, Any]:
    """The fields of `VolumeFacts` that come from the voxels."""
    try:
        voxels = voxels_of(node)
    except VolumeError:
        return {}
    time = node.GetImageData().GetMTime()
    seen_at, facts = _seen.get(node.GetID(), (None, {}))
    if seen_at != time:
        lowest, highest = node.GetImageData().GetScalarRange()
        facts = {
            "lowest": lowest,
            "highest": highest,
            "looks_stripped": looks_stripped(voxels, node.GetSpacing()[::-1]),
            "fingerprint": _fingerprint(voxels, lowest, highest),
        }
        _seen[node.GetID()] = time, facts
    return facts


def _fingerprint(voxels: np.ndarray, lowest: float, highest: float) -> str:
    """Equal for equal voxels, whatever type they are stored in."""
    few = voxels[::_EVERY, ::_EVERY, ::_EVERY].astype(np.float64)
    digest = hashlib.blake2b(few.tobytes(), digest_size=16)
    digest.update(repr((voxels.shape, lowest, highest)).encode())
    return digest.hexdigest()


def _ancestor(node: slicer.vtkMRMLNode, level: str) -> str:
    """The item above the node at a level of the subject hierarchy, as an opaque identifier."""
    hierarchy, item = _item(node)
    ancestor = hierarchy.GetItemAncestorAtLevel(item, level) if item else 0
    return str(ancestor) if ancestor else ""


def _modality(node: slicer.vtkMRMLNode) -> str:
    hierarchy, item = _item(node)
    name = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    return str(hierarchy.GetItemAttribute(item, name)) if item else ""


def _day(node: slicer.vtkMRMLNode) -> str:
    hierarchy, item = _item(node)
    name = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMStudyDateAttributeName()
    return str(hierarchy.GetAttributeFromItemAncestor(item, name, _STUDY)) if item else ""


def _item(node: slicer.vtkMRMLNode) -> tuple[Any, int]:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    return hierarchy, hierarchy.GetItemByDataNode(node)


def _file_name(node: slicer.vtkMRMLScalarVolumeNode) -> str:
    """The file's name without folder and ending: a volume may have been renamed since."""
    storage = node.GetStorageNode()
    path = (storage.GetFileName() or "") if storage else ""
    return Path(path).name.split(".")[0]


def _number(text: str) -> float | None:
    try:
        return float(text.split("\\")[0])
    except ValueError:
        return None
