"""Everything the module does, without its widgets: segment, cancel, compare, example, import.

Volumes go to the worker as files in a private folder, labels come back as nodes of the scene.
Nothing in the scene changes before a result is complete.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from traceback import format_tb
from typing import Any

import slicer
from metakd.contrasts import Contrast

from MetaKDSegmentationLib import comparison
from MetaKDSegmentationLib.example_study import load_example
from MetaKDSegmentationLib.exports import Exports
from MetaKDSegmentationLib.job import Job, Phase
from MetaKDSegmentationLib.order import Order, order_of
from MetaKDSegmentationLib.parameter_node import ParameterNode
from MetaKDSegmentationLib.protocol import Failure, Progress, Ready, Result
from MetaKDSegmentationLib.result_nodes import show_result
from MetaKDSegmentationLib.scratch import Scratch
from MetaKDSegmentationLib.volume_files import VolumeError
from MetaKDSegmentationLib.worker_client import Process, WorkerClient

EXAMPLE_SEED = 1005  # a synthetic patient the embedded model was not trained on

OnFailure = Callable[[Failure], None]


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
        order = order_of(parameters)

        def fields() -> dict[str, Any]:
            self._enter(Phase.SENDING)
            request = self._request(order)
            self._enter(Phase.RUNNING if self.ready else Phase.STARTING)
            return request

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

    def _request(self, order: Order) -> dict[str, Any]:
        """The run as the worker is asked for it, each volume as a file."""
        self._scratch.demand(_bytes_of_files(order))
        inputs = {c.value: self._file(c.value, volume) for c, volume in order.volumes.items()}
        folders = {"probabilities": order.keep_probabilities, "prepared": order.keep_prepared}
        options = {
            **order.options,
            "brain_mask": self._file("brain_mask", order.brain_mask) if order.brain_mask else None,
            **{name: str(self._scratch.subfolder(name)) for name, kept in folders.items() if kept},
        }
        output = str(self._scratch.folder / "segmentation.nrrd")
        return {"inputs": inputs, "output": output, "options": options}

    def _file(self, name: str, volume: str) -> str:
        """A volume's file, written again only when the volume changed."""
        return str(self._exports.fresh(name, _node(volume)).path)

    def _show(self, order: Order, result: Result, parameters: ParameterNode) -> str:
        """The result as nodes that the panel shows; the id of the segmentation node."""
        grid = self._exports.grid(order.reference.value)
        segmentation, table = show_result(order, result.content, grid)
        with slicer.util.NodeModify(parameters.parameterNode):  # the panel looks once
            parameters.output_segmentation = segmentation
            parameters.volumes_table = table
            if parameters.disagreement_volume is not None:  # of the result before
                slicer.mrmlScene.RemoveNode(parameters.disagreement_volume)
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


def _node(volume: str) -> Any:
    return slicer.mrmlScene.GetNodeByID(volume)


def _bytes_of_files(order: Order) -> int:
    """About what a run needs on the disk: the volumes, and as much again for what it makes."""
    kept = [order.volumes[order.reference]] * len(order.volumes) * order.keep_prepared
    return 2 * sum(_bytes(_node(volume)) for volume in [*order.inputs, *kept])


def _bytes(node: Any) -> int:
    image = node.GetImageData()
    return 1024 * image.GetActualMemorySize() if image else 0
