"""What a run has made, as nodes of the scene: all of it, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import slicer

from MetaKDSegmentationLib import segmentation_output, views
from MetaKDSegmentationLib.grids import node_grid
from MetaKDSegmentationLib.order import Order
from MetaKDSegmentationLib.prepared_volumes import read_prepared, show_prepared
from MetaKDSegmentationLib.provenance import may_be_replaced, write_report
from MetaKDSegmentationLib.volume_files import (
    ExportedGrid,
    VolumeError,
    read_labels,
    read_probabilities,
)
from MetaKDSegmentationLib.volumes_table import write_table_of


def show_result(order: Order, content: Mapping[str, Any], grid: ExportedGrid) -> tuple[Any, Any]:
    """Segments, volumes to keep, table and views; all files are read before any node changes.

    Args:
        content: the worker's answer.
        grid: of the reference volume as it was sent.

    Returns:
        The segmentation node and its table.

    Raises:
        VolumeError: a file that cannot be read, or a reference volume that is another one by now.
    """
    reference = slicer.mrmlScene.GetNodeByID(order.volumes[order.reference])
    if reference is None or not node_grid(reference).is_like(grid.own):
        raise VolumeError(f"{order.reference.label} was changed during the run; Apply again")
    report = content["report"]
    labels = read_labels(Path(content["output"]), grid)
    probabilities = {
        name: read_probabilities(Path(path), grid)
        for name, path in content.get("probabilities", {}).items()
    }
    prepared = read_prepared(content.get("prepared", {}), report, grid)
    segmentation = _output_node(order, reference)
    is_new = segmentation.GetID() != order.segmentation
    try:
        segmentation_output.show_segmentation(
            labels, reference, segmentation,
            overlapping=order.overlapping, convention=order.convention,
        )  # fmt: skip
        # Without any, those of an earlier run go.
        segmentation_output.show_probabilities(probabilities, reference, segmentation)
        write_report(segmentation, report, order.volumes)
        table = write_table_of(segmentation, report)
        show_prepared(prepared, reference, order.volumes, order.inputs)
    except Exception:
        if is_new:
            slicer.mrmlScene.RemoveNode(segmentation)
        raise
    views.show_tumour(labels, reference)
    return segmentation, table


def _output_node(order: Order, reference: Any) -> Any:
    """The chosen segmentation; a new one rather than overwrite what is not ours to overwrite.

    That is a result that was edited by hand since, one of another reference volume (another
    patient, it may be), or somebody's surfaces.
    """
    scene = slicer.mrmlScene
    chosen = scene.GetNodeByID(order.segmentation) if order.segmentation else None
    if chosen is not None and may_be_replaced(chosen, reference):
        return chosen
    return scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName("Tumour"))
