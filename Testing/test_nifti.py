"""NIfTI as other programs write it: voxels where the header says, or a clear refusal."""

import gzip
import struct

import numpy as np
import pytest
import SimpleITK as sitk
from metakd.contrasts import Contrast
from metakd.files import read_image
from metakd.study import StudyError, make_study, read_study
from scans import make_ramp, places, ramp_at

T1 = Contrast.T1
SIZE, STEPS, OFFSET = (12, 14, 8), np.diag([2.0, 3.0, 4.0]), (-11.0, 7.0, -20.0)
LPS = (-1, -1, 1)


def turned(degrees, axis=2):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.roll([[c, -s, 0], [s, c, 0], [0, 0, 1]], axis + 1, axis=(0, 1))


def affine(steps=STEPS, offset=OFFSET):
    return np.vstack([np.column_stack([steps, offset]), (0, 0, 0, 1)])


def write_nifti(
    path, sform=None, qform=None, *, codes=(1, 1), order="<", kind=16, scale=(1.0, 0.0),
    pixdim=None, unit=2, extra=(), values=None, length=348,
):  # fmt: skip
    """A file byte by byte (nifti1.h): `ramp_at` of where its sform, else its qform, says (RAS).

    `qform`: a rotation, its voxel sizes, an offset.
    """
    if values is None:
        where = sform if sform is not None else affine(qform[0] * qform[1], qform[2])
        index = np.moveaxis(np.indices(SIZE[::-1])[::-1], 0, -1)
        values = ramp_at((index @ where[:3, :3].T + where[:3, 3]) * LPS)
    header = bytearray(352)
    size = values.shape[::-1] + tuple(extra)
    kinds = {4: ("i2", 16), 16: ("f4", 32), 64: ("f8", 64), 512: ("u2", 16), 1536: ("f8", 128)}
    struct.pack_into(order + "i", header, 0, length)
    struct.pack_into(order + "8h", header, 40, len(size), *size, *[1] * (7 - len(size)))
    struct.pack_into(order + "2h", header, 70, kind, kinds[kind][1])
    steps = qform[1] if qform is not None else np.linalg.norm(affine()[:3, :3], axis=0)
    struct.pack_into(order + "4f", header, 76, 1.0, *(steps if pixdim is None else pixdim))
    struct.pack_into(order + "3f", header, 108, 352.0, *scale)
    header[123] = unit
    given = [int(qform is not None) and codes[1], int(sform is not None) and codes[0]]
    struct.pack_into(order + "2h", header, 252, *given)
    if qform is not None:
        rotation = qform[0]
        a = np.sqrt(1 + np.trace(rotation)) / 2
        bcd = [rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0],
               rotation[1, 0] - rotation[0, 1]]  # fmt: skip
        struct.pack_into(order + "6f", header, 256, *(np.array(bcd) / (4 * a)), *qform[2])
    if sform is not None:
        struct.pack_into(order + "12f", header, 280, *np.ravel(sform[:3]))
    header[344:348] = b"n+1\0"
    stored = ((values - scale[1]) / (scale[0] or 1)).astype(order + kinds[kind][0])
    data = bytes(header) + stored.tobytes()
    path.write_bytes(gzip.compress(data, 1) if path.suffix == ".gz" else data)
    return path


def own(path):
    study = read_study({T1: path})
    return study.own_intensities(T1, study.images[T1]), study.warnings


def is_in_place(image, off=0.01, border=0):
    values = sitk.GetArrayViewFromImage(image)
    apart = np.abs(values - ramp_at(places(image)))
    inner = slice(border, -border or None)
    return apart[inner, inner, inner].max() < off


@pytest.mark.parametrize("name", ["t1.nii", "t1.nii.gz"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "scale"), [(16, (1, 0)), (64, (1, 0)), (4, (0.5, 100.0))])
@pytest.mark.parametrize("skew", [0, 0.2])
def test_every_byte_order_type_and_scale_is_read(tmp_path, name, order, kind, scale, skew):
    steps = STEPS @ (np.eye(3) + skew * np.eye(3, k=1))
    path = write_nifti(tmp_path / name, affine(steps), order=order, kind=kind, scale=scale)
    image = read_image(path)
    assert image.GetSize() == SIZE
    assert is_in_place(image, off=scale[0] if kind == 4 else 0.01)


@pytest.mark.parametrize(
    "steps",
    [
        STEPS,
        STEPS * (-1, 1, 1),
        STEPS * (1, 1, -1),
        -STEPS,
        turned(30) @ STEPS,
        turned(200) @ turned(40, 0) @ STEPS * (-1, 1, 1),
        STEPS[[2, 0, 1]],
    ],
)
def test_every_right_angled_affine_is_kept(tmp_path, steps):
    image, warnings = own(write_nifti(tmp_path / "t1.nii.gz", affine(steps)))
    assert (image.GetSize(), warnings) == (SIZE, ())
    assert is_in_place(image)


