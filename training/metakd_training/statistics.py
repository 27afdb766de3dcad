"""The running statistics of the network's normalisation, which evaluation uses."""

from __future__ import annotations

from functools import partial

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

_MOMENTUM = 0.01


class RunningStatistics:
    """Keeps each normalisation's running statistics unbiased, and the same in every process.

    They are a plain mean of what was seen at first, later one over about a hundred passes: with a
    constant momentum their initial values, which are no statistics, would linger. After each step
    the processes' statistics are averaged, each by how often it used the layer, so that two
    processes have those of one with the double batch.

    Attributes:
        seen: for each normalisation the passes so far, the same in every process.
    """

    def __init__(self, network: nn.Module, fabric: Fabric) -> None:
        self._norms = [m for m in network.modules() if _keeps_statistics(m)]
        self._fabric = fabric
        self.seen = [0] * len(self._norms)
        self._new = [0] * len(self._norms)
        for place, norm in enumerate(self._norms):
            norm.register_forward_pre_hook(partial(self._before_pass, place))

    def _before_pass(self, place: int, norm: nn.Module, _: object) -> None:
        if norm.training and norm.momentum:  # 0 while nothing may be learned of the samples
            self._new[place] += 1
            norm.momentum = max(_MOMENTUM, 1 / (self.seen[place] + self._new[place]))

    @torch.no_grad()
    def share(self) -> None:
        """Average over the processes what the step has changed."""
        passes = torch.tensor(self._new, dtype=torch.float32, device=self._fabric.device)
        self._new = [0] * len(self._norms)
        if self._fabric.world_size > 1 and self._norms:
            passes = self._averaged(passes)
        self.seen = [old + round(new) for old, new in zip(self.seen, passes.tolist(), strict=True)]

    def _averaged(self, passes: Tensor) -> Tensor:
        """The mean of the statistics, weighted by passes; returns the most passes of a process."""
        buffers = [b for norm in self._norms for b in (norm.running_mean, norm.running_var)]
        weights = [w for w in passes for _ in range(2)]
        flat = torch.cat([b * w for b, w in zip(buffers, weights, strict=True)])
        sums = self._fabric.all_reduce(flat, reduce_op="sum")
        totals = self._fabric.all_reduce(passes.clone(), reduce_op="sum")
        parts = sums.split([len(buffer) for buffer in buffers])
        for place, (buffer, part) in enumerate(zip(buffers, parts, strict=True)):
            total = totals[place // 2]
            if total > 0:
                buffer.copy_(part / total)
        most: Tensor = self._fabric.all_reduce(passes.clone(), reduce_op="max")
        return most


def _keeps_statistics(module: nn.Module) -> bool:
    return isinstance(module, nn.InstanceNorm3d) and bool(module.track_running_stats)
