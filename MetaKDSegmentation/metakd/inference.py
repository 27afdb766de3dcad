"""`PreparedStudy` + network → region probabilities, on whatever device there is.

One pass over the whole brain box when memory allows; else a sliding window, then smaller
windows, then the CPU.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
import torch
from torch import Tensor

from metakd.any_subset import Pyramid
from metakd.contrasts import Contrast
from metakd.memory import Memory, give_back_freed_memory, is_out_of_memory
from metakd.network import MetaKDNet
from metakd.preprocess import PreparedStudy, Shape
from metakd.progress import Cancelled, IsCancelled, OnProgress
from metakd.tensors import to_array, to_tensor

_WINDOWS = (160, 128, 96, 64)  # voxels a side, tried in turn when the whole box does not fit
_OVERLAP = 0.5

Box = tuple[slice, slice, slice]
# Asking the CPU for more than it has brings the system's out-of-memory killer, not an error, so
# there the whole box is tried only up to this size; a brain at 1 mm is about 4 million voxels.
_WHOLE_BOX_VOXELS_ON_CPU = 8_000_000


_COMPUTES: set[str] = set()  # devices that were seen to, so that each is tried once a process


class DeviceError(ValueError):
    """The device asked for by name cannot be used; the message says why."""


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

    Raises `DeviceError`.
    """
    names = ("cuda", "mps", "cpu") if name == "auto" else (name,)
    for name_ in names:
        problem = trouble_with(name_)
        if not problem:
            return torch.device(name_)
    raise DeviceError(f"device '{names[-1]}' cannot be used ({problem})")


def trouble_with(device: str) -> str:
    """Why the device cannot be used, in one line; empty when it computes every layer we need."""
    if device in _COMPUTES:
        return ""
    if device.startswith("cuda") and not (torch.version.cuda or torch.version.hip):
        return "this PyTorch is built without CUDA"
    try:
        tiny = MetaKDNet(channels=[1, 1], decoder_channels=[1, 1]).eval().to(device)
        with torch.no_grad():
            tiny(torch.ones(1, 4, 8, 8, 8, device=device)).sum().item()
    except (RuntimeError, AssertionError, ImportError) as error:
        return (str(error) or type(error).__name__).splitlines()[0]
    _COMPUTES.add(device)
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
    memory: Memory | None = None,
    on_progress: OnProgress = lambda stage, done, total: None,
    is_cancelled: IsCancelled = lambda: False,
) -> Prediction:
    """Probabilities of the nested regions on the study's grid.

    Args:
        network: in evaluation mode; it is moved to the device.
        window: side of the sliding window in voxels; the whole box in one pass when left out.
        memory: of an earlier run, for the features of contrasts that are as they were. It is
            forgotten first when memory runs out.
        is_cancelled: asked before every unit of work (one encoder or one decoder pass).

    Raises `Cancelled`, and `MemoryError` when not even the smallest window fits the CPU.
    """
    attempts = _attempts(prepared.shape, device, window)
    if memory:
        attempts.insert(0, attempts[0])  # once more without what is kept
    done = 0
    for device_, side in attempts:
        job = _Job(network, prepared, device_, memory or Memory(), done, on_progress, is_cancelled)
        try:
            return Prediction(job.run(side), str(device_), side)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            _Job.own_thread = _Job.own_thread or "primitive" in str(error)
        done = job.done
        if memory:
            memory.forget()
        memory = None
        give_back_freed_memory(for_good=True)
        if device_.type == "cuda":
            torch.cuda.empty_cache()
    raise MemoryError("not enough memory for the smallest window; close other programs")


def units_of_work(
    shape: Shape, contrasts: int, stride: int, device: torch.device, window: int | None = None
) -> int:
    """How many units `predict` will report, unless memory runs out on the way."""
    _, side = _attempts(shape, device, window)[0]
    return len(list(_boxes(shape, side or max(shape), stride))) * (contrasts + 1)


def _attempts(
    shape: Shape, device: torch.device, window: int | None
) -> list[tuple[torch.device, int | None]]:
    """What to try, most wanted first: devices and sides of the window."""
    sides = [side for side in _WINDOWS if side < (window or max(shape))]
    attempts: list[tuple[torch.device, int | None]] = []
    for device_ in dict.fromkeys((device, torch.device("cpu"))):
        fits = device_.type != "cpu" or math.prod(shape) <= _WHOLE_BOX_VOXELS_ON_CPU
        if window or fits:
            attempts.append((device_, window))
        attempts += [(device_, side) for side in sides]
    return attempts


