"""Reading and checking one patient: every format, every scale, every refusal by name."""

import gzip
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from metakd.contrasts import CONTRASTS, Contrast
from metakd.study import Study, StudyError, make_study, read_study

T1, T1C, T2, FLAIR = CONTRASTS
UID = "1.2.826.0.1.3680043.2.1125"


def values(image):
    return sitk.GetArrayFromImage(image)


def oblique(image):
    image.SetSpacing((0.9, 1.1, 3.0))
    image.SetDirection((0, 1, 0, -0.8, 0, 0.6, 0.6, 0, 0.8))
    return image


def write_dicom(folder, volume, series=1):
    """One DICOM file a slice, as a scanner would export the volume."""
    folder.mkdir(exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    axes = np.reshape(volume.GetDirection(), (3, 3))
    for number in range(volume.GetDepth()):
        plane = volume[:, :, number]
        place = volume.TransformIndexToPhysicalPoint((0, 0, number))
        for tag, value in {
            "0008|0060": "MR",
            "0008|0018": f"{UID}.{series}.{number + 1}",
            "0020|000d": f"{UID}.99",
            "0020|000e": f"{UID}.{series}",
            "0020|0013": number + 1,
            "0020|0032": "\\".join(map(str, place)),
            "0020|0037": "\\".join(map(str, (*axes[:, 0], *axes[:, 1]))),
            "0018|0050": volume.GetSpacing()[2],
        }.items():
            plane.SetMetaData(tag, str(value))
        # Names run against the slices' order, which has to come from the positions.
        writer.SetFileName(str(folder / f"{series}_{900 - number}.dcm"))
        writer.Execute(plane)
    return folder


def same_place(one, other):
    return all(
        np.allclose(getattr(one, get)(), getattr(other, get)(), atol=1e-4)
        for get in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection")
    )


@pytest.mark.parametrize(
    "name", ["t1.nii.gz", "t1.nii", "t1.nrrd", "t1.nhdr", "t1.mha", "t1.mhd", "dicom series"]
)
def test_every_format_gives_the_same_study(scan, write_image, tmp_path, name):
    image = sitk.Cast(oblique(scan()), sitk.sitkInt16)
    if name == "dicom series":
        path = write_dicom(tmp_path / name, image)
    else:
        path = write_image(name, image)
    read = read_study({T1: path}).images[T1]
    assert same_place(read, image)
    assert np.array_equal(values(read), values(make_study({T1: image}).images[T1]))


@pytest.mark.parametrize("count", [0, 2])
def test_a_folder_without_exactly_one_dicom_series_is_refused(scan, tmp_path, count):
    folder = tmp_path / "dicom"
    folder.mkdir()
    for series in range(count):
        write_dicom(folder, sitk.Cast(scan(size=(16, 16, 4)), sitk.sitkInt16), series + 1)
    with pytest.raises(StudyError, match=rf"dicom: holds {count} DICOM series.*exactly one"):
        read_study({T1: folder})


def test_a_dicom_series_of_colour_pictures_is_refused(scan, tmp_path):
    grey = sitk.Cast(scan(size=(16, 16, 4)) / 4, sitk.sitkUInt8)
    folder = write_dicom(tmp_path / "screenshots", sitk.Compose(grey, grey, grey))
    with pytest.raises(StudyError, match=r"screenshots.*colour"):
        read_study({T1: folder})


def test_each_contrast_takes_its_channel_of_a_decathlon_file(scan, write_image):
    channels = {c: oblique(scan(seed)) for seed, c in enumerate((FLAIR, T1, T1C, T2))}
    path = write_image("BRATS_001.nii.gz", sitk.JoinSeries(list(channels.values())))
    study = read_study(dict.fromkeys(CONTRASTS, path))
    expected = make_study(channels)
    for contrast, image in study.images.items():
        assert np.array_equal(values(image), values(expected.images[contrast])), contrast
        assert same_place(image, channels[contrast])


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_4d_file_that_is_not_the_decathlons_is_refused(scan, write_image, count):
    path = write_image("dwi.nii.gz", sitk.JoinSeries([scan(seed) for seed in range(count)]))
    with pytest.raises(StudyError, match=rf"dwi.nii.gz: is 4D with {count} volumes"):
        read_study({T1: path})


def test_real_decathlon_channels_show_what_their_contrast_shows(shared_data):
    """Oedema is bright on FLAIR and T2, enhancing tumour on T1c; on T1 nothing stands out."""
    folder = shared_data / "brats" / "MSD_Task01_BrainTumour"
    study = read_study(dict.fromkeys(CONTRASTS, folder / "imagesTr" / "BRATS_001.nii.gz"))
    stored = values(sitk.ReadImage(str(folder / "labelsTr" / "BRATS_001.nii.gz")))
    bright = {}
    for contrast, image in study.images.items():
        scanned = values(image)
        healthy = scanned[(scanned > 0) & (stored == 0)].mean()
        bright[contrast] = [scanned[stored == label].mean() / healthy for label in (1, 2, 3)]
    oedema, necrosis, enhancing = range(3)
    assert bright[FLAIR][oedema] > 1.5
    assert bright[T2][oedema] > 1.5
    assert bright[T2][necrosis] > 2
    assert bright[T1C][enhancing] > 1.5 > bright[T1C][oedema]
    assert max(bright[T1]) < 1.3


@pytest.mark.parametrize(
    ("scale", "offset"),
    [(1, 1e9), (1e-12, 0), (1e30, 0), (1e300, 0), (1e-300, 0), (1, -5000), (1e6, -1e9)],
)
def test_scale_and_offset_of_intensities_do_not_matter(scan, scale, offset):
    image = sitk.Cast(scan(), sitk.sitkFloat64)
    expected = values(make_study({T1: image}).images[T1])
    rescaled = values(make_study({T1: image * scale + offset}).images[T1])
    np.testing.assert_allclose(rescaled, expected, atol=1e-6)
    brain = rescaled[rescaled != rescaled.flat[0]]
    np.testing.assert_allclose(np.percentile(brain, (1, 99)), (0, 1), atol=1e-5)


def test_neither_an_odd_background_nor_a_hot_voxel_leaves_the_brain_flat(scan):
    expected = values(make_study({T1: scan()}).images[T1])
    spoiled = values(sitk.Cast(scan(), sitk.sitkFloat32)).copy()
    air = spoiled == spoiled.flat[0]
    spoiled[air] = -3.4e38
    spoiled[tuple(n // 2 for n in spoiled.shape)] = 1e30
    image = sitk.GetImageFromArray(spoiled)
    rescaled = values(make_study({T1: image}).images[T1])
    np.testing.assert_allclose(np.median(rescaled[~air]), np.median(expected[~air]), atol=1e-3)
    assert rescaled.min() == -4
    assert rescaled.max() == 5


def test_a_dicom_series_with_a_missing_slice_is_refused(scan, tmp_path):
    folder = write_dicom(tmp_path / "dicom", sitk.Cast(scan(size=(16, 16, 8)), sitk.sitkInt16))
    sorted(folder.iterdir())[3].unlink()
    with pytest.raises(StudyError, match="missing; export the whole series"):
        read_study({T1: folder})


def test_negative_intensities_keep_their_order(scan):
    expected = values(make_study({T1: scan()}).images[T1])
    negative = values(make_study({T1: scan() * -1}).images[T1])
    np.testing.assert_allclose(negative, 1 - expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["UInt8", "UInt16", "Int16", "UInt32", "Int64", "Float64"])
def test_every_number_type_gives_the_same_study(scan, write_image, kind):
    whole = sitk.Cast(scan() / 4, sitk.sitkUInt8)
    expected = values(make_study({T1: whole}).images[T1])
    path = write_image("t1.nrrd", sitk.Cast(whole, getattr(sitk, f"sitk{kind}")))
    read = read_study({T1: path}).images[T1]
    assert read.GetPixelID() == sitk.sitkFloat32
    assert np.array_equal(values(read), expected)


def test_the_full_range_of_16_bits_does_not_wrap_around():
    ramp = np.linspace(-32768, 32767, 4096).astype(np.int16).reshape(16, 16, 16)
    rescaled = values(make_study({T1: sitk.GetImageFromArray(ramp)}).images[T1])
    assert (np.diff(rescaled.ravel()) > 0).all()


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("kept", [0.5, 0.95], ids=["half", "all but the last slices"])
def test_a_cut_file_is_refused_in_every_format(scan, write_image, ending, kept):
    path = write_image(f"t1{ending}", scan())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(StudyError, match=rf"t1{ending}: .*export T1 again"):
        read_study({T1: path})


def test_a_whole_gzip_of_a_cut_nifti_is_refused(scan, write_image):
    path = write_image("t1.nii.gz", scan())
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-50_000]))
    with pytest.raises(StudyError, match=r"t1.nii.gz: .*export T1 again"):
        read_study({T1: path})


