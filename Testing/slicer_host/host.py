"""`Host`: a Slicer without a window, for tests of a scripted module.

host.open_module("MetaKDSegmentation")          # as a user who selects it in the module list
host.widget.ui.applyButton.click()
host.wait(lambda: not host.logic.running, seconds=60)
host.screenshot(host.widget, "panel.png")
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import slicer
import slicer_app
from PySide6 import QtCore, QtWidgets

from . import modules, problems, slicer_modules, util_functions
from .application import qSlicerApplication
from .application_parts import (
    qSlicerLayoutManager,
    qSlicerScriptedLoadableModule,
    qSlicerScriptedLoadableModuleWidget,
    save_scene,
)
from .dialogs import Dialogs
from .launcher import make_home
from .members import replaced
from .proxy import Proxy, make_class, unwrap, wrap
from .record import names, record
from .signals import connect, disconnect

SOURCE = Path(__file__).resolve().parents[2] / "MetaKDSegmentation"


class Host:
    """The application of this process; there is one.

    Attributes:
        dialogs: what was shown to the user, and the answers to come.
        file: the module's own Python file, imported.
        module: the object of its module class, `widget`: that of its widget class.
    """

    def __init__(self) -> None:
        self.dialogs = Dialogs()
        self.file: ModuleType | None = None
        self.module: Any = None
        self.widget: Any = None
        self._panel: Any = None
        self._description: Any = None
        self._home = tempfile.TemporaryDirectory(prefix="slicer_home_")

    # The application

    def start(self) -> None:
        """Make `slicer`, `qt` and `ctk` what they are in the application."""
        recorded = record()
        home = make_home(Path(self._home.name) / "Slicer")
        slicer_app.start()
        self._qt_app = qSlicerApplication(home)
        _give_cache(self._qt_app.home / "cache")
        modules.install()
        for name, cls in (
            ("slicer_app", qSlicerApplication),
            ("slicer_app_layout_manager", qSlicerLayoutManager),
        ):
            make_class(cls.__name__, names(recorded[name]), cls, "PythonQt.qSlicerBaseQTGUI")
        _replace_common_functions()
        slicer.app = wrap(self._qt_app)
        util_functions.install()
        slicer_modules.install()
        self.dialogs.install()
        problems.listen()

    @property
    def testing(self) -> bool:
        """Whether the application says that it runs with `--testing`."""
        return self._qt_app.testing

    @testing.setter
    def testing(self, testing: bool) -> None:
        self._qt_app.testing = testing

    def quit(self) -> None:
        """What the application does when it ends: tell everybody, then unload the module."""
        slicer.app.aboutToQuit.emit()
        self.close_module()

    def wait(self, until: Callable[[], Any], seconds: float = 30.0) -> bool:
        """Let the application live until `until()` is true; whether it came true in time.

        Gives up at once when a slot or an observer raises.
        """
        end, before = time.monotonic() + seconds, len(problems.seen)
        while not until():
            if time.monotonic() > end or len(problems.seen) > before:
                return False
            self.process_events()
            time.sleep(0.005)
        return True

    def process_events(self) -> None:
        self._qt_app.processEvents()
        self._qt_app.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete.value)

    # The module

    def open_module(self, name: str, folder: Path = SOURCE) -> Any:
        """The widget object of a scripted module, made and entered as the application does it."""
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
        path = folder / f"{name}.py"
        self.file = _import_file(name, path)
        self._description = qSlicerScriptedLoadableModule(name, str(path), self._qt_app)
        self._qt_app.moduleManager().modules[name] = self._description
        setattr(slicer.modules, name.lower(), wrap(self._description))
        self.module = getattr(self.file, name)(wrap(self._description))
        setattr(slicer.modules, f"{name}Instance", self.module)
        slicer.app.startupCompleted.emit()
        self._panel = self._description.widget = qSlicerScriptedLoadableModuleWidget(name)
        self._panel.setLayout(QtWidgets.QVBoxLayout())
        self._panel.setMRMLScene(slicer.mrmlScene)
        self.widget = self._panel.python = getattr(self.file, f"{name}Widget")(wrap(self._panel))
        setattr(slicer.modules, f"{name}Widget", self.widget)
        self.widget.setup()
        self.enter_module()
        self._panel.show()
        self.process_events()
        return self.widget

    def enter_module(self) -> None:
        """The user comes back to the module."""
        self._panel.entered = True
        if hasattr(self.widget, "enter"):
            self.widget.enter()

    def leave_module(self) -> None:
        """The user goes to another module."""
        self._panel.entered = False
        if hasattr(self.widget, "exit"):
            self.widget.exit()

    @property
    def logic(self) -> Any:
        return self.widget.logic

    def close_module(self) -> None:
        """Unload the module, which calls its `cleanup`."""
        if self.file is None:
            return
        name = self.file.__name__
        slicer.app.moduleManager().moduleAboutToBeUnloaded.emit(name)
        for signal in ("startupCompleted", "aboutToQuit"):
            getattr(slicer.app, signal).disconnect()
        if self._panel is not None:
            self._panel.python = None
            self._panel.deleteLater()
        self._description.deleteLater()
        self._qt_app.moduleManager().modules.pop(name, None)
        for attribute in (name.lower(), f"{name}Instance", f"{name}Widget"):
            vars(slicer.modules).pop(attribute, None)
        sys.modules.pop(name, None)
        self.file = self.module = self.widget = self._panel = self._description = None
        self.process_events()

    # The scene

    def close_scene(self) -> None:
        slicer_app.clear()
        self.process_events()

    def save_scene(self, path: Path | str) -> None:
        if not save_scene(str(path)):
            raise RuntimeError(f"the scene could not be written to {path}")

    def load_scene(self, path: Path | str) -> None:
        """Close the scene and read another, with the events that this has in the application."""
        slicer.util.loadScene(str(path), {"clear": True})
        self.process_events()

    # Pictures

    def screenshot(self, widget: Any, path: Path | str, width: int = 480) -> Path:
        """Draw a widget, or the panel of a module widget, at its natural height into a PNG file."""
        shown = widget if isinstance(widget, Proxy) else widget.parent
        qt_widget = unwrap(shown)
        qt_widget.show()
        for _ in range(2):  # the height that is wanted depends on the width that is given
            height = max(qt_widget.sizeHint().height(), qt_widget.heightForWidth(width), 40)
            qt_widget.resize(width, height)
            self.process_events()
        if not qt_widget.grab().save(str(path)):
            raise RuntimeError(f"no picture could be written to {path}")
        return Path(path)

    def reset(self) -> None:
        """The state before a test: no module, an empty scene, nothing shown, settings empty."""
        self.close_module()
        self.close_scene()
        self.dialogs.clear()
        self.testing = True
        self._qt_app.settings().clear()
        util_functions.selected_modules.clear()
        util_functions.status_messages.clear()
        slicer_modules.packaging.requested.clear()
        problems.seen.clear()


def _import_file(name: str, path: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(specification)
    try:
        specification.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _give_cache(folder: Path) -> None:
    """The scene unpacks a `.mrb` into the application's cache."""
    folder.mkdir()
    cache, files = slicer.vtkCacheManager(), slicer.vtkDataIOManager()
    cache.SetRemoteCacheDirectory(str(folder))
    cache.SetMRMLScene(slicer.mrmlScene)
    files.SetCacheManager(cache)
    slicer.mrmlScene.SetCacheManager(cache)
    slicer.mrmlScene.SetDataIOManager(files)


