"""Reports on segmentation nodes."""

import json

import pytest

from MetaKDSegmentationLib.provenance import read_report, write_report


@pytest.fixture
def node(scene):
    return scene.AddNewNodeByClass("vtkMRMLSegmentationNode")


def test_a_report_comes_back_as_it_was(node, report):
    write_report(node, report, {})
    assert read_report(node) == report


def test_facts_are_readable_one_by_one(node, report):
    write_report(node, report, {})
    assert node.GetAttribute("MetaKDSegmentation.Model") == "metakd-first"
    assert node.GetAttribute("MetaKDSegmentation.Contrasts") == "T1c, FLAIR"
    assert node.GetAttribute("MetaKDSegmentation.GeneratedContrasts") == "T1, T2"
    assert node.GetAttribute("MetaKDSegmentation.Device") == "cpu"
    assert node.GetAttribute("MetaKDSegmentation.Finding") == "tumour found"
    assert node.GetAttribute("MetaKDSegmentation.Registration") == (
        "FLAIR: registered, moved 3.2 mm, turned 1.1°"
    )
    assert node.GetAttribute("MetaKDSegmentation.BrainExtraction") == (
        "found by the built-in network, 1480 ml"
    )


def test_a_report_of_an_earlier_version_is_a_report(node, report):
    for key in ("registration", "brain", "coverage", "finding"):
        del report[key]
    write_report(node, report, {})
    assert read_report(node) == report
    assert node.GetAttribute("MetaKDSegmentation.Registration") == ""


def test_a_later_report_takes_its_place(node, report):
    write_report(node, report, {})
    write_report(node, {**report, "generated": []}, {})
    assert node.GetAttribute("MetaKDSegmentation.GeneratedContrasts") == ""
    assert read_report(node)["generated"] == []


@pytest.mark.parametrize("text", [None, "", "{", "[]", "3", json.dumps(None)])
def test_no_report(node, text):
    node.SetAttribute("MetaKDSegmentation.Report", text)
    assert read_report(node) is None
