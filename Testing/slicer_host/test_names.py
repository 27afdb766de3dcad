"""A name is there when Slicer has it, and fails as it fails in Slicer when it has not."""

import pathlib

import pytest

from slicer_host.record import record


@pytest.fixture
def qt(host):
    import qt

    return qt


def test_every_recorded_class_is_there(host):
    import ctk
    import qt
    import slicer

    recorded = record()
    for owner, group in ((qt, "qt"), (ctk, "ctk"), (slicer, "slicer_widgets")):
        for name in recorded[group]:
            assert getattr(owner, name).__name__ == name


def test_a_class_that_was_not_recorded_is_not_there(qt):
    with pytest.raises(AttributeError, match="QSvgRenderer"):
        qt.QSvgRenderer  # noqa: B018


def test_names_of_pyside_that_slicer_does_not_have_fail(qt):
    with pytest.raises(
        AttributeError, match="QLabel has no attribute named 'setAccessibleIdentifier'"
    ):
        qt.QLabel().setAccessibleIdentifier("x")
    with pytest.raises(AttributeError, match="noSuchValue"):
        qt.QMessageBox.noSuchValue  # noqa: B018


def test_a_name_that_qt_6_dropped_is_said_to_be_missing_here(qt):
    with pytest.raises(NotImplementedError, match=r"QPlainTextEdit\.tabStopWidth"):
        qt.QPlainTextEdit().tabStopWidth  # noqa: B018


def test_the_classes_do_not_derive_from_each_other(qt):
    button = qt.QPushButton()
    assert not isinstance(button, qt.QWidget)
    assert button.inherits("QWidget")
    assert button.isWidgetType()


def test_a_child_is_found_with_its_own_type_and_as_the_same_object(qt):
    parent = qt.QWidget()
    box = qt.QCheckBox("x", parent)
    box.objectName = "box"
    (found,) = parent.findChildren(qt.QCheckBox)
    assert type(found) == qt.QCheckBox  # noqa: E721  (Slicer compares so)
    assert found is box
    assert parent.findChild("QCheckBox", "box") == box
    assert parent.box == box
    assert {found: 1}[box] == 1
    assert parent.findChildren(qt.QPushButton) == ()


def test_name_stands_for_object_name(qt):
    widget = qt.QWidget()
    widget.name = "panel"
    assert (widget.name, widget.objectName) == ("panel", "panel")


def test_a_trailing_underscore_is_dropped(qt):
    assert qt.QWidget().raise_() is None


def test_dynamic_properties_are_attributes_that_can_be_read_and_assigned(qt):
    widget = qt.QWidget()
    assert widget.property("SlicerParameterName") is None
    widget.setProperty("SlicerParameterName", "t1")
    assert widget.SlicerParameterName == "t1"
    widget.SlicerParameterName = "t2"
    assert widget.property("SlicerParameterName") == "t2"


def test_a_property_takes_what_it_can_convert_and_refuses_the_rest(qt):
    label, button, bar = qt.QLabel(), qt.QPushButton(), qt.QProgressBar()
    label.text = 5
    button.enabled = []
    bar.value = 7.9
    assert (label.text, button.enabled, bar.value) == ("5", False, 7)
    with pytest.raises(AttributeError, match="does not accept an object of type str"):
        bar.value = "many"
    with pytest.raises(AttributeError, match="not writable"):
        label.width = 3


def test_a_method_cannot_be_assigned(qt):
    with pytest.raises(AttributeError, match="Slot 'setText' can not be overwritten"):
        qt.QLabel().setText = "x"
    with pytest.raises(AttributeError, match="Slot 'singleShot'"):
        qt.QTimer().singleShot = True


def test_arguments_that_do_not_fit_are_a_value_error(qt):
    with pytest.raises(ValueError, match=r"QLabel\.setPixmap"):
        qt.QLabel().setPixmap("x.png")
    with pytest.raises(ValueError, match="does not take a Path"):
        qt.QIcon(pathlib.Path("x.png"))


def test_anything_goes_where_a_text_is_wanted(qt):
    """None too, and it is shown: Slicer's users have seen "None" in many a label."""
    label = qt.QLabel()
    label.setText(5)
    label.setToolTip(None)
    assert (label.text, label.toolTip) == ("5", "None")
    label.text = None
    assert label.text == "None"


def test_an_integer_goes_where_an_enumeration_is_wanted(qt):
    label = qt.QLabel()
    label.setAlignment(2 | 128)
    assert label.alignment == qt.Qt.AlignRight | qt.Qt.AlignVCenter
    label.alignment = qt.Qt.AlignLeft
    assert label.alignment == 1


def test_what_qt_gives_as_a_list_is_a_tuple(qt):
    assert qt.QWidget().children() == ()


def test_a_class_of_the_modules_own_may_have_attributes_and_override_events(qt):
    class Watcher(qt.QObject):
        def eventFilter(self, watched, event):
            self.seen.append((type(watched).__name__, event.type()))
            return False

    watcher, button = Watcher(), qt.QPushButton()
    watcher.seen = []
    button.installEventFilter(watcher)
    button.show()
    assert ("QPushButton", 17) in watcher.seen


def test_an_object_that_is_gone_says_so(qt):
    button = qt.QPushButton()
    button.delete()
    with pytest.raises(ValueError, match="destroyed QPushButton"):
        button.text  # noqa: B018


def test_bytes_go_into_a_process_and_come_out(qt):
    process = qt.QProcess()
    process.start("cat", [])
    process.waitForStarted()
    process.write(b"one line\n")
    process.closeWriteChannel()
    process.waitForFinished()
    assert process.readAllStandardOutput().data() == b"one line\n"


def test_value_classes_have_their_recorded_names(qt):
    folder = qt.QTemporaryDir()
    assert folder.isValid()
    assert pathlib.Path(folder.path()).is_dir()
    environment = qt.QProcessEnvironment.systemEnvironment()
    environment.insert("X", "1")
    assert environment.value("X") == "1"
    assert qt.QUrl.fromLocalFile("/a").toString() == "file:///a"
    assert qt.QSize(3, 4).width() == 3
    assert qt.QColor(255, 0, 0).red() == 255
