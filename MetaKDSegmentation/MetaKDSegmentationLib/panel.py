"""The panel: its sections, and when each of them is shown anew."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import slicer
import vtk
from metakd import __version__

from MetaKDSegmentationLib.inputs_section import InputsSection
from MetaKDSegmentationLib.log_section import LogSection
from MetaKDSegmentationLib.model_section import ModelSection
from MetaKDSegmentationLib.order import chosen_volumes, used_mask
from MetaKDSegmentationLib.panel_state import reasons_against
from MetaKDSegmentationLib.parameter_node import ParameterNode
from MetaKDSegmentationLib.results_section import ResultsSection
from MetaKDSegmentationLib.run_section import RunSection
from MetaKDSegmentationLib.segmentation_logic import SegmentationLogic
from MetaKDSegmentationLib.setup_section import SetupSection
from MetaKDSegmentationLib.status_line import StatusLine
from MetaKDSegmentationLib.verify_section import VerifySection

_VOLUME_EVENTS = (
    vtk.vtkCommand.ModifiedEvent,
    slicer.vtkMRMLTransformableNode.TransformModifiedEvent,
    slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent,
)


class Panel:
    """Shows one parameter node; everything the user sees follows from it and from the logic."""

    def __init__(self, ui: SimpleNamespace, logic: SegmentationLogic) -> None:
        self._ui, self._logic = ui, logic
        self._parameters: ParameterNode | None = None
        self._gui_tag: Any = None
        self._observed: list[tuple[Any, int]] = []
        self._status = StatusLine(ui)
        self._setup = SetupSection(ui, logic)
        self._inputs = InputsSection(ui, logic, self._status)
        self._model = ModelSection(ui, logic, self._status)
        self._results = ResultsSection(ui)
        self._run = RunSection(ui, logic, self._status, self._results.show_views)
        self._verify = VerifySection(ui, logic, self._status)
        self.log = LogSection(ui, self._diagnostics)

    def show(self, parameters: ParameterNode | None) -> None:
        """Follow a parameter node, or none while the scene changes."""
        held = self._parameters
        if _same_node(held, parameters):  # each new wrapper leaves observers behind
            self._look()
            return
        if held is not None:
            held.disconnectGui(self._gui_tag)
        self._unobserve()
        self._parameters = parameters
        if parameters is not None:
            # Not `connectGui`: in some Slicer versions it forgets to return the tag.
            self._gui_tag = parameters.connectParametersToGui(_bound_widgets(self._ui))
            self._look()

    def refresh(self, *_: object) -> None:
        """Bring every widget up to date."""
        parameters = self._parameters
        if parameters is None:
            return
        self._observe(parameters)
        self._setup.refresh()
        found = self._inputs.refresh(parameters)
        self._model.refresh(parameters)
        reasons = reasons_against(
            found,
            torch_problem=self._setup.problem,
            model_problem=self._model.problem,
        )
        self._run.refresh(parameters, reasons)
        self._results.refresh(parameters)
        self._verify.refresh(parameters)

    def new_scene(self) -> None:
        """What was said was of another scene."""
        self._status.clear()

    def show_progress(self) -> None:
        """One more unit of work is done."""
        self._run.show_progress()

    def forget(self, node: Any) -> None:
        """A node is about to leave the scene: its slot becomes empty.

        Slicer's selectors would go on to the next node, and a slot change unseen.
        """
        parameters = self._parameters
        for name in parameters.allParameters if parameters is not None else ():
            if getattr(parameters, name) is node:
                setattr(parameters, name, None)

    def close(self) -> None:
        """Let go of the scene."""
        self._run.stop()
        self.show(None)

    def _look(self) -> None:
        """See what may have changed elsewhere: PyTorch, the installed models."""
        self._setup.look()
        self._model.reload()
        self.refresh()

    def _observe(self, parameters: ParameterNode) -> None:
        """Follow the parameter node, the volumes' voxels and places, and edited segments."""
        mask = used_mask(parameters)
        nodes = [*chosen_volumes(parameters).values(), *([mask] if mask else [])]
        segmentations = [
            node.GetSegmentation()
            for node in (parameters.output_segmentation, parameters.reference_segmentation)
            if node is not None
        ]
        wanted = list(dict.fromkeys([parameters.parameterNode, *nodes, *segmentations]))
        if list(dict.fromkeys(node for node, _ in self._observed)) == wanted:
            return
        self._unobserve()
        self._observed = [
            (node, node.AddObserver(event, self.refresh))
            for node in wanted
            for event in _events(node)
        ]

    def _unobserve(self) -> None:
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        self._observed = []

    def _diagnostics(self) -> dict[str, str]:
        """What a bug report needs; contrasts by name only."""
        ready, parameters = self._logic.tried, self._parameters
        facts = {"MetaKDSegmentation": __version__, "Model": parameters.model if parameters else ""}
        if ready is not None:
            facts["Worker"] = f"torch {ready.torch}, device {ready.device} {dict(ready.unusable)}"
        if parameters is not None:
            facts["Contrasts"] = " ".join(c.label for c in chosen_volumes(parameters))
            facts["Device wanted"] = parameters.device.value
            steps = {"Register": parameters.register, "Extract brain": parameters.extract_brain}
            facts.update({name: "on" if done else "off" for name, done in steps.items()})
        return facts


def _bound_widgets(ui: SimpleNamespace) -> dict[str, Any]:
    """Parameter name → the widget that says in the .ui file that it shows it."""
    named = {widget.property("SlicerParameterName"): widget for widget in vars(ui).values()}
    return {name: widget for name, widget in named.items() if name}


def _events(watched: Any) -> tuple[int, ...]:
    if watched.IsA("vtkMRMLVolumeNode"):
        return _VOLUME_EVENTS
    if watched.IsA("vtkSegmentation"):
        return (slicer.vtkSegmentation.SourceRepresentationModified,)
    return (vtk.vtkCommand.ModifiedEvent,)


def _same_node(one: ParameterNode | None, other: ParameterNode | None) -> bool:
    return one is not None and other is not None and one.parameterNode is other.parameterNode
