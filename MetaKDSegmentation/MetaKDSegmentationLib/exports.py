"""Volumes as files for the worker, written again only when voxels or geometry changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import slicer
import vtk

from MetaKDSegmentationLib.scratch import Scratch
from MetaKDSegmentationLib.volume_files import ExportedGrid, write_mask, write_volume


class Export(NamedTuple):
    """A volume's file, its grid, and the state of the node that it holds."""

    path: Path
    grid: ExportedGrid
    state: tuple[Any, ...]


class Exports:
    """Files in the private folder, named by what they are for: a contrast, the brain mask.

    An unchanged file keeps its time stamp: by that the worker knows what it need not read again.
    """

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._exports: dict[str, Export] = {}

    def fresh(self, name: str, node: Any) -> Export:
        """The file of a volume as it is now, of a label map as a mask. Raises `VolumeError`."""
        state = _state(node)
        held = self._exports.get(name)
        if held is None or held.state != state:
            path = self._scratch.folder / f"{name}.nrrd"
            write = write_mask if node.IsA("vtkMRMLLabelMapVolumeNode") else write_volume
            held = Export(path, write(node, path), state)
            self._exports[name] = held
        return held

    def grid(self, name: str) -> ExportedGrid:
        """The grid of a volume that was written."""
        return self._exports[name].grid

    def forget(self) -> None:
        """Know of no file any more."""
        self._exports.clear()


def _state(node: Any) -> tuple[Any, ...]:
    """Equal as long as the node's voxels and its place in the world are the same."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    image, transform = node.GetImageData(), node.GetParentTransformNode()
    return (
        node.GetID(),
        image.GetMTime() if image else 0,
        slicer.util.arrayFromVTKMatrix(matrix).tobytes(),
        (transform.GetID(), transform.GetTransformToWorldMTime()) if transform else None,
    )
