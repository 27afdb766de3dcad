"""Distances between the features of two modalities, and their weighted sum over pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations

import torch
from torch import Tensor
from torch.nn import functional as F

from metakd_training.methods.method import Pyramid


def _l1(teacher: Tensor, student: Tensor) -> Tensor:
    return (teacher - student).abs().mean(dim=1)


def _l2(teacher: Tensor, student: Tensor) -> Tensor:
    return (teacher - student).square().mean(dim=1)


def _cosine(teacher: Tensor, student: Tensor) -> Tensor:
    return 1 - F.cosine_similarity(teacher, student, dim=1)


DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": _l1,
    "l2": _l2,
    "cosine": _cosine,
}
"""Features (B, C, …) of teacher and student → distance at every place (B, …)."""


def pairwise(
    features: Sequence[Tensor | None],
    *,
    teachers: Tensor,
    students: Tensor,
    coefficients: Tensor,
    parts: Tensor,
    distance: str,
) -> Tensor:
    r"""Students learn from teachers, pair by pair; gradients flow to students alone.

    .. math:: \frac{1}{BP} \sum_{b, p} \sum_{i \ne j} t_{bi} s_{bj} c_{pij}
              \; \overline{d(\mathrm{sg}(f_{bi}), f_{bj})}^{\,p}

    with the mean of the distance over part :math:`p` of the sample, 0 where that is empty.

    Args:
        features: of each of the N modalities, (B, C, …), or `None` where no sample has it.
        teachers, students: (B, N) booleans, t and s.
        coefficients: (P, N, N), teacher first.
        parts: (B, P, …) weights of places, at the features' resolution; all 1 for the whole.
    """
    measure = DISTANCES[distance]
    places = _flat(parts)
    weights = places / places.sum(dim=2, keepdim=True).clamp_min(1e-6)
    total = parts.new_zeros(())
    for i, j in permutations(range(len(features)), 2):
        pair = (teachers[:, i] & students[:, j])[:, None]
        teacher, student = features[i], features[j]
        if teacher is None or student is None or not bool(pair.any()):
            continue
        apart = measure(in_full(teacher.detach()), in_full(student))[:, None]
        mean = (weights * _flat(apart)).sum(dim=2)
        total = total + (pair * coefficients[:, i, j] * mean).mean()
    return total


def _flat(values: Tensor) -> Tensor:
    """(B, P, …) as (B, P, places); features without places, (B, C), have one."""
    return values.reshape(*values.shape[:2], -1)


def whole(features: Tensor) -> Tensor:
    """The one part that is everything, (B, 1, …)."""
    return torch.ones_like(in_full(features[:, :1]))


def in_full(values: Tensor) -> Tensor:
    """Half precision, as mixed precision has it, as float32; anything else as it is."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


def chosen_scales(features: list[Pyramid | None], scales: str) -> list[list[Tensor | None]]:
    """For each scale that is distilled, every modality's features."""
    depth = len(next(pyramid for pyramid in features if pyramid is not None))
    wanted = range(depth) if scales == "every" else [depth - 1]
    return [[None if p is None else p[scale] for p in features] for scale in wanted]
