"""What the worker does for each request, and how it says that it could not."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from metakd.files import read_image, write_label_map
from metakd.memory import hold_freed_memory, is_out_of_memory
from metakd.metrics import dice, hd95
from metakd.outputs import OutputFiles, check_places
from metakd.packages import ModelError
from metakd.phantom import make_phantom, write_phantom
from metakd.progress import Cancelled, IsCancelled, OnProgress, Part
from metakd.regions import REGIONS, Region
from metakd.step_options import make_steps
from metakd.steps import Steps
from metakd.study import StudyError
from metakd.worker_requests import BadRequest, Compare, Import, Phantom, Request, Segment

if TYPE_CHECKING:
    from metakd.segment import Segmentation
    from metakd.session import Session

Answer = dict[str, Any]

_OLDEST_TORCH = (2, 2)


class NoTorch(RuntimeError):  # noqa: N818 - a state rather than a mistake
    """PyTorch is needed and cannot be used."""


class Operations:
    """All that the worker can do; without PyTorch, what needs none.

    Attributes:
        torch: PyTorch's version, `None` where it cannot be imported.
        device: what ``auto`` takes, after a real computation; `None` where nothing computes.
        unusable: why each device that PyTorch knows, but cannot use, cannot be used.
        problem: why PyTorch cannot be used, in one line; empty when it can.
    """

    def __init__(self) -> None:
        sitk.ProcessObject.SetGlobalWarningDisplay(False)
        hold_freed_memory()
        self.torch: str | None = None
        self.device: str | None = None
        self.unusable: dict[str, str] = {}
        self._session: Session | None = None
        try:
            self.problem = self._load()
        except ModuleNotFoundError as error:
            self.problem = f"{'PyTorch' if error.name == 'torch' else error.name} is not installed"
        except Exception as error:  # a library that is broken fails in any way
            self.problem = f"PyTorch cannot be loaded ({one_line(error)})"

    def _load(self) -> str:
        # Threads that wait without spinning leave the cores to the application: on a busy machine
        # that saves a third of the time, on an idle one it costs nothing.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        import torch

        self.torch = str(torch.__version__)
        if tuple(int(part) for part in self.torch.split(".")[:2]) < _OLDEST_TORCH:
            return f"PyTorch {self.torch} is too old: 2.2 or newer is needed"
        from metakd.inference import leave_a_core_free, trouble_with
        from metakd.session import Session

        leave_a_core_free()
        names = ["cuda", "mps", "cpu"] if torch.backends.mps.is_built() else ["cuda", "cpu"]
        troubles = {name: trouble_with(name) for name in names}
        self.device = next((name for name in names if not troubles[name]), None)
        problem = troubles.pop("cpu")
        self.unusable = {name: trouble for name, trouble in troubles.items() if trouble}
        if problem:
            return f"PyTorch cannot compute ({problem})"
        self._session = Session()
        return ""

    def run(self, request: Request, on_progress: OnProgress, is_cancelled: IsCancelled) -> Answer:
        """Carry out a request; the fields of its result. `failure` understands what it raises."""
        do: Mapping[type[Request], Callable[..., Answer]] = {
            Segment: self._segment,
            Import: self._import,
            Phantom: _make_phantom,
            Compare: _compare,
        }
        return do[type(request)](request, on_progress, is_cancelled)

    def release(self) -> None:
        """Give back the memory that only the next request would have use for."""
        if self._session:
            self._session.release()

    def _needed_session(self) -> Session:
        if self._session is None:
            raise NoTorch(self.problem)
        return self._session

    def _segment(
        self, request: Segment, on_progress: OnProgress, is_cancelled: IsCancelled
    ) -> Answer:
        session = self._needed_session()
        from metakd.inference import DeviceError
        from metakd.segment import Options

        _check_outputs(request)
        progress = Part(on_progress, after=1)
        try:
            result = session.segment(
                request.inputs,
                model=request.model,
                options=Options(request.device, request.reference, steps=_steps(request)),
                on_progress=progress,
                is_cancelled=is_cancelled,
            )
        except DeviceError as error:
            raise BadRequest(f"{error}; set the device to auto") from error
        if is_cancelled():
            raise Cancelled
        start = time.perf_counter()
        _write(request, result)
        on_progress("write", progress.total, progress.total)
        report = result.report.with_stage("write", time.perf_counter() - start)
        answer: Answer = {"output": str(request.output), "report": report.as_json()}
        if request.probabilities:
            likely = _probability_files(request)
            answer["probabilities"] = {region.value: str(path) for region, path in likely.items()}
        if request.prepared:
            answer["prepared"] = {name: str(path) for name, path in _prepared(request).items()}
        return answer

    def _import(
        self, request: Import, on_progress: OnProgress, is_cancelled: IsCancelled
    ) -> Answer:
        self._needed_session()
        from metakd.model import import_package

        return {"model": import_package(request.path).name}


def _probability_files(request: Segment) -> dict[Region, Path]:
    folder = request.probabilities
    return {region: folder / f"{region.value.lower()}.nrrd" for region in REGIONS} if folder else {}


def _prepared(request: Segment) -> dict[str, Path]:
    from metakd.prepared_files import prepared_paths

    return prepared_paths(request.prepared, ".nrrd", request.inputs, request.reference)


def _check_outputs(request: Segment) -> None:
    inputs = [*request.inputs.values(), *filter(None, [request.brain_mask])]
    likely = _probability_files(request).values()
    check_places([request.output, *likely], inputs, request.probabilities)
    check_places([request.output, *_prepared(request).values()], inputs, request.prepared)


def _steps(request: Segment) -> Steps:
    return make_steps(
        request.registration, request.brain, request.brain_mask, request.bias_correction
    )


def _write(request: Segment, result: Segmentation) -> None:
    from metakd.prepared_files import write_prepared

    try:
        with OutputFiles() as files:
            if request.probabilities:
                request.probabilities.mkdir(exist_ok=True)
            for region, path in _probability_files(request).items():
                sitk.WriteImage(result.probabilities[region], files.stage(path))
            if request.prepared:
                write_prepared(files, _prepared(request), result.study, result.prepared)
            write_label_map(result.label_map, files.stage(request.output), request.labels)
    except RuntimeError as error:
        raise OSError(f"{request.output}: cannot be written; is the disk full?") from error


def _make_phantom(request: Phantom, on_progress: OnProgress, is_cancelled: IsCancelled) -> Answer:
    phantom = make_phantom(request.seed)
    if is_cancelled():
        raise Cancelled
    write_phantom(phantom, request.output)
    names = [*(contrast.value for contrast in phantom.images), "seg"]
    return {"files": {name: str(request.output / f"{name}.nii.gz") for name in names}}


def _compare(request: Compare, on_progress: OnProgress, is_cancelled: IsCancelled) -> Answer:
    """Dice and HD95 (mm) of each region in two maps of regions, whose bits say who belongs."""
    ours, truth = (_read_region_map(path) for path in (request.segmentation, request.reference))
    for get in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        if not np.allclose(getattr(ours, get)(), getattr(truth, get)(), atol=1e-4):
            raise StudyError("the two segmentations lie on different grids; bring them to one")
    scores = {}
    for region in request.regions:
        if is_cancelled():
            raise Cancelled
        bit = 1 << REGIONS.index(region)
        one, other = (sitk.GetArrayViewFromImage(image) & bit > 0 for image in (ours, truth))
        distance = hd95(one, other, ours.GetSpacing()[::-1])
        scores[region.value] = {"dice": dice(one, other), "hd95_mm": distance}
    return {"scores": scores}


def _read_region_map(path: Path) -> sitk.Image:
    if not path.is_file():
        raise StudyError(f"{path}: no such file")
    try:
        image = read_image(path)
    except ValueError as error:
        raise StudyError(f"{path}: {error}") from error
    if image.GetDimension() != 3 or image.GetPixelID() != sitk.sitkUInt8:
        raise StudyError(f"{path}: is no map of regions (3D, unsigned bytes)")
    return image


def failure(error: Exception) -> dict[str, str]:
    """What went wrong as the fields of an error event, a line each: kind, message and hint."""
    text = one_line(error)
    if isinstance(error, Cancelled):
        return _fields("cancelled", "cancelled", "start again when ready")
    if isinstance(error, NoTorch):
        return _fields(
            "internal", text, "install PyTorch 2.2 or newer, then start the worker again"
        )
    if isinstance(error, ModelError):
        return _fields("model", text, "choose another model, or import this one again")
    if is_out_of_memory(error):
        text = "there is not enough memory for this study"
        return _fields("memory", text, "close other programs, or choose another device")
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename or 'a file'}: {error.strerror.lower()}"
    if isinstance(error, (BadRequest, StudyError, OSError)):
        return _fields("input", text, "check the files and options that were given")
    return _fields("internal", f"{type(error).__name__}: {text}", "report this with the log")


def _fields(kind: str, text: str, hint: str) -> dict[str, str]:
    """The engine's own messages end in what to do, after a semicolon; others get the hint."""
    message, semicolon, advice = text.rpartition("; ")
    if not semicolon or kind == "internal":
        message, advice = text, hint
    return {"kind": kind, "message": message, "hint": advice}


def one_line(error: BaseException) -> str:
    """What an error says, or its name where it says nothing."""
    return " ".join(str(error).split())[:500] or type(error).__name__
