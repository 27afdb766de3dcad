"""Bootstrap intervals of means, over the samples alone or over samples and seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
Array = npt.NDArray[np.float64]


def interval(values: Array) -> Array:
    """95 % percentile bootstrap interval (…, 2) of the mean over samples, values (samples, …).

    NaN for one sample alone, or where nobody was measured.
    """
    count = len(values)
    if count < 2:
        return np.full((*values.shape[1:], 2), np.nan)
    chosen = np.random.default_rng(0).integers(count, size=(RESAMPLES, count))
    means = np.nanmean(values[chosen], axis=1)
    return np.moveaxis(np.percentile(means, [2.5, 97.5], axis=0), 0, -1)


def crossed_interval(values: Array) -> Array:
    """As `interval`, (2,), of the mean over seeds and samples, values (seeds, samples).

    Both are drawn anew in each resample: another run on other samples is what it speaks of. With
    hundreds of samples the seeds are half of the uncertainty, and `interval` would leave them out.
    """
    seeds, samples = values.shape
    if min(seeds, samples) < 2:
        return np.full(2, np.nan)
    random = np.random.default_rng(0)
    means = [
        values[random.integers(seeds, size=seeds)][:, random.integers(samples, size=samples)].mean()
        for _ in range(RESAMPLES)
    ]
    return np.percentile(means, [2.5, 97.5])


def nested_interval(values: Sequence[Array]) -> Array:
    """As `crossed_interval`, where each seed has samples of its own, (samples,) each."""
    if len(values) < 2 or min(map(len, values)) < 2:
        return np.full(2, np.nan)
    random = np.random.default_rng(0)
    means = []
    for _ in range(RESAMPLES):
        chosen = [values[i] for i in random.integers(len(values), size=len(values))]
        means.append(np.mean([one[random.integers(len(one), size=len(one))].mean()
                              for one in chosen]))  # fmt: skip
    return np.percentile(means, [2.5, 97.5])
