"""The table of volumes."""

import math

import pytest
import slicer

from MetaKDSegmentationLib.volumes_table import fill_table


def column(node, name):
    values = node.GetTable().GetColumnByName(name)
    return [values.GetValue(row) for row in range(node.GetNumberOfRows())]


def test_rows_and_columns(scene, report):
    node = fill_table(report)
    assert column(node, "Region") == [
        "Necrotic core", "Oedema", "Enhancing tumour", "Tumour core", "Whole tumour",
    ]  # fmt: skip
    assert column(node, "Volume") == [1.5, 30.25, 8.0, 9.5, 39.75]
    assert column(node, "Reliability") == [
        "use with care", "reliable", "not reliable", "use with care", "reliable",
    ]  # fmt: skip
    dice = column(node, "Expected Dice")
    assert dice[1] == 0.88
    assert math.isnan(dice[2])
    assert set(column(node, "Measured on")) == {"5 patients"}


def test_units_and_descriptions(scene, report):
    node = fill_table(report)
    assert node.GetColumnUnitLabel("Volume") == "ml"
    assert node.GetColumnTitle("Volume") == "Volume (ml)"
    assert "T1c + FLAIR" in node.GetColumnDescription("Reliability")
    assert "T1c + FLAIR" in node.GetColumnDescription("Expected Dice")


def test_the_next_run_takes_its_place(scene, report):
    node = fill_table(report)
    report["regions"]["WT"]["volume_ml"] = 1.0
    assert fill_table(report, node) is node
    assert node.GetNumberOfRows() == 5
    assert column(node, "Volume")[4] == 1.0
    assert len(slicer.util.getNodesByClass("vtkMRMLTableNode")) == 1


@pytest.mark.parametrize("name", ["Volume", "Expected Dice"])
def test_numbers_are_numbers(scene, report, name):
    node = fill_table(report)
    assert node.GetTable().GetColumnByName(name).GetDataTypeAsString() == "double"
