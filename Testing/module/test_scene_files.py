"""What a run left in the scene, saved as .mrb and loaded again."""

import zipfile

import numpy as np
import pytest
import slicer
import slicer_app
import vtk

from MetaKDSegmentationLib.provenance import read_report, write_report
from MetaKDSegmentationLib.segment_layers import describe_segments
from MetaKDSegmentationLib.segment_roles import Role
from MetaKDSegmentationLib.segmentation_output import show_probabilities
from MetaKDSegmentationLib.terminology import term
from MetaKDSegmentationLib.volumes_table import fill_table


@pytest.fixture
def reopen(scene, tmp_path):
    """Save the scene as a bundle, close it, load the bundle."""

    def reopened():
        bundle, unpacked = tmp_path / "scene.mrb", tmp_path / "unpacked"
        assert scene.WriteToMRB(str(bundle))
        slicer_app.clear()
        assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
        unpacked.mkdir()
        assert scene.ReadFromMRB(str(bundle))
        return bundle

    return reopened


@pytest.mark.parametrize("overlapping", [False, True])
def test_everything_is_restored(
    scene, add_volume, add_segmentation, add_transform, labels_of, report, tumour, reopen,
    overlapping,
):  # fmt: skip
    reference = add_volume(parent=add_transform(np.diag([-1.0, 1, 1, 1])))
    node = add_segmentation(tumour, reference, overlapping=overlapping, convention="brats2018")
    before = describe_segments(node)
    ids = [segment.id for segment in before]
    labels = [labels_of(node, [id_], reference) for id_ in ids]
    write_report(node, report, {})
    table = fill_table(report)
    rows = [table.GetCellText(row, column) for row in range(5) for column in range(5)]
    show_probabilities({"WT": np.full(tumour.shape, 0.5, np.float32)}, reference, node)

    bundle = reopen()

    node, reference = scene.GetFirstNodeByName("Tumour"), scene.GetFirstNodeByName("T1c")
    assert describe_segments(node) == before
    for id_, mask in zip(ids, labels, strict=True):
        np.testing.assert_array_equal(labels_of(node, [id_], reference), mask)
    for role in Role:
        segment = node.GetSegmentation().GetSegment(role.segment_id)
        assert segment is None or segment.GetTerminology() == term(role).entry
    assert node.GetParentTransformNode() is reference.GetParentTransformNode()
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is reference
    assert read_report(node) == report
    assert node.GetAttribute("MetaKDSegmentation.Contrasts") == "T1c, FLAIR"

    table = scene.GetFirstNodeByName("Tumour volumes")
    assert [table.GetCellText(r, c) for r in range(5) for c in range(5)] == rows
    assert table.GetTable().GetColumnByName("Volume").GetDataTypeAsString() == "double"
    assert table.GetColumnUnitLabel("Volume") == "ml"
    assert "T1c + FLAIR" in table.GetColumnDescription("Reliability")

    probability = node.GetNodeReference("MetaKDSegmentation.Probability.WT")
    assert slicer.util.arrayFromVolume(probability).mean() == pytest.approx(0.5, abs=1e-3)
    if not overlapping:
        colours = node.GetLabelmapConversionColorTableNode()
        assert colours.GetColorName(4) == term(Role.ET).name
    assert zipfile.is_zipfile(bundle)
    assert isinstance(node, slicer.vtkMRMLSegmentationNode)
    assert vtk.vtkVersion
