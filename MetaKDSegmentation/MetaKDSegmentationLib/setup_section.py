"""PyTorch's state and the one button that installs it; seen only when something is missing."""

from __future__ import annotations

from html import escape
from types import SimpleNamespace

from slicer.i18n import tr as _

from MetaKDSegmentationLib.segmentation_logic import SegmentationLogic
from MetaKDSegmentationLib.torch_setup import (
    OFFLINE_HELP,
    SetupError,
    install_torch,
    torch_version,
)


class SetupSection:
    """Hidden while PyTorch is there and works, as far as is known without importing it."""

    def __init__(self, ui: SimpleNamespace, logic: SegmentationLogic) -> None:
        self._ui, self._logic = ui, logic
        self._problem, self._version = "", torch_version()
        ui.offlineText.setText(OFFLINE_HELP)
        ui.installTorchButton.clicked.connect(lambda *_: self._install())
        ui.checkTorchButton.clicked.connect(lambda *_: self._check())

    @property
    def has_torch(self) -> bool:
        """Whether a run can be tried: installed, and not known to be broken."""
        ready = self._logic.ready
        return self._version is not None and (ready is None or ready.torch is not None)

    def look(self) -> None:
        """See anew whether PyTorch is installed; it may have been since, elsewhere."""
        self._version = torch_version()

    def refresh(self) -> None:
        """Show what is missing, or nothing."""
        self._ui.setupSection.setVisible(not self.has_torch)
        version, ready = self._version, self._logic.ready
        if version is None:
            text = _("<b>PyTorch is not installed.</b> Everything else is there.")
        elif ready is not None and ready.torch is None:
            text = _(
                "<b>PyTorch {version} does not work:</b> {problem}.<br/>Uninstall it in the module "
                "PyTorch Utils, restart Slicer and install it again here."
            ).format(version=escape(version), problem=escape(ready.problem))
        else:
            text = ""
        problem = f'<p style="color:#b3261e">{escape(self._problem)}</p>' if self._problem else ""
        self._ui.setupText.setText(text + problem)
        self._ui.installTorchButton.setVisible(version is None)

    def _check(self) -> None:
        self.look()
        self._logic.check_torch()

    def _install(self) -> None:
        try:
            self._problem = ""
            if install_torch():
                self._logic.check_torch()
        except SetupError as error:
            self._problem = str(error)
        self.look()
        self.refresh()
