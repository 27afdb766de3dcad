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
