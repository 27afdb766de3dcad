"""The model to use: the list, the card, importing, removing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import qt
import slicer
from metakd.packages import ModelError, remove_model
from slicer.i18n import tr as _

from MetaKDSegmentationLib.model_cards import (
    InstalledModel,
    card_html,
    installed_models,
    missing_model,
)
from MetaKDSegmentationLib.parameter_node import ParameterNode
from MetaKDSegmentationLib.protocol import Failure
from MetaKDSegmentationLib.segmentation_logic import SegmentationLogic
from MetaKDSegmentationLib.status_line import StatusLine


class ModelSection:
    """Model list with its card, *Import model…*, *Open folder*, *Remove*."""

    def __init__(self, ui: SimpleNamespace, logic: SegmentationLogic, status: StatusLine) -> None:
        self._ui, self._logic, self._status = ui, logic, status
        self._parameters: ParameterNode | None = None
        self._models: dict[str, InstalledModel] = {}
        self._carded: InstalledModel | None = None
        menu = qt.QMenu(ui.importModelButton)
        menu.addAction(_("From a zip file…")).triggered.connect(lambda *_: self._import_zip())
        menu.addAction(_("From a folder…")).triggered.connect(lambda *_: self._import_folder())
        ui.importModelButton.setMenu(menu)
        ui.modelSelector.currentIndexChanged.connect(lambda *_: self._choose())
        ui.modelDetailsButton.toggled.connect(lambda *_: self._show_card())
        ui.openModelFolderButton.clicked.connect(lambda *_: self._open_folder())
        ui.removeModelButton.clicked.connect(lambda *_: self._remove())
        self.reload()

    @property
    def problem(self) -> str:
        """Why the chosen model cannot be used; empty when it can."""
        model = self._shown()
        return "no model is installed: import one" if model is None else model.problem

    def refresh(self, parameters: ParameterNode) -> None:
        """Show the parameter node's model, also one that is not installed here."""
        self._parameters = parameters
        names = list(self._models)
        if parameters.model and parameters.model not in names:  # a scene from elsewhere
            self.reload()
            names = list(self._models)
        wanted = names.index(parameters.model) if parameters.model in names else 0
        if names and self._ui.modelSelector.currentIndex != wanted:
            self._ui.modelSelector.setCurrentIndex(wanted)
        self._show_card()

    def reload(self) -> None:
        """List the packages anew."""
        self._models = installed_models()
        wanted = self._parameters.model if self._parameters is not None else ""
        if wanted and wanted not in self._models:
            self._models[wanted] = missing_model(wanted)
        selector = self._ui.modelSelector
        selector.blockSignals(True)
        selector.clear()
        for model in self._models.values():
            selector.addItem(model.title)
        selector.blockSignals(False)
        self._show_card()

    def import_package(self, path: Path) -> None:
        """Check a package in the background, install it and choose it."""

        def done(name: str) -> None:
            self._status.clear()
            self.reload()
            if self._parameters is not None:
                self._parameters.model = name

        self._status.say(_("Checking the model …"))
        self._logic.import_model(path, done, self._status.complain)

    def _import_zip(self) -> None:
        file = qt.QFileDialog.getOpenFileName(
            self._ui.importModelButton, _("Import model"), "", _("Model package (*.zip)")
        )
        if file:
            self.import_package(Path(file))

    def _import_folder(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(
            self._ui.importModelButton, _("Import model"), ""
        )
        if folder:
            self.import_package(Path(folder))

    def _choose(self) -> None:
        names = list(self._models)
        index = self._ui.modelSelector.currentIndex
        if self._parameters is not None and 0 <= index < len(names):
            self._parameters.model = names[index]

    def _shown(self) -> InstalledModel | None:
        models = list(self._models.values())
        index = self._ui.modelSelector.currentIndex
        return models[index] if 0 <= index < len(models) else None

    def _show_card(self) -> None:
        model = self._shown()
        self._ui.modelDetails.setVisible(self._ui.modelDetailsButton.checked and model is not None)
        if model is self._carded:
            return
        self._carded = model
        self._ui.modelSelector.setToolTip(model.summary if model else "")
        self._ui.modelDetails.setHtml(card_html(model) if model else "")
        self._ui.openModelFolderButton.setEnabled(model is not None and model.folder is not None)
        self._ui.removeModelButton.setEnabled(model is not None and model.is_imported)

    def _open_folder(self) -> None:
        model = self._shown()
        if model:
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(model.folder)))

    def _remove(self) -> None:
        model = self._shown()
        if model is None or not slicer.util.confirmOkCancelDisplay(
            _("Delete the imported model {name}?").format(name=model.name)
        ):
            return
        try:
            remove_model(model.name)
        except (ModelError, OSError) as error:
            self._status.complain(Failure(None, "model", str(error)))
        if self._parameters is not None:
            self._parameters.model = ""
        self.reload()
