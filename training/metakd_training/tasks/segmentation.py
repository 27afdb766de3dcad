"""The segmentation task: soft Dice plus cross-entropy over the nested regions."""

from __future__ import annotations

from monai.losses import DiceLoss
from torch import Tensor
from torch.nn import functional as F

# Smoothing on both sides of the fraction: an empty region that is predicted empty costs nothing.
_DICE = DiceLoss(sigmoid=True, smooth_nr=1.0, smooth_dr=1.0, reduction="none")


class Segmentation:
    """Regions of an image; logits and targets are (B, R, D, H, W), targets 0 to 1."""

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(B, R): Dice loss plus the mean binary cross-entropy."""
        logits = logits.float()
        dice = _DICE(logits, target).flatten(1)
        return dice + F.binary_cross_entropy_with_logits(
            logits, target, reduction="none"
        ).flatten(2).mean(dim=2)  # fmt: skip

    def agreement(self, logits: Tensor, teacher: Tensor) -> Tensor:
        """(B, R): mean cross-entropy with the teacher's probabilities."""
        losses = F.binary_cross_entropy_with_logits(
            logits.float(), teacher.float().sigmoid(), reduction="none"
        )
        return losses.flatten(2).mean(dim=2)

    def score(self, logits: Tensor, target: Tensor) -> Tensor:
        """(B, R): Dice at probability one half; 1 where truth and result are both empty."""
        found, truth = (logits > 0).flatten(2), (target > 0.5).flatten(2)
        size = found.sum(dim=2) + truth.sum(dim=2)
        both = (found & truth).sum(dim=2)
        return (2 * both / size.clamp_min(1)).where(size > 0, both.new_ones(()).float())

    def parts(self, target: Tensor, features: Tensor) -> Tensor:
        """(B, R, d, h, w): how much of each region lies in each place of the features' grid."""
        return F.adaptive_avg_pool3d(target, list(features.shape[2:]))
