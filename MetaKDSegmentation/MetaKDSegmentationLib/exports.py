"""Volumes as files for the worker, written again only when voxels or geometry changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import slicer
import vtk
from metakd.contrasts import Contrast

from MetaKDSegmentationLib.scratch import Scratch
from MetaKDSegmentationLib.volume_files import ExportedGrid, write_volume


class Export(NamedTuple):
    """A volume's file, its grid, and the state of the node that it holds."""

    path: Path
    grid: ExportedGrid
    state: tuple[Any, ...]


class Exports:
    """One file a contrast in the private folder, named by the contrast alone.

    An unchanged file keeps its time stamp: by that the worker knows what it need not read again.
    """

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._exports: dict[Contrast, Export] = {}

    def fresh(self, contrast: Contrast, node: Any) -> Export:
        """The file of a volume as it is now. Raises `VolumeError`."""
        state = _state(node)
        held = self._exports.get(contrast)
        if held is None or held.state != state:
            path = self._scratch.folder / f"{contrast.value}.nrrd"
            held = Export(path, write_volume(node, path), state)
            self._exports[contrast] = held
        return held

    def grid(self, contrast: Contrast) -> ExportedGrid:
        """The grid of a volume that was written."""
        return self._exports[contrast].grid

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
