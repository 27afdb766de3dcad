"""Unevenness of the coil, taken out: N4 (Tustison et al. 2010, doi 10.1109/TMI.2010.2046908)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

_SHRINK = 4
_ITERATIONS = (100, 100)
"""At each level, which has splines half as long: finer ones take a large tumour for the coil's."""


def without_bias(
    values: npt.NDArray[np.float32], inside: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """A contrast (D, H, W) divided by its bias field, which is looked for inside the mask."""
    low = float(values.min())  # air, which no coil brightens
    image = sitk.GetImageFromArray(values - low + 0.01)  # N4 takes logarithms
    mask = sitk.GetImageFromArray(inside.astype(np.uint8))
    factors = [max(min(_SHRINK, count // 4), 1) for count in image.GetSize()]
    corrector = sitk.N4BiasFieldCorrectionImageFilter()
    corrector.SetMaximumNumberOfIterations(_ITERATIONS)
    corrector.Execute(sitk.Shrink(image, factors), sitk.Shrink(mask, factors))
    field = sitk.Exp(corrector.GetLogBiasFieldAsImage(image))
    even = sitk.GetArrayFromImage(sitk.Divide(image, field) + (low - 0.01))
    return np.where(values == low, values, even)  # air, the darkest, stays of one value