@pytest.mark.parametrize("kind", ["same path", "symbolic link", "hard link", "copy", "dicom"])
def test_one_image_in_two_slots_is_refused(scan, write_image, tmp_path, kind):
    first, second = write_image("a.nii.gz", scan()), tmp_path / "b.nii.gz"
    if kind == "same path":
        second = tmp_path / ".." / tmp_path.name / "a.nii.gz"
    elif kind == "symbolic link":
        second.symlink_to(first)
    elif kind == "hard link":
        second.hardlink_to(first)
    elif kind == "copy":
        shutil.copy(first, second)
    else:
        first = second = write_dicom(tmp_path / "series", sitk.Cast(scan(), sitk.sitkInt16))
    with pytest.raises(StudyError, match=r"T1c.*FLAIR|FLAIR.*T1c"):
        read_study({T1C: first, FLAIR: second})


def test_one_image_rescaled_into_two_slots_is_refused(scan):
    with pytest.raises(StudyError, match="the same image"):
        make_study({T1: scan(), T2: sitk.Cast(scan(), sitk.sitkFloat64) * 2 + 100})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda image: image * 0, "every voxel is 0"),
        (lambda image: image * 0 - 1024, "every voxel is -1024"),
        (lambda image: image / 0, "NaN or infinite"),  # 0/0 in the air, inf in the tissue
        (lambda image: sitk.Cast(image > 0, sitk.sitkFloat64), "is a segmentation"),
        (lambda image: sitk.Round(image / 150), "is a segmentation"),
        (lambda image: sitk.RealAndImaginaryToComplex(image, image), "complex"),
        (lambda image: sitk.Compose(image, image, image), "colour"),
        (lambda image: image[:, :, 9], "2D"),
        (lambda image: sitk.JoinSeries([image, image]), "4D"),
    ],
)
def test_images_at_hand_are_checked_as_files_are(scan, change, says):
    with pytest.raises(StudyError, match=says):
        make_study({FLAIR: change(scan())})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_single_voxel_that_is_no_number_is_refused(scan, bad):
    image = scan()
    image[3, 2, 1] = bad
    with pytest.raises(StudyError, match="FLAIR: has NaN or infinite voxels"):
        make_study({FLAIR: image})


