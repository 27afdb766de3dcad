"""The optimiser and its learning rate over time."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from metakd_training.config.sections import Optimiser


def make_optimizer(parameters: Iterable[Tensor], settings: Optimiser) -> torch.optim.Optimizer:
    """AdamW, or SGD with Nesterov's momentum."""
    if settings.name == "adamw":
        return torch.optim.AdamW(
            parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
    return torch.optim.SGD(
        parameters,
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.momentum > 0,
        weight_decay=settings.weight_decay,
    )


def learning_rate(step: int, steps: int, settings: Optimiser) -> float:
    """Linear warm-up, then half a cosine or :math:`(1 - t)^{power}`, both down to zero."""
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    progress = (step - settings.warmup) / max(steps - settings.warmup, 1)
    if settings.schedule == "cosine":
        return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
    return float(settings.learning_rate * (1 - progress) ** settings.power)
