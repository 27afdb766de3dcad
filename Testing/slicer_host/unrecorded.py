"""Names of classes that recorded methods hand out but that the record does not list themselves.

Few on purpose, each read from Slicer's or Qt 5's own headers; a name that is not here fails.
"""

from __future__ import annotations

from .record import Names

_QOBJECT = "connect disconnect className inherits parent children deleteLater objectNameChanged"


def _names(properties: str = "", others: str = "") -> Names:
    return Names(frozenset(properties.split()), frozenset(others.split()))


QT = {
    "QClipboard": _names("objectName", _QOBJECT + " text setText clear"),
    "QCursor": _names("", "shape setShape"),
    "QEvent": _names("", "type accept ignore isAccepted"),
    "QFontMetrics": _names("", "height horizontalAdvance boundingRect elidedText"),
    "QItemSelectionModel": _names("objectName", _QOBJECT + " hasSelection selectionChanged"),
    "QLayoutItem": _names("", "widget layout"),
    "QModelIndex": _names("", "row column isValid"),
    "QPalette": _names("", "color setColor"),
    "QScrollBar": _names("objectName value minimum maximum", _QOBJECT + " setValue valueChanged"),
    "QSizePolicy": _names(
        "",
        "Expanding Fixed Ignored Maximum Minimum MinimumExpanding Preferred Policy"
        " setHorizontalPolicy setVerticalPolicy setHorizontalStretch setVerticalStretch",
    ),
    "QStyle": _names("objectName", _QOBJECT + " pixelMetric standardIcon"),
}
"""Qt classes. Their enumerations' values are offered too where they are listed."""

SLICER = {
    "qSlicerModuleManager": _names(
        "objectName",
        _QOBJECT + " module factoryManager moduleAboutToBeUnloaded moduleLoaded moduleUnloaded",
    ),
    "qSlicerModuleFactoryManager": _names("objectName", _QOBJECT + " loadedModuleNames"),
    "qSlicerCoreIOManager": _names(
        "objectName", _QOBJECT + " fileType loadNodes loadFile saveNodes fileWriterFileType"
    ),
    "qSlicerCommandOptions": _names("noMainWindow", _QOBJECT),
    "qMRMLSliceWidget": _names(
        "objectName", _QOBJECT + " sliceLogic mrmlSliceNode fitSliceToBackground"
    ),
    "qMRMLThreeDWidget": _names("objectName", _QOBJECT + " mrmlViewNode threeDView viewLogic"),
    "qMRMLThreeDView": _names(
        "objectName",
        _QOBJECT + " mrmlViewNode resetFocalPoint resetCamera forceRender rotateToViewAxis",
    ),
    "qSlicerScriptedLoadableModule": _names(
        "title name path categories dependencies contributors helpText acknowledgementText icon"
        " hidden index associatedNodeTypes extensions",
        _QOBJECT + " logic widgetRepresentation",
    ),
}
"""Parts of `slicer.app` and of the module system."""

MODULE_WIDGET = _names("isEntered moduleName", "self")
"""What `qSlicerScriptedLoadableModuleWidget` has beyond a `qMRMLWidget`."""
