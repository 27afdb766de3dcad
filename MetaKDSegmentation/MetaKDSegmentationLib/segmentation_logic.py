"""Everything the module does, without its widgets: segment, cancel, compare, example, import.

Volumes go to the worker as files in a private folder, labels come back as nodes of the scene.
Nothing in the scene changes before a result is complete.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from traceback import format_tb
from typing import Any

import slicer
from metakd.contrasts import CONTRASTS, REFERENCE_PREFERENCE, Contrast

from MetaKDSegmentationLib import comparison, segmentation_output, views
from MetaKDSegmentationLib.example_study import load_example
from MetaKDSegmentationLib.exports import Exports
from MetaKDSegmentationLib.grids import node_grid
from MetaKDSegmentationLib.job import Job, Phase
from MetaKDSegmentationLib.parameter_node import ParameterNode, Reference
from MetaKDSegmentationLib.protocol import Failure, Progress, Ready, Result
from MetaKDSegmentationLib.provenance import may_be_replaced, write_report
from MetaKDSegmentationLib.scratch import Scratch
from MetaKDSegmentationLib.volume_files import VolumeError, read_labels
from MetaKDSegmentationLib.volumes_table import write_table_of
from MetaKDSegmentationLib.worker_client import Process, WorkerClient

EXAMPLE_SEED = 1005  # a synthetic patient the embedded model was not trained on

OnFailure = Callable[[Failure], None]


@dataclass(frozen=True)
class Order:
    """What a run was asked for, by node ids: the panel may change meanwhile."""

    volumes: Mapping[Contrast, str]
    reference: Contrast
    segmentation: str | None
    overlapping: bool
    convention: str
    keep_probabilities: bool


class SegmentationLogic:
    """One worker, one private folder, one run at a time.

    Args:
        make_process: the worker's process, given its working directory.
        scratch_parent: where the private folder is made.
        log: is told what the worker says beside its protocol.
        on_change: is called when a phase began or `ready` changed.
        on_progress: is called after each unit of work; `job` has it.

    Example:
        >>> logic.segment(parameters, on_done=print, on_failure=print)  # doctest: +SKIP
    """

    def __init__(
        self,
        make_process: Callable[[Path], Process],
        scratch_parent: Path,
        *,
        log: Callable[[str], None] = lambda text: None,
        on_change: Callable[[], None] = lambda: None,
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        self._scratch = Scratch(scratch_parent)
        self._exports = Exports(self._scratch)
        self._on_change, self._on_progress = on_change, on_progress
        self._client = WorkerClient(
            lambda: make_process(self._scratch.folder),
            log=log, on_ready=self._worker_is_ready, on_end=self._worker_is_over,
        )  # fmt: skip
        self.job = Job()
        self.tried: Ready | None = None
        """What a worker last said of PyTorch, kept when it has ended."""

    @property
    def ready(self) -> Ready | None:
        """What the running worker said of PyTorch; `None` until it has."""
        return self._client.ready

    def check_torch(self) -> None:
        """Start the worker anew, so that it tries PyTorch; `tried` has the outcome."""
        self._client.end()
        self.tried = None
        self._on_change()
        try:
            self._client.start()
        except OSError as error:
            self._worker_is_over(str(error))

    def segment(
        self, parameters: ParameterNode, on_done: Callable[[str], None], on_failure: OnFailure
    ) -> None:
        """Segment in the background.

        Args:
            on_done: is given the id of the segmentation node, with everything shown.
            on_failure: is told why there is no result; the scene is as it was.
        """
        order = _order(parameters)

        def fields() -> dict[str, Any]:
            self._enter(Phase.SENDING)
            inputs = self._hand_over(order)
            output, probabilities = self._output_files(order)
            self._enter(Phase.RUNNING if self.ready else Phase.STARTING)
            options = _options(parameters, order, probabilities)
            return {"inputs": inputs, "output": output, "options": options}

        def done(result: Result) -> None:
            self._enter(Phase.SHOWING)
            segmentation = self._show(order, result, parameters)
            self._enter(Phase.IDLE)
            on_done(segmentation)

        def failed(failure: Failure) -> None:
            self._enter(Phase.IDLE)
            on_failure(failure)

        self._ask("segment", fields, done, failed, self._advance)

    def cancel(self) -> None:
        """End the run, and the worker with all its children, at once."""
        self._client.end()

    def compare(
        self,
        parameters: ParameterNode,
        on_done: Callable[[Mapping[str, Any], str], None],
        on_failure: OnFailure,
    ) -> None:
        """Score the output against the reference segmentation.

        Args:
            on_done: is given Dice and HD95 (mm) by region, and a remark; the disagreement is in
                the parameter node.
        """
        maps: list[comparison.RegionMaps] = []

        def fields() -> dict[str, Any]:
            ours, theirs = parameters.output_segmentation, parameters.reference_segmentation
            folder = self._scratch.subfolder("compare")
            made = comparison.write_region_maps(ours, theirs, folder)
            maps.append(made)
            return {
                "segmentation": str(made.segmentation),
                "reference": str(made.reference),
                "regions": [region.value for region in made.regions],
            }

        def done(result: Result) -> None:
            parameters.disagreement_volume = comparison.show_disagreement(
                maps[0], parameters.disagreement_volume
            )
            on_done(result.content["scores"], maps[0].remark)

        self._ask("compare", fields, done, on_failure)

    def make_example(
        self, on_done: Callable[[Mapping[Contrast, str]], None], on_failure: OnFailure
    ) -> None:
        """Make a synthetic patient and load it; `on_done` is given the volumes' ids."""

        def fields() -> dict[str, Any]:
            return {"output": str(self._scratch.subfolder("example")), "seed": EXAMPLE_SEED}

        def done(result: Result) -> None:
            on_done(load_example({key: Path(p) for key, p in result.content["files"].items()}))

        self._ask("phantom", fields, done, on_failure)

    def import_model(
        self, path: Path, on_done: Callable[[str], None], on_failure: OnFailure
    ) -> None:
        """Check a model package (folder or zip) and install it; `on_done` is given its name."""

        def done(result: Result) -> None:
            on_done(result.content["model"])

        self._ask("import", lambda: {"path": str(path)}, done, on_failure)

    def close(self) -> None:
        """End the worker and delete the private folder."""
        self._client.end()
        self._drop_files()

    def _worker_is_over(self, why_never_ready: str) -> None:
        self._drop_files()
        if why_never_ready:
            problem = f"the background process ended before it was ready ({why_never_ready})"
            self.tried = Ready(0, "", None, None, problem=problem)
            self._on_change()

    def _drop_files(self) -> None:
        """A folder serves one worker, which deletes it too when it outlives the application."""
        self._exports.forget()
        self._scratch.close()

    def _ask(
        self,
        op: str,
        fields: Callable[[], dict[str, Any]],
        on_result: Callable[[Result], None],
        on_failure: OnFailure,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        """Ask the worker; what goes wrong on this side is told as its own failures are."""

        def guarded(step: Callable[[], None], number: str | None) -> None:
            try:
                step()
            except (VolumeError, comparison.ComparisonError, OSError) as error:
                on_failure(Failure(number, "input", str(error)))
            except Exception as error:  # whatever it is, the panel must not wait for ever
                # Where it happened, without the message: that may hold a volume's name.
                logging.error("%s failed: %s", op, "".join(format_tb(error.__traceback__)))
                on_failure(Failure(number, "internal", f"{type(error).__name__}: {error}"))

        def answered(result: Result) -> None:
            guarded(lambda: on_result(result), result.id)

        def ask() -> None:
            if self._scratch.is_lost:  # something tidies temporary folders
                self._client.end()
            self._client.ask(op, answered, on_failure, on_progress, **fields())

        guarded(ask, None)

    def _hand_over(self, order: Order) -> dict[str, str]:
        """Each volume as a file, written again only when it changed; contrast → path."""
        nodes = {c: _node(volume) for c, volume in order.volumes.items()}
        self._scratch.demand(2 * sum(_bytes(node) for node in nodes.values()))
        return {c.value: str(self._exports.fresh(c, node).path) for c, node in nodes.items()}

    def _output_files(self, order: Order) -> tuple[str, str | None]:
        probabilities = self._scratch.subfolder("probabilities")
        output = str(self._scratch.folder / "segmentation.nrrd")
        return output, str(probabilities) if order.keep_probabilities else None

    def _show(self, order: Order, result: Result, parameters: ParameterNode) -> str:
        """Labels, table, probabilities, views; the id of the segmentation node."""
        reference = slicer.mrmlScene.GetNodeByID(order.volumes[order.reference])
        grid = self._exports.grid(order.reference)
        if reference is None or not node_grid(reference).is_like(grid.own):
            raise VolumeError(f"{order.reference.label} was changed during the run; Apply again")
        report = result.content["report"]
        labels = read_labels(Path(result.content["output"]), grid)
        segmentation = _output_node(order, reference)
        is_new = segmentation.GetID() != order.segmentation
        try:
            segmentation_output.show_segmentation(
                labels, reference, segmentation,
                overlapping=order.overlapping, convention=order.convention,
            )  # fmt: skip
            # Without any, those of an earlier run go.
            segmentation_output.show_probabilities(
                result.content.get("probabilities", {}), grid, reference, segmentation
            )
            write_report(segmentation, report, order.volumes)
            table = write_table_of(segmentation, report)
        except Exception:
            if is_new:
                slicer.mrmlScene.RemoveNode(segmentation)
            raise
        with slicer.util.NodeModify(parameters.parameterNode):  # the panel looks once
            parameters.output_segmentation = segmentation
            parameters.volumes_table = table
            if parameters.disagreement_volume is not None:  # of the result before
                slicer.mrmlScene.RemoveNode(parameters.disagreement_volume)
        views.show_tumour(labels, reference)
        return str(segmentation.GetID())

    def _worker_is_ready(self, ready: Ready) -> None:
        self.tried = ready
        if self.job.phase is Phase.STARTING:
            self._enter(Phase.RUNNING)
        else:
            self._on_change()

    def _advance(self, progress: Progress) -> None:
        self.job = self.job.advance(progress, time.monotonic())
        self._on_progress()

    def _enter(self, phase: Phase) -> None:
        job = Job() if phase in (Phase.IDLE, Phase.SENDING) else self.job
        self.job = job.enter(phase, time.monotonic())
        self._on_change()


def chosen_volumes(parameters: ParameterNode) -> dict[Contrast, Any]:
    """Contrast → volume node of the slots that are filled."""
    nodes = {c: getattr(parameters, f"{c.value}_volume") for c in CONTRASTS}
    return {contrast: node for contrast, node in nodes.items() if node is not None}


def wanted_reference(parameters: ParameterNode) -> Contrast | None:
    """The contrast chosen as reference, be it there or not; `None` for the automatic choice."""
    chosen = parameters.reference
    return None if chosen is Reference.AUTO else Contrast(chosen.value)


def reference_contrast(parameters: ParameterNode) -> Contrast | None:
    """Whose grid the result comes back on.

    The chosen one's where that contrast is there, else T1c > FLAIR > T2 > T1.
    """
    chosen, wanted = chosen_volumes(parameters), wanted_reference(parameters)
    if wanted in chosen:
        return wanted
    return next((contrast for contrast in REFERENCE_PREFERENCE if contrast in chosen), None)


def _order(parameters: ParameterNode) -> Order:
    reference = reference_contrast(parameters)
    assert reference is not None  # noqa: S101 - Apply is disabled without a volume
    segmentation = parameters.output_segmentation
    return Order(
        volumes={c: node.GetID() for c, node in chosen_volumes(parameters).items()},
        reference=reference,
        segmentation=segmentation.GetID() if segmentation else None,
        overlapping=parameters.overlapping_regions,
        convention=parameters.label_convention.value,
        keep_probabilities=parameters.keep_probabilities,
    )


def _output_node(order: Order, reference: Any) -> Any:
    """The chosen segmentation; a new one rather than overwrite what is not ours to overwrite.

    That is a result that was edited by hand since, one of another reference volume (another
    patient, it may be), or somebody's surfaces.
    """
    scene = slicer.mrmlScene
    chosen = scene.GetNodeByID(order.segmentation) if order.segmentation else None
    if chosen is not None and may_be_replaced(chosen, reference):
        return chosen
    return scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName("Tumour"))


def _options(
    parameters: ParameterNode, order: Order, probabilities: str | None
) -> dict[str, str | None]:
    return {
        "device": parameters.device.value,
        "reference": order.reference.value,
        "model": parameters.model or None,
        "probabilities": probabilities,
    }


def _node(volume: str) -> Any:
    return slicer.mrmlScene.GetNodeByID(volume)


def _bytes(node: Any) -> int:
    image = node.GetImageData()
    return 1024 * image.GetActualMemorySize() if image else 0
