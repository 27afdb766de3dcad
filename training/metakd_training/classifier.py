r"""`ClassifierNet`: an encoder for each kind of modality, a classifier on their feature vectors."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import torch
from metakd.any_subset import AnySubsetNet, Pyramid
from torch import Tensor, nn

from metakd_training.config.classification import (
    ClassifierSettings,
    Image,
    Modality,
    Spectrogram,
    Volume,
)


class ClassifierNet(AnySubsetNet):
    r"""Classifies from any non-empty subset of its modalities.

    .. math:: \zeta(f) = W_2 \, \mathrm{drop}(\mathrm{relu}(W_1 [f_1, …, f_N]))

    Args:
        modalities: name → its kind and the sizes of its encoder.
        shapes: name → shape of one sample's input.
        classes: how many, K.
        settings: sizes that all modalities share.

    A feature vector is the one scale of a `Pyramid`, (B, features).
    """

    def __init__(
        self,
        modalities: Mapping[str, Modality],
        shapes: Mapping[str, Sequence[int]],
        classes: int,
        settings: ClassifierSettings,
    ) -> None:
        super().__init__(
            [
                make_encoder(modality, shapes[name], settings.features)
                for name, modality in modalities.items()
            ]
        )
        self.classifier = nn.Sequential(
            nn.ReLU(),
            nn.Linear(len(modalities) * settings.features, settings.hidden),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.hidden, classes),
        )

    def encode(self, modality: int, values: Tensor) -> Pyramid:
        return [self.encoders[modality](values)]

    def decode(self, pyramids: Sequence[Pyramid]) -> Tensor:
        """Feature vectors of all N modalities to logits (B, K)."""
        logits: Tensor = self.classifier(torch.cat([vector for (vector,) in pyramids], dim=1))
        return logits


def make_encoder(modality: Modality, shape: Sequence[int], features: int) -> nn.Sequential:
    """From a modality's input (B, *shape) to feature vectors (B, features)."""
    if isinstance(modality, Image | Spectrogram):
        body = _pooled_convolutions(modality.channels)
    elif isinstance(modality, Volume):
        body = _strided_convolutions(modality.channels)
    else:
        body = _hidden_layers(shape[0], modality.widths)
    try:
        with torch.no_grad():
            length = body(torch.zeros(1, *shape)).shape[1]
    except RuntimeError as error:  # nothing is left of the picture to pool
        sizes = "×".join(map(str, shape[1:]))
        raise ValueError(f"channels {modality.channels}: too many scales for {sizes}") from error
    return nn.Sequential(*body, nn.Linear(length, features))


def _pooled_convolutions(channels: Sequence[int]) -> nn.Sequential:
    """LeNet-5's: 5×5, maximum over 2×2, ReLU; then its first hidden layer of 120 units.

    The maximum before the ReLU is the same as after it, on a quarter of the numbers; with channels
    last PyTorch needs a quarter less time.
    """
    layers: list[nn.Module] = []
    for inner, outer in itertools.pairwise([1, *channels]):
        layers += [nn.Conv2d(inner, outer, 5, padding=2), nn.MaxPool2d(2), nn.ReLU()]
    convolutions = nn.Sequential(*layers).to(memory_format=torch.channels_last)
    return nn.Sequential(*convolutions, nn.Flatten(), nn.LazyLinear(120), nn.ReLU())


def _strided_convolutions(channels: Sequence[int]) -> nn.Sequential:
    """3×3×3 of stride 2, normalised over groups of 4 channels at least, mean over what is left.

    Of each sample alone, so that neither the batch nor its size matters.
    """
    layers: list[nn.Module] = []
    for inner, outer in itertools.pairwise([1, *channels]):
        layers += [
            nn.Conv3d(inner, outer, 3, stride=2, padding=1, bias=False),
            nn.GroupNorm(max(outer // 4, 1), outer),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten())


def _hidden_layers(columns: int, widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inner, outer in itertools.pairwise([columns, *widths]):
        layers += [nn.Linear(inner, outer), nn.ReLU()]
    return nn.Sequential(*layers)
