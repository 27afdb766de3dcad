"""The parameter node wrapper: values kept in the scene, widgets tied to them."""

import enum
import pathlib
from types import SimpleNamespace
from typing import Annotated

import pytest


class Device(enum.Enum):
    AUTO = "auto"
    CPU = "cpu"

    def label(self):
        return self.value.title()


def _parameters():
    import slicer
    from slicer.parameterNodeWrapper import Default, WithinRange, parameterNodeWrapper

    @parameterNodeWrapper
    class Parameters:
        volume: slicer.vtkMRMLScalarVolumeNode
        keep: bool
        device: Device = Device.CPU
        note: str = "hello"
        overlap: Annotated[float, WithinRange(0, 0.9)] = 0.5
        folder: pathlib.Path
        count: Annotated[int, Default(3)]

    return Parameters


@pytest.fixture
def panel(host):
    """A node, its parameters and the widgets, not yet connected."""
    import slicer

    from slicer_host.test_ui_file import PANEL

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "Parameters")
    node.SetSingletonTag("Parameters")
    widget = slicer.util.loadUI(str(PANEL))
    widget.setMRMLScene(slicer.mrmlScene)
    ui = slicer.util.childWidgetVariables(widget)
    return SimpleNamespace(node=node, parameters=_parameters()(node), ui=ui, widget=widget)


@pytest.fixture
def connected(panel):
    panel.tag = panel.parameters.connectParametersToGui(_named(panel.ui))
    yield panel
    panel.parameters.disconnectGui(panel.tag)


def _named(ui):
    """Parameter name → the widget that names it."""
    named = {widget.property("SlicerParameterName"): widget for widget in vars(ui).values()}
    return {name: widget for name, widget in named.items() if name}


def test_all_that_name_a_parameter_are_connected_but_no_tag_is_given(panel):
    assert panel.parameters.connectGui(panel.ui) is None  # as in Slicer 5.12
    panel.ui.keepBox.click()
    assert panel.parameters.keep is True
    for tag in list(panel.parameters._guis):
        panel.parameters.disconnectGui(tag)


def _volume(name="T1"):
    import slicer

    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)


def test_defaults_are_written_at_once(panel):
    parameters, node = panel.parameters, panel.node
    assert parameters.volume is None
    assert parameters.keep is False
    assert parameters.device is Device.CPU
    assert node.GetParameter("device") == "CPU"
    assert (parameters.note, parameters.overlap, parameters.count) == ("hello", 0.5, 3)
    assert parameters.folder == pathlib.Path()
    assert parameters.parameterNode is node


def test_a_value_is_in_the_node_and_modifies_it_once(panel):
    heard = []
    panel.parameters.AddObserver("ModifiedEvent", lambda *_: heard.append(1))
    panel.parameters.device = Device.AUTO
    assert heard == [1]
    volume = _volume()
    panel.parameters.volume = volume
    assert heard == [1, 1]
    panel.parameters.volume = volume
    assert heard == [1, 1]
    assert panel.node.GetNodeReference("volume") is volume
    assert _parameters()(panel.node).device is Device.AUTO


def test_several_changes_can_be_one(panel):
    import slicer

    heard = []
    panel.node.AddObserver("ModifiedEvent", lambda *_: heard.append(1))
    with slicer.util.NodeModify(panel.parameters):
        panel.parameters.keep = True
        panel.parameters.note = "both"
    assert heard == [1]


def test_wrong_values_are_refused_and_change_nothing(panel):
    import slicer

    parameters = panel.parameters
    with pytest.raises(ValueError, match="within range"):
        parameters.overlap = 1.0
    with pytest.raises(TypeError, match="must be of type"):
        parameters.keep = "yes"
    with pytest.raises(TypeError, match="must be of type"):
        parameters.volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode")
    with pytest.raises(ValueError, match="not be None"):
        parameters.note = None
    with pytest.raises(ValueError, match="Cannot find a param"):
        parameters.getValue("noSuchThing")
    assert (parameters.overlap, parameters.keep, parameters.note) == (0.5, False, "hello")


