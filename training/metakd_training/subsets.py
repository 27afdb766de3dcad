"""Which of its modalities a training sample may use."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from metakd_training.config.sections import Subsets


class SubsetSampler:
    """Draws one of the 2^N − 1 non-empty subsets of N modalities for each sample.

    Attributes:
        subsets: (S, N) booleans, single modalities first, all of them last.
        weights: (S,) how often each is drawn, sum 1. Only the sampler ``hard`` ever changes them.
    """

    def __init__(self, settings: Subsets, modalities: int) -> None:
        self.settings = settings
        self.subsets = all_subsets(modalities)
        self.weights = self._first_weights()

    def draw(self, step: int, present: Tensor, chance: Tensor) -> Tensor:
        """(B, N) booleans: subsets of what the samples have, (B, N) booleans, never empty.

        Args:
            chance: (B,) numbers from 0 to 1; each decides its sample's subset.
        """
        if step < self.settings.from_step:
            return present
        possible = (self.subsets <= present[:, None]).all(dim=2)
        ends = (self.weights * possible).cumsum(dim=1)
        total = ends[:, -1:]
        # Behind the last end that is not above it; never on a subset of weight 0.
        place = (chance[:, None] * total >= ends).sum(dim=1).clamp_max(len(self.subsets) - 1)
        # Where none of those wanted is possible: all that the sample has.
        return torch.where(total > 0, self.subsets[place], present)

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


def subset_names(modalities: Sequence[str]) -> list[str]:
    """Names of the subsets in the order of `all_subsets`.

    >>> subset_names(("image", "sound"))
    ['image', 'sound', 'image + sound']
    """
    return [
        " + ".join(name for name, on in zip(modalities, row, strict=True) if on)
        for row in all_subsets(len(modalities)).tolist()
    ]
