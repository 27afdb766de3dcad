"""Scores of a network on whole samples, of every subset of modalities."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from metakd.any_subset import AnySubsetNet
from torch import Tensor, nn

from metakd_training.methods.method import Batch, Task


@torch.no_grad()
def subset_logits(
    network: AnySubsetNet, batches: Iterable[Batch], subsets: Tensor
) -> Iterator[tuple[Batch, Tensor, Tensor]]:
    """For each batch and subset of (S, N): the batch, who is served (B,), logits (B, outputs, …).

    Each modality is encoded once, whatever the number of subsets. A sample that lacks a modality
    of the subset is not served: its logits are from all that it has, and to be left out.
    """
    with evaluating(network):
        for batch in batches:
            features = [
                network.encode_where(i, values, batch.present[:, i])
                for i, values in enumerate(batch.inputs)
            ]
            for subset in subsets.to(batch.present.device):
                served = (subset <= batch.present).all(dim=1)
                available = torch.where(served[:, None], subset, batch.present)
                logits = network.decode(network.generate(features, available))
                yield batch, served.cpu(), logits.float()


def subset_scores(
    network: AnySubsetNet, task: Task, batches: Iterable[Batch], subsets: Tensor, outputs: int
) -> Tensor:
    """(samples, S, R); NaN for subsets that a sample lacks."""
    rows = [
        task.score(logits, batch.target).cpu().float().where(served[:, None], torch.nan)
        for batch, served, logits in subset_logits(network, batches, subsets)
    ]
    count = len(subsets)
    each = [torch.stack(rows[i : i + count], dim=1) for i in range(0, len(rows), count)]
    return torch.cat(each) if each else torch.empty(0, count, outputs)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)