def test_the_widgets_show_the_values(connected):
    ui, parameters = connected.ui, connected.parameters
    assert [ui.deviceBox.itemText(i) for i in range(ui.deviceBox.count)] == ["Auto", "Cpu"]
    assert ui.deviceBox.currentText == "Cpu"
    assert (ui.noteEdit.text, ui.overlapBox.value, ui.overlapBox.maximum) == ("hello", 0.5, 0.9)
    volume = _volume()
    parameters.volume, parameters.keep, parameters.note = volume, True, "x"
    assert ui.volumeSelector.currentNode() is volume
    assert (ui.keepBox.checked, ui.noteEdit.text) == (True, "x")


def test_the_values_follow_the_widgets(connected):
    ui, parameters = connected.ui, connected.parameters
    volume = _volume()
    ui.volumeSelector.setCurrentNode(volume)
    ui.keepBox.click()
    ui.deviceBox.setCurrentIndex(0)
    ui.noteEdit.text = "typed"
    ui.overlapBox.value = 0.25
    assert parameters.volume is volume
    assert parameters.keep is True
    assert parameters.device is Device.AUTO
    assert (parameters.note, parameters.overlap) == ("typed", 0.25)


def test_a_widget_that_shows_less_does_not_change_the_value(connected):
    connected.parameters.overlap = 0.123
    assert connected.ui.overlapBox.value == 0.12
    assert connected.parameters.overlap == 0.123


def test_nothing_follows_after_disconnecting(connected):
    connected.parameters.disconnectGui(connected.tag)
    connected.ui.keepBox.click()
    connected.parameters.note = "x"
    assert connected.parameters.keep is False
    assert connected.ui.noteEdit.text == "hello"


def test_a_removed_node_is_none(panel):
    import slicer

    volume = _volume()
    panel.parameters.volume = volume
    slicer.mrmlScene.RemoveNode(volume)
    assert panel.parameters.volume is None


def test_a_pair_that_slicer_does_not_know_is_refused(panel):
    with pytest.raises(RuntimeError, match="Unable to create GUI connector"):
        panel.parameters.connectParametersToGui({"keep": panel.ui.noteEdit})


def test_a_widget_that_names_no_parameter_is_refused(panel):
    panel.ui.applyButton.setProperty("SlicerParameterName", "noSuchThing")
    with pytest.raises(ValueError, match="Cannot find a param"):
        panel.parameters.connectGui(panel.ui)


def test_what_is_not_built_here_says_so(host):
    with pytest.raises(NotImplementedError, match="parameterPack"):
        from slicer.parameterNodeWrapper import parameterPack  # noqa: F401
    with pytest.raises(ImportError):
        from slicer.parameterNodeWrapper import noSuchThing  # noqa: F401


@pytest.mark.parametrize("ending", ["mrb", "mrml"])
def test_saving_and_loading_the_scene_restores_the_panel(host, connected, tmp_path, ending):
    """As a module does it: the widgets are let go while the scene closes, and tied again after."""
    import slicer

    parameters = connected.parameters
    parameters.volume, parameters.keep, parameters.note = _volume("T1"), True, "kept"
    parameters.device, parameters.overlap = Device.AUTO, 0.25
    path = tmp_path / f"scene.{ending}"
    host.save_scene(path)
    parameters.disconnectGui(connected.tag)
    parameters.keep, parameters.volume = False, None
    heard = []
    scene = slicer.mrmlScene
    tags = [
        scene.AddObserver(getattr(scene, name), lambda *_, name=name: heard.append(name))
        for name in ("StartCloseEvent", "EndCloseEvent", "EndImportEvent")
    ]
    host.load_scene(path)
    for tag in tags:
        scene.RemoveObserver(tag)
    assert heard == ["StartCloseEvent", "EndCloseEvent", "EndImportEvent"]
    node = scene.GetSingletonNode("Parameters", "vtkMRMLScriptedModuleNode")
    restored = _parameters()(node)
    assert restored.volume.GetName() == "T1"
    tag = restored.connectParametersToGui(_named(connected.ui))
    assert connected.ui.volumeSelector.currentNode().GetName() == "T1"
    assert (connected.ui.keepBox.checked, connected.ui.noteEdit.text) == (True, "kept")
    assert (connected.ui.deviceBox.currentText, connected.ui.overlapBox.value) == ("Auto", 0.25)
    restored.disconnectGui(tag)
