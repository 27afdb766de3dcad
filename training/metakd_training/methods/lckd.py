"""LCKD: the best modalities, elected on held-out samples, teach the others.

Learnable Cross-modal Knowledge Distillation, arXiv 2310.01035.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metakd_training.config.sections import LCKDSettings
from metakd_training.methods.distillation import chosen_scales, pairwise, whole
from metakd_training.methods.method import Batch, Method, Pyramid, Surroundings, Task


class LCKD(Method):
    r"""Distils from the union of the teachers elected for each output.

    .. math:: L = L_{task} + \alpha \sum_{i \in T} \sum_{j \ne i}
              \| \mathrm{sg}(f_i) - f_j \|_1, \quad
              T = \bigcup_r \arg\max_i \; \mathrm{score}_r(\{i\})

    with the score of modality i alone on output r, on samples that the network is not trained on
    (the papers' code elects on samples that it does train on).

    Attributes:
        scores: (N, R) of the last election.
        elected: (N,) booleans; nobody teaches before the first election.
    """

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        settings: LCKDSettings,
        *,
        full_pass: bool,
        modalities: int,
        outputs: int,
    ) -> None:
        super().__init__(network, task, full_pass=full_pass)
        self.settings = settings
        self.scores: Tensor
        self.elected: Tensor
        self.register_buffer("scores", torch.zeros(modalities, outputs))
        self.register_buffer("elected", torch.zeros(modalities, dtype=torch.bool))

    @property
    def encodes_all(self) -> bool:
        return self.full_pass or self.settings.teachers == "all"

    def teach(
        self, features: list[Pyramid | None], logits: Tensor, batch: Batch
    ) -> dict[str, Tensor]:
        """α times the distillation from the elected teachers."""
        among = batch.present if self.settings.teachers == "all" else batch.available
        count = len(self.elected)
        total = torch.zeros((), device=logits.device)
        for scale in chosen_scales(features, self.settings.scales):
            parts = whole(next(f for f in scale if f is not None))
            total = total + pairwise(
                scale,
                teachers=among & self.elected,
                students=batch.available,
                coefficients=parts.new_ones(1, count, count),
                parts=parts,
                distance=self.settings.distance,
            )
        return {"distillation": self.settings.alpha * total}

    def between_steps(self, run: Surroundings) -> dict[str, float]:
        """Elect the teachers when it is due."""
        if run.step % self.settings.every:
            return {}
        alone = torch.eye(len(self.elected), dtype=torch.bool)
        self.scores.copy_(run.validate(alone).nan_to_num(0.0))
        self.elected.copy_(best_of_each(self.scores))
        return {f"teacher/{i}": float(chosen) for i, chosen in enumerate(self.elected)}


def best_of_each(scores: Tensor) -> Tensor:
    """(N,) booleans: the modalities with the best score (N, R) of an output.

    An output on which nobody is ahead, as before anything is learned, elects nobody.
    """
    best = scores.max(dim=0).values
    ahead = best > scores.min(dim=0).values
    return ((scores == best) & ahead).any(dim=1)
