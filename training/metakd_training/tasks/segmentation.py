"""The segmentation task: soft Dice plus cross-entropy over the nested regions."""

from __future__ import annotations

import torch
from monai.losses import DiceLoss
from torch import Tensor
from torch.nn import functional as F

# Smoothing on both sides of the fraction: an empty region that is predicted empty costs nothing.
_DICE = DiceLoss(sigmoid=True, smooth_nr=1.0, smooth_dr=1.0, batch=False)


def segmentation_loss(logits: Tensor, regions: Tensor) -> Tensor:
    """Mean over samples and regions of Dice loss plus binary cross-entropy.

    Args:
        logits: (B, 3, D, H, W).
        regions: (B, 3, D, H, W), 0 to 1.
    """
    logits = logits.float()
    loss: Tensor = _DICE(logits, regions) + F.binary_cross_entropy_with_logits(logits, regions)
    return loss


def random_subset(count: int, generator: torch.Generator) -> Tensor:
    """(count,) booleans, uniform over the non-empty subsets."""
    code = int(torch.randint(1, 2**count, (), generator=generator))
    return torch.tensor([bool(code >> i & 1) for i in range(count)])
