"""A stand-in for the running 3D Slicer: its Python side, on PySide6 and `slicer-core`.

The scene and everything in it is real MRML (`slicer_app`). The modules `qt` and `ctk`, the widgets
and `slicer.app` are stand-ins that offer the names that a running Slicer 5.13 was recorded to have,
behave as PythonQt does, and fail on any other name. See `host.Host` for how a test uses it.
"""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # before anything loads Qt
