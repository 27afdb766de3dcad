"""What a classifier says of every sample from every subset, and how good that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from metakd.any_subset import AnySubsetNet
from sklearn.metrics import f1_score, roc_auc_score

from metakd_training.intervals import Array
from metakd_training.subsets import all_subsets, subset_names
from metakd_training.tasks.classification_workload import ClassificationWorkload
from metakd_training.validate import subset_logits

METRICS = {"accuracy": "Accuracy", "f1": "Macro F1", "auc": "AUC, one class against the rest"}
_RESAMPLES = 500


@dataclass(frozen=True)
class Predictions:
    """Of the n samples of a list, from each of S subsets.

    Attributes:
        labels: (n,) the right class of K.
        served: (S, n) booleans, who has all modalities of the subset.
        probabilities: (S, n, K); of who is not served they mean nothing.
    """

    names: tuple[str, ...]
    modalities: tuple[str, ...]
    classes: tuple[str, ...]
    labels: Array
    served: npt.NDArray[np.bool_]
    probabilities: Array

    def by_subset(self) -> Iterator[tuple[str, Array, Array]]:
        """Name of each subset, labels and probabilities of the samples that have it."""
        names = subset_names(self.modalities)
        for name, served, probabilities in zip(names, self.served, self.probabilities, strict=True):
            yield name, self.labels[served], probabilities[served]


def predict(
    network: AnySubsetNet, workload: ClassificationWorkload, key: str, device: torch.device
) -> Predictions:
    """Classify the samples of a list of the split from every subset of their modalities."""
    subsets = all_subsets(len(workload.modalities))
    found = list(subset_logits(network.to(device), workload.whole(key, device), subsets))
    # Batch by batch, all subsets of each.
    by_subset = [found[place :: len(subsets)] for place in range(len(subsets))]
    served = [torch.cat([has for _, has, _ in each]) for each in by_subset]
    logits = [torch.cat([one.cpu() for _, _, one in each]) for each in by_subset]
    samples = workload.samples
    return Predictions(
        tuple(workload.split[key]),
        workload.modalities,
        samples.classes,
        samples.labels[torch.tensor(samples.lists[key])].numpy(),
        torch.stack(served).numpy(),
        torch.stack(logits).double().softmax(dim=2).numpy(),
    )


def metrics(labels: Array, probabilities: Array) -> dict[str, float]:
    """Accuracy, macro-F1 and AUC of n samples; NaN where they cannot be said.

    F1 is the mean over the classes that occur in truth or result. AUC is the mean over the K
    classes of each against the rest; NaN unless every class occurs. Of two classes it is the
    second's.
    """
    if not len(labels):
        return dict.fromkeys(METRICS, np.nan)
    found = probabilities.argmax(axis=1)
    count = probabilities.shape[1]
    auc = np.nan
    if len(np.unique(labels)) == count:
        scores = probabilities[:, 1] if count == 2 else probabilities
        auc = roc_auc_score(labels, scores, multi_class="ovr", labels=range(count))
    return {
        "accuracy": float((found == labels).mean()),
        "f1": float(f1_score(labels, found, average="macro")),
        "auc": float(auc),
    }


def metric_intervals(labels: Array, probabilities: Array) -> dict[str, list[float]]:
    """95 % percentile bootstrap intervals over the samples of `metrics`."""
    random, count = np.random.default_rng(0), len(labels)
    if count < 2:
        return {name: [np.nan, np.nan] for name in METRICS}
    drawn = (random.integers(count, size=count) for _ in range(_RESAMPLES))
    each = [metrics(labels[chosen], probabilities[chosen]) for chosen in drawn]
    return {
        name: _percentiles([one[name] for one in each if np.isfinite(one[name])])
        for name in METRICS
    }


def _percentiles(values: Sequence[float]) -> list[float]:
    return np.percentile(values, [2.5, 97.5]).tolist() if values else [np.nan, np.nan]
