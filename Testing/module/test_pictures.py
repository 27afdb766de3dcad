"""A real patient's segmentation on slices and in 3D, drawn by Slicer's displayable managers."""

import colorsys

import numpy as np
import pytest
import SimpleITK as sitk
import slicer_app
from metakd.regions import from_convention
from PIL import Image

from MetaKDSegmentationLib.segment_roles import Role
from MetaKDSegmentationLib.terminology import term
from MetaKDSegmentationLib.views import show_tumour

PATIENT = "Brats18_TCIA02_135_1"


@pytest.fixture
def patient(shared_data, add_volume):
    """The T1c volume node and the expert's labels of a real patient."""
    folder = shared_data / "brats" / "BraTS2018" / PATIENT
    image, labels = (
        sitk.ReadImage(str(folder / f"{PATIENT}_{name}.nii.gz")) for name in ("t1ce", "seg")
    )
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    node = add_volume(sitk.GetArrayFromImage(image), np.diag([-1, -1, 1, 1]) @ matrix)
    return node, from_convention(sitk.GetArrayFromImage(labels), "brats2018")


def share_of(role, path):
    """Which part of a picture has the hue of a role and is not grey."""
    hue = colorsys.rgb_to_hsv(*term(role).rgb)[0] * 255
    hsv = np.asarray(Image.open(path).convert("HSV")).astype(int)
    apart = np.abs(hsv[..., 0] - hue)
    near = np.minimum(apart, 255 - apart) < 12
    return float((near & (hsv[..., 1] > 20) & (hsv[..., 2] > 30)).mean())


@pytest.mark.parametrize("overlapping", [False, True])
def test_slices_show_scan_and_tumour(patient, add_segmentation, tmp_path, overlapping):
    volume, labels = patient
    node = add_segmentation(labels, volume, overlapping=overlapping)
    show_tumour(labels, volume)
    for view in slicer_app.SLICE_VIEWS:
        path = slicer_app.render_slice(view, tmp_path / f"{view}.png")
        coloured = np.ptp(np.asarray(Image.open(path).convert("RGB")).astype(int), axis=2) > 20
        scan = np.asarray(Image.open(path).convert("L")) > 40
        assert 0.01 < coloured.mean() < 0.1
        assert 0.1 < scan.mean() < 0.5
        outer = Role.WT if overlapping else Role.ED
        assert share_of(outer, path) > 0.005
        assert share_of(Role.ET, path) > 0.001
        node.SetDisplayVisibility(False)
        path = slicer_app.render_slice(view, tmp_path / f"{view}_bare.png")
        assert np.ptp(np.asarray(Image.open(path).convert("RGB")), axis=2).max() == 0
        node.SetDisplayVisibility(True)


def test_the_core_shines_through_the_oedema(patient, add_segmentation, tmp_path):
    volume, labels = patient
    # Seen from the front, oedema lies before the core.
    node = add_segmentation(labels, volume)
    view = slicer_app.start().view_logic.GetViewNode()
    view.SetBoxVisible(False)
    view.SetAxisLabelsVisible(False)
    display = node.GetDisplayNode()
    shown = share_of(Role.ET, slicer_app.render_3d(tmp_path / "translucent.png"))
    display.SetSegmentOpacity3D(Role.ED.segment_id, 1.0)
    opaque = share_of(Role.ET, slicer_app.render_3d(tmp_path / "opaque.png"))
    display.SetSegmentOpacity3D(Role.ED.segment_id, 0.0)
    alone = share_of(Role.ET, slicer_app.render_3d(tmp_path / "alone.png"))
    assert opaque < 0.3 * alone
    assert shown > 0.5 * alone
