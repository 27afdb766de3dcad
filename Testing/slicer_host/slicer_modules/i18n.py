"""`slicer.i18n`: texts pass through the application's translator, which has no translations."""

from __future__ import annotations

import inspect
from pathlib import Path

import slicer


def translate(context: str, text: str) -> str:
    return slicer.app.translate(context, text)


def getContext(sourceFile: str) -> str:
    """The file's name, with its package's before it where it is in one."""
    path = Path(sourceFile)
    in_package = (path.parent / "__init__.py").is_file()
    return f"{path.parent.name}.{path.stem}" if in_package else path.stem


def tr(text: str) -> str:
    return translate(getContext(inspect.stack()[1].filename), text)
