"""Registration on phantoms that were moved by transforms that are known."""

import numpy as np
import pytest
import SimpleITK as sitk
from metakd import registration
from metakd.contrasts import Contrast
from metakd.phantom import PhantomSettings, make_phantom
from metakd.registration import register
from metakd.study import make_study
from scans import moved, rigid

T1, T1C, T2, FLAIR = Contrast
LANDMARKS = np.random.default_rng(0).uniform(-50, 50, (50, 3)).tolist()  # mm, in the brain


@pytest.fixture(scope="module")
def images():
    """Of one patient at 3 mm, without skull; as they come out of a file."""
    return make_phantom(3, PhantomSettings(spacing=3.0)).images


def registered(fixed, moving, kind="rigid"):
    """Of two contrasts, as the engine has them: intensities of about 0 to 1."""
    study = make_study({T1C: fixed, FLAIR: moving})
    return register(study.images[T1C], study.images[FLAIR], kind)


def errors(result, truth):
    """How far (mm) each landmark is put from where it went."""
    return [
        float(np.linalg.norm(np.subtract(result.transform.TransformPoint(p),
                                         truth.TransformPoint(p))))
        for p in LANDMARKS
    ]  # fmt: skip


def is_identity(transform):
    return all(transform.TransformPoint(point) == tuple(point) for point in LANDMARKS)


@pytest.mark.parametrize(
    "truth",
    [rigid(20, (0, 0, 1), (30, 0, 0)), rigid(30, (1, 1, 0.5), (0, 5, -10))],
    ids=["20 degrees and 30 mm", "30 degrees, oblique"],
)
def test_a_known_movement_is_found_to_the_millimetre(images, truth):
    result = registered(images[T1C], moved(images[FLAIR], truth))
    assert result.outcome == "registered"
    missed = errors(result, truth)
    assert np.mean(missed) < 0.8  # 0.5 mm measured, a sixth of a voxel
    assert max(missed) < 1.2  # 0.7 mm measured
    assert result.turned_degrees == pytest.approx(
        np.degrees(2 * np.arccos(truth.GetVersor()[3])), abs=1
    )
    middle = centre_of(images[T1C])
    way = float(np.linalg.norm(np.subtract(truth.TransformPoint(middle), middle)))
    assert result.moved_mm == pytest.approx(way, abs=1.5)
    assert result.similarity > 0.2


def centre_of(image):
    """LPS, mm, of what is not air."""
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(image != 0)
    return statistics.GetCentroid(1)


def test_aligned_images_are_measured_and_left_alone(images):
    result = registered(images[T1C], images[FLAIR])
    assert result.outcome == "aligned"
    assert (result.moved_mm, result.turned_degrees) == (0.0, 0.0)
    assert is_identity(result.transform)
    assert 0.2 < result.similarity < 1


@pytest.mark.parametrize(("mm", "outcome"), [(1, "aligned"), (3, "registered")])
def test_a_millimetre_is_left_alone_and_three_are_not(images, mm, outcome):
    truth = rigid(shift=(mm, 0, 0))
    result = registered(images[T1C], moved(images[FLAIR], truth))
    assert result.outcome == outcome
    assert max(errors(result, truth)) <= 1.01
    assert is_identity(result.transform) == (outcome == "aligned")


@pytest.mark.parametrize("spacing", [4.0, 3.0], ids=["near where it lies", "somewhere"])
def test_noise_is_not_registered(spacing):
    """Chance puts a top of the similarity, a low one, near where noise lies, or is sent to."""
    fixed = make_phantom(3, PhantomSettings(spacing=spacing)).images[T1C]
    values = np.random.default_rng(1).random(fixed.GetSize()[::-1])
    noise = sitk.GetImageFromArray(values.astype(np.float32))
    noise.CopyInformation(fixed)
    result = registered(fixed, noise)
    assert result.outcome == "failed"
    assert (result.moved_mm, result.turned_degrees) == (0.0, 0.0)
    assert is_identity(result.transform)
    assert result.similarity < 0.03


def test_another_head_upside_down_is_not_registered(images):
    """Its header lies: no rigid movement brings a mirror image, or a half turn, into place."""
    other = make_phantom(5, PhantomSettings(spacing=3.0)).images[FLAIR]
    wrong = sitk.GetImageFromArray(sitk.GetArrayFromImage(other)[::-1, ::-1].copy())
    wrong.CopyInformation(other)
    result = registered(images[T1C], wrong)
    assert result.outcome == "failed"
    assert is_identity(result.transform)


