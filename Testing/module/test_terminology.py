"""The terminology file, through Slicer's own terminology logic."""

import json

import pytest
import slicer
import vtk
from metakd.regions import LABELS, REGIONS

from MetaKDSegmentationLib.segment_roles import Role
from MetaKDSegmentationLib.terminology import (
    TERMINOLOGY_FILE,
    load_terminology,
    term,
    type_code,
)


@pytest.fixture
def logic(scene):
    load_terminology()
    return slicer.modules.terminologies.logic()


def tag(segment):
    value = vtk.reference("")
    segment.GetTag(segment.GetTerminologyEntryTagName(), value)
    return str(value)


def test_labels_agree_with_the_engine():
    for label in LABELS:
        own = term(Role(label.short))
        assert own.name == label.name
        assert own.rgb == pytest.approx([value / 255 for value in label.rgb])
        assert "^".join(label.snomed) in own.entry
        assert type_code(own.entry) == label.snomed[0]


def test_regions_agree_with_the_engine():
    for region in REGIONS:
        assert term(Role(region.value)).name == region.title


def test_every_role_has_its_own_code():
    assert len({type_code(term(role).entry) for role in Role}) == len(Role)


@pytest.mark.parametrize("role", Role)
def test_slicer_understands_the_entries(logic, role):
    own = term(role)
    entry = slicer.vtkSlicerTerminologyEntry()
    assert logic.DeserializeTerminologyEntry(own.entry, entry)
    assert logic.SerializeTerminologyEntry(entry) == own.entry
    assert entry.GetRegionObject().GetCodeMeaning() == "Brain"


def test_slicer_offers_the_terms_with_their_colours(logic):
    entry = slicer.vtkSlicerTerminologyEntry()
    logic.DeserializeTerminologyEntry(term(Role.WT).entry, entry)
    where = entry.GetTerminologyContextName(), entry.GetCategoryObject()
    offered = {}
    for index in range(logic.GetNumberOfTypesInTerminologyCategory(*where)):
        kind = slicer.vtkSlicerTerminologyType()
        assert logic.GetNthTypeInTerminologyCategory(*where, index, kind)
        rgb = tuple(value / 255 for value in kind.GetRecommendedDisplayRGBValue())
        offered[kind.GetCodeValue()] = rgb
    assert offered == {type_code(term(role).entry): term(role).rgb for role in Role}


def test_the_schema_is_the_one_that_slicer_takes():
    content = json.loads(TERMINOLOGY_FILE.read_text())
    assert content["@schema"] == (
        "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/schemas/"
        "segment-context-schema.json#"
    )


def test_loading_twice_is_loading_once(logic):
    load_terminology()
    names = vtk.vtkStringArray()
    logic.GetLoadedTerminologyNames(names)
    loaded = [names.GetValue(n) for n in range(names.GetNumberOfValues())]
    assert loaded.count("MetaKDSegmentation brain tumour") == 1


@pytest.mark.parametrize("entry", ["", "a", "a~b~c", "a~b~SCT^1", "~~~"])
def test_codes_of_odd_entries(entry):
    assert type_code(entry) in ("", "1")


@pytest.mark.parametrize("overlapping", [False, True])
def test_files_keep_terms_colours_and_names(
    scene, add_volume, add_segmentation, tumour, tmp_path, overlapping
):
    node = add_segmentation(tumour, add_volume(), overlapping=overlapping)
    node.AddDefaultStorageNode()
    node.GetStorageNode().SetFileName(str(tmp_path / "tumour.seg.nrrd"))
    assert node.GetStorageNode().WriteData(node)
    loaded = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    loaded.AddDefaultStorageNode()
    loaded.GetStorageNode().SetFileName(str(tmp_path / "tumour.seg.nrrd"))
    assert loaded.GetStorageNode().ReadData(loaded)
    roles = [Role.WT, Role.TC, Role.ET] if overlapping else [Role.NCR, Role.ED, Role.ET]
    segmentation = loaded.GetSegmentation()
    assert list(segmentation.GetSegmentIDs()) == [role.segment_id for role in roles]
    for role in roles:
        segment = segmentation.GetSegment(role.segment_id)
        assert tag(segment) == term(role).entry
        assert segment.GetName() == term(role).name
        assert segment.GetColor() == pytest.approx(term(role).rgb, abs=1e-5)
