"""The application that the other tests stand on."""

import numpy as np
import pytest
import slicer
import slicer_app
import vtk


def test_it_starts_once():
    assert slicer_app.start() is slicer_app.start()
    assert slicer.modules.volumes.logic() is slicer_app.start().logics["Volumes"]


def test_what_vtk_complains_about_is_heard():
    slicer_app.start()
    with slicer_app.vtk_errors() as errors:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        node.GetSegmentation().AddSegment(None)
    slicer_app.clear()
    assert len(errors) == 1
    assert "Invalid segment" in errors[0]


def test_closing_the_scene_fires_its_events_and_keeps_the_views(scene, add_volume):
    heard = []
    tags = [
        scene.AddObserver(event, lambda *_, event=event: heard.append(event))
        for event in (scene.StartCloseEvent, scene.EndCloseEvent)
    ]
    volume = add_volume()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    assert hierarchy.GetItemByDataNode(volume)
    slicer_app.clear()
    for tag in tags:
        scene.RemoveObserver(tag)
    assert heard == [scene.StartCloseEvent, scene.EndCloseEvent]
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
    nodes = slicer.util.getNodesByClass("vtkMRMLSliceNode")
    assert {node.GetName(): node.GetOrientation() for node in nodes} == slicer_app.SLICE_VIEWS
    view = scene.GetFirstNodeByClass("vtkMRMLViewNode")
    assert slicer_app.start().view_logic.GetViewNode() is view is not None


@pytest.mark.parametrize(("view", "axis"), [("Red", 0), ("Green", 1), ("Yellow", 2)])
def test_a_slice_shows_the_volume_where_it_is_cut(scene, add_volume, tmp_path, view, axis):
    voxels = np.zeros((20, 20, 20), np.float32)
    plane = [slice(None)] * 3
    plane[axis] = 7
    voxels[tuple(plane)] = 100
    volume = add_volume(voxels)
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevel(100, 50)
    logic = slicer_app.start().slice_logics[view]
    logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
    brightness = []
    for position in ((-7, -7, 7), (-12, -12, 12)):
        logic.GetSliceNode().JumpSlice(*position)
        path = slicer_app.render_slice(view, tmp_path / "slice.png", (100, 100))
        reader = vtk.vtkPNGReader()
        reader.SetFileName(str(path))
        reader.Update()
        pixels = np.asarray(reader.GetOutput().GetPointData().GetScalars())
        brightness.append(pixels.mean())
    assert brightness[0] > 200
    assert brightness[1] < 5
