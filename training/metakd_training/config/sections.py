"""Settings that every run has, whatever its task."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=0)]
Side = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A group of settings: fixed once read, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Subsets(Section):
    """Which of its modalities a sample may use.

    Attributes:
        sampler: ``uniform`` over the non-empty subsets; ``by_count``, first how many, then
            which; ``hard``, in proportion to 1 − score as last validated; ``full``, always all.
        from_step: before it every sample has all modalities (the papers' first stage).
        full_pass: decode every sample from all its modalities too, in the same step.
    """

    sampler: Literal["uniform", "by_count", "hard", "full"] = "uniform"
    from_step: Count = 0
    full_pass: bool = True


class DropoutSettings(Section):
    """`metakd_training.methods.dropout`: modality dropout alone."""

    name: Literal["dropout"]


class Distilling(Section):
    """What the methods that distil share.

    Attributes:
        alpha: weight α of the distillation in the loss.
        distance: between two modalities' features.
        scales: distil at the coarsest scale, or at every scale.
        teachers: ``available`` modalities of the subset teach, or ``all`` that the sample
            has, those left out of the subset too.
    """

    alpha: Annotated[float, Field(ge=0)] = 0.1
    distance: Literal["l1", "l2", "cosine"] = "l1"
    scales: Literal["coarsest", "every"] = "coarsest"
    teachers: Literal["available", "all"] = "available"


class MetaKDSettings(Distilling):
    """`metakd_training.methods.metakd`.

    Attributes:
        weights: how importance comes of its logits.
        per_output: importance weights for every output (region) instead of one for all.
        unrolled: differentiate through one inner step; else first order, as the paper's code.
        every: steps of the network between two updates of the importance weights.
        updates: how many held-out batches each update takes, one step each.
        learning_rate: of the importance weights (Adam).
        logit_teacher: run folder of a frozen teacher that sees all modalities.
        beta: weight of the teacher's logits in the loss.
    """

    name: Literal["metakd"]
    weights: Literal["softmax", "sigmoid"] = "softmax"
    per_output: bool = False
    unrolled: bool = False
    every: Annotated[int, Field(ge=1)] = 20
    updates: Annotated[int, Field(ge=1)] = 1
    learning_rate: Positive = 1e-2
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    logit_teacher: str | None = None
    beta: Annotated[float, Field(ge=0)] = 0.5


class LCKDSettings(Distilling):
    """`metakd_training.methods.lckd`.

    Attributes:
        every: steps between two elections of the teachers.
    """

    name: Literal["lckd"]
    every: Annotated[int, Field(ge=1)] = 500


class Optimiser(Section):
    """How the network's weights move.

    Attributes:
        batch: samples a process takes at once.
        accumulate: batches whose gradients are summed before a step.
        momentum: of SGD, with Nesterov's correction.
        clip: largest norm of the gradient; none when left out.
        ema: how much of the averaged weights stays at each step; 0 for no average.
        fix_statistics_at: the step from which normalisation uses the running statistics, as in
            use; never when left out.
    """

    name: Literal["adamw", "sgd"] = "adamw"
    learning_rate: Positive = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    momentum: Fraction = 0.99
    schedule: Literal["cosine", "poly"] = "cosine"
    power: Positive = 0.9
    warmup: Count = 0
    batch: Annotated[int, Field(ge=1)] = 1
    accumulate: Annotated[int, Field(ge=1)] = 1
    clip: Positive | None = None
    ema: Fraction = 0.0
    fix_statistics_at: Count | None = None


class UNet(Section):
    """Widths of `metakd.network.MetaKDNet` at each scale, finest first; each halves the grid."""

    channels: tuple[Side, ...] = (16, 32, 64, 96)
    decoder_channels: tuple[Side, ...] = (32, 32, 64, 96)

    def check(self, name: str, sides: tuple[int, ...]) -> None:
        """Raise `ValueError` unless both sides have as many scales, and the grid can be halved."""
        scales, widths = len(self.channels), len(self.decoder_channels)
        if scales != widths:
            raise ValueError(f"network: {scales} channels, but {widths} decoder_channels")
        if any(side % 2**scales for side in sides):
            raise ValueError(f"{name}: {sides} are not multiples of {2**scales}")


class RunConfig(Section):
    """What decides what a run computes, beside its task; devices and the like are the launcher's.

    Attributes:
        log_every: steps between two entries of the losses in TensorBoard.
        validate_every: steps between two validations on the held-out samples; 0 for none.
        save_every: steps between two checkpoints.
        watch: other lists of the split that each validation scores too, for the record alone:
            nothing is chosen by them.
    """

    subsets: Subsets = Subsets()
    method: Annotated[MetaKDSettings | LCKDSettings | DropoutSettings, Field(discriminator="name")]
    optimiser: Optimiser = Optimiser()
    steps: Annotated[int, Field(ge=1)]
    seed: int = 1
    precision: Literal["fp32", "bf16"] = "bf16"
    log_every: Annotated[int, Field(ge=1)] = 10
    validate_every: Count = 1000
    save_every: Annotated[int, Field(ge=1)] = 250
    watch: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _scores_are_there(self) -> RunConfig:
        if self.subsets.sampler == "hard" and not self.validate_every:
            raise ValueError("subsets.sampler hard needs scores: set validate_every")
        return self
