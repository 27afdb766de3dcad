"""3D Slicer module: brain tumours from any subset of T1, T1c, T2 and FLAIR (MetaKD)."""

from pathlib import Path

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from MetaKDSegmentationLib.panel import Panel
from MetaKDSegmentationLib.parameter_node import ParameterNode
from MetaKDSegmentationLib.segmentation_logic import SegmentationLogic
from MetaKDSegmentationLib.self_test import SelfTest
from MetaKDSegmentationLib.terminology import load_terminology
from MetaKDSegmentationLib.worker_process import WorkerProcess


class MetaKDSegmentation(ScriptedLoadableModule):
    """What Slicer lists."""

    def __init__(self, parent):
        super().__init__(parent)
        parent.title = _("MetaKD Segmentation")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations", "Volumes", "Terminologies"]
        parent.contributors = ["MetaKDSegmentation contributors"]
        parent.helpText = _(
            "Segments necrotic core, oedema and enhancing tumour from any subset of T1, T1c, T2 "
            "and FLAIR. Research use only, not for clinical decisions. "
            '<a href="https://github.com/MetaKDSegmentation/SlicerMetaKDSegmentation">More</a>.'
        )
        parent.acknowledgementText = _(
            "Method: MetaKD, arXiv 2405.07155, and its forerunner LCKD, arXiv 2310.01035."
        )
        slicer.app.connect("startupCompleted()", load_terminology)


class MetaKDSegmentationWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Builds the panel from its .ui file and keeps it in step with the scene."""

    def __init__(self, parent=None):
        VTKObservationMixin.__init__(self)
        self.ui = self.logic = self.panel = None
        ScriptedLoadableModuleWidget.__init__(self, parent)  # may call setup()

    def setup(self):
        super().setup()
        form = slicer.util.loadUI(self.resourcePath("UI/MetaKDSegmentation.ui"))
        self.layout.addWidget(form)
        form.setMRMLScene(slicer.mrmlScene)
        self.logic = MetaKDSegmentationLogic(
            log=lambda text: self.panel.log.write(text),
            on_change=lambda: self.panel.refresh(),
            on_progress=lambda: self.panel.show_progress(),
        )
        self.ui = slicer.util.childWidgetVariables(form)
        self.panel = Panel(self.ui, self.logic.segmentation)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        # Selectors that follow the scene while it is read would empty the parameter node.
        self.addObserver(scene, scene.StartImportEvent, self.onSceneStartImport)
        for event in (scene.EndCloseEvent, scene.EndImportEvent):
            self.addObserver(scene, event, self.onSceneEnd)
        self.addObserver(  # before the selectors hear of it
            scene, scene.NodeAboutToBeRemovedEvent, self.onNodeAboutToBeRemoved, priority=1.0
        )
        slicer.app.connect("aboutToQuit()", self.cleanup)
        self.panel.show(self.logic.getParameterNode())

    def enter(self):
        self.panel.show(self.logic.getParameterNode())

    def exit(self):
        """A run goes on while another module is open."""

    def cleanup(self):
        """End the worker, delete the private folder, let go of the scene."""
        slicer.app.disconnect("aboutToQuit()", self.cleanup)
        self.removeObservers()
        if self.panel is not None:
            self.logic.segmentation.close()
            self.panel.close()

    def onSceneStartClose(self, caller, event):
        self.panel.show(None)
        self.logic.segmentation.close()

    def onSceneStartImport(self, caller, event):
        self.panel.show(None)

    def onSceneEnd(self, caller, event):
        self.panel.new_scene()
        self.panel.show(self.logic.getParameterNode())

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAboutToBeRemoved(self, caller, event, node):
        self.panel.forget(node)


class MetaKDSegmentationLogic(ScriptedLoadableModuleLogic):
    """For scripts: `logic.segmentation.segment(logic.getParameterNode(), on_done, on_failure)`."""

    def __init__(self, make_process=WorkerProcess, **listeners):
        super().__init__()
        self.segmentation = SegmentationLogic(
            make_process, Path(slicer.app.temporaryPath), **listeners
        )

    def getParameterNode(self):
        return ParameterNode(super().getParameterNode())


class MetaKDSegmentationTest(SelfTest, ScriptedLoadableModuleTest):
    """Runs in Slicer with or without PyTorch; the tests are in `self_test`."""
