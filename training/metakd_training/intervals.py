"""Intervals of means: over the samples alone, over the seeds, over both."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

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


def interval_over_seeds(means: Array) -> Array:
    """95 % interval (2,) of the mean over seeds, (seeds,), by Student's t: there are few of them.

    Where each seed has samples of its own it covers both.
    """
    seeds = len(means)
    if seeds < 2:
        return np.full(2, np.nan)
    half = stats.t.ppf(0.975, seeds - 1) * means.std(ddof=1) / seeds**0.5
    return means.mean() + np.array([-half, half])


def crossed_interval(values: Array) -> Array:
    """95 % interval (2,) of the mean over seeds and the samples that all of them share.

    Another run on other samples is what it speaks of: with hundreds of samples the seeds are half
    of the uncertainty. Half its width is that over the seeds and that over the samples (normal,
    for there are many), added in squares; the seeds' noise is in both, so it is rather too wide.

    Args:
        values: (seeds, samples).
    """
    low, high = interval_over_seeds(values.mean(axis=1))
    each = values.mean(axis=0)
    half = np.hypot((high - low) / 2, 1.96 * each.std(ddof=1) / len(each) ** 0.5)
    return values.mean() + np.array([-half, half])
