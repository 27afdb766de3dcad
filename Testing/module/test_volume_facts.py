"""What the panel learns of a volume."""

import numpy as np
import pytest
import slicer

from MetaKDSegmentationLib import volume_facts as module
from MetaKDSegmentationLib.volume_facts import series_facts, volume_facts

TURNED = np.array([[0, -1, 0, 3], [1, 0, 0, -4], [0, 0, 1, 5], [0, 0, 0, 1.0]])


HEADER = {
    "0008,103E": "AX T1 POST",
    "0018,1030": "brain tumour",
    "0008,0060": "MR",
    "0018,0020": "SE",
    "0018,0024": "*se2d1",
    "0018,0080": "550.0",
    "0018,0081": "9.8\\20",
    "0018,0082": "",
    "0018,0010": "GADAVIST",
    "0008,0008": "ORIGINAL\\PRIMARY\\M",
}


class Database:
    """A `ctkDICOMDatabase` with one series in it."""

    def instanceValue(self, instance, tag):  # noqa: N802
        assert instance == "1.2.3"
        return HEADER.get(tag, "")


def test_geometry_in_the_world(add_volume, add_transform):
    matrix = np.diag([-1.0, -2, 3, 1])
    node = add_volume(np.ones((4, 5, 6)), matrix, parent=add_transform(TURNED))
    facts = volume_facts(node)
    assert facts.id == node.GetID()
    assert facts.name == "T1c"
    assert facts.size == (6, 5, 4)
    assert facts.spacing == (1, 2, 3)
    assert facts.linear
    np.testing.assert_allclose(np.reshape(facts.geometry.ijk_to_ras, (4, 4)), TURNED @ matrix)


def test_transforms_that_have_no_matrix(add_volume, add_transform, add_thin_plate):
    assert not volume_facts(add_volume(parent=add_thin_plate())).linear
    assert not volume_facts(add_volume(parent=add_transform(np.diag([1, 0, 1, 1.0])))).linear


def test_voxels(add_volume):
    rng = np.random.default_rng(0)
    head = rng.normal(100, 10, (30, 31, 32)).astype(np.float32)
    brain = head.copy()
    brain[:6] = brain[-6:] = brain[:, :6] = brain[:, -6:] = brain[:, :, :6] = 0
    facts, stripped = volume_facts(add_volume(head)), volume_facts(add_volume(brain))
    assert (facts.lowest, facts.highest) == (head.min(), head.max())
    assert facts.looks_stripped is False
    assert stripped.looks_stripped is True
    assert facts.fingerprint != stripped.fingerprint
    assert facts.fingerprint == volume_facts(add_volume(head.astype(float))).fingerprint


def test_no_voxels(scene):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    facts = volume_facts(node)
    assert facts.size == (0, 0, 0)
    assert facts.fingerprint == ""
    assert facts.looks_stripped is None


def test_voxels_are_looked_at_once_until_they_change(add_volume, monkeypatch):
    looks = []
    look = module.looks_stripped
    monkeypatch.setattr(module, "looks_stripped", lambda *v: looks.append(1) or look(*v))
    node = add_volume(np.zeros((9, 9, 9), np.float32))
    before = volume_facts(node)
    node.SetName("renamed")
    assert volume_facts(node).name == "renamed"
    assert len(looks) == 1
    slicer.util.arrayFromVolume(node)[4] = 7
    slicer.util.arrayFromVolumeModified(node)
    after = volume_facts(node)
    assert len(looks) == 2
    assert after.highest == 7
    assert after.fingerprint != before.fingerprint


def test_another_volume_under_the_id_of_a_closed_scene(add_volume):
    import slicer_app

    first = volume_facts(add_volume(np.zeros((9, 9, 9), np.float32)))
    slicer_app.clear()
    second = volume_facts(add_volume(np.ones((9, 9, 9), np.float32)))
    assert first.id == second.id
    assert second.highest == 1


def test_patient_and_study(scene, add_volume):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    one, other, loose = (add_volume(name=name) for name in ("one", "other", "loose"))
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Doe^Jane")
    for node, day in ((one, "20240131"), (other, "20240220")):
        study = hierarchy.CreateStudyItem(patient, node.GetName())
        hierarchy.SetItemAttribute(study, "DICOM.StudyDate", day)
        hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), study)
    hierarchy.SetItemAttribute(hierarchy.GetItemByDataNode(one), "DICOM.Modality", "MR")
    facts = [volume_facts(node) for node in (one, other, loose)]
    assert facts[0].patient == facts[1].patient != ""
    assert facts[0].study != facts[1].study
    assert facts[2].patient == facts[2].study == ""
    assert [f.day for f in facts] == ["20240131", "20240220", ""]
    assert [f.modality for f in facts] == ["MR", "", ""]
    assert "Doe" not in repr(facts)


def test_series_from_dicom(add_volume):
    node = add_volume(name="5: AX T1")
    node.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    facts = series_facts(node, Database())
    assert facts.name == "5: AX T1"
    assert facts.description == "AX T1 POST brain tumour"
    assert facts.modality == "MR"
    assert facts.sequence == "SE *se2d1"
    assert (facts.repetition_ms, facts.echo_ms, facts.inversion_ms) == (550.0, 9.8, None)
    assert facts.contrast_agent == "GADAVIST"
    assert facts.image_type == "ORIGINAL\\PRIMARY\\M"


@pytest.mark.parametrize("database", [None, Database()])
def test_series_from_a_file(add_volume, database, tmp_path):
    node = add_volume(name="Volume")
    assert series_facts(node, database).description == ""
    node.AddDefaultStorageNode()
    node.GetStorageNode().SetFileName(str(tmp_path / "BraTS18_t1ce.nii.gz"))
    facts = series_facts(node, database)
    assert facts.description == "BraTS18_t1ce"
    assert facts.echo_ms is None
