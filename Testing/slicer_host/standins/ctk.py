"""The other CTK widgets: as simple as a module can tell."""

from __future__ import annotations

from PySide6 import QtCore, QtGui, QtWidgets

from . import collapsible  # noqa: F401  (registers its own)
from .base import standin
from .numbers import NumberWidget


@standin
class ctkCheckBox(QtWidgets.QCheckBox):  # noqa: N801
    pass


@standin
class ctkComboBox(QtWidgets.QComboBox):  # noqa: N801
    """Shows `defaultText` where nothing is selected."""

    def _set_default_text(self, text: str) -> None:
        self.setPlaceholderText(text)

    defaultText = QtCore.Property(str, QtWidgets.QComboBox.placeholderText, _set_default_text)


@standin
class ctkCheckableComboBox(QtWidgets.QComboBox):  # noqa: N801
    checkedIndexesChanged = QtCore.Signal()


@standin
class ctkPushButton(QtWidgets.QPushButton):  # noqa: N801
    pass


@standin
class ctkMenuButton(QtWidgets.QPushButton):  # noqa: N801
    pass


@standin
class ctkSearchBox(QtWidgets.QLineEdit):  # noqa: N801
    pass


@standin
class ctkMessageBox(QtWidgets.QMessageBox):  # noqa: N801
    pass


@standin
class ctkErrorLogWidget(QtWidgets.QWidget):  # noqa: N801
    userViewed = QtCore.Signal()


@standin
class ctkExpandableWidget(QtWidgets.QFrame):  # noqa: N801
    pass


@standin
class ctkDoubleSpinBox(NumberWidget):  # noqa: N801
    pass


@standin
class ctkSliderWidget(NumberWidget):  # noqa: N801
    with_slider = True


@standin
class ctkRangeWidget(QtWidgets.QWidget):  # noqa: N801
    pass


@standin
class ctkColorPickerButton(QtWidgets.QPushButton):  # noqa: N801
    colorChanged = QtCore.Signal(QtGui.QColor)

    def _get_color(self) -> QtGui.QColor:
        return self.__dict__.get("_color", QtGui.QColor("black"))

    def setColor(self, color: QtGui.QColor) -> None:
        if color != self._get_color():
            self.__dict__["_color"] = color
            self.colorChanged.emit(color)

    color = QtCore.Property(QtGui.QColor, _get_color, setColor)


@standin
class ctkPathLineEdit(QtWidgets.QWidget):  # noqa: N801
    currentPathChanged = QtCore.Signal(str)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._edit = QtWidgets.QLineEdit(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._edit)
        self._edit.textChanged.connect(self.currentPathChanged)

    def _get_path(self) -> str:
        return self._edit.text()

    def setCurrentPath(self, path: str) -> None:
        self._edit.setText(path)

    def addCurrentPathToHistory(self) -> None:
        """There is no history here."""

    currentPath = QtCore.Property(str, _get_path, setCurrentPath)


@standin
class ctkDirectoryButton(QtWidgets.QPushButton):  # noqa: N801
    directoryChanged = QtCore.Signal(str)
    directorySelected = QtCore.Signal(str)

    def _get_directory(self) -> str:
        return self.__dict__.get("_directory", QtCore.QDir.currentPath())

    def _set_directory(self, directory: str) -> None:
        directory = QtCore.QFileInfo(directory).absoluteFilePath()
        if directory != self._get_directory():
            self.__dict__["_directory"] = directory
            self.setText(directory)
            self.directoryChanged.emit(directory)

    directory = QtCore.Property(str, _get_directory, _set_directory)
