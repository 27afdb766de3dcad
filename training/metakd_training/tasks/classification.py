"""The classification task: cross-entropy over the classes."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


class Classification:
    """One of K classes; logits are (B, K), targets (B,) the class's place. One output, R = 1."""

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """(B, 1): cross-entropy."""
        return F.cross_entropy(logits.float(), target, reduction="none")[:, None]

    def agreement(self, logits: Tensor, teacher: Tensor) -> Tensor:
        """(B, 1): cross-entropy with the teacher's probabilities."""
        probabilities = teacher.float().softmax(dim=1)
        return F.cross_entropy(logits.float(), probabilities, reduction="none")[:, None]

    def score(self, logits: Tensor, target: Tensor) -> Tensor:
        """(B, 1): 1 where the likeliest class is the right one; the mean is the accuracy."""
        return (logits.argmax(dim=1) == target).float()[:, None]

    def parts(self, target: Tensor, features: Tensor) -> Tensor:
        """(B, 1, …): the whole, for there is one output."""
        return features.new_ones((len(target), 1, *features.shape[2:]))
