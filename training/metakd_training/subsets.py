"""Which of its contrasts a training sample may use."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

from metakd_training.config import Subsets


class SubsetSampler:
    """Draws one of the 2^N − 1 non-empty subsets of N modalities for a sample.

    Attributes:
        subsets: (S, N) booleans, single modalities first, all of them last.
        weights: (S,) how often each is drawn, sum 1. Only the sampler ``hard`` ever changes them.
    """

    def __init__(self, settings: Subsets, modalities: int) -> None:
        self.settings = settings
        self.subsets = all_subsets(modalities)
        self.weights = self._first_weights()

    def draw(self, step: int, present: Tensor, generator: torch.Generator) -> Tensor:
        """(N,) booleans: a subset of what the patient has, (N,) booleans, never empty."""
        if step < self.settings.from_step:
            return present
        weights = self.weights * (self.subsets <= present).all(dim=1)
        if weights.sum() == 0:  # none of those wanted: all that the patient has
            return present
        return self.subsets[int(torch.multinomial(weights, 1, generator=generator))]

    def learn(self, scores: Tensor) -> None:
        """Take each subset's mean score, (S,) in 0 to 1 or NaN; ``hard`` then prefers low ones."""
        if self.settings.sampler == "hard":
            # No subset is ever left out altogether.
            known = scores.nanmean() if not scores.isnan().all() else torch.tensor(0.5)
            difficulty = (1 - scores.where(~scores.isnan(), known)).clamp_min(0.05)
            self.weights = difficulty / difficulty.sum()

    def _first_weights(self) -> Tensor:
        if self.settings.sampler == "full":
            weights = self.subsets.all(dim=1).float()
        elif self.settings.sampler == "by_count":
            counts = self.subsets.sum(dim=1)
            weights = torch.stack([1.0 / (counts == count).sum() for count in counts])
        else:
            weights = torch.ones(len(self.subsets))
        return weights / weights.sum()


def all_subsets(modalities: int) -> Tensor:
    """(2^N − 1, N) booleans in the order of `metakd.contrasts.SUBSETS`."""
    rows = [
        [i in chosen for i in range(modalities)]
        for count in range(1, modalities + 1)
        for chosen in combinations(range(modalities), count)
    ]
    return torch.tensor(rows)
