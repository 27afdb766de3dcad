r"""`MetaKDNet`: one encoder per contrast, generated features for absent contrasts, one decoder.

Plain torch (2.2 or newer), no custom operations. Notation of arXiv 2405.07155: N contrasts,
encoder :math:`f_i = \theta_i(x_i)`, decoder :math:`\zeta`, importance weight vector :math:`w`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Pyramid = list[Tensor]
"""Features of one contrast, finest scale first: (B, channels[s], D/2^(s+1), …, W/2^(s+1))."""


class MetaKDNet(nn.Module):
    r"""Segmentation network for any non-empty subset of its contrasts.

    Args:
        contrasts: how many contrasts there are, N.
        regions: how many output maps.
        channels: an encoder's width at each scale, finest first; each scale halves the grid, and
            the finest is at half the input's resolution already, where a convolution costs an
            eighth. The decoder's last layer learns the way back to full resolution.
        decoder_channels: the decoder's width at each scale, finest first.

    The state also carries the importance weights :math:`w = N \cdot softmax(v)`, one number a
    contrast, mean 1. They weight the distillation in training and are shown to users; inference
    does not need them.

    Example:
        >>> net = MetaKDNet()
        >>> images = torch.randn(2, 4, 32, 32, 32)
        >>> available = torch.tensor([[True, True, True, True], [False, True, False, True]])
        >>> net(images, available).shape
        torch.Size([2, 3, 32, 32, 32])
    """

    def __init__(
        self,
        contrasts: int = 4,
        regions: int = 3,
        channels: Sequence[int] = (16, 32, 64, 96),
        decoder_channels: Sequence[int] = (32, 32, 64, 96),
    ) -> None:
        super().__init__()
        self.arguments: dict[str, Any] = {
            "contrasts": contrasts,
            "regions": regions,
            "channels": list(channels),
            "decoder_channels": list(decoder_channels),
        }
        self.encoders = nn.ModuleList(Encoder(channels) for _ in range(contrasts))
        self.decoder = Decoder([contrasts * width for width in channels], decoder_channels, regions)
        self.importance_logits: Tensor
        self.register_buffer("importance_logits", torch.zeros(contrasts))

    @property
    def stride(self) -> int:
        """Every side of the input grid is a multiple of this number of voxels."""
        return int(2 ** len(self.arguments["channels"]))

    @property
    def importance(self) -> Tensor:
        """Importance weights :math:`w` of the contrasts, shape (N,), mean 1."""
        return len(self.importance_logits) * torch.softmax(self.importance_logits, dim=0)

    def encode(self, contrast: int, image: Tensor) -> Pyramid:
        r""":math:`f_i = \theta_i(x_i)`: images (B, 1, D, H, W) of one contrast to its features."""
        features: Pyramid = self.encoders[contrast](image)
        return features

    def encode_where(self, contrast: int, image: Tensor, has: Tensor) -> Pyramid | None:
        """As `encode`, for the samples that have the contrast; the encoder sees no other.

        Args:
            image: (B, 1, D, H, W); what stands in a sample without the contrast is never read.
            has: (B,) booleans.

        Returns:
            Features of all B samples, 0 where the contrast is absent; `None` if no sample has it.
        """
        if bool(has.all()):
            return self.encode(contrast, image)
        if not bool(has.any()):
            return None
        return [_scatter(scale, has) for scale in self.encode(contrast, image[has])]

    @staticmethod
    def generate(features: Sequence[Pyramid | None], available: Tensor) -> list[Pyramid]:
        r"""Fill the absent contrasts, at every scale, with the mean of the available ones.

        .. math:: f_n = \frac{1}{|A|} \sum_{i \in A} f_i, \quad n \notin A

        Args:
            features: for each contrast its pyramid, or `None` where no sample of the batch has it.
            available: (B, N) booleans, one row a sample; at least one true in each.

        Returns:
            N pyramids. A sample's values depend on its own available contrasts alone.
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

    def decode(self, pyramids: Sequence[Pyramid]) -> Tensor:
        r""":math:`\zeta`: pyramids of all N contrasts to region logits (B, regions, D, H, W)."""
        logits: Tensor = self.decoder(
            [torch.cat(scale, dim=1) for scale in zip(*pyramids, strict=True)]
        )
        return logits

    def forward(self, images: Tensor, available: Tensor | None = None) -> Tensor:
        """Region logits of a batch; encoders run only on the contrasts that a sample has.

        Args:
            images: (B, N, D, H, W); what stands in an absent contrast's place is never read.
            available: (B, N) booleans; all true when left out.

        Returns:
            (B, regions, D, H, W); in evaluation mode a sample's result is the same alone or in any
            batch.
        """
        if available is None:
            available = torch.ones(images.shape[:2], dtype=torch.bool, device=images.device)
        features = [
            self.encode_where(i, images[:, i, None], available[:, i])
            for i in range(images.shape[1])
        ]
        return self.decode(self.generate(features, available))


