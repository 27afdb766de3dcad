"""Is PyTorch there, and how it is installed: through Slicer's PyTorch extension, after asking.

Torch is never imported here: a broken one could take Slicer down with it. The worker tries it.
(The extension's own installer imports it once, at the end of an installation.)
"""

from __future__ import annotations

import importlib.metadata
import importlib.util

import slicer
from slicer.i18n import tr as _

LEAST_TORCH = ">=2.2"

OFFLINE_HELP = _(
    "<b>Without internet:</b> on a computer with the same system and Slicer version, download "
    "PyTorch with <code>PythonSlicer -m pip download torch -d wheels</code>, carry the folder "
    "over, and run <code>PythonSlicer -m pip install --no-index --find-links wheels torch</code> "
    "in Slicer's <code>bin</code> folder. Nothing else is needed."
)


class SetupError(RuntimeError):
    """PyTorch cannot be installed from here; the message says what to do."""


def torch_version() -> str | None:
    """Version of the installed PyTorch, from its metadata; `None` when there is none."""
    importlib.invalidate_caches()
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return None


def install_torch() -> bool:
    """Ask, then install PyTorch through the PyTorch extension; False when the user declines.

    Raises `SetupError` when the extension is missing or could not do it.
    """
    if importlib.util.find_spec("PyTorchUtils") is None:
        raise SetupError(
            _("The PyTorch extension is not installed. Install it in the Extensions Manager, "
              "restart Slicer and come back.")
        )  # fmt: skip
    if not slicer.util.confirmOkCancelDisplay(
        _("PyTorch will be downloaded (0.2 to 3 GB) and installed into this Slicer by the PyTorch "
          "extension. It may take several minutes. Nothing else is installed."),
        _("Install PyTorch?"),
    ):  # fmt: skip
        return False
    import PyTorchUtils  # an extension of its own, there only where it is installed

    try:
        with slicer.util.WaitCursor():
            PyTorchUtils.PyTorchUtilsLogic().installTorch(
                askConfirmation=False, torchVersionRequirement=LEAST_TORCH
            )
    except Exception as error:  # whatever pip or the network did
        raise SetupError(_last_line(str(error))) from error
    if torch_version() is None:
        raise SetupError(_("PyTorch is still not there; restart Slicer and try again."))
    return True


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else _("the installation failed without a word")
