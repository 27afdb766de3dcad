"""Volumes, and how far to trust them, as a table node that is saved with the scene."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import slicer
import vtk
from metakd.regions import REGIONS

from MetaKDSegmentationLib.segment_roles import Role
from MetaKDSegmentationLib.terminology import NAMES

_TABLE = "MetaKDSegmentation.VolumesTable"  # role of a segmentation's node reference
_NO_DICE = float("nan")  # as the table shows and saves "not measured"


def fill_table(
    report: Mapping[str, Any], table_node: slicer.vtkMRMLTableNode | None = None
) -> slicer.vtkMRMLTableNode:
    """Write a report's volumes into a table node, in place of what it held.

    Args:
        report: as the worker sends it.
        table_node: a new node is made where there is none.

    Returns:
        One row for each of NCR, ED, ET, TC and WT. NCR and ED, which are not scored by
        themselves, have the reliability of the smallest region that they lie in.
    """
    if table_node is None:
        table_node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "Tumour volumes")
    columns = _columns(report)
    table = vtk.vtkTable()
    for name, (values, _, _) in columns.items():
        column = vtk.vtkStringArray() if isinstance(values[0], str) else vtk.vtkDoubleArray()
        column.SetName(name)
        for value in values:
            column.InsertNextValue(value)
        table.AddColumn(column)
    table_node.SetAndObserveTable(table)
    table_node.SetUseColumnTitleAsColumnHeader(True)
    for name, (_, unit, description) in columns.items():
        table_node.SetColumnUnitLabel(name, unit)
        table_node.SetColumnTitle(name, f"{name} ({unit})" if unit else name)
        table_node.SetColumnDescription(name, description)
    return table_node


def write_table_of(
    segmentation: slicer.vtkMRMLSegmentationNode, report: Mapping[str, Any]
) -> slicer.vtkMRMLTableNode:
    """Write a report's volumes into the table of the segmentation that they are of."""
    table = fill_table(report, table_of(segmentation))
    segmentation.SetNodeReferenceID(_TABLE, table.GetID())
    return table


def table_of(segmentation: slicer.vtkMRMLSegmentationNode) -> slicer.vtkMRMLTableNode | None:
    """The table that belongs to a segmentation."""
    return segmentation.GetNodeReference(_TABLE)


def _columns(report: Mapping[str, Any]) -> dict[str, tuple[list[Any], str, str]]:
    """Name → values, unit and description."""
    regions = [report["regions"][_smallest_region(role)] for role in Role]
    volumes = {**report["volumes_ml"]}
    volumes.update({name: region["volume_ml"] for name, region in report["regions"].items()})
    dice = [_NO_DICE if r["expected_dice"] is None else r["expected_dice"] for r in regions]
    contrasts = " + ".join(report["available"])
    return {
        "Region": ([NAMES[role] for role in Role], "", "Tissue, or region of several tissues"),
        "Volume": ([volumes[role.value] for role in Role], "ml", "Volume in the segmentation"),
        "Reliability": (
            [region["reliability"] for region in regions],
            "",
            f"How far to trust the region with {contrasts}",
        ),
        "Expected Dice": (dice, "", f"Mean Dice of the model with {contrasts}"),
        "Measured on": (
            [report["measured_on"]] * len(regions),
            "",
            "What the expected Dice was measured on",
        ),
    }


def _smallest_region(role: Role) -> str:
    return next(region.value for region in REGIONS if region in role.regions)
