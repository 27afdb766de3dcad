"""Synthetic scans that tests and fixtures share."""

import numpy as np
import SimpleITK as sitk


def make_scan(seed=0, size=(36, 40, 32)):
    """A skull-stripped head in miniature: textured tissue in an ellipsoid, 0 around it."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in size[::-1]), indexing="ij")
    inside = (x / 0.7) ** 2 + (y / 0.8) ** 2 + (z / 0.6) ** 2 < 1
    tissue = 400 + 100 * x + 60 * y + 40 * z + rng.normal(0, 20, x.shape)
    image = sitk.GetImageFromArray(np.where(inside, tissue, 0).astype(np.float32))
    image.SetOrigin((-20.0, 10.0, 5.0))
    return image


def places(image):
    """(D, H, W, 3): where each voxel's centre lies, LPS, mm."""
    index = np.moveaxis(np.indices(image.GetSize()[::-1])[::-1], 0, -1)
    steps = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    return index @ steps.T + image.GetOrigin()


def ramp_at(points):
    """An intensity that says where it lies: linear in each coordinate, a different step in each."""
    return 1000 + np.asarray(points) @ (5.0, 7.0, 11.0)


def make_ramp(size=(12, 14, 8), spacing=(1.5, 2.0, 4.0), origin=(-9.0, 12.0, -30.0), turn=None):
    """A float32 image that holds `ramp_at` of its places."""
    image = sitk.Image(list(size), sitk.sitkFloat32)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    if turn is not None:
        image.SetDirection(np.ravel(turn).tolist())
    return filled_with_ramp(image)


def filled_with_ramp(frame):
    """`ramp_at` on the grid of an image, right angles or not."""
    image = sitk.GetImageFromArray(ramp_at(places(frame)).astype(np.float32))
    image.CopyInformation(frame)
    return image


def rigid(degrees=0.0, axis=(0, 0, 1), shift=(0, 0, 0)):
    """A turn about the origin, then a shift (mm)."""
    unit = np.array(axis) / np.linalg.norm(axis)
    transform = sitk.VersorRigid3DTransform()
    transform.SetRotation(unit.tolist(), float(np.radians(degrees)))
    transform.SetTranslation(np.asarray(shift, dtype=float).tolist())
    return transform


def moved(image, transform, room=40.0):
    """A patient who lay elsewhere: what was at a point is at `transform` of it; float32.

    Args:
        room: mm that the image is larger by on each side, so that nothing is lost.
    """
    more = [round(room / step) for step in image.GetSpacing()]
    frame = sitk.ConstantPad(image, more, more)
    return sitk.Resample(
        image, frame, transform.GetInverse(), sitk.sitkLinear, 0.0, sitk.sitkFloat32
    )
