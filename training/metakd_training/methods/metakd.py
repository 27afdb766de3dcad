"""MetaKD: pairwise distillation, weighted by importance that is learned on held-out patients.

Meta-learned Modality-weighted Knowledge Distillation, arXiv 2405.07155.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations

import torch
from torch import Tensor

Pyramid = list[Tensor]


def distillation(features: Sequence[Tensor], importance: Tensor) -> Tensor:
    r"""Every contrast learns from every other, the more so the more important the teacher.

    .. math:: \sum_{i \ne j} \frac{w_i}{w_j} \, \| \mathrm{sg}(f_i) - f_j \|_1

    with the mean over voxels as norm, :math:`\mathrm{sg}` the stopped gradient.

    Args:
        features: the coarsest features :math:`f_i` of each available contrast, of one shape.
        importance: :math:`w`, one positive number for each of them; no gradient flows into it.
    """
    weights = importance.detach()
    pairs = permutations(range(len(features)), 2)
    terms = [
        weights[teacher] / weights[student]
        * (features[teacher].detach() - features[student]).abs().mean()
        for teacher, student in pairs
    ]  # fmt: skip
    return torch.stack(terms).sum() if terms else features[0].new_zeros(())


def scale_by_importance(features: Sequence[Pyramid], importance: Tensor) -> list[Pyramid]:
    """Each contrast's features times its weight: how the outer level sees them."""
    return [
        [weight * scale for scale in pyramid]
        for pyramid, weight in zip(features, importance, strict=True)
    ]


def importance_step(
    held_out_loss: Callable[[], Tensor], logits: Tensor, optimizer: torch.optim.Optimizer
) -> float:
    r"""One first-order step of the outer level.

    .. math:: w^* = \arg\min_w \; L_{task}(\zeta(w \odot f); \text{held-out patients})

    Args:
        held_out_loss: the task loss on held-out patients with features scaled by :math:`w`.
        logits: :math:`v`, of which :math:`w = N \cdot softmax(v)`; the only thing changed.

    Returns:
        The loss before the step.
    """
    loss = held_out_loss()
    (logits.grad,) = torch.autograd.grad(loss, [logits])
    optimizer.step()
    logits.grad = None
    return loss.item()
