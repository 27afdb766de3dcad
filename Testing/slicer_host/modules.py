"""The modules `qt` and `ctk`, and the widgets on `slicer`: what the record lists, nothing else."""

from __future__ import annotations

import sys
import types
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from . import enums, unrecorded
from .proxy import make_class
from .record import Names, names, record
from .standins import STANDINS

_SOURCES = (QtCore, QtGui, QtWidgets)


class _Module(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"module '{self.__name__}' has no attribute '{name}' in the record of a running Slicer"
        )


class _Namespace:
    """`qt.Qt`: the enumerations of the namespace."""

    def __getattr__(self, name: str) -> Any:
        value = enums.find(QtCore.Qt, name)
        if value is None:
            raise AttributeError(f"Qt has no attribute named '{name}'")
        return value


def qt_class(name: str) -> type:
    """The PySide6 class behind a recorded one. Raises `KeyError` for an unknown name."""
    if name in STANDINS:
        return STANDINS[name]
    for source in _SOURCES:
        if hasattr(source, name):
            return getattr(source, name)
    raise KeyError(name)


def python_module(name: str) -> str:
    """PythonQt's name for where a class lives."""
    return "PythonQt.QtCore" if hasattr(QtCore, name) else "PythonQt.QtGui"


def install() -> None:
    """Make `import qt`, `import ctk` and `slicer.qMRML…` work in this process."""
    qt, ctk = _Module("qt"), _Module("ctk")
    qt.Qt = _Namespace()
    recorded = record()
    for name, entry in recorded["qt"].items():
        setattr(qt, name, make_class(name, names(entry), qt_class(name), python_module(name)))
    for name, known in unrecorded.QT.items():
        made = make_class(name, known, qt_class(name), python_module(name))
        if name == "QSizePolicy":  # its values are in the record of behaviour
            qt.QSizePolicy = made
    for name, entry in recorded["ctk"].items():
        setattr(ctk, name, make_class(name, names(entry), qt_class(name), "PythonQt.CTKWidgets"))
    for name, entry in recorded["slicer_widgets"].items():
        setattr(
            slicer, name, make_class(name, names(entry), qt_class(name), "PythonQt.qMRMLWidgets")
        )
    inherited = names(recorded["slicer_widgets"]["qMRMLWidget"])
    module_widget = Names(
        inherited.properties | unrecorded.MODULE_WIDGET.properties,
        inherited.others | unrecorded.MODULE_WIDGET.others,
    )
    parts = unrecorded.SLICER | {"qSlicerScriptedLoadableModuleWidget": module_widget}
    for name, known in parts.items():
        made = make_class(name, known, qt_class(name), "PythonQt.qSlicerBaseQTGUI")
        if name.startswith("qSlicerScripted"):  # `slicer.util.getModuleWidget` asks for these
            setattr(slicer, name, made)
    sys.modules["qt"], sys.modules["ctk"] = qt, ctk


def names_of(class_name: str) -> Names | None:
    """The recorded names of a Qt, CTK or qMRML class."""
    for group in ("qt", "ctk", "slicer_widgets"):
        if class_name in record()[group]:
            return names(record()[group][class_name])
    return unrecorded.QT.get(class_name)