def _replace_common_functions() -> None:
    """Names that every object has in PythonQt, and those that PySide6 would do otherwise."""
    for owner in ("QObject", "Object"):
        replaced[owner, "className"] = lambda proxy: type(proxy).__name__
        replaced[owner, "inherits"] = _inherits
        replaced[owner, "help"] = lambda proxy: None
        replaced[owner, "delete"] = _delete
    replaced["QObject", "connect"] = connect
    replaced["QObject", "disconnect"] = disconnect
    replaced["QObject", "findChildren"] = _find_children
    replaced["QObject", "findChild"] = lambda *arguments: next(
        iter(_find_children(*arguments)), None
    )
    replaced["QTimer", "singleShot"] = _single_shot


def _inherits(proxy: Proxy, name: str) -> bool:
    return name in [cls.__name__ for cls in type(unwrap(proxy)).__mro__]


def _delete(proxy: Proxy) -> None:
    import shiboken6

    shiboken6.delete(unwrap(proxy))


def _find_children(proxy: Proxy, kind: Any, name: str = "") -> tuple[Any, ...]:
    wanted = kind if isinstance(kind, str) else kind.__name__
    children = unwrap(proxy).findChildren(QtCore.QObject)
    found = [child for child in children if not name or child.objectName() == name]
    return tuple(
        wrap(child) for child in found if wanted in [cls.__name__ for cls in type(child).__mro__]
    )


def _single_shot(_timer: Any, milliseconds: int, function: Callable[[], Any]) -> None:
    QtCore.QTimer.singleShot(milliseconds, problems.reported(function))
