"""The whole pipeline: a study and a model to a segmentation in the patient's own space."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import SimpleITK as sitk

from metakd.contrasts import Contrast
from metakd.inference import choose_device, predict, units_of_work
from metakd.memory import Memory
from metakd.model import Model
from metakd.postprocess import label_map, to_reference
from metakd.preprocess import PreparedStudy, Shape, prepare, units_of_steps
from metakd.progress import Cancelled, IsCancelled, OnProgress, Part
from metakd.regions import Region
from metakd.report import Report, make_report
from metakd.steps import Steps
from metakd.study import Study


@dataclass(frozen=True)
class Options:
    """What a user may choose about a run.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        reference: the contrast whose grid the result comes back in; T1c > FLAIR > T2 > T1
            unless chosen.
        window: side of the sliding window in voxels; the whole brain in one pass unless chosen.
        steps: what is done to the study before the network sees it.
    """

    device: str = "auto"
    reference: Contrast | None = None
    window: int | None = None
    steps: Steps = field(default_factory=Steps)


@dataclass(frozen=True)
class Segmentation:
    """The result on the reference image's own grid.

    Attributes:
        label_map: uint8, the engine's convention (1 NCR, 2 ED, 3 ET).
        probabilities: float32 image a region, before the threshold.
        report: volumes, reliability, provenance.
        study: what was read.
        prepared: what the network saw.
    """

    label_map: sitk.Image
    probabilities: Mapping[Region, sitk.Image]
    report: Report
    study: Study
    prepared: PreparedStudy

    def with_stage(self, stage: str, seconds: float) -> Segmentation:
        """The same with the time of a stage that lay outside the pipeline."""
        return replace(self, report=self.report.with_stage(stage, seconds))


def segment(
    study: Study,
    model: Model,
    options: Options | None = None,
    *,
    memory: Memory | None = None,
    on_progress: OnProgress = lambda stage, done, total: None,
    is_cancelled: IsCancelled = lambda: False,
) -> Segmentation:
    """Segment one study.

    Args:
        memory: what earlier runs have left to this one, and this one leaves to the next. The
            result is the same to the bit with and without; only what changed is computed anew.
        on_progress: the stages are ``register`` (a unit for each contrast but the reference),
            ``brain`` (one unit), ``prepare`` (a unit a contrast), ``encode``, ``decode`` and
            ``finish`` (one unit). Until the study's grid is known, the units are those of one pass
            over the whole brain.
        is_cancelled: asked between units.

    Example:
        >>> study = read_study({Contrast.FLAIR: Path("flair.nii.gz")})  # doctest: +SKIP
        >>> result = segment(study, load_model())  # doctest: +SKIP
        >>> sitk.WriteImage(result.label_map, "segmentation.nii.gz")  # doctest: +SKIP

    Raises `StudyError` for a study that cannot be segmented, `metakd.inference.DeviceError`,
    `Cancelled` and `MemoryError`.
    """
    options = options or Options()
    device = choose_device(options.device)
    reference = options.reference or study.default_reference
    contrasts, stride = len(study.images), model.network.stride
    before = units_of_steps(contrasts, options.steps)

    def on_step(step: str, done: int, shape: Shape | None) -> None:
        units = contrasts + 1
        if shape:
            units = units_of_work(shape, contrasts, stride, device, options.window)
        on_progress(step, done, before + units + 1)
        if is_cancelled():
            raise Cancelled

    prepared = prepare(
        study,
        spacing=model.spacing,
        stride=stride,
        reference=reference,
        steps=options.steps,
        device=device,
        memory=memory,
        on_step=on_step,
        is_cancelled=is_cancelled,
    )
    clock = _Clock(prepared.seconds)
    network = Part(on_progress, before=before, after=1)
    prediction = predict(
        model.network,
        prepared,
        device,
        window=options.window,
        memory=memory,
        on_progress=network,
        is_cancelled=is_cancelled,
    )
    clock.stop("network")
    probabilities = to_reference(prediction.probabilities, prepared)
    labels = label_map(probabilities, smallest_ml=model.settings["postprocessing"]["smallest_ml"])
    on_progress("finish", network.total, network.total)
    clock.stop("finish")
    report = make_report(
        labels,
        study,
        model,
        prepared=prepared,
        reference=reference,
        prediction=prediction,
        seconds=clock.seconds,
    )
    return Segmentation(labels, probabilities, report, study, prepared)


class _Clock:
    """Seconds of each stage, after those of the preparation."""

    def __init__(self, before: Mapping[str, float]) -> None:
        self.seconds = {stage: round(seconds, 3) for stage, seconds in before.items()}
        self._last = time.perf_counter()

    def stop(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = round(now - self._last, 3)
        self._last = now
