"""`PreparedStudy` + network → region probabilities, on whatever device there is.

One pass over the whole brain box when memory allows; else a sliding window, then smaller
windows, then the CPU.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
import torch
from torch import Tensor

from metakd.network import MetaKDNet
from metakd.preprocess import PreparedStudy
from metakd.tensors import to_array, to_tensor

OnProgress = Callable[[str, int, int], None]
"""Called after each unit of work with the stage's name, units done, units in all."""

IsCancelled = Callable[[], bool]

_WINDOWS = (160, 128, 96, 64)  # voxels a side, tried in turn when the whole box does not fit
_OVERLAP = 0.5
# As CUDA, the CPU's allocator on Linux and on Windows, cuDNN and cuBLAS, and MPS put it.
_OUT_OF_MEMORY = (
    "out of memory", "can't allocate", "not enough memory", "alloc_failed", "invalid buffer size",
)  # fmt: skip

Box = tuple[slice, slice, slice]
# Asking the CPU for more than it has brings the system's out-of-memory killer, not an error, so
# there the whole box is tried only up to this size; a brain at 1 mm is about 4 million voxels.
_WHOLE_BOX_VOXELS_ON_CPU = 8_000_000


class Cancelled(Exception):  # noqa: N818 - a request carried out, not an error
    """The caller asked to stop."""


@dataclass(frozen=True)
class Prediction:
    """Region probabilities (3, D, H, W), float32, in the order of `REGIONS`; and how they came."""

    probabilities: npt.NDArray[np.float32]
    device: str
    window: int | None


def choose_device(name: str = "auto") -> torch.device:
    """The device to compute on, after a real 3D network on it has worked.

    Args:
        name: ``auto`` (CUDA, else MPS, else CPU), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.

    Raises `ValueError` when the device asked for by name cannot be used, saying why.
    """
    if name != "auto":
        problem = _trouble_with(name)
        if problem:
            raise ValueError(f"device '{name}' cannot be used ({problem}); try --device auto")
        return torch.device(name)
    return torch.device(next(name for name in ("cuda", "mps", "cpu") if not _trouble_with(name)))


def _trouble_with(device: str) -> str:
    """Why the device cannot be used, in one line; empty when it computes every layer we need."""
    try:
        tiny = MetaKDNet(channels=[1, 1], decoder_channels=[1, 1]).eval().to(device)
        with torch.no_grad():
            tiny(torch.ones(1, 4, 8, 8, 8, device=device)).sum().item()
    except (RuntimeError, AssertionError, ImportError) as error:
        return str(error).splitlines()[0]
    return ""


def leave_a_core_free() -> None:
    """Use all cores but one, where there are more than two, to keep the desktop alive."""
    cores = os.cpu_count() or 1
    threads = min(torch.get_num_threads(), cores - 1 if cores > 2 else cores)
    torch.set_num_threads(threads)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def predict(
    network: MetaKDNet,
    prepared: PreparedStudy,
    device: torch.device,
    *,
    window: int | None = None,
    on_progress: OnProgress = lambda stage, done, total: None,
    is_cancelled: IsCancelled = lambda: False,
) -> Prediction:
    """Probabilities of the nested regions on the study's grid.

    Args:
        network: in evaluation mode; it is moved to the device.
        window: side of the sliding window in voxels; the whole box in one pass when left out.
        is_cancelled: asked before every unit of work (one encoder or one decoder pass).

    Raises `Cancelled`, and `MemoryError` when not even the smallest window fits the CPU.
    """
    for device_, side in _attempts(prepared, device, window):
        try:
            job = _Job(network.to(device_), prepared, device_, on_progress, is_cancelled)
            return Prediction(job.run(side), str(device_), side)
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
        if device_.type == "cuda":
            torch.cuda.empty_cache()
    raise MemoryError("not enough memory for the smallest window; close other programs")


