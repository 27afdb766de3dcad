"""A number with a spin box, and a slider where the widget has one."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

_STEPS = 1000


def _forwarded(kind: type, name: str) -> QtCore.Property:
    setter = f"set{name[0].upper()}{name[1:]}"
    return QtCore.Property(
        kind,
        lambda self: getattr(self.spin_box, name)(),
        lambda self, value: getattr(self.spin_box, setter)(value),
    )


class NumberWidget(QtWidgets.QWidget):
    """The spin box holds the value and the range; the slider follows it."""

    with_slider = False
    valueChanged = QtCore.Signal(float)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.spin_box = QtWidgets.QDoubleSpinBox(self)
        self.spin_box.valueChanged.connect(self.valueChanged)
        if self.with_slider:
            slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal, self)
            slider.setRange(0, _STEPS)
            slider.sliderMoved.connect(self._moved)
            self.spin_box.valueChanged.connect(lambda value: slider.setValue(self._step(value)))
            layout.addWidget(slider)
        layout.addWidget(self.spin_box)

    def _step(self, value: float) -> int:
        low, high = self.spin_box.minimum(), self.spin_box.maximum()
        return round(_STEPS * (value - low) / (high - low)) if high > low else 0

    def _moved(self, step: int) -> None:
        low, high = self.spin_box.minimum(), self.spin_box.maximum()
        self.spin_box.setValue(low + (high - low) * step / _STEPS)

    def setValue(self, value: Any) -> None:
        self.spin_box.setValue(value)

    def setDecimals(self, decimals: int) -> None:
        self.spin_box.setDecimals(decimals)

    value = _forwarded(float, "value")
    minimum = _forwarded(float, "minimum")
    maximum = _forwarded(float, "maximum")
    singleStep = _forwarded(float, "singleStep")
    decimals = _forwarded(int, "decimals")
    suffix = _forwarded(str, "suffix")
    prefix = _forwarded(str, "prefix")
