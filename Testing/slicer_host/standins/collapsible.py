"""Sections that open and close."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from .base import standin

_EXPLICIT = QtCore.Qt.WidgetAttribute.WA_WState_ExplicitShowHide
_IS_HIDDEN = QtCore.Qt.WidgetAttribute.WA_WState_Hidden
_WANTED = "wantedByTheUser"


class _Hider:
    """Hides the contents of a collapsed section, but keeps hidden what the program hid itself."""

    def __init__(self, section: QtWidgets.QWidget) -> None:
        self._section, self._busy = section, False

    def added(self, event: QtCore.QChildEvent) -> None:
        child = event.child()
        if event.added() and isinstance(child, QtWidgets.QWidget):
            if child.testAttribute(_EXPLICIT) and child.testAttribute(_IS_HIDDEN):
                child.setProperty(_WANTED, False)
            child.installEventFilter(self._section)

    def changed(self, child: QtWidgets.QWidget, event: QtCore.QEvent, collapsed: bool) -> None:
        shown = event.type() == QtCore.QEvent.Type.ShowToParent
        if not self._busy and (shown or event.type() == QtCore.QEvent.Type.HideToParent):
            child.setProperty(_WANTED, shown)
            self._show(child, collapsed)

    def apply(self, collapsed: bool) -> None:
        for child in self._section.children():
            if isinstance(child, QtWidgets.QWidget) and not child.isWindow():
                self._show(child, collapsed)

    def _show(self, child: QtWidgets.QWidget, collapsed: bool) -> None:
        wanted = child.property(_WANTED) is not False
        self._busy = True
        child.setVisible(wanted and not collapsed)
        self._busy = False
        if wanted:  # else a later hide() by the program would be taken for one of ours
            child.setAttribute(_EXPLICIT, False)


@standin
class ctkCollapsibleButton(QtWidgets.QAbstractButton):  # noqa: N801
    """A header of the size of a button over the contents; a click on it opens and closes."""

    contentsCollapsed = QtCore.Signal(bool)

    def __init__(self, *arguments: Any) -> None:
        text = arguments[0] if arguments and isinstance(arguments[0], str) else ""
        super().__init__(
            arguments[-1] if arguments and not isinstance(arguments[-1], str) else None
        )
        self._hider, self._collapsed = _Hider(self), False
        self._collapsed_height = 10
        self.setText(text)
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(0, self._header(), 0, 0)
        self.toggled.connect(lambda checked: self._set_collapsed(not checked))

    def _get_collapsed(self) -> bool:
        return self._collapsed

    def _set_collapsed(self, collapsed: bool) -> None:
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        self.setChecked(not collapsed)
        self._hider.apply(collapsed)
        self.setMaximumHeight(self._header() + self._collapsed_height if collapsed else 16777215)
        self.updateGeometry()
        self.update()
        self.contentsCollapsed.emit(collapsed)

    collapsed = QtCore.Property(bool, _get_collapsed, _set_collapsed)

    def _get_collapsed_height(self) -> int:
        return self._collapsed_height

    def _set_collapsed_height(self, height: int) -> None:
        self._collapsed_height = height

    collapsedHeight = QtCore.Property(int, _get_collapsed_height, _set_collapsed_height)

    def _get_flat(self) -> bool:
        return False

    flat = QtCore.Property(bool, _get_flat, lambda self, flat: None)

    def _header(self) -> int:
        return max(self.fontMetrics().height() + 8, 24)

    def childEvent(self, event: QtCore.QChildEvent) -> None:
        super().childEvent(event)
        self._hider.added(event)

    def eventFilter(self, child: QtCore.QObject, event: QtCore.QEvent) -> bool:
        self._hider.changed(child, event, self._collapsed)
        return False

    def sizeHint(self) -> QtCore.QSize:
        width = self.fontMetrics().horizontalAdvance(self.text()) + 40
        if self.layout() is None or self._collapsed:
            return QtCore.QSize(width, self._header() + self._collapsed_height)
        hint = self.layout().totalSizeHint()
        return QtCore.QSize(max(width, hint.width()), hint.height())

    def minimumSizeHint(self) -> QtCore.QSize:
        if self.layout() is None or self._collapsed:
            return QtCore.QSize(40, self._header())
        return self.layout().totalMinimumSize()

    def hitButton(self, position: QtCore.QPoint) -> bool:
        return position.y() < self._header()

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtWidgets.QStylePainter(self)
        header = QtCore.QRect(0, 0, self.width(), self._header())
        button = QtWidgets.QStyleOptionButton()
        button.initFrom(self)
        button.rect = header
        button.state |= QtWidgets.QStyle.StateFlag.State_Raised
        painter.drawControl(QtWidgets.QStyle.ControlElement.CE_PushButtonBevel, button)
        arrow = QtWidgets.QStyleOption()
        arrow.initFrom(self)
        arrow.rect = QtCore.QRect(6, (header.height() - 12) // 2, 12, 12)
        primitive = QtWidgets.QStyle.PrimitiveElement
        painter.drawPrimitive(
            primitive.PE_IndicatorArrowRight
            if self._collapsed
            else primitive.PE_IndicatorArrowDown,
            arrow,
        )
        alignment = QtCore.Qt.AlignmentFlag.AlignLeft | QtCore.Qt.AlignmentFlag.AlignVCenter
        flags = (alignment | QtCore.Qt.TextFlag.TextShowMnemonic).value
        painter.drawItemText(
            header.adjusted(24, 0, -4, 0), flags, self.palette(), self.isEnabled(), self.text()
        )


@standin
class ctkCollapsibleGroupBox(QtWidgets.QGroupBox):  # noqa: N801
    """A group box whose check mark opens and closes it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._hider = _Hider(self)
        self.setCheckable(True)
        self.setChecked(True)
        self.toggled.connect(lambda _: self._apply())

    def _apply(self) -> None:
        self._hider.apply(self._get_collapsed())
        self.setMaximumHeight(
            self.fontMetrics().height() + 14 if self._get_collapsed() else 16777215
        )

    def _get_collapsed(self) -> bool:
        return not self.isChecked()

    def _set_collapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = QtCore.Property(bool, _get_collapsed, _set_collapsed)

    def childEvent(self, event: QtCore.QChildEvent) -> None:
        super().childEvent(event)
        if hasattr(self, "_hider"):
            self._hider.added(event)

    def eventFilter(self, child: QtCore.QObject, event: QtCore.QEvent) -> bool:
        self._hider.changed(child, event, self._get_collapsed())
        return False
