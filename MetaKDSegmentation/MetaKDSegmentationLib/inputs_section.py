"""The four slots: assigning volumes, the state of each, findings before the run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import slicer
from metakd.contrasts import CONTRASTS, Contrast

from MetaKDSegmentationLib.assignment import assign
from MetaKDSegmentationLib.findings import Finding, findings, state_text
from MetaKDSegmentationLib.order import chosen_volumes, used_mask, wanted_reference
from MetaKDSegmentationLib.panel_state import assignment_html, findings_html
from MetaKDSegmentationLib.parameter_node import ParameterNode
from MetaKDSegmentationLib.prepared_volumes import is_kept
from MetaKDSegmentationLib.protocol import Failure
from MetaKDSegmentationLib.segmentation_logic import SegmentationLogic
from MetaKDSegmentationLib.slots import Plan
from MetaKDSegmentationLib.status_line import StatusLine
from MetaKDSegmentationLib.volume_facts import series_facts, volume_facts


class InputsSection:
    """Slots, *Auto-assign*, *Load example study*, and what was found about the volumes."""

    def __init__(self, ui: SimpleNamespace, logic: SegmentationLogic, status: StatusLine) -> None:
        self._ui, self._logic, self._status = ui, logic, status
        self._parameters: ParameterNode | None = None
        self._assigned: dict[Contrast, str] = {}
        ui.autoAssignButton.clicked.connect(lambda *_: self.auto_assign())
        ui.exampleButton.clicked.connect(lambda *_: self.load_example())

    def refresh(self, parameters: ParameterNode) -> tuple[Finding, ...]:
        """Show the slots' states and return what was found about them."""
        self._parameters = parameters
        chosen = chosen_volumes(parameters)
        if {contrast: node.GetID() for contrast, node in chosen.items()} != self._assigned:
            self._ui.assignmentText.setText("")  # another choice since
        facts = {c: volume_facts(node) for c, node in chosen.items()}
        for contrast in CONTRASTS:
            state = getattr(self._ui, f"{contrast.value}State")
            state.setText(f"<small>{state_text(facts.get(contrast))}</small>")
        found = findings(facts, wanted_reference(parameters), _plan(parameters))
        self._ui.brainMaskSelector.setEnabled(parameters.extract_brain)
        self._ui.affineCheckBox.setEnabled(parameters.register)
        self._ui.findingsText.setText(findings_html(found))
        self._ui.findingsText.setVisible(bool(found))
        self._ui.assignmentText.setVisible(bool(self._ui.assignmentText.text))
        return found

    def auto_assign(self) -> None:
        """Fill the slots from the scene's volumes; what is ambiguous stays as it is."""
        if self._parameters is None:
            return
        nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        volumes = [
            node
            for node in nodes
            if node.GetClassName() == "vtkMRMLScalarVolumeNode" and not is_kept(node)
        ]
        database = getattr(slicer, "dicomDatabase", None)
        assignment = assign([series_facts(node, database) for node in volumes])
        taken = set(assignment.slots.values())
        with slicer.util.NodeModify(self._parameters.parameterNode):
            for contrast in CONTRASTS:
                slot = f"{contrast.value}_volume"
                before = getattr(self._parameters, slot)
                kept = before if before is not None and before.GetID() not in taken else None
                volume = assignment.slots.get(contrast)
                chosen = slicer.mrmlScene.GetNodeByID(volume) if volume else kept
                setattr(self._parameters, slot, chosen)
        self._assigned = {c: n.GetID() for c, n in chosen_volumes(self._parameters).items()}
        names = {node.GetID(): node.GetName() for node in volumes}
        self._ui.assignmentText.setText(f"<small>{assignment_html(assignment, names)}</small>")
        self._ui.assignmentText.setVisible(True)

    def load_example(self) -> None:
        """Make and load a synthetic patient, and put it into the slots."""
        self._ui.exampleButton.setEnabled(False)
        self._status.say("Making the example study …")

        def loaded(volumes: Any) -> None:
            self._ui.exampleButton.setEnabled(True)
            self._status.clear()
            if self._parameters is not None:
                for contrast, volume in volumes.items():
                    node = slicer.mrmlScene.GetNodeByID(volume)
                    setattr(self._parameters, f"{contrast.value}_volume", node)
                if slicer.app.layoutManager() is not None:  # none without a main window
                    slicer.util.setSliceViewerLayers(background=node, fit=True)

        def failed(failure: Failure) -> None:
            self._ui.exampleButton.setEnabled(True)
            self._status.complain(failure)

        self._logic.make_example(loaded, failed)


def _plan(parameters: ParameterNode) -> Plan:
    mask = used_mask(parameters)
    return Plan(parameters.register, parameters.extract_brain, volume_facts(mask) if mask else None)
