"""What a running Slicer was seen to do, done again here: the host must answer the same.

Each observation is repeated as it was recorded; its outcome is compared as the text that was kept.
"""

import pytest

from slicer_host.record import PATH, record

RECORDED = record()["behaviour"] if PATH.is_file() else {}


def _volume(class_name, name):
    import slicer

    return slicer.mrmlScene.AddNewNodeByClass(class_name, name)


def _button():
    import qt

    return qt.QPushButton("x")


def _selector():
    import slicer

    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.noneEnabled = True
    selector.setMRMLScene(slicer.mrmlScene)
    return selector


def _selector_with_volume():
    volume = _volume("vtkMRMLScalarVolumeNode", "T1")
    return _selector(), volume


def _combo():
    import qt

    combo = qt.QComboBox()
    combo.addItem("a")
    combo.addItem("b")
    return combo


def _new(module, name):
    return getattr(__import__(module), name)()


def _assigned(thing, name, value):
    setattr(thing, name, value)
    return getattr(thing, name)


def _clicks(extra=False):
    button, calls = _button(), []
    connected = button.clicked.connect(lambda *arguments: calls.append(arguments))
    clicked = button.click()
    if extra:
        connected = button.connect("clicked(bool)", lambda *a: calls.append(("old", a)))
        clicked = button.click()
    return connected, clicked, calls


def _disconnected():
    button = _button()
    button.clicked.connect(print)
    return button.clicked.disconnect(print)


def _process():
    import qt

    process = qt.QProcess()
    process.start("echo", ["hello"])
    process.waitForFinished()
    return process


def _then(thing, do, name):
    return do(thing), getattr(thing, name)


def _current():
    selector, volume = _selector_with_volume()
    return selector.setCurrentNode(volume), selector.currentNode().GetName()


def _current_id():
    selector, volume = _selector_with_volume()
    selector.setCurrentNode(volume)
    return selector.currentNodeID


def _signal_on_none():
    selector, volume = _selector_with_volume()
    selector.setCurrentNode(volume)
    heard = []
    selector.currentNodeChanged.connect(lambda node: heard.append(node))
    return selector.setCurrentNode(None), heard


def _labelmap_listed():
    selector, _ = _selector_with_volume()
    _volume("vtkMRMLLabelMapVolumeNode", "labels")
    return selector.showChildNodeTypes, selector.nodeCount()


def _settings():
    import qt

    settings = qt.QSettings()
    return settings.setValue("test/key", 3), settings.value("test/key"), settings.value("no", 9)


def _item_data():
    combo = _combo()
    return combo.addItem("c", 5), combo.itemData(2)


def _label():
    import qt

    label = qt.QLabel()
    return label.setPixmap(qt.QPixmap(3, 3)), label.pixmap


def _qt(path):
    value = __import__("qt")
    for name in path.split("."):
        value = getattr(value, name)
    return value


def _app():
    import slicer

    return slicer.app


def _plain():
    return _new("qt", "QPlainTextEdit")


def _written():
    plain = _plain()
    plain.appendPlainText("hi")
    return plain.toPlainText()


