"""Devices and processes: one, several, or several machines, with the same code."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

_PRECISION = {"fp32": "32-true", "bf16": "bf16-mixed"}


@dataclass(frozen=True)
class Launch:
    """Where a run runs; nothing in it changes what is computed but for the number of processes.

    Attributes:
        accelerator: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        devices: processes on each machine; all GPUs, or one on a CPU, when left out.
        nodes: machines.
    """

    accelerator: str = "auto"
    devices: int | None = None
    nodes: int = 1


def make_fabric(launch: Launch, precision: str) -> Fabric:
    """A launched Fabric: under ``torchrun`` with its processes, else it starts the others itself.

    Every process counts as the same share of a batch: gradients are averaged over all of them.
    Raises `ValueError` for devices that are not there.
    """
    devices, nodes = launch.devices, launch.nodes
    if "TORCHELASTIC_RUN_ID" in os.environ:
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    elif devices is None:
        gpus = launch.accelerator in ("auto", "cuda") and torch.cuda.is_available()
        devices = torch.cuda.device_count() if gpus else 1
    # An encoder is idle in a process whose samples all lack its contrast.
    several = DDPStrategy(find_unused_parameters=True, broadcast_buffers=False)
    try:
        fabric = Fabric(
            accelerator=launch.accelerator,
            devices=devices,
            num_nodes=nodes,
            precision=_PRECISION[precision],
            strategy=several if devices * nodes > 1 else "auto",
        )
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"--accelerator {launch.accelerator}: {error}") from error
    fabric.launch()
    return fabric
