"""DICOM as scanners, archives and CDs hand it over: each slice where it says, or refused."""

import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_files import (
    INTERCEPT,
    ORIENTATION,
    POSITION,
    SLOPE,
    SPACING,
    UID,
    tilted,
    write_enhanced,
    write_series,
)
from metakd.contrasts import CONTRASTS
from metakd.study import StudyError, read_study
from scans import filled_with_ramp, make_ramp, places, ramp_at

T1, T1C, T2, FLAIR = CONTRASTS
OBLIQUE = ((0.0, 0.6, 0.8), (1.0, 0.0, 0.0), (0.0, 0.8, -0.6))  # right-handed, as slices are
SHUFFLED = [3, 0, 7, 5, 1, 6, 2, 4]


@pytest.fixture
def volume():
    return make_ramp(turn=OBLIQUE)


@pytest.fixture(params=["series", "enhanced"])
def write(request, tmp_path):
    """`write(volume, **options)`: a path of either kind of DICOM."""

    def write(volume, **options):
        if request.param == "series":
            return write_series(tmp_path / "dicom", volume, **options)
        return write_enhanced(tmp_path / "dicom", volume, **options)

    return write


def own(path, contrast=T1):
    """A contrast as it was read, in its own intensities, and what was said about it."""
    study = read_study({contrast: path})
    return study.own_intensities(contrast, study.images[contrast]), study.warnings


def is_in_place(image, off=0.51):
    """Whether each voxel says where it lies; intensities were rounded when they were written."""
    return np.abs(sitk.GetArrayViewFromImage(image) - ramp_at(places(image))).max() < off


def refused(path, *parts):
    with pytest.raises(StudyError) as refusal:
        read_study({T1: path})
    text = str(refusal.value)
    assert text.startswith(f"{path}: ") and "\n" not in text
    for part in parts:
        assert part in text, text
    return text


