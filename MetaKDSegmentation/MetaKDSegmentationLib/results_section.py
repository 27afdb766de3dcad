"""What came out: volumes, trust, importance weights; the views."""

from __future__ import annotations

from types import SimpleNamespace

import slicer

from MetaKDSegmentationLib import views
from MetaKDSegmentationLib.order import chosen_volumes
from MetaKDSegmentationLib.parameter_node import ParameterNode
from MetaKDSegmentationLib.provenance import is_edited, made_from, read_report
from MetaKDSegmentationLib.results import importance_html, results_html
from MetaKDSegmentationLib.volumes_table import table_of


class ResultsSection:
    """Shows the report that the output segmentation carries, also after loading a scene."""

    def __init__(self, ui: SimpleNamespace) -> None:
        self._ui = ui
        self._parameters: ParameterNode | None = None
        ui.centreButton.clicked.connect(lambda *_: self._centre())
        ui.showTableButton.clicked.connect(lambda *_: self._show_table())

    def refresh(self, parameters: ParameterNode) -> None:
        """Show the output segmentation's report, or nothing."""
        self._parameters = parameters
        segmentation = parameters.output_segmentation
        report = read_report(segmentation) if segmentation else None
        self._ui.resultsSection.setVisible(report is not None)
        if report is not None:
            self._ui.resultsText.setText(results_html(report, _remarks(parameters)))
            self._ui.importanceText.setText(importance_html(report))
            self._ui.show3DButton.setSegmentationNode(segmentation)
        table = table_of(segmentation) if segmentation else None
        self._ui.showTableButton.setEnabled(table is not None)

    def show_views(self) -> None:
        """After a run: the 3D view looks at the tumour."""
        if slicer.app.layoutManager() is not None:  # none without a main window
            slicer.util.resetThreeDViews()

    def _centre(self) -> None:
        if self._parameters is not None and self._parameters.output_segmentation:
            views.centre_on(self._parameters.output_segmentation)

    def _show_table(self) -> None:
        segmentation = self._parameters.output_segmentation if self._parameters else None
        table = table_of(segmentation) if segmentation else None
        layout = slicer.app.layoutManager()
        if table is None or layout is None:
            return
        layout.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpTableView)
        selection = slicer.app.applicationLogic().GetSelectionNode()
        selection.SetActiveTableID(table.GetID())
        slicer.app.applicationLogic().PropagateTableSelection()


def _remarks(parameters: ParameterNode) -> list[str]:
    """What no longer fits between the result that is shown and the panel."""
    segmentation, remarks = parameters.output_segmentation, []
    now = {contrast: node.GetID() for contrast, node in chosen_volumes(parameters).items()}
    if now != made_from(segmentation):
        remarks.append("The volumes above are not those of this result: Apply again.")
    if is_edited(segmentation):
        remarks.append(
            "Edited since: the millilitres are the model's. Apply writes a new segmentation."
        )
    return remarks
