"""The Python modules of Slicer that `slicer-core` lacks, written anew from how they behave.

They are importable as `slicer.ScriptedLoadableModule`, `slicer.parameterNodeWrapper`, … once
`install()` has run.
"""

from __future__ import annotations

import importlib
import sys

import slicer

_FILES = {
    "i18n": "i18n",
    "testing": "testing",
    "packaging": "packaging",
    "parameterNodeWrapper": "parameter_node_wrapper",
    "ScriptedLoadableModule": "scripted_loadable_module",
}


def install() -> None:
    for name, file in _FILES.items():
        module = importlib.import_module(f"{__name__}.{file}")
        sys.modules[f"slicer.{name}"] = module
        setattr(slicer, name, module)