OBSERVATIONS = {
    "QProcess.Running": lambda: _qt("QProcess.Running"),
    "button.enabled": lambda: _button().enabled,
    "button.isEnabled()": lambda: _button().isEnabled(),
    "button.isVisible()": lambda: _button().isVisible(),
    "button.noSuchThing": lambda: _button().noSuchThing,
    "button.noSuchThing=1": lambda: _assigned(_button(), "noSuchThing", 1),
    "button.setText('z')": lambda: _then(_button(), lambda b: b.setText("z"), "text"),
    "button.text": lambda: _button().text,
    "button.text()": lambda: _button().text(),
    "button.text='y' then button.text": lambda: _assigned(_button(), "text", "y"),
    "button.toolTip": lambda: _button().toolTip,
    "button.visible": lambda: _button().visible,
    "clicked.connect(f) then click()": _clicks,
    "clicked.disconnect() result": _disconnected,
    "collapsible.collapsed=True": lambda: _assigned(
        _new("ctk", "ctkCollapsibleButton"), "collapsed", True
    ),
    "collapsible.text": lambda: _new("ctk", "ctkCollapsibleButton").text,
    "combo.addItem('c', 5); itemData(2)": _item_data,
    "combo.count": lambda: _combo().count,
    "combo.currentIndex": lambda: _combo().currentIndex,
    "combo.currentText": lambda: _combo().currentText,
    "combo.itemText(1)": lambda: _combo().itemText(1),
    "connect('clicked(bool)', f) then click()": lambda: _clicks(extra=True),
    "exitCode()": lambda: _process().exitCode(),
    "label.setPixmap(QPixmap(3,3)); pixmap": _label,
    "labelmap listed with showChildNodeTypes default": _labelmap_listed,
    "plain.appendPlainText; plainText": lambda: _then(
        _plain(), lambda p: p.appendPlainText("hi"), "plainText"
    ),
    "plain.toPlainText()": _written,
    "process.state()": lambda: _new("qt", "QProcess").state(),
    "processId()": lambda: _new("qt", "QProcess").processId(),
    "progress.maximum": lambda: _new("qt", "QProgressBar").maximum,
    "progress.setValue(7); value": lambda: _then(
        _new("qt", "QProgressBar"), lambda p: p.setValue(7), "value"
    ),
    "progress.value=3": lambda: _assigned(_new("qt", "QProgressBar"), "value", 3),
    "qt.QMessageBox.Ok": lambda: _qt("QMessageBox.Ok"),
    "qt.QProcess.MergedChannels": lambda: _qt("QProcess.MergedChannels"),
    "qt.QSizePolicy.Expanding": lambda: _qt("QSizePolicy.Expanding"),
    "qt.Qt.AlignRight": lambda: _qt("Qt.AlignRight"),
    "readAllStandardOutput() type": lambda: type(_process().readAllStandardOutput()),
    "readAllStandardOutput().data()": lambda: _process().readAllStandardOutput().data(),
    "selector signal on None": _signal_on_none,
    "selector.currentNode()": lambda: _selector().currentNode(),
    "selector.currentNodeID": _current_id,
    "selector.nodeCount()": lambda: _selector_with_volume()[0].nodeCount(),
    "selector.setCurrentNode(v); currentNode().GetName()": _current,
    "settings.setValue/value": _settings,
    "slicer.app.majorVersion": lambda: _app().majorVersion,
    "slicer.app.slicerHome type": lambda: type(_app().slicerHome),
    "slicer.app.temporaryPath type": lambda: type(_app().temporaryPath),
    "slicer.app.testingEnabled()": lambda: _app().testingEnabled(),
    "table.columnCount=2": lambda: _assigned(_new("qt", "QTableWidget"), "columnCount", 2),
    "table.rowCount": lambda: _new("qt", "QTableWidget").rowCount,
    "table.setRowCount(2); rowCount": lambda: _then(
        _new("qt", "QTableWidget"), lambda t: t.setRowCount(2), "rowCount"
    ),
    "timer.interval=10": lambda: _assigned(_new("qt", "QTimer"), "interval", 10),
    "timer.singleShot exists": lambda: callable(_new("qt", "QTimer").singleShot),
}

# Slicer's text names the Python function behind it; that it can be called is what matters.
LOOSELY = {"timer.singleShot exists": "True"}


def _outcome(observe):
    try:
        return repr(observe())
    except Exception as error:
        return f"raises {type(error).__name__}: {error}"


def test_there_is_an_observation_for_each_that_was_recorded(host):
    assert set(OBSERVATIONS) == set(RECORDED)


@pytest.mark.parametrize("what", sorted(OBSERVATIONS))
def test_the_host_does_what_slicer_did(host, what):
    expected = LOOSELY.get(what, RECORDED[what])
    assert _outcome(OBSERVATIONS[what]) == expected
