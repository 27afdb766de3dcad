"""The settings of one run, read from YAML and changed by ``section.key=value``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=0)]
Side = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A group of settings: fixed once read, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Cohort(Section):
    """A folder of patients, or a JSON or CSV list of them, as `metakd.cases.find_cases` reads it.

    Attributes:
        labels: convention of its truth, a key of `metakd.regions.CONVENTIONS`; by file name and
            content when left out.
    """

    path: str
    labels: str | None = None


class Data(Section):
    """Who is trained on.

    Attributes:
        split: JSON file of lists of case names; ``train`` is trained on.
        held_out: patients taken out of ``train``, for the outer level, for elections and to choose
            the best checkpoint; the split's own list ``held_out`` when left out.
        phantoms: synthetic studies to train on beside the patients.
        phantom_share: the part of all draws that takes a phantom.
        spacing: of the network's grid, mm.
        cache: folder of prepared patients, keyed by the content of their files and the settings.
        in_memory: keep prepared patients in memory (about 40 MB each at 1 mm).
        workers: processes that read prepared patients from the cache.
    """

    cohorts: tuple[Cohort, ...]
    split: str
    held_out: tuple[str, ...] | None = None
    phantoms: Count = 0
    phantom_share: Probability = 0.15
    spacing: Positive = 1.0
    cache: str = "runs/cache"
    in_memory: bool = True
    workers: Count = 0


class Crops(Section):
    """What a sample is.

    Attributes:
        size: sides in voxels (slices, rows, columns).
        tumour_share: part of the crops whose centre lies in the tumour.
        augment: deform and recolour; crops alone without.
    """

    size: tuple[Side, Side, Side]
    tumour_share: Probability = 2 / 3
    augment: bool = True


class Network(Section):
    """Arguments of `metakd.network.MetaKDNet`."""

    channels: tuple[Side, ...] = (16, 32, 64, 96)
    decoder_channels: tuple[Side, ...] = (32, 32, 64, 96)


class Subsets(Section):
    """Which contrasts a sample may use.

    Attributes:
        sampler: ``uniform`` over the non-empty subsets; ``by_count``, first how many contrasts,
            then which; ``hard``, in proportion to 1 − Dice as last validated; ``full``, always all.
        from_step: before it every sample has all contrasts (the papers' first stage).
        full_pass: decode every sample from all its contrasts too, in the same step.
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
        distance: between two contrasts' features.
        scales: distil at the coarsest scale, or at every scale.
        teachers: ``available`` contrasts of the sample's subset teach, or ``all`` that the patient
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
        per_region: importance weights for every region instead of one for all.
        unrolled: differentiate through one inner step; else first order, as the paper's code.
        every: steps of the network between two updates of the importance weights.
        updates: how many held-out batches each update takes, one step each.
        learning_rate: of the importance weights (Adam).
        logit_teacher: run folder of a frozen teacher that sees all contrasts.
        beta: weight of the teacher's logits in the loss.
    """

    name: Literal["metakd"]
    weights: Literal["softmax", "sigmoid"] = "softmax"
    per_region: bool = False
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


class Config(Section):
    """Everything that decides what a run computes; `devices` and the like are the launcher's.

    Attributes:
        log_every: steps between two entries of the losses in TensorBoard.
        validate_every: steps between two validations on the held-out patients; 0 for none.
        save_every: steps between two checkpoints.
    """

    data: Data
    crops: Crops
    network: Network = Network()
    subsets: Subsets = Subsets()
    method: Annotated[MetaKDSettings | LCKDSettings | DropoutSettings, Field(discriminator="name")]
    optimiser: Optimiser = Optimiser()
    steps: Annotated[int, Field(ge=1)]
    seed: int = 1
    precision: Literal["fp32", "bf16"] = "bf16"
    log_every: Annotated[int, Field(ge=1)] = 10
    validate_every: Count = 1000
    save_every: Annotated[int, Field(ge=1)] = 250

    @model_validator(mode="after")
    def _fits(self) -> Config:
        """Each scale of the network halves the grid."""
        scales, widths = len(self.network.channels), len(self.network.decoder_channels)
        if scales != widths:
            raise ValueError(f"network: {scales} channels, but {widths} decoder_channels")
        if any(side % 2**scales for side in self.crops.size):
            raise ValueError(f"crops.size: {self.crops.size} are not multiples of {2**scales}")
        if self.subsets.sampler == "hard" and not self.validate_every:
            raise ValueError("subsets.sampler hard needs scores: set validate_every")
        return self


def read_config(path: Path, changes: list[str] | None = None) -> Config:
    """Read a YAML file and apply changes such as ``method.alpha=0.2``.

    ``base: other.yaml`` takes that file's settings, beside this one, for all that is not said
    here; another method starts afresh.

    Raises `ValueError` naming the file and every setting that is wrong.
    """
    settings = _read(path)
    # Names first: with another method its settings start afresh, whatever the order.
    for change in sorted(changes or [], key=lambda text: ".name=" not in text):
        _apply(settings, change)
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        raise ValueError(f"{path}: {_in_words(error)}") from error


def write_config(config: Config, path: Path) -> None:
    """Write the settings as YAML that `read_config` reads back."""
    path.write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), "utf-8")


def differences(one: Config, other: Config) -> dict[str, tuple[Any, Any]]:
    """Dotted name → both values, for every setting in which two configurations differ."""
    ours, theirs = _flat(one.model_dump()), _flat(other.model_dump())
    names = dict.fromkeys([*ours, *theirs])
    pairs = {name: (ours.get(name), theirs.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    path = path.resolve()
    if path in above:
        raise ValueError(f"{path}: is its own base")
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid YAML ({_one_line(error)})") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{path}: holds no settings; see training/configs")
    base = settings.pop("base", None)
    if base is None:
        return settings
    if not isinstance(base, str):
        raise ValueError(f"{path}: base is {base!r}, not the name of a file")
    return _merged(_read(path.parent / base, (*above, path)), settings)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        sections = isinstance(old, dict) and isinstance(value, dict)
        renamed = sections and key == "method" and value.get("name") not in (None, old.get("name"))
        merged[key] = _merged(old, value) if sections and not renamed else value
    return merged


def _apply(settings: dict[str, Any], change: str) -> None:
    name, equals, text = change.partition("=")
    if not equals:
        raise ValueError(f"'{change}': settings are changed by name=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"'{change}': not a value ({_one_line(error)})") from error
    *sections, key = name.split(".")
    for section in sections:
        settings = settings.setdefault(section, {})
        if not isinstance(settings, dict):
            raise ValueError(f"'{change}': {section} is no section")
    if name == "method.name" and settings.get(key, value) != value:
        settings.clear()  # another method has other settings, as with `base`
    settings[key] = value


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        inner = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return flat


def _in_words(error: ValidationError) -> str:
    """Every problem in one line: the setting's dotted name and what is wrong with it."""
    problems = []
    for detail in error.errors():
        place = ".".join(str(part) for part in detail["loc"])
        for method in ("metakd", "lckd", "dropout"):  # pydantic names the choice it tried
            place = place.replace(f"method.{method}.", "method.")
        message = detail["msg"]
        if detail["type"] == "extra_forbidden":
            message = "no such setting"
        problems.append(f"{place}: {message}" if place else message)
    return "; ".join(problems)