def _attempts(
    prepared: PreparedStudy, device: torch.device, window: int | None
) -> Iterator[tuple[torch.device, int | None]]:
    """What to try, most wanted first."""
    longest = max(prepared.shape)
    sides = [side for side in _WINDOWS if side < (window or longest)]
    for device_ in dict.fromkeys((device, torch.device("cpu"))):
        fits = device_.type != "cpu" or prepared.brain.size <= _WHOLE_BOX_VOXELS_ON_CPU
        if window or fits:
            yield device_, window
        for side in sides:
            yield device_, side


def _is_out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in text for sign in _OUT_OF_MEMORY)


class _Job:
    """One attempt at one study on one device."""

    def __init__(
        self,
        network: MetaKDNet,
        prepared: PreparedStudy,
        device: torch.device,
        on_progress: OnProgress,
        is_cancelled: IsCancelled,
    ) -> None:
        self.network, self.device, self.shape = network, device, prepared.shape
        self.images = {c.index: to_tensor(v)[None, None] for c, v in prepared.channels.items()}
        self.on_progress, self.is_cancelled = on_progress, is_cancelled
        self.done = self.total = 0

    @torch.no_grad()
    def run(self, window: int | None) -> npt.NDArray[np.float32]:
        side = window or max(self.shape)
        boxes = list(_boxes(self.shape, side, self.network.stride))
        self.total = len(boxes) * (len(self.images) + 1)
        if len(boxes) == 1:
            return to_array(self._one_pass(boxes[0]))
        total = torch.zeros(self.network.arguments["regions"], *self.shape)
        weights = torch.zeros(self.shape)
        for box in boxes:
            weight = _gaussian([edge.stop - edge.start for edge in box])
            total[:, box[0], box[1], box[2]] += weight * self._one_pass(box).cpu()
            weights[box] += weight
        return to_array(total / weights)

    def _one_pass(self, box: Box) -> Tensor:
        """Probabilities (regions, d, h, w) of one box."""
        features: list[list[Tensor] | None] = [None] * self.network.arguments["contrasts"]
        with _autocast(self.device):
            for contrast, image in self.images.items():
                self._stop_if_cancelled()
                crop = image[..., box[0], box[1], box[2]].to(self.device)
                features[contrast] = self.network.encode(contrast, crop)
                self._tick("encode")
            self._stop_if_cancelled()
            available = torch.tensor([[f is not None for f in features]], device=self.device)
            logits = self.network.decode(self.network.generate(features, available))
        probabilities = torch.sigmoid(logits[0].float())
        self._tick("decode")
        return probabilities

    def _stop_if_cancelled(self) -> None:
        if self.is_cancelled():
            raise Cancelled

    def _tick(self, stage: str) -> None:
        self.done += 1
        self.on_progress(stage, self.done, self.total)


def _autocast(device: torch.device) -> AbstractContextManager[object]:
    """Half precision on CUDA; full precision elsewhere, where results stay the same to the bit."""
    if device.type != "cuda":
        return nullcontext()
    ampere = torch.cuda.get_device_capability(device)[0] >= 8
    half = torch.bfloat16 if ampere else torch.float16
    return torch.autocast("cuda", dtype=half)


def _boxes(shape: tuple[int, int, int], side: int, stride: int) -> Iterator[Box]:
    """Overlapping boxes that cover the shape; a box's sides are multiples of the stride."""
    edges = []
    for length in shape:
        size = min(max(side // stride, 1) * stride, length)
        step = max(int(size * (1 - _OVERLAP)), 1)
        starts = [*range(0, length - size, step), length - size]
        edges.append([slice(start, start + size) for start in starts])
    depth, height, width = edges
    return product(depth, height, width)


def _gaussian(sides: list[int]) -> Tensor:
    """Weights of a window, 1 at its centre, sigma an eighth of its side, never zero."""
    weight = torch.ones(())
    for side in sides:
        distance = (torch.arange(side) - (side - 1) / 2) / (side / 8)
        weight = weight[..., None] * torch.exp(-0.5 * distance**2)
    return weight.clamp_min(1e-4)