@pytest.mark.parametrize("encoding", ["explicit", "implicit", "deflated", "rle"])
@pytest.mark.parametrize("endless", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_an_enhanced_file_lies_where_its_frames_say(volume, tmp_path, encoding, endless, shared):
    path = write_enhanced(
        tmp_path / "t1.dcm", volume,
        order=SHUFFLED, encoding=encoding, endless=endless, shared=shared,
    )  # fmt: skip
    image, warnings = own(path)
    assert image.GetSize() == volume.GetSize()
    np.testing.assert_allclose(image.GetSpacing(), volume.GetSpacing())
    assert is_in_place(image)
    assert warnings == ()


def test_a_series_lies_where_its_slices_say_whatever_its_files_are_called(volume, tmp_path):
    image, warnings = own(write_series(tmp_path / "t1", volume, order=SHUFFLED))
    assert image.GetSize() == volume.GetSize()
    assert is_in_place(image)
    assert warnings == ()


def test_a_folder_may_hold_one_enhanced_file_and_what_is_no_image(volume, tmp_path):
    path = write_enhanced(tmp_path / "t1" / "IM1", volume)
    (path.parent / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + bytes(99))
    (path.parent / "readme.txt").write_text("from the scanner", encoding="utf-8")
    (path.parent / "viewer").mkdir()
    assert is_in_place(own(path.parent)[0])


def test_each_slice_has_its_own_rescale_slope(volume, write):
    def rescaled(number, tags):
        # The first one stays in whole numbers.
        tags[SLOPE], tags[INTERCEPT] = ("DS", [1 + number / 2]), ("DS", [0.25 * number])

    stored = np.round(sitk.GetArrayFromImage(volume))
    number = np.arange(8)[:, None, None]
    image, _ = own(write(volume, order=SHUFFLED, change=rescaled))
    right = np.abs(sitk.GetArrayFromImage(image) - stored * (1 + number / 2) - 0.25 * number) < 0.01
    assert right.all()


@pytest.mark.parametrize("per_slice", [(0.0, 0.4), (-0.7, 0.0), (0.3, -0.5)])
def test_tilted_slices_are_laid_out_where_they_are(volume, write, per_slice):
    slanted = filled_with_ramp(tilted(volume, per_slice))
    image, warnings = own(write(slanted))
    inside = covered(image, slanted)
    off = np.abs(sitk.GetArrayViewFromImage(image) - ramp_at(places(image)))[inside]
    assert off.max() < 0.51  # rounded when written
    assert image.GetDepth() == slanted.GetDepth()  # of each slice its own plane
    axes = np.reshape(image.GetDirection(), (3, 3))
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    # Nothing of it is lost.
    for corner in np.ndindex(2, 2, 2):
        index = [int(n - 1) * c for n, c in zip(slanted.GetSize(), corner, strict=True)]
        at = image.TransformPhysicalPointToContinuousIndex(
            slanted.TransformIndexToPhysicalPoint(index)
        )
        assert all(-0.5 <= a <= n - 0.5 for a, n in zip(at, image.GetSize(), strict=True))
    (warning,) = warnings
    assert warning.startswith("T1 has tilted slices") and "degrees off right angles" in warning


def covered(image, other):
    """(D, H, W): which voxels of the image have others of `other` around them."""
    steps = np.reshape(other.GetDirection(), (3, 3)) * other.GetSpacing()
    index = (places(image) - other.GetOrigin()) @ np.linalg.inv(steps).T
    return ((index > -1e-6) & (index < np.array(other.GetSize()) - 1 + 1e-6)).all(axis=-1)


def test_a_tilt_within_half_a_voxel_is_no_tilt(volume, write):
    image, warnings = own(write(filled_with_ramp(tilted(volume, (0.0, 0.05)))))
    assert warnings == ()
    assert image.GetSize() == volume.GetSize()
    assert is_in_place(image, off=8)  # half a voxel's change


def moved(**by_number):
    """Slices put elsewhere along the last axis of `volume`, in slices."""

    def change(number, tags):
        position = np.array(tags[POSITION][1])
        normal = np.array(OBLIQUE)[:, 2]
        shift = by_number.get(f"slice{number}", 0)
        tags[POSITION] = ("DS", position + 4.0 * shift * normal)

    return change


def test_missing_slices_are_refused(volume, write):
    # The last one is two slices further: the ones between are gone.
    refused(write(volume, change=moved(slice7=2)), "some are missing; export the whole series")


def test_uneven_gaps_are_refused(volume, write):
    change = moved(slice1=0.3, slice3=0.3, slice5=0.3)
    refused(write(volume, change=change), "2.8 to 5.2 mm apart; export", "evenly spaced")


def test_places_that_were_rounded_are_even(volume, write):
    image, warnings = own(write(volume, change=moved(slice1=0.02, slice4=-0.02)))
    assert warnings == ()
    assert image.GetSize() == volume.GetSize()


def test_two_images_at_one_place_are_refused(volume, write):
    change = moved(slice1=-1, slice3=-1, slice5=-1, slice7=-1)
    refused(write(volume, change=change), "has 8 slices at 4 positions", "one volume")


@pytest.mark.parametrize(
    ("tag", "kind", "values", "named"),
    [(0x00180081, "DS", ([12.0], [96.0]), "echo times"),
     (0x00080008, "CS", ("ORIGINAL", "DERIVED"), "image types")],
)  # fmt: skip
def test_it_is_said_what_tells_images_at_one_place_apart(
    volume, tmp_path, tag, kind, values, named
):
    for number, value in enumerate(values):
        change = {tag: (kind, value)}
        write_series(
            tmp_path / "t2", volume,
            name=f"echo{number}", change=lambda _, tags, change=change: tags.update(change),
        )  # fmt: skip
    refused(tmp_path / "t2", f"16 slices at 8 positions of several {named}; export")


def test_several_enhanced_volumes_in_a_folder_are_refused_and_each_is_read(volume, tmp_path):
    folder = tmp_path / "dynamic"
    first = write_enhanced(folder / "1", volume)
    write_enhanced(folder / "2", filled_with_ramp(volume) * 2)
    refused(folder, "16 slices at 8 positions", "give one of its files")
    assert is_in_place(own(first)[0])


def test_a_file_that_was_copied_counts_once(volume, tmp_path):
    folder = write_series(tmp_path / "t1", volume)
    shutil.copy(folder / "IM0003", folder / "IM0003 (1)")
    assert is_in_place(own(folder)[0])


def test_a_localizer_is_refused(volume, write):
    def turned(number, tags):
        tags[ORIENTATION] = ("DS", [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, 1), (1, 0, 0, 0, 0, 1)][
            number % 3])  # fmt: skip

    refused(write(volume, change=turned), "in 3 orientations", "localizer")