@pytest.mark.parametrize("turn", [turned(0), turned(20), turned(170, 0), turned(60, 1)])
def test_a_qform_alone_is_enough(tmp_path, turn):
    image, warnings = own(
        write_nifti(tmp_path / "t1.nii", qform=(turn, np.array([2, 3, 4.0]), OFFSET))
    )
    assert (image.GetSize(), warnings) == (SIZE, ())
    assert is_in_place(image)


@pytest.mark.parametrize("pixdim", [(1, 1, 1), (0, 0, 0), (-2, 3, 4)])
def test_the_sform_counts_where_pixdim_has_other_voxel_sizes(tmp_path, pixdim):
    image, _ = own(write_nifti(tmp_path / "t1.nii.gz", affine(), pixdim=pixdim))
    np.testing.assert_allclose(image.GetSpacing(), (2, 3, 4))
    assert is_in_place(image)


@pytest.mark.parametrize(("unit", "mm"), [(0, 1), (2, 1), (1, 1000), (3, 0.001)])
def test_units_are_converted(tmp_path, unit, mm):
    path = write_nifti(tmp_path / "t1.nii", affine(STEPS / mm, np.array(OFFSET) / mm), unit=unit,
                       pixdim=np.array([2, 3, 4.0]) / mm)  # fmt: skip
    image = read_image(path)
    np.testing.assert_allclose(image.GetSpacing(), (2, 3, 4), rtol=1e-5)
    np.testing.assert_allclose(image.GetOrigin(), np.array(OFFSET) * LPS, rtol=1e-5)


@pytest.mark.parametrize("skew", [1e-6, 1e-4, 1e-3, 5e-3])
def test_rounding_in_an_affine_is_no_skew(tmp_path, skew):
    steps = turned(30) @ STEPS @ (np.eye(3) + skew * np.eye(3, k=1))
    path = write_nifti(tmp_path / "t1.nii.gz", affine(steps))
    image = read_image(path)
    assert (image.GetSize(), own(path)[1]) == (SIZE, ())
    axes = np.reshape(image.GetDirection(), (3, 3))
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-5)
    assert is_in_place(image, off=15)  # half a voxel's change


@pytest.mark.parametrize("code", [1, 2])
def test_a_skew_affine_is_laid_out_at_right_angles(tmp_path, code):
    """As a registration with twelve parameters writes it; `codes`: to the scanner, to an image."""
    steps = turned(15) @ STEPS @ ((1, 0.15, 0), (0, 1.1, -0.1), (0.05, 0, 0.9))
    image, warnings = own(write_nifti(tmp_path / "t1.nii.gz", affine(steps), codes=(code, 0)))
    axes = np.reshape(image.GetDirection(), (3, 3))
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    index = (places(image) * LPS - OFFSET) @ np.linalg.inv(steps).T
    inside = ((index > 0) & (index < np.array(SIZE) - 1)).all(axis=-1)
    off = np.abs(sitk.GetArrayViewFromImage(image) - ramp_at(places(image)))[inside]
    assert inside.sum() > 0.4 * np.prod(SIZE)
    assert off.max() < 0.01
    (warning,) = warnings
    assert warning.startswith("T1 has tilted slices or a skew header (")