def test_thick_slices_are_registered_and_twice_alike_to_the_bit():
    study = make_phantom(3, PhantomSettings(spacing=3.0, slice_thickness=6.0))
    truth = rigid(12, (1, 0, 1), (8, -5, 3))
    there = moved(study.images[T2], truth)
    first, second = (registered(study.images[T1C], there) for _ in range(2))
    assert first.outcome == "registered"
    assert np.mean(errors(first, truth)) < 2.0  # 0.8 mm measured
    assert first.transform.GetParameters() == second.transform.GetParameters()
    assert first.transform.GetFixedParameters() == second.transform.GetFixedParameters()
    assert first.similarity == second.similarity


def stretched(image, factors):
    """With voxels that are this much larger than they say, about the head's middle."""
    longer = sitk.Image(image)
    spacing = np.multiply(image.GetSpacing(), factors)
    longer.SetSpacing(spacing.tolist())
    away = np.subtract(centre(longer), centre(image))
    longer.SetOrigin(np.subtract(longer.GetOrigin(), away).tolist())
    return longer


def centre(image):
    return image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()])


@pytest.mark.parametrize("factors", [(1.06, 1.06, 1.06), (1.0, 1.0, 1.1)])
def test_a_wrong_voxel_size_alone_needs_affine_too(images, factors):
    """Neither moved nor turned, so that a rigid search has nothing to find."""
    longer = stretched(images[FLAIR], factors)
    result = registered(images[T1C], longer, "affine")
    assert (result.outcome, result.kind) == ("registered", "affine")
    middle = np.array(centre(images[FLAIR]))
    ends = (np.array(LANDMARKS) - middle) * factors + middle
    missed = [
        np.linalg.norm(np.subtract(result.transform.TransformPoint(p), end))
        for p, end in zip(LANDMARKS, ends.tolist(), strict=True)
    ]
    assert np.mean(missed) < 1.0


def test_a_slab_that_is_in_place_is_aligned(images):
    depth = images[FLAIR].GetSize()[2]
    slab = images[FLAIR][:, :, depth // 2 - 4 : depth // 2 + 4]  # 24 mm
    assert registered(images[T1C], slab).outcome == "aligned"


def test_an_affine_search_that_comes_to_nothing_leaves_the_rigid_one(images, monkeypatch):
    truth = rigid(20, (0, 0, 1), (30, 0, 0))
    optimised = registration._Pair._optimised

    def without_affine(pair, start, level):
        if isinstance(start, sitk.AffineTransform):
            raise registration._Apart
        return optimised(pair, start, level)

    monkeypatch.setattr(registration._Pair, "_optimised", without_affine)
    result = registered(images[T1C], moved(images[FLAIR], truth), "affine")
    assert (result.outcome, result.kind) == ("registered", "rigid")
    assert np.mean(errors(result, truth)) < 0.8


def refuse(monkeypatch, words):
    def execute(*_):
        raise RuntimeError(words)

    monkeypatch.setattr(sitk.ImageRegistrationMethod, "Execute", execute)


def test_too_little_in_common_is_a_failure_and_too_little_memory_an_error(images, monkeypatch):
    shifted = moved(images[FLAIR], rigid(20, (0, 0, 1), (30, 0, 0)))
    refuse(monkeypatch, "All samples map outside moving image buffer")
    assert registered(images[T1C], shifted).outcome == "failed"
    refuse(monkeypatch, "Failed to allocate memory for image.")
    with pytest.raises(RuntimeError, match="allocate memory"):
        registered(images[T1C], shifted)


def test_a_wrong_voxel_size_needs_affine():
    study = make_phantom(3, PhantomSettings(spacing=4.0))
    truth = sitk.AffineTransform(3)
    truth.Scale(1.05)
    truth.Rotate(0, 1, 0.1)
    truth.Translate((4, 0, 3))
    there = moved(study.images[FLAIR], truth)
    result = registered(study.images[T1C], there, "affine")
    assert result.outcome == "registered"
    assert np.mean(errors(result, truth)) < 1.2  # 0.7 mm measured; rigid leaves 2.8 mm
    origin, *ends = (result.transform.TransformPoint(p) for p in ((0, 0, 0), *np.eye(3).tolist()))
    volume = np.linalg.det(np.subtract(ends, origin))
    assert np.cbrt(volume) == pytest.approx(1.05, abs=0.01)


def test_a_whole_head_is_brought_to_a_stripped_one(images):
    head = make_phantom(3, PhantomSettings(spacing=3.0, scalp=True)).images[FLAIR]
    truth = rigid(12, (1, 0, 1), (8, -5, 3))
    result = registered(images[T1C], moved(head, truth))
    assert result.outcome == "registered"
    assert np.mean(errors(result, truth)) < 2.0  # 1.0 mm measured
