"""`slicer.app`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
import slicer_app
from PySide6 import QtCore, QtWidgets

from .application_parts import (
    qSlicerCommandOptions,
    qSlicerCoreIOManager,
    qSlicerLayoutManager,
    qSlicerModuleManager,
)


def _constant(kind: type, value: Any) -> QtCore.Property:
    return QtCore.Property(kind, lambda self: value)


def _path(make: Callable[[Any], Path]) -> QtCore.Property:
    return QtCore.Property(str, lambda self: str(make(self)))


class qSlicerApplication(QtWidgets.QApplication):  # noqa: N801
    """The application, its files in `home`. Nothing of the user's own is read or written."""

    startupCompleted = QtCore.Signal()
    mrmlSceneChanged = QtCore.Signal(object)

    def __init__(self, home: Path) -> None:
        super().__init__(["Slicer"])
        self.home, self.testing = home, True
        self.setApplicationName("Slicer")
        self.setOrganizationName("slicer.org")
        self.setApplicationVersion("5.13.0-host")
        self.setQuitOnLastWindowClosed(False)
        self._temporary = home / "temporary"
        self._temporary.mkdir()
        ini = QtCore.QSettings.Format.IniFormat
        QtCore.QSettings.setDefaultFormat(ini)
        QtCore.QSettings.setPath(ini, QtCore.QSettings.Scope.UserScope, str(home / "settings"))
        self._settings = QtCore.QSettings()
        self._modules = qSlicerModuleManager(self)
        self._layouts = qSlicerLayoutManager(self)
        self._files = qSlicerCoreIOManager(self)
        self._options = qSlicerCommandOptions(self)
        self.restarts = 0
        self.render_pauses = 0

    # Where things are

    def _set_temporary_path(self, path: str) -> None:
        self._temporary = Path(path)

    temporaryPath = QtCore.Property(str, lambda self: str(self._temporary), _set_temporary_path)
    slicerHome = _path(lambda self: self.home)
    slicerSharePath = _path(lambda self: Path("share/Slicer-5.13"))
    cachePath = _path(lambda self: self.home / "cache")
    defaultScenePath = _path(lambda self: self.home)
    extensionsInstallPath = _path(lambda self: self.home / "extensions")
    startupWorkingPath = _path(lambda self: Path.cwd())
    launcherExecutableFilePath = _path(lambda self: self.home / "Slicer")
    slicerUserSettingsFilePath = QtCore.Property(str, lambda self: self._settings.fileName())

    # What it is

    majorVersion = _constant(int, 5)
    minorVersion = _constant(int, 13)
    mainApplicationName = _constant(str, "Slicer")
    mainApplicationMajorVersion = _constant(int, 5)
    mainApplicationMinorVersion = _constant(int, 13)
    revision = _constant(str, "34000")
    repositoryRevision = _constant(str, "host")
    releaseType = _constant(str, "")
    platform = _constant(str, "linux-amd64")
    os = _constant(str, "linux")
    arch = _constant(str, "amd64")
    isInstalled = _constant(bool, True)
    isCustomMainApplication = _constant(bool, False)
    documentationBaseUrl = _constant(str, "https://slicer.readthedocs.io/en/latest/")

    def moduleDocumentationUrl(self, name: str) -> str:
        return f"{self.documentationBaseUrl}user_guide/modules/{name.lower()}.html"

    def testingEnabled(self) -> bool:
        return self.testing

    # Its parts

    def applicationLogic(self) -> Any:
        return slicer_app.start().logic

    def moduleLogic(self, name: str) -> Any:
        return slicer_app.start().logics.get(name)

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def layoutManager(self) -> Any:
        return self._layouts

    def moduleManager(self) -> Any:
        return self._modules

    def coreIOManager(self) -> Any:
        return self._files

    def ioManager(self) -> Any:
        return self._files

    def commandOptions(self) -> Any:
        return self._options

    def settings(self) -> QtCore.QSettings:
        return self._settings

    def userSettings(self) -> QtCore.QSettings:
        return self._settings

    def revisionUserSettings(self) -> QtCore.QSettings:
        return self._settings

    def startupEnvironment(self) -> QtCore.QProcessEnvironment:
        return QtCore.QProcessEnvironment.systemEnvironment()

    # What it is told

    def pauseRender(self) -> int:
        self.render_pauses += 1
        return self.render_pauses

    def resumeRender(self) -> int:
        self.render_pauses -= 1
        return self.render_pauses

    def restart(self) -> None:
        self.restarts += 1

    def confirmRestart(self, _reason: str = "") -> None:
        self.restarts += 1
