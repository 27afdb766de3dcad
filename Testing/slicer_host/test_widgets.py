"""The smaller stand-ins, and widgets that a module draws itself."""

import numpy as np
import pytest


@pytest.fixture
def slicer(host):
    import slicer

    return slicer


def test_a_table_view_shows_its_table_and_follows_it(slicer):
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "Volumes")
    slicer.util.updateTableFromArray(table, (np.array([1.5, 2.5]),), ["ml"])
    view = slicer.qMRMLTableView()
    view.setMRMLTableNode(table)
    assert view.mrmlTableNode() is table
    model = view._object.model()
    assert (model.rowCount(), model.horizontalHeaderItem(0).text()) == (2, "ml")
    slicer.util.updateTableFromArray(table, (np.array([1.0, 2.0, 3.0]),), ["ml"])
    assert view._object.model().rowCount() == 3


def test_show_3d_makes_the_surface_and_shows_it(slicer):
    volume = slicer.util.addVolumeFromArray(np.zeros((8, 8, 8), np.uint8), name="T1")
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment = segmentation.GetSegmentation().AddEmptySegment("ET")
    voxels = np.zeros((8, 8, 8), np.uint8)
    voxels[2:6, 2:6, 2:6] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, segmentation, segment, volume)
    button = slicer.qMRMLSegmentationShow3DButton()
    assert not button.enabled
    button.setSegmentationNode(segmentation)
    assert button.enabled
    assert not button.checked
    button.click()
    assert segmentation.GetSegmentation().ContainsRepresentation("Closed surface")
    assert segmentation.GetDisplayNode().GetVisibility3D()
    button.click()
    assert not segmentation.GetDisplayNode().GetVisibility3D()


def test_a_slider_keeps_to_its_range_and_tells_of_a_change(host):
    import ctk

    slider, heard = ctk.ctkSliderWidget(), []
    slider.maximum = 1.0
    slider.decimals = 3
    slider.valueChanged.connect(heard.append)
    slider.value = 0.25
    slider.value = 7
    assert (slider.value, heard) == (1.0, [0.25, 1.0])


def test_a_path_edit_tells_of_a_new_path(host):
    import ctk

    edit, heard = ctk.ctkPathLineEdit(), []
    edit.currentPathChanged.connect(heard.append)
    edit.currentPath = "/a/b"
    assert (edit.currentPath, heard) == ("/a/b", ["/a/b"])


def test_a_group_box_hides_its_contents(host):
    import ctk
    import qt

    box = ctk.ctkCollapsibleGroupBox()
    box.setLayout(qt.QVBoxLayout())
    label = qt.QLabel("x")
    box.layout().addWidget(label)
    box.show()
    assert label.visible
    box.collapsed = True
    assert not label.visible
    assert not box.checked


def test_a_property_without_effect_keeps_its_value(host):
    import ctk

    button = ctk.ctkCollapsibleButton()
    button.contentsLineWidth = 2
    assert button.contentsLineWidth == 2
    with pytest.raises(NotImplementedError, match=r"ctkRangeWidget\.setValues"):
        ctk.ctkRangeWidget().setValues(0, 1)


def test_the_clipboard_keeps_a_text(slicer):
    slicer.app.clipboard().setText("diagnostics")
    assert slicer.app.clipboard().text() == "diagnostics"


def test_a_widget_of_the_modules_own_is_drawn(host, tmp_path):
    import qt
    from PySide6.QtGui import QImage

    class Bar(qt.QWidget):
        def __init__(self, share):
            super().__init__()
            self.share = share

        def sizeHint(self):
            return qt.QSize(100, 60)

        def paintEvent(self, event):
            painter = qt.QPainter(self)
            filled = qt.QRect(0, 0, int(self.width * self.share), self.height)
            painter.fillRect(filled, qt.QColor(255, 0, 0))
            painter.end()

    picture = QImage(str(host.screenshot(Bar(0.5), tmp_path / "bar.png", width=100)))
    assert (picture.width(), picture.height()) == (100, 60)
    assert picture.pixelColor(20, 30).getRgb()[:3] == (255, 0, 0)
    assert picture.pixelColor(80, 30).getRgb()[:3] != (255, 0, 0)
