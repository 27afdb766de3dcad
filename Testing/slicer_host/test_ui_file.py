"""A `.ui` file is loaded as Slicer loads it, and refused where Slicer would stumble."""

from pathlib import Path

import pytest

PANEL = Path(__file__).with_name("panel.ui")


@pytest.fixture
def ui(host):
    import slicer

    widget = slicer.util.loadUI(str(PANEL))
    return slicer.util.childWidgetVariables(widget)


@pytest.fixture
def spoiled(host, tmp_path):
    """`spoiled(before, after)`: what loading the panel with one text replaced raises."""
    import slicer

    from slicer_host.ui_file import UiError

    def load(before, after):
        text = PANEL.read_text()
        assert before in text
        path = tmp_path / "spoiled.ui"
        path.write_text(text.replace(before, after))
        with pytest.raises(UiError) as error:
            slicer.util.loadUI(str(path))
        return str(error.value)

    return load


def test_widgets_have_slicers_classes_and_the_files_properties(ui):
    import ctk
    import qt
    import slicer

    assert type(ui.volumeSelector) == slicer.qMRMLNodeComboBox  # noqa: E721
    assert type(ui.keepBox) == qt.QCheckBox  # noqa: E721
    assert type(ui.inputsSection) == ctk.ctkCollapsibleButton  # noqa: E721
    assert ui.volumeSelector.nodeTypes == ("vtkMRMLScalarVolumeNode",)
    assert ui.volumeSelector.noneEnabled
    assert not ui.volumeSelector.addEnabled
    assert ui.advancedSection.collapsed
    assert ui.keepBox.text == "Keep probabilities"
    assert ui.keepBox.property("SlicerParameterName") == "keep"


def test_its_connections_are_made(ui):
    import slicer

    assert ui.volumeSelector.mrmlScene() is None
    ui.Panel.setMRMLScene(slicer.mrmlScene)
    assert ui.volumeSelector.mrmlScene() is slicer.mrmlScene


def test_a_missing_file_is_said_to_be_missing(host):
    import slicer

    with pytest.raises(RuntimeError, match="file not found"):
        slicer.util.loadUI("/nowhere/panel.ui")


def test_an_unknown_class_is_refused(spoiled):
    assert "qMRMLCheckBox" in spoiled('class="QCheckBox"', 'class="qMRMLCheckBox"')


def test_an_unknown_property_is_refused(spoiled):
    message = spoiled('<property name="noneEnabled">', '<property name="noneAllowed">')
    assert "qMRMLNodeComboBox 'volumeSelector' has no property 'noneAllowed'" in message
    assert "stdset" in spoiled('"SlicerParameterName" stdset="0"', '"SlicerParameterName"')


def test_two_widgets_of_one_name_are_refused(spoiled):
    assert "'keepBox'" in spoiled('name="deviceBox"', 'name="keepBox"')


def test_a_connection_that_cannot_be_made_is_refused(spoiled):
    assert "sceneChanged(" in spoiled("<signal>mrmlSceneChanged(", "<signal>sceneChanged(")
    assert "setScene(" in spoiled("<slot>setMRMLScene(", "<slot>setScene(")
    assert "'selector'" in spoiled("<receiver>volumeSelector<", "<receiver>selector<")


def test_a_collapsed_section_hides_its_contents_and_nothing_else(host, ui):
    ui.Panel.show()
    host.process_events()
    assert not ui.keepBox.visible
    assert ui.volumeSelector.visible
    ui.noteEdit.hide()
    collapsed_height = ui.advancedSection.height
    ui.advancedSection.collapsed = False
    host.process_events()
    assert ui.keepBox.visible
    assert not ui.noteEdit.visible  # the program hid it
    assert ui.advancedSection.height > collapsed_height
    told = []
    ui.advancedSection.contentsCollapsed.connect(told.append)
    ui.advancedSection.click()
    assert told == [True]
    assert not ui.keepBox.visible
    ui.Panel.hide()


def test_a_screenshot_shows_the_panel(host, ui, tmp_path):
    from PySide6.QtGui import QImage

    picture = QImage(str(host.screenshot(ui.Panel, tmp_path / "panel.png", width=400)))
    assert picture.width() == 400
    colours = {picture.pixel(x, y) for x in range(0, 400, 5) for y in range(0, picture.height(), 3)}
    assert len(colours) > 10