def test_a_whole_head_label_map_is_no_scan(shared_data):
    path = shared_data / "head_label_maps" / "training_seg_01.nii.gz"
    with pytest.raises(StudyError, match="is a segmentation"):
        read_study({T1: path})


def test_ct_is_warned_about_and_kept(scan):
    in_hounsfield = scan() * 3 - 1000
    study = make_study({T1C: in_hounsfield, T2: scan(1)})
    (warning,) = study.warnings
    assert warning.startswith("T1c looks like CT")
    assert T1C in study.images


def test_mri_with_negative_values_is_not_taken_for_ct(scan):
    assert make_study({T1: scan() - 500}).warnings == ()
    overshoot = with_voxels(scan(), {(9, 9, 9): -1100, (9, 9, 10): 2000})
    assert make_study({T1: overshoot}).warnings == ()


def with_voxels(image, values):
    for place, value in values.items():
        image[place] = value
    return image


def test_scans_as_they_come_and_without_tumour_give_no_cause_for_doubt(shared_data):
    """Skull and all: it is for the brain extraction to find."""
    for folder in ("clinical/TCGA-FG-6692/raw", "no_tumour/openms_patient07"):
        paths = {c: shared_data / folder / f"{c.value}.nii.gz" for c in CONTRASTS}
        assert read_study(paths).warnings == ()


