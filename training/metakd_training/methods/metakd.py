"""MetaKD: pairwise distillation, weighted by importance that is learned on held-out samples.

Meta-learned Modality-weighted Knowledge Distillation, arXiv 2405.07155.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from metakd_training.config.sections import MetaKDSettings
from metakd_training.methods.distillation import chosen_scales, pairwise, whole
from metakd_training.methods.method import Batch, Method, Pyramid, Surroundings, Task

LogitTeacher = Callable[[Batch], Tensor]
"""A batch → the logits of a frozen network that sees everything the samples have."""


class MetaKD(Method):
    r"""The inner level trains the network, the outer level the importance weights w.

    .. math::
        \theta^* &= \arg\min_\theta \; L_{task} + \alpha \sum_{i \ne j}
                    \frac{w_i}{w_j} \| \mathrm{sg}(f_i) - f_j \|_1 \\
        w^* &= \arg\min_w \; L_{task}\bigl(\zeta(w \odot f);\ \text{held-out samples}\bigr)

    The outer step is of first order, as in the paper's code, or differentiates through one inner
    step of gradient descent (`MetaKDSettings.unrolled`).

    Attributes:
        logits: (P, N), of which w comes; P is 1, or the number of outputs (`per_output`). Not
            trained by the inner level.
    """

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        settings: MetaKDSettings,
        *,
        full_pass: bool,
        modalities: int,
        outputs: int,
        teacher: LogitTeacher | None = None,
    ) -> None:
        super().__init__(network, task, full_pass=full_pass)
        self.settings, self.teacher = settings, teacher
        rows = outputs if settings.per_output else 1
        self.logits = nn.Parameter(torch.zeros(rows, modalities), requires_grad=False)
        self.optimizer = torch.optim.Adam(
            [self.logits], lr=settings.learning_rate, weight_decay=settings.weight_decay
        )

    @property
    def encodes_all(self) -> bool:
        return self.full_pass or self.settings.teachers == "all"

    @property
    def importance(self) -> Tensor:
        r"""(P, N), positive: :math:`N \cdot softmax(v)`, mean 1, or :math:`2 \sigma(v)`."""
        if self.settings.weights == "sigmoid":
            return 2 * torch.sigmoid(self.logits)
        return self.logits.shape[1] * torch.softmax(self.logits, dim=1)

    def teach(
        self, features: list[Pyramid | None], logits: Tensor, batch: Batch
    ) -> dict[str, Tensor]:
        """α times the distillation between modalities, β times that from the logit teacher."""
        taught = {"distillation": self.settings.alpha * self._distil(features, batch)}
        if self.teacher is not None:
            apart = self.task.agreement(logits, self.teacher(batch)).mean()
            taught["logit teacher"] = self.settings.beta * apart
        return taught

    def _distil(self, features: list[Pyramid | None], batch: Batch) -> Tensor:
        weights = self.importance
        total = weights.new_zeros(())
        for scale in chosen_scales(features, self.settings.scales):
            some = next(f for f in scale if f is not None)
            each_output = self.settings.per_output
            total = total + pairwise(
                scale,
                teachers=batch.present if self.settings.teachers == "all" else batch.available,
                students=batch.available,
                coefficients=weights[:, :, None] / weights[:, None, :],
                parts=self.task.parts(batch.target, some) if each_output else whole(some),
                distance=self.settings.distance,
            )
        return total

    def between_steps(self, run: Surroundings) -> dict[str, float]:
        """Improve the importance weights when it is due."""
        if run.step % self.settings.every:
            return {}
        losses = []
        for update in range(self.settings.updates):
            held_out = run.held_out(run.step * self.settings.updates + update)
            with still_statistics(self.network):
                loss, gradient = self.outer_gradient(run.batch, held_out, run.learning_rate)
            self.logits.grad = run.average(gradient)
            self.optimizer.step()
            losses.append(loss)
        self._tell_network()
        weights = {
            f"importance/{part}/{n}" if self.settings.per_output else f"importance/{n}": weight
            for part, row in enumerate(self.importance.tolist())
            for n, weight in enumerate(row)
        }
        return {"held out": sum(losses) / len(losses), **weights}

    def outer_gradient(
        self, train: Batch, held_out: Batch, learning_rate: float
    ) -> tuple[float, Tensor]:
        r"""The held-out loss and its gradient by the logits v, (P, N).

        Unrolled, with one inner step of plain gradient descent at the learning rate η:

        .. math:: \frac{d}{dv} L_{out}(\theta - \eta \nabla_\theta L_{in}(\theta, v), v)

        First order, the same with η = 0. Of several processes each unrolls its own last batch;
        the gradients are averaged.
        """
        logits = self.logits.detach().requires_grad_()
        replaced: dict[str, Tensor] = {"method.logits": logits}
        if self.settings.unrolled:
            stepped = self._inner_step(train, logits, learning_rate)
            replaced |= {f"method.network.{name}": value for name, value in stepped.items()}
        loss = functional_call(_HeldOutLoss(self), replaced, (held_out,))
        (gradient,) = torch.autograd.grad(loss, [logits])
        return loss.item(), gradient

    def _inner_step(self, train: Batch, logits: Tensor, learning_rate: float) -> dict[str, Tensor]:
        """The network's parameters after one step, as a function of the logits."""
        parameters = dict(self.network.named_parameters())
        loss = functional_call(self, {"logits": logits}, (train,))["loss"]
        gradients = torch.autograd.grad(
            loss, list(parameters.values()), create_graph=True, allow_unused=True
        )
        return {
            name: value if gradient is None else value - learning_rate * gradient
            for (name, value), gradient in zip(parameters.items(), gradients, strict=True)
        }

    def held_out_loss(self, batch: Batch) -> Tensor:
        """The task's loss with every modality's features scaled by its importance.

        From all that the samples have: of a single modality, no other weight could be learned.
        """
        batch = replace(batch, available=batch.present)
        features = self.encode(batch)
        losses = []
        for part, weights in enumerate(self.importance):
            logits = self.decode(scale_by_importance(features, weights), batch.available)
            each = self.task.loss(logits, batch.target)
            losses.append(each[:, part] if self.settings.per_output else each)
        return torch.stack(losses).mean()

    @torch.no_grad()
    def _tell_network(self) -> None:
        """The saved model shows one number a modality, mean 1: the mean over the parts."""
        mean = self.importance.mean(dim=0)
        self.network.importance_logits.copy_(mean.log())

    def get_extra_state(self) -> dict[str, Any]:
        return self.optimizer.state_dict()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state)


class _HeldOutLoss(nn.Module):
    """`MetaKD.held_out_loss` as a module, for `functional_call` to replace parameters in."""

    def __init__(self, method: MetaKD) -> None:
        super().__init__()
        self.method = method

    def forward(self, batch: Batch) -> Tensor:
        return self.method.held_out_loss(batch)


def scale_by_importance(
    features: Sequence[Pyramid | None], importance: Tensor
) -> list[Pyramid | None]:
    """Each modality's features times its weight: how the outer level sees them."""
    return [
        None if pyramid is None else [weight * scale for scale in pyramid]
        for pyramid, weight in zip(features, importance, strict=True)
    ]


@contextmanager
def still_statistics(network: nn.Module) -> Iterator[None]:
    """Let held-out samples leave no trace in the running statistics of the normalisation."""
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._NormBase)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
