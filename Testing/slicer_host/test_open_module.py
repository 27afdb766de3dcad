"""A scripted module lives in the host as it does in Slicer."""

import shutil
from pathlib import Path

import pytest

MODULE = """
import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import *
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.util import VTKObservationMixin


@parameterNodeWrapper
class TinyParameterNode:
    volume: slicer.vtkMRMLScalarVolumeNode
    keep: bool = False


class Tiny(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Tiny")
        self.parent.categories = ["Segmentation"]
        slicer.app.connect("startupCompleted()", self.started)
        self.start_count = 0

    def started(self):
        self.start_count += 1


class TinyWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.happened = []

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/Tiny.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = TinyLogic()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.closing)
        self.ui.applyButton.clicked.connect(lambda: self.happened.append("apply"))
        slicer.app.aboutToQuit.connect(lambda: self.happened.append("quit"))

    def enter(self):
        self.happened.append("enter")

    def closing(self, caller, event):
        self.happened.append("close scene")

    def cleanup(self):
        self.removeObservers()
        self.happened.append("cleanup")


class TinyLogic(ScriptedLoadableModuleLogic):
    def getParameterNode(self):
        return TinyParameterNode(super().getParameterNode())


class TinyTest(ScriptedLoadableModuleTest):
    ran = []

    def test_it(self):
        self.delayDisplay("testing")
        TinyTest.ran.append("test_it")
"""


@pytest.fixture
def tiny(host, tmp_path):
    """The module, opened."""
    (tmp_path / "Resources" / "UI").mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("panel.ui"), tmp_path / "Resources" / "UI" / "Tiny.ui")
    (tmp_path / "Tiny.py").write_text(MODULE)
    return host.open_module("Tiny", tmp_path)


def test_it_is_made_as_slicer_makes_it(host, tiny):
    import slicer

    assert tiny.happened == ["enter"]
    assert tiny.ui.applyButton.text == "Apply"
    assert tiny.ui.volumeSelector.mrmlScene() is slicer.mrmlScene
    assert slicer.modules.TinyWidget is tiny
    assert slicer.modules.tiny.title == "Tiny"
    assert slicer.util.modulePath("Tiny").endswith("Tiny.py")
    assert "Tiny" in slicer.util.moduleNames()
    assert host.module.start_count == 1
    tiny.ui.applyButton.enabled = True
    tiny.ui.applyButton.click()
    assert tiny.happened[-1] == "apply"


def test_its_parameter_node_is_one_of_the_scene(host, tiny):
    import slicer

    node = tiny.logic.getParameterNode().parameterNode
    assert node.GetAttribute("ModuleName") == "Tiny"
    assert tiny.logic.getParameterNode().parameterNode is node
    assert slicer.mrmlScene.GetSingletonNode("Tiny", "vtkMRMLScriptedModuleNode") is node


def test_it_hears_that_the_scene_closes_and_that_the_application_ends(host, tiny):
    host.close_scene()
    assert tiny.happened[-1] == "close scene"
    happened = tiny.happened
    host.quit()
    assert happened[-2:] == ["quit", "cleanup"]
    assert host.widget is None


def test_opening_it_again_starts_anew(host, tiny, tmp_path):
    import slicer

    first = tiny
    host.close_module()
    assert first.happened[-1] == "cleanup"
    assert not hasattr(slicer.modules, "TinyWidget")
    second = host.open_module("Tiny", tmp_path)
    host.close_scene()
    assert "close scene" in second.happened
    assert "close scene" not in first.happened


def test_the_user_goes_elsewhere_and_comes_back(host, tiny):
    import slicer

    assert tiny.parent.isEntered
    host.leave_module()
    assert not tiny.parent.isEntered
    host.enter_module()
    assert tiny.happened == ["enter", "enter"]
    assert slicer.util.getModuleWidget("Tiny") is tiny
    assert slicer.util.getModuleLogic("Tiny") is tiny.logic


def test_its_own_tests_can_be_run(host, tiny):
    host.module.runTest(msec=0)
    assert host.file.TinyTest.ran == ["test_it"]


def test_its_panel_can_be_drawn(host, tiny, tmp_path):
    assert host.screenshot(tiny, tmp_path / "tiny.png").stat().st_size > 1000


def test_a_module_that_is_not_there_fails(host, tmp_path):
    with pytest.raises(FileNotFoundError):
        host.open_module("Absent", tmp_path)


def test_a_module_that_fails_to_start_leaves_the_application_as_it_was(host, tmp_path):
    (tmp_path / "Broken.py").write_text("class Broken:\n    pass\n")
    with pytest.raises(TypeError):
        host.open_module("Broken", tmp_path)
    host.reset()
    assert host.file is None
