"""PyTorch's state and the one button that installs it; seen only when something is missing."""

from __future__ import annotations

from html import escape
from types import SimpleNamespace

from slicer.i18n import tr as _

from MetaKDSegmentationLib.protocol import Ready
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
    def problem(self) -> str:
        """Why no run can be tried; empty when PyTorch is there and not known to be broken."""
        if self._version is None:
            return "PyTorch is not installed"
        tried = self._logic.tried
        return "PyTorch does not work" if tried is not None and tried.problem else ""

    def look(self) -> None:
        """See anew whether PyTorch is installed; it may have been since, elsewhere."""
        self._version = torch_version()

    def refresh(self) -> None:
        """Show what is missing, or nothing."""
        self._ui.setupSection.setVisible(bool(self.problem))
        tried = self._logic.tried
        if self._version is None:
            text = _("<b>PyTorch is not installed.</b> Everything else is there.")
        elif tried is not None and tried.problem:
            text = _(
                "<b>PyTorch {version} does not work:</b> {problem}.<br/>Uninstall it in the module "
                "PyTorch Utils, restart Slicer and install it again here."
            ).format(version=escape(self._version), problem=escape(tried.problem))
        else:
            text = ""
        problem = f'<p style="color:#b3261e">{escape(self._problem)}</p>' if self._problem else ""
        self._ui.setupText.setText(text + problem)
        self._ui.installTorchButton.setVisible(self._version is None)
        self._ui.deviceState.setText(f"<small>{_device(tried)}</small>" if tried else "")
        self._ui.deviceState.setVisible(tried is not None)

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


def _device(tried: Ready) -> str:
    """What *Automatic* takes, and why it is nothing faster."""
    why = "; ".join(f"{name.upper()}: {reason}" for name, reason in tried.unusable.items())
    return escape(f"Automatic takes {tried.device}" + (f" ({why})" if why else ""))
