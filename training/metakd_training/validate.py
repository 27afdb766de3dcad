"""Scores of a network on whole patients, of every subset of modalities."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from metakd_training.methods.method import Batch, Pyramid, Task


@torch.no_grad()
def subset_scores(
    network: nn.Module, task: Task, patients: Iterable[Batch], subsets: Tensor, outputs: int
) -> Tensor:
    """(patients, S, R) on the network's own grid; NaN for subsets that a patient lacks.

    Each modality is encoded once, whatever the number of subsets (S, N).
    """
    rows = []
    with evaluating(network):
        for patient in patients:
            features = [
                network.encode_where(i, values, patient.present[:, i])
                for i, values in enumerate(patient.inputs)
            ]
            scores = [_score(network, task, features, patient, subset) for subset in subsets]
            rows.append(torch.stack(scores).cpu())
    return torch.stack(rows) if rows else torch.empty(0, len(subsets), outputs)


def _score(
    network: nn.Module,
    task: Task,
    features: list[Pyramid | None],
    patient: Batch,
    subset: Tensor,
) -> Tensor:
    available = subset.to(patient.present.device)[None]
    served = bool((available <= patient.present).all())
    # A patient who lacks the contrasts is scored with all he has, only to be left out.
    rows = available if served else patient.present
    score = task.score(network.decode(network.generate(features, rows)).float(), patient.target)[0]
    return score if served else torch.full_like(score, torch.nan)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)
