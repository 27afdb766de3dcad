"""The node selector follows the real scene."""

import pytest

VOLUME, LABELS = "vtkMRMLScalarVolumeNode", "vtkMRMLLabelMapVolumeNode"


@pytest.fixture
def scene(host):
    import slicer

    return slicer.mrmlScene


@pytest.fixture
def selector(scene):
    import slicer

    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = [VOLUME]
    selector.showChildNodeTypes = False
    selector.noneEnabled = True
    selector.addEnabled = selector.removeEnabled = False
    selector.setMRMLScene(scene)
    return selector


@pytest.fixture
def heard(selector):
    heard = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", heard.append)
    return heard


def _names(selector):
    return [selector.nodeFromIndex(index).GetName() for index in range(selector.nodeCount())]


def test_it_is_disabled_without_a_scene(host):
    import slicer

    selector = slicer.qMRMLNodeComboBox()
    assert not selector.enabled
    assert selector.nodeCount() == 0
    selector.setMRMLScene(slicer.mrmlScene)
    assert selector.enabled


def test_nodes_come_and_go(scene, selector):
    first = scene.AddNewNodeByClass(VOLUME, "T1")
    scene.AddNewNodeByClass(VOLUME, "T2")
    scene.AddNewNodeByClass(LABELS, "labels")
    scene.AddNewNodeByClass("vtkMRMLTextNode", "text")
    assert _names(selector) == ["T1", "T2"]
    scene.RemoveNode(first)
    assert _names(selector) == ["T2"]


def test_nodes_that_were_there_before_are_offered_and_none_is_chosen(scene):
    import slicer

    scene.AddNewNodeByClass(VOLUME, "T1")
    late = slicer.qMRMLNodeComboBox()
    late.noneEnabled = True
    late.nodeTypes = [VOLUME]
    late.setMRMLScene(scene)
    assert _names(late) == ["T1"]
    assert late.currentNode() is None
    assert late.currentNodeID == ""


def test_both_overloads_tell_of_a_choice(scene, selector, heard):
    valid = []
    selector.connect("currentNodeChanged(bool)", valid.append)
    volume = scene.AddNewNodeByClass(VOLUME, "T1")
    selector.setCurrentNode(volume)
    selector.setCurrentNode(volume)
    selector.setCurrentNodeID("")
    assert heard == [volume, None]
    assert valid == [True, False]


def test_a_node_asked_for_before_the_scene_is_set_is_chosen_then(scene):
    import slicer

    volume = scene.AddNewNodeByClass(VOLUME, "T1")
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = [VOLUME]
    selector.setCurrentNode(volume)
    selector.setMRMLScene(scene)
    assert selector.currentNode() is volume


def test_when_the_chosen_node_goes_the_next_one_is_chosen(scene, selector, heard):
    """As Qt does it: not *None*. A module that must not slide to another volume has to act."""
    first, second = (scene.AddNewNodeByClass(VOLUME, name) for name in ("T1", "T2"))
    selector.setCurrentNode(first)
    scene.RemoveNode(first)
    assert selector.currentNode() is second
    scene.RemoveNode(second)
    assert selector.currentNode() is None
    assert heard == [first, second, None]


def test_a_new_name_is_shown_and_told_for_the_chosen_node(scene, selector, heard):
    volume = scene.AddNewNodeByClass(VOLUME, "T1")
    selector.setCurrentNode(volume)
    volume.SetName("T1c")
    assert heard == [volume, volume]
    box = selector.findChildren("QComboBox")[0]
    assert box.currentText == "T1c"


def test_hidden_nodes_are_not_offered(scene, selector):
    volume = scene.AddNewNodeByClass(VOLUME, "T1")
    volume.SetHideFromEditors(True)
    volume.Modified()
    assert selector.nodeCount() == 0
    selector.showHidden = True
    assert selector.nodeCount() == 1


def test_only_nodes_with_the_attribute_are_offered(scene, selector):
    volume = scene.AddNewNodeByClass(VOLUME, "T1")
    scene.AddNewNodeByClass(VOLUME, "T2")
    selector.addAttribute(VOLUME, "contrast", "t1")
    assert selector.nodeCount() == 0
    volume.SetAttribute("contrast", "t1")
    assert _names(selector) == ["T1"]


def test_a_new_node_gets_the_base_name_and_is_chosen(scene, selector):
    selector.baseName = "Input"
    node = selector.addNode()
    assert node.GetName() == "Input"
    assert selector.currentNode() is node


def test_changing_what_is_offered_keeps_the_choice(scene, selector, heard):
    volume = scene.AddNewNodeByClass(VOLUME, "T1")
    selector.setCurrentNode(volume)
    selector.noneDisplay = "not acquired"
    selector.showChildNodeTypes = True
    selector.noneEnabled = False
    assert selector.currentNode() is volume
    assert heard == [volume]


def test_closing_the_scene_leaves_nothing(host, scene, selector, heard):
    first, _ = (scene.AddNewNodeByClass(VOLUME, name) for name in ("T1", "T2"))
    selector.setCurrentNode(first)
    host.close_scene()
    assert (selector.nodeCount(), selector.currentNode()) == (0, None)
    assert heard == [first, None]  # all go at once: no other is chosen on the way


def test_importing_a_scene_leaves_nothing_chosen(host, scene, selector, tmp_path):
    selector.setCurrentNode(scene.AddNewNodeByClass(VOLUME, "T1"))
    host.save_scene(tmp_path / "one.mrml")
    added = []
    selector.connect("nodeAdded(vtkMRMLNode*)", added.append)
    scene.SetURL(str(tmp_path / "one.mrml"))
    scene.Import()
    assert selector.nodeCount() == len(added) == 2  # all at the end, none while it is read
    assert selector.currentNode() is None


def test_a_selector_that_is_gone_hears_nothing(host, scene):
    import slicer

    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = [VOLUME]
    selector.setMRMLScene(scene)
    selector.deleteLater()
    del selector
    host.process_events()
    scene.AddNewNodeByClass(VOLUME, "T1")
