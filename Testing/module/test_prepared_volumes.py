"""Registered contrasts and the brain mask as nodes that are kept."""

import numpy as np
import pytest
import slicer
from metakd.contrasts import Contrast

from MetaKDSegmentationLib.grids import node_grid
from MetaKDSegmentationLib.prepared_volumes import is_kept, read_prepared, show_prepared
from MetaKDSegmentationLib.volume_files import VolumeError, write_array, write_volume

T1, T1C, T2, FLAIR = Contrast
OBLIQUE = np.array([[-0.9, 0.2, 0, 5], [0.2, 0.9, 0, 8], [0, 0, 3, -9], [0, 0, 0, 1.0]])
SHAPE = (10, 12, 14)


def outcome(name):
    return {"outcome": name, "moved_mm": 3.0, "turned_degrees": 1.0, "similarity": 0.3}


REPORT = {
    "registration": {"T1": outcome("registered"), "T2": outcome("aligned")},
    "brain": {"source": "builtin", "volume_ml": 1.0},
}


@pytest.fixture
def brain():
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:8, 3:9, 3:11] = 1
    return mask


@pytest.fixture
def study(add_volume, add_transform):
    """T1, T2 and the reference T1c, which lies elsewhere and under a transform."""
    moved = np.eye(4)
    moved[:3, 3] = 3, -4, 5
    volumes = {
        T1: add_volume(np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE), name="AX T1"),
        T1C: add_volume(name="AX T1 POST", ijk_to_ras=OBLIQUE, parent=add_transform(moved)),
        T2: add_volume(name="AX T2"),
    }
    volumes[T1].CreateDefaultDisplayNodes()
    volumes[T1].GetDisplayNode().SetAutoWindowLevel(False)
    volumes[T1].GetDisplayNode().SetWindowLevel(321, 123)
    return volumes


@pytest.fixture
def keep(study, brain, tmp_path):
    """`keep(scan, report, inputs)`: what a run does at its end; the answer's files are real."""
    grid = write_volume(study[T1C], tmp_path / "t1c.nrrd")

    def end_of_run(scan=None, report=REPORT, inputs=()):
        scan = np.full(SHAPE, 7, np.int16) if scan is None else scan
        paths = {}
        for name, voxels in {"t1": scan, "t2": scan, "brain": brain}.items():
            paths[name] = str(tmp_path / f"{name}.nrrd")
            write_array(voxels, grid.file, tmp_path / f"{name}.nrrd")
        prepared = read_prepared(paths, report, grid)
        show_prepared(prepared, study[T1C], {c: node.GetID() for c, node in study.items()}, inputs)

    return end_of_run


def kept():
    """The nodes that were kept, by name."""
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return {node.GetName(): node for node in nodes if is_kept(node)}


def test_what_was_moved_is_kept_on_the_grid_and_under_the_transform_of_the_reference(
    keep, study, brain
):
    scan = np.random.default_rng(0).integers(0, 900, SHAPE).astype(np.int16)
    keep(scan)
    assert set(kept()) == {"AX T1 registered", "AX T1 POST brain mask"}
    volume, mask = kept()["AX T1 registered"], kept()["AX T1 POST brain mask"]
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume), scan)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(mask), brain)
    assert mask.IsA("vtkMRMLLabelMapVolumeNode")
    for node in (volume, mask):
        assert node_grid(node).is_like(node_grid(study[T1C]))
        assert node.GetParentTransformNode() is study[T1C].GetParentTransformNode() is not None
    assert (volume.GetDisplayNode().GetWindow(), volume.GetDisplayNode().GetLevel()) == (321, 123)


def test_a_later_run_writes_into_the_same_nodes(keep):
    keep()
    before = kept()
    before["AX T1 registered"].GetDisplayNode().SetWindowLevel(50, 60)
    keep(np.full(SHAPE, 9, np.int16))
    assert kept() == before
    assert slicer.util.arrayFromVolume(before["AX T1 registered"]).max() == 9
    assert before["AX T1 registered"].GetDisplayNode().GetWindow() == 50


def test_what_somebody_has_changed_is_theirs(keep):
    keep()
    volume = kept()["AX T1 registered"]
    slicer.util.arrayFromVolume(volume)[3, 4, 5] = 1
    slicer.util.arrayFromVolumeModified(volume)
    keep(np.full(SHAPE, 9, np.int16))
    assert slicer.util.arrayFromVolume(volume).max() == 7
    assert set(kept()) > {"AX T1 registered", "AX T1 registered_1"}


def test_what_a_run_reads_is_not_written_into(keep):
    keep()
    nodes = kept()
    keep(np.full(SHAPE, 9, np.int16), inputs=[node.GetID() for node in nodes.values()])
    assert slicer.util.arrayFromVolume(nodes["AX T1 registered"]).max() == 7
    assert len(kept()) == 4


def test_a_volume_of_another_source_is_another_volume(keep, study, add_volume):
    keep()
    study[T1] = add_volume(name="another T1")
    keep(np.full(SHAPE, 9, np.int16))
    assert set(kept()) == {"AX T1 registered", "another T1 registered", "AX T1 POST brain mask"}
    assert slicer.util.arrayFromVolume(kept()["AX T1 registered"]).max() == 7


def test_nothing_is_kept_that_is_there_already(keep):
    given = {"registration": {"T1": outcome("aligned")}, "brain": {"source": "mask"}}
    keep(report=given)
    assert kept() == {}


def test_a_source_that_is_gone_needs_no_copy(keep, study, scene):
    scene.RemoveNode(study[T1])
    keep()
    assert set(kept()) == {"AX T1 POST brain mask"}


def test_nothing_changes_when_a_file_cannot_be_read(keep, study, scene, tmp_path):
    grid = write_volume(study[T1C], tmp_path / "t1c.nrrd")
    before = scene.GetNumberOfNodes()
    with pytest.raises(VolumeError, match=r"brain.nrrd cannot be read"):
        read_prepared({"brain": str(tmp_path / "brain.nrrd")}, REPORT, grid)
    assert scene.GetNumberOfNodes() == before


def test_they_are_recognised_in_a_saved_scene(keep, scene, study, tmp_path):
    keep()
    scene.SetURL(str(tmp_path / "scene.mrml"))
    for node in slicer.util.getNodesByClass("vtkMRMLVolumeNode"):
        node.AddDefaultStorageNode()
        node.GetStorageNode().SetFileName(str(tmp_path / f"{node.GetID()}.nrrd"))
        assert node.GetStorageNode().WriteData(node)
    scene.Commit()
    scene.Clear(0)
    scene.SetURL(str(tmp_path / "scene.mrml"))
    scene.Connect()
    study.update({c: scene.GetFirstNodeByName(name) for c, name in
                  {T1: "AX T1", T1C: "AX T1 POST", T2: "AX T2"}.items()})  # fmt: skip
    keep(np.full(SHAPE, 9, np.int16))
    assert set(kept()) == {"AX T1 registered", "AX T1 POST brain mask"}