@pytest.mark.parametrize(("count", "says"), [(1, "is a single slice"), (3, "is 3 slices")])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_few_slices_are_no_scan(scan, write_image, count, says, axis):
    part = scan()[tuple(slice(10, 10 + count) if a == axis else slice(None) for a in range(3))]
    with pytest.raises(StudyError, match=rf"FLAIR: {says}, .*; give the whole series"):
        read_study({FLAIR: write_image("flair.nrrd", part)})


def test_an_image_that_is_nowhere_is_refused(scan):
    lost = scan()
    lost.SetOrigin((0.0, np.nan, 0.0))
    with pytest.raises(StudyError, match="T2: has no place in the patient"):
        make_study({T2: lost})


@pytest.mark.parametrize(
    ("scale", "offset"), [(1, 0), (-3, 20), (1e-12, 0), (1, 1e9), (1e300, 0), (1e6, -1e9)]
)
def test_a_scan_is_brought_back_to_its_own_intensities(scan, scale, offset):
    own = sitk.Cast(scan(), sitk.sitkFloat64) * scale + offset
    study = make_study({T1: own, T2: scan(1)})
    back = study.own_intensities(T1, study.images[T1])
    assert same_place(back, own)
    inside = np.abs(values(study.images[T1]) - 0.5) < 4  # the air of noise-free scans may be cut
    np.testing.assert_allclose(
        values(back)[inside], values(own)[inside], rtol=0, atol=1e-4 * 400 * abs(scale)
    )
    kinds = {sitk.sitkFloat32, sitk.sitkFloat64}
    assert back.GetPixelID() in (kinds if offset else {sitk.sitkFloat32} if scale < 1e99 else kinds)
    assert study.subset(frozenset({T1})).windows == {T1: study.windows[T1]}


def test_any_image_in_a_studys_units_is_brought_back(scan):
    study = make_study({T1: scan() * 3 + 7})
    low, high = study.windows[T1]
    grid = sitk.Image([4, 5, 6], sitk.sitkFloat32) + 0.5
    back = study.own_intensities(T1, grid)
    np.testing.assert_allclose(values(back), (low + high) / 2, rtol=1e-6)
    assert back.GetPixelID() == sitk.sitkFloat32
    assert same_place(back, grid)


def test_images_that_were_not_scaled_are_their_own(scan):
    study = Study({T1: scan()})
    assert study.own_intensities(T1, study.images[T1]) is study.images[T1]


@pytest.mark.parametrize(
    ("available", "reference"),
    [({T1, T2, FLAIR, T1C}, T1C), ({T1, T2, FLAIR}, FLAIR), ({T1, T2}, T2), ({T1}, T1)],
)
def test_the_reference_is_t1c_else_flair_else_t2_else_t1(scan, available, reference):
    study = make_study({contrast: scan(contrast.index) for contrast in available})
    assert study.default_reference is reference


def test_a_subset_is_the_patient_with_fewer_contrasts(scan):
    study = make_study({contrast: scan(contrast.index) for contrast in CONTRASTS})
    fewer = study.subset(frozenset({T1, FLAIR}))
    assert set(fewer.images) == {T1, FLAIR}
    assert fewer.images[T1] is study.images[Contrast.T1]