@pytest.mark.parametrize(("count", "says"), [(1, "is a single slice"), (3, "is 3 slices")])
def test_too_few_slices_are_refused(volume, write, count, says):
    with pytest.raises(StudyError, match=rf"T1: {says}, .*; give the whole series"):
        read_study({T1: write(volume[:, :, :count])})


@pytest.mark.parametrize("gone", [POSITION, ORIENTATION])
def test_slices_without_a_place_are_refused(volume, write, gone):
    def change(number, tags):
        del tags[gone]

    text = refused(write(volume, change=change))
    # Of the latter GDCM has no more to say.
    assert "does not say where its slices lie" in text or "is no DICOM image that can be" in text


@pytest.mark.parametrize(
    ("tag", "text"),
    [(POSITION, "0\\0"), (POSITION, "0\\0\\north"), (POSITION, "0\\0\\nan"), (SPACING, "0\\1"),
     (ORIENTATION, "1\\0\\0\\1\\0\\0")],
)  # fmt: skip
def test_a_place_that_is_none_is_refused(volume, write, tag, text):
    def change(number, tags):
        tags[tag] = ("DS", text)

    refused(write(volume, change=change), "does not say where")


def test_slices_of_different_sizes_are_refused(volume, tmp_path):
    write_series(tmp_path / "t1", volume)
    write_series(tmp_path / "t1", make_ramp((16, 16, 4), turn=OBLIQUE), name="more")
    refused(tmp_path / "t1", "slices of different sizes")


def test_a_cut_enhanced_file_is_refused(volume, tmp_path):
    path = write_enhanced(tmp_path / "t1.dcm", volume)
    path.write_bytes(path.read_bytes()[:-2000])
    refused(path, "export it again")
    path.write_bytes(path.read_bytes()[:1500])
    refused(path)


def test_series_in_one_folder_are_named_and_one_is_chosen_by_a_file(volume, tmp_path):
    folder = write_series(tmp_path / "cd", volume, name="A", SeriesDescription="AX T1\nSE")
    other = {"SeriesInstanceUID": f"{UID}.2", "SeriesDescription": "Schädel T2".encode("latin-1")}
    write_series(folder, make_ramp((10, 10, 5), turn=OBLIQUE), name="B", **other)
    write_series(folder, volume[:, :, :1], name="C", SeriesInstanceUID=f"{UID}.3")
    text = refused(
        folder, "holds 3 DICOM series; give a folder with exactly one, or a file of the one meant",
        '"AX T1?SE" (8 slices, A0000)', '(5 slices, B0000)',
        '"without a description" (1 slice, C0000)',
    )  # fmt: skip
    text.encode("utf-8")
    for chosen in ("A0000", "A0005"):
        assert own(folder / chosen)[0].GetSize() == volume.GetSize()
    assert own(folder / "B0002")[0].GetSize() == (10, 10, 5)