@pytest.mark.parametrize("name", ["t1.nrrd", "t1.mha"])
def test_skew_axes_in_other_formats_are_laid_out_too(tmp_path, name):
    frame = make_ramp()
    frame.SetDirection((1, 0, 0.6, 0, 1, 0, 0, 0, 0.8))
    values = ramp_at(places(frame)).astype(np.float32)
    image = sitk.GetImageFromArray(values)
    image.CopyInformation(frame)
    sitk.WriteImage(image, str(tmp_path / name))
    straight, warnings = own(tmp_path / name)
    assert straight.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    np.testing.assert_allclose(straight.GetSpacing(), (1.5, 2.0, 3.2))
    middle = tuple(n // 2 for n in straight.GetSize())
    place = straight.TransformIndexToPhysicalPoint(middle)
    assert abs(straight[middle] - ramp_at(place)) < 0.01
    assert len(warnings) == 1


def test_axes_that_are_hardly_apart_are_refused():
    image = make_ramp()
    image.SetDirection((1, 0, 0.95, 0, 1, 0, 0, 0, np.sqrt(1 - 0.95**2)))
    with pytest.raises(StudyError, match="T1: its axes miss right angles by 72 degrees"):
        make_study({T1: image})


@pytest.mark.parametrize(
    ("codes", "used", "warned"),
    [((1, 1), "sform", True), ((1, 2), "sform", True), ((2, 1), "qform", True),
     ((4, 1), "qform", False)],
)  # fmt: skip
def test_sform_and_qform_that_disagree_are_warned_about(tmp_path, codes, used, warned):
    """The choice is ITK's, and so Slicer's; an atlas's coordinates are expected to differ."""
    qform = (turned(10), np.array([2, 3, 4.0]), (-1.0, 7.0, -20.0))
    path = write_nifti(tmp_path / "t1.nii", affine(), qform, codes=codes)
    image, warnings = own(path)
    assert is_in_place(image) == (used == "sform")
    expected = OFFSET if used == "sform" else qform[2]
    np.testing.assert_allclose(image.GetOrigin(), np.array(expected) * LPS, atol=1e-4)
    np.testing.assert_allclose(image.GetOrigin(), sitk.ReadImage(str(path)).GetOrigin(), atol=1e-4)
    assert bool(warnings) == warned
    if warned:
        assert f"by up to 10 mm, by its sform and its qform; the {used} is used" in warnings[0]


def test_an_image_that_says_nothing_of_its_place_is_warned_about(tmp_path):
    path = write_nifti(tmp_path / "t1.nii.gz", affine(), codes=(0, 0))
    image, (warning,) = own(path)
    assert image.GetSpacing() == (2, 3, 4)
    assert warning.startswith("T1 does not say how it lies in the patient")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sform": np.zeros((4, 4))}, "a sform or qform that gives no places"),
        ({"sform": affine() * np.nan}, "a sform or qform that gives no places"),
        ({"sform": affine(STEPS[:, [0, 0, 2]])}, "a sform or qform that gives no places"),
        ({"length": 540}, "is NIfTI-2"),
        ({"kind": 1536}, "not a readable image"),
    ],
)
def test_what_cannot_be_placed_is_refused(tmp_path, change, says):
    values = sitk.GetArrayFromImage(make_ramp(SIZE))
    path = write_nifti(tmp_path / "t1.nii", **({"sform": affine(), "values": values} | change))
    with pytest.raises(StudyError, match=rf"t1.nii: .*{says}.*; export T1 again"):
        read_study({T1: path})


@pytest.mark.parametrize("skew", [0, 0.2])
@pytest.mark.parametrize("wrong", ["cut", "NaN"])
def test_skew_files_are_checked_as_others_are(tmp_path, skew, wrong):
    values = sitk.GetArrayFromImage(make_ramp(SIZE))
    if wrong == "NaN":
        values[3, 2, 1] = np.nan
    steps = STEPS @ (np.eye(3) + skew * np.eye(3, k=1))
    path = write_nifti(tmp_path / "t1.nii", affine(steps), values=values)
    if wrong == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    says = {"cut": "truncated", "NaN": "NaN or infinite"}[wrong]
    with pytest.raises(StudyError, match=rf"t1.nii: .*{says}.*; export T1 again"):
        read_study({T1: path})


@pytest.mark.parametrize("extra", [(1,), (1, 1)])
@pytest.mark.parametrize("skew", [0, 0.2])
def test_a_series_of_one_volume_is_that_volume(tmp_path, extra, skew):
    steps = STEPS @ (np.eye(3) + skew * np.eye(3, k=1))
    image = read_image(write_nifti(tmp_path / "t1.nii.gz", affine(steps), extra=extra))
    assert image.GetSize()[:3] == SIZE
    assert is_in_place(image if image.GetDimension() == 3 else image[..., 0])


@pytest.mark.parametrize("skew", [0, 0.2])
def test_a_4d_file_is_placed_by_its_sform_too(tmp_path, skew):
    volumes = np.stack([sitk.GetArrayFromImage(make_ramp(SIZE)) * n for n in (1, 2, 3, 4)])
    steps = STEPS @ (np.eye(3) + skew * np.eye(3, k=1))
    path = write_nifti(tmp_path / "BRATS_1.nii.gz", affine(steps), values=volumes, pixdim=(1, 1, 1))
    image = read_image(path)
    assert image.GetSize() == (*SIZE, 4)
    assert np.array_equal(sitk.GetArrayFromImage(image), volumes.astype(np.float32))
    t1 = image[..., 1]
    np.testing.assert_allclose(np.reshape(t1.GetDirection(), (3, 3)) * t1.GetSpacing(),
                               steps * np.reshape(LPS, (3, 1)), atol=1e-5)  # fmt: skip
    np.testing.assert_allclose(t1.GetOrigin(), np.array(OFFSET) * LPS)
    assert read_study({T1: path}).images[T1].GetDimension() == 3


def test_a_gzip_by_another_name_is_read(tmp_path):
    write_nifti(tmp_path / "t1.nii.gz", affine()).rename(tmp_path / "t1.nii")
    assert is_in_place(own(tmp_path / "t1.nii")[0])
