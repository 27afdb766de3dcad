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

from metakd.any_subset import AnySubsetNet, Pyramid


class MetaKDNet(AnySubsetNet):
    r"""Segmentation network for any non-empty subset of its contrasts.

    Args:
        contrasts: how many contrasts there are, N.
        regions: how many output maps.
        channels: an encoder's width at each scale, finest first; each scale halves the grid, and
            the finest is at half the input's resolution already, where a convolution costs an
            eighth. The decoder's last layer learns the way back to full resolution.
        decoder_channels: the decoder's width at each scale, finest first.
        running_statistics: normalise by what training has seen, so that windows of an image give
            what the whole does; without, by the image itself, which must then be whole.

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
        running_statistics: bool = True,
    ) -> None:
        super().__init__([Encoder(channels, running_statistics) for _ in range(contrasts)])
        self.arguments: dict[str, Any] = {
            "contrasts": contrasts,
            "regions": regions,
            "channels": list(channels),
            "decoder_channels": list(decoder_channels),
            "running_statistics": running_statistics,
        }
        self.decoder = Decoder(
            [contrasts * width for width in channels], decoder_channels, regions, running_statistics
        )

    @property
    def stride(self) -> int:
        """Every side of the input grid is a multiple of this number of voxels."""
        return int(2 ** len(self.arguments["channels"]))

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
            (B, regions, D, H, W).
        """
        if available is None:
            available = torch.ones(images.shape[:2], dtype=torch.bool, device=images.device)
        return self.predict([images[:, i, None] for i in range(images.shape[1])], available)


class Encoder(nn.Module):
    r""":math:`\theta_i`: (B, 1, D, H, W) to a pyramid; a convolution with stride 2 per scale."""

    def __init__(self, channels: Sequence[int], running: bool) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            nn.Sequential(
                ConvNormAct(fine, coarse, running, stride=2), ConvNormAct(coarse, coarse, running)
            )
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

    def __init__(
        self, inputs: Sequence[int], channels: Sequence[int], regions: int, running: bool
    ) -> None:
        super().__init__()
        self.squeeze = nn.ModuleList(
            nn.Conv3d(wide, narrow, 1) for wide, narrow in zip(inputs, channels, strict=True)
        )
        self.bottom = nn.Sequential(
            *(ConvNormAct(channels[-1], channels[-1], running) for _ in range(2))
        )
        self.merge = nn.ModuleList(
            ConvNormAct(fine + coarse, fine, running)
            for fine, coarse in itertools.pairwise(channels)
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
    alone, not on what else is in the window or the box. Without `running` statistics it is as in
    training.
    """

    def __init__(self, inputs: int, outputs: int, running: bool, stride: int = 1) -> None:
        super().__init__(
            nn.Conv3d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.InstanceNorm3d(outputs, momentum=0.01, affine=True, track_running_stats=running),
            nn.LeakyReLU(0.01, inplace=True),
        )