class Encoder(nn.Module):
    r""":math:`\theta_i`: (B, 1, D, H, W) to a pyramid; a convolution with stride 2 per scale."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            nn.Sequential(ConvNormAct(fine, coarse, stride=2), ConvNormAct(coarse, coarse))
            for fine, coarse in zip([1, *channels], channels, strict=False)
        )

    def forward(self, image: Tensor) -> Pyramid:
        pyramid: Pyramid = []
        for scale in self.scales:
            image = scale(image)
            pyramid.append(image)
        return pyramid


class Decoder(nn.Module):
    r""":math:`\zeta`: concatenated pyramids, squeezed per scale, merged from coarse to fine."""

    def __init__(self, inputs: Sequence[int], channels: Sequence[int], regions: int) -> None:
        super().__init__()
        self.squeeze = nn.ModuleList(
            nn.Conv3d(wide, narrow, 1) for wide, narrow in zip(inputs, channels, strict=True)
        )
        self.bottom = nn.Sequential(*(ConvNormAct(channels[-1], channels[-1]) for _ in range(2)))
        self.merge = nn.ModuleList(
            ConvNormAct(fine + coarse, fine) for fine, coarse in itertools.pairwise(channels)
        )
        self.head = nn.ConvTranspose3d(channels[0], regions, 2, stride=2)

    def forward(self, pyramid: Pyramid) -> Tensor:
        squeezed = [layer(scale) for layer, scale in zip(self.squeeze, pyramid, strict=True)]
        merged = self.bottom(squeezed[-1])
        for fine, layer in zip(squeezed[-2::-1], list(self.merge)[::-1], strict=True):
            coarse = F.interpolate(merged, scale_factor=2, mode="nearest")
            merged = layer(torch.cat([fine, coarse], dim=1))
        logits: Tensor = self.head(merged)
        return logits


class ConvNormAct(nn.Sequential):
    """3×3×3 convolution, normalisation, leaky ReLU.

    In training a channel is normalised by each sample's own statistics, so that neither the batch
    nor how it is spread over processes changes what is learned. In evaluation mode the statistics
    are fixed, the running ones of training: a voxel's result then depends on its neighbourhood
    alone, not on what else is in the window or the box.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv3d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.InstanceNorm3d(outputs, momentum=0.01, affine=True, track_running_stats=True),
            nn.LeakyReLU(0.01, inplace=True),
        )


def _where(has: Tensor | None, features: Tensor, other: Tensor | float) -> Tensor:
    """Features of the samples that have them, `other` for the rest; without `has`, all do."""
    return features if has is None else torch.where(_per_sample(has, features), features, other)


def _per_sample(values: Tensor, like: Tensor) -> Tensor:
    """(B,) shaped to broadcast over (B, C, D, H, W)."""
    return values.view(-1, *[1] * (like.dim() - 1))


def _scatter(encoded: Tensor, has: Tensor) -> Tensor:
    """Features of the samples that have the contrast, put in their rows of the whole batch."""
    rows = encoded.new_zeros((len(has), *encoded.shape[1:]))
    rows[has] = encoded
    return rows