def test_series_in_subfolders_are_named(volume, tmp_path):
    write_series(tmp_path / "cd" / "S1" / "a", volume, SeriesDescription="AX T1")
    write_enhanced(tmp_path / "cd" / "S2" / "1", volume, SeriesInstanceUID=f"{UID}.2")
    refused(
        tmp_path / "cd", "holds 0 DICOM series itself, its subfolders 2; give the folder with",
        '"AX T1" (8 slices, S1/a/IM0000), "without a description" (8 slices, S2/1)',
    )  # fmt: skip


def other_ramp(number):
    """Another contrast of the same head."""
    image = sitk.Image(make_ramp(turn=OBLIQUE))
    return image + 10.0 * number * sitk.Cast(image > 1100, sitk.sitkFloat32)


def study_with(tmp_path, **tags_of_t1c):
    """T1 and FLAIR of one examination, and a T1c that may be of another; what is said of them."""
    tags = {"PatientName": "Doe^Jane", "PatientID": "ID-4711", "StudyDate": "20240131",
            "FrameOfReferenceUID": f"{UID}.50"}  # fmt: skip
    paths = {}
    for number, (contrast, other) in enumerate({T1: {}, T1C: tags_of_t1c, FLAIR: {}}.items()):
        folder = tmp_path / contrast.value
        paths[contrast] = write_series(folder, other_ramp(number), **(tags | other))
    return read_study(paths)


@pytest.mark.parametrize(
    ("tags", "warning"),
    [
        ({}, None),
        ({"PatientID": "ID-0815", "StudyDate": "20200202"},
         "T1, FLAIR | T1c are of different patients by their DICOM tags; give images of one"),
        ({"StudyDate": "20240506", "StudyInstanceUID": f"{UID}.98"},
         "T1, FLAIR (2024-01-31) | T1c (2024-05-06) are of different days; the tumour may"),
        ({"StudyInstanceUID": f"{UID}.98"}, "T1, FLAIR | T1c are of different studies by"),
        ({"FrameOfReferenceUID": f"{UID}.51"}, "T1, FLAIR | T1c have different frames of refer"),
        # What is not told is no difference.
        ({"PatientID": "", "StudyDate": "", "StudyInstanceUID": "", "FrameOfReferenceUID": ""},
         None),
        ({"StudyDate": "2024.01.31"}, None),  # as it was written before DICOM 3.0
        ({"StudyDate": "2024.05.06"}, "T1, FLAIR (2024-01-31) | T1c (2024-05-06) are of diff"),
        ({"Modality": "CT"}, "T1c is CT by its DICOM tags; the model knows MRI only"),
    ],
)  # fmt: skip
def test_other_patients_days_and_modalities_are_warned_about(tmp_path, tags, warning):
    study = study_with(tmp_path, **tags)
    if warning is None:
        assert study.warnings == ()
    else:
        (said,) = study.warnings
        assert said.startswith(warning)
    assert study.subset(frozenset({T1, FLAIR})).warnings == ()
    assert not any(secret in repr(study) for secret in ("Doe", "Jane", "4711", "0815"))


def test_tags_travel_in_other_formats_too(tmp_path, volume):
    paths = {}
    for contrast, patient in ((T1, "1"), (T2, "2")):
        image = other_ramp(contrast.index)
        image.SetMetaData("0010|0020", patient)
        paths[contrast] = tmp_path / f"{contrast.value}.nrrd"
        sitk.WriteImage(image, str(paths[contrast]))
    (warning,) = read_study(paths).warnings
    assert warning.startswith("T1 | T2 are of different patients")


def test_mr_by_its_tags_is_no_ct_by_its_intensities(volume, tmp_path):
    wide = (volume - 1000) * 12 - 500
    assert sitk.GetArrayViewFromImage(wide).min() < -1000
    assert own(write_series(tmp_path / "mr", wide))[1] == ()
    sitk.WriteImage(wide, str(tmp_path / "t1.nrrd"))
    assert "looks like CT" in own(tmp_path / "t1.nrrd")[1][0]
