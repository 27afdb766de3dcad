"""A folder that looks like Slicer's home, with a `PythonSlicer` in it."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

# Slicer's launcher starts Python as a child of its own: killing the launcher does not kill Python.
# The line after it keeps the shell from turning into Python instead.
_SCRIPT = """#!/bin/sh
{python} "$@"
exit $?
"""


def make_home(folder: Path) -> Path:
    """Make `folder/bin/PythonSlicer` and put it on the path, as in the application."""
    launcher = folder / "bin" / "PythonSlicer"
    launcher.parent.mkdir(parents=True)
    launcher.write_text(_SCRIPT.format(python=shlex.quote(sys.executable)))
    launcher.chmod(0o755)
    os.environ["PATH"] = f"{launcher.parent}{os.pathsep}{os.environ['PATH']}"
    return folder
