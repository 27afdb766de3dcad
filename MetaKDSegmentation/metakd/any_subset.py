r"""What every network for any subset of modalities has in common, whatever its task.

Plain torch (2.2 or newer). Notation of arXiv 2405.07155: N modalities, encoder
:math:`f_i = \theta_i(x_i)`, decoder :math:`\zeta`, importance weight vector :math:`w`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

Pyramid = list[Tensor]
"""Features of one modality, finest scale first: (B, channels, …) at each; a single vector (B, C)
where there is no grid."""


class AnySubsetNet(nn.Module, ABC):
    r"""One encoder per modality, generated features for absent ones, one decoder.

    A subclass gives `decode`, and calls its encoders as it sees fit in `encode`.

    The state also carries the importance weights :math:`w = N \cdot softmax(v)`, one number a
    modality, mean 1. They weight the distillation in training and are shown to users; inference
    does not need them.

    Args:
        encoders: :math:`\theta_i`, each a module from a modality's input (B, …) to its `Pyramid`;
            of all of them the scales have the same shapes.
    """

    def __init__(self, encoders: Sequence[nn.Module]) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.importance_logits: Tensor
        self.register_buffer("importance_logits", torch.zeros(len(encoders)))

    @property
    def importance(self) -> Tensor:
        """Importance weights :math:`w` of the modalities, shape (N,), mean 1."""
        return len(self.importance_logits) * torch.softmax(self.importance_logits, dim=0)

    def encode(self, modality: int, values: Tensor) -> Pyramid:
        r""":math:`f_i = \theta_i(x_i)`: inputs (B, …) of one modality to its features."""
        features: Pyramid = self.encoders[modality](values)
        return features

    def encode_where(self, modality: int, values: Tensor, has: Tensor) -> Pyramid | None:
        """As `encode`, for the samples that have the modality; the encoder sees no other.

        Args:
            values: (B, …); what stands in a sample without the modality is never read.
            has: (B,) booleans.

        Returns:
            Features of all B samples, 0 where the modality is absent; `None` if no sample has it.
        """
        if bool(has.all()):
            return self.encode(modality, values)
        if not bool(has.any()):
            return None
        return [_scatter(scale, has) for scale in self.encode(modality, values[has])]

    @staticmethod
    def generate(features: Sequence[Pyramid | None], available: Tensor) -> list[Pyramid]:
        r"""Fill the absent modalities, at every scale, with the mean of the available ones.

        .. math:: f_n = \frac{1}{|A|} \sum_{i \in A} f_i, \quad n \notin A

        Args:
            features: for each modality its pyramid, or `None` where no sample of the batch has it.
            available: (B, N) booleans, one row a sample; at least one true in each.

        Returns:
            N pyramids. A sample's values depend on its own available modalities alone.
        """
        filled: list[Pyramid] = [[] for _ in features]
        scales = max(len(pyramid or []) for pyramid in features)
        complete = available.all(dim=0).tolist()  # those are passed on without a copy
        if all(complete):
            return [pyramid for pyramid in features if pyramid is not None]
        has = [None if complete[i] else available[:, i] for i in range(len(complete))]
        for scale in range(scales):
            present = {i: p[scale] for i, p in enumerate(features) if p is not None}
            total = torch.stack([_where(has[i], x, 0.0) for i, x in present.items()]).sum(dim=0)
            mean = total / _per_sample(available.sum(dim=1), total)
            for i, pyramid in enumerate(filled):
                pyramid.append(_where(has[i], present[i], mean) if i in present else mean)
        return filled

    @abstractmethod
    def decode(self, pyramids: Sequence[Pyramid]) -> Tensor:
        r""":math:`\zeta`: pyramids of all N modalities to logits (B, outputs, …)."""

    def predict(self, inputs: Sequence[Tensor], available: Tensor) -> Tensor:
        """Logits of a batch; encoders run only on the modalities that a sample has.

        Args:
            inputs: of each of the N modalities (B, …); what stands in an absent one's place is
                never read.
            available: (B, N) booleans, at least one true in each row.

        Returns:
            (B, outputs, …); in evaluation mode a sample's result is the same alone or in any batch.
        """
        features = [
            self.encode_where(i, values, available[:, i]) for i, values in enumerate(inputs)
        ]
        return self.decode(self.generate(features, available))


def _where(has: Tensor | None, features: Tensor, other: Tensor | float) -> Tensor:
    """Features of the samples that have them, `other` for the rest; without `has`, all do."""
    return features if has is None else torch.where(_per_sample(has, features), features, other)


def _per_sample(values: Tensor, like: Tensor) -> Tensor:
    """(B,) shaped to broadcast over (B, C, …)."""
    return values.view(-1, *[1] * (like.dim() - 1))


def _scatter(encoded: Tensor, has: Tensor) -> Tensor:
    """Features of the samples that have the modality, put in their rows of the whole batch."""
    rows = encoded.new_zeros((len(has), *encoded.shape[1:]))
    rows[has] = encoded
    return rows