class _Job:
    """One attempt at one study on one device."""

    # In the thread in which oneDNN once had no memory for a kernel ("could not create a primitive")
    # it never makes one again.
    own_thread = False

    def __init__(
        self,
        network: MetaKDNet,
        prepared: PreparedStudy,
        device: torch.device,
        memory: Memory,
        done: int,
        on_progress: OnProgress,
        is_cancelled: IsCancelled,
    ) -> None:
        self.network, self.prepared, self.device, self.memory = network, prepared, device, memory
        self.on_progress, self.is_cancelled = on_progress, is_cancelled
        self.done = self.total = done

    def run(self, window: int | None) -> npt.NDArray[np.float32]:
        if not self.own_thread:
            return self._run(window)
        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(self._run, window).result()

    @torch.no_grad()
    def _run(self, window: int | None) -> npt.NDArray[np.float32]:
        self.network.to(self.device)
        shape, stride = self.prepared.shape, self.network.stride
        boxes = list(_boxes(shape, window or max(shape), stride))
        self.total += len(boxes) * (len(self.prepared.channels) + 1)
        if len(boxes) == 1:
            return to_array(self._one_pass(boxes[0]))
        total = torch.zeros(self.network.arguments["regions"], *shape)
        weights = torch.zeros(shape)
        for box in boxes:
            weight = _gaussian([edge.stop - edge.start for edge in box])
            total[:, box[0], box[1], box[2]] += weight * self._one_pass(box).cpu()
            weights[box] += weight
        return to_array(total / weights)

    def _one_pass(self, box: Box) -> Tensor:
        """Probabilities (regions, d, h, w) of one box."""
        features: list[Pyramid | None] = [None] * self.network.arguments["contrasts"]
        with _autocast(self.device):
            for contrast in self.prepared.channels:
                self._stop_if_cancelled()
                features[contrast.index] = self._features(contrast, box)
                self._tick("encode")
            self._stop_if_cancelled()
            probabilities = self._decode(features, box)
        self._tick("decode")
        return probabilities

    def _decode(self, features: list[Pyramid | None], box: Box) -> Tensor:
        """Each voxel decoded from the contrasts that cover it; 0 where none does."""
        merged: Tensor | None = None
        for covering, where in _coverings(self.prepared, box):
            if merged is not None and not covering:
                merged = torch.where(self._there(where), 0.0, merged)
                continue
            some = [f if f is not None and i in covering else None for i, f in enumerate(features)]
            available = torch.tensor([[f is not None for f in some]], device=self.device)
            logits = self.network.decode(self.network.generate(some, available))
            probabilities = torch.sigmoid(logits[0].float())
            if merged is None:
                merged = probabilities
            else:
                merged = torch.where(self._there(where), probabilities, merged)
        assert merged is not None  # noqa: S101 - for the type checker; there is one covering at least
        return merged

    def _there(self, where: npt.NDArray[np.bool_]) -> Tensor:
        return to_tensor(where.astype(np.float32)).to(self.device) > 0

    def _features(self, contrast: Contrast, box: Box) -> Pyramid:
        """Features of one contrast in one box; those of the whole grid are kept."""
        channel = self.prepared.channels[contrast]
        if channel[box].shape != channel.shape:
            return self._encode(contrast, channel, box)
        made_with = (self.network, self.device)
        return self.memory.recall(
            (contrast, "features"), channel, made_with, self._encode, contrast, channel, box
        )

    def _encode(self, contrast: Contrast, channel: npt.NDArray[np.float32], box: Box) -> Pyramid:
        crop = to_tensor(channel)[None, None, box[0], box[1], box[2]].to(self.device)
        return self.network.encode(contrast.index, crop)

    def _stop_if_cancelled(self) -> None:
        if self.is_cancelled():
            raise Cancelled

    def _tick(self, stage: str) -> None:
        self.done += 1
        self.on_progress(stage, self.done, self.total)


def _coverings(
    prepared: PreparedStudy, box: Box
) -> Iterator[tuple[frozenset[int], npt.NDArray[np.bool_]]]:
    """Sets of contrasts (by index), and where in the box (d, h, w) each is all that there is.

    All contrasts first, everywhere; a study that is covered by all of them has no other. The empty
    set is where the brain is covered by none.
    """
    everywhere = frozenset(contrast.index for contrast in prepared.channels)
    shape = prepared.brain[box].shape
    yield everywhere, np.ones(shape, dtype=bool)
    code = np.zeros(shape, dtype=np.uint8)  # bit i is set where contrast i is lacking
    for contrast, covers in prepared.partial.items():
        code |= np.where(covers[box], 0, 1 << contrast.index).astype(np.uint8)
    for lacking in np.unique(code[prepared.brain[box]]):
        covering = frozenset(i for i in everywhere if not lacking & (1 << i))
        if lacking:
            yield covering, code == lacking


def _autocast(device: torch.device) -> AbstractContextManager[object]:
    """Half precision on CUDA; full precision elsewhere, where results stay the same to the bit."""
    if device.type != "cuda":
        return nullcontext()
    ampere = torch.cuda.get_device_capability(device)[0] >= 8
    half = torch.bfloat16 if ampere else torch.float16
    return torch.autocast("cuda", dtype=half)


def _boxes(shape: Shape, side: int, stride: int) -> Iterator[Box]:
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
