"""PySide6 widgets in place of the C++ ones of CTK and Slicer, as far as modules touch them."""

from . import ctk, mrml
from .base import STANDINS

__all__ = ["STANDINS", "ctk", "mrml"]
