"""`make bench-train`: steps per second, waiting for data, peak memory, on whatever device there is.

And the seconds of one update of the importance weights, which is due every so many steps. Two
configurations: the compact one of this network's own recipe and the papers' (crops of
80×160×160, batch 2, a subset a sample). Patients are phantoms, so that anyone can run it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from metakd.phantom import make_phantom, write_phantom
from metakd_training.config import Config, read_config
from metakd_training.fit import Run
from metakd_training.launch import Launch, make_fabric
from metakd_training.tasks import make_workload

CONFIGS = Path(__file__).parents[1] / "training" / "configs"
PRECISIONS = ("fp32", "bf16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6, help="measured, after two to warm up")
    steps = parser.parse_args().steps
    with tempfile.TemporaryDirectory() as folder:
        cohort = _cohort(Path(folder))
        print(f"{'configuration':<18}{'precision':>10}{'steps/s':>9}{'waiting':>9}"
              f"{'outer, s':>10}{'memory':>10}")  # fmt: skip
        for name in ("compact_first", "brats2018_metakd"):
            for precision in PRECISIONS:
                config = _config(CONFIGS / f"{name}.yaml", cohort, precision, steps)
                row = _measure(config, cohort / name / precision)
                print(f"{name:<18}{precision:>10}{row['rate']:>9.2f}{row['waiting']:>9.1%}"
                      f"{row['outer']:>10.1f}{row['gigabytes']:>7.1f} GB")  # fmt: skip
        print(f"on {row['device']}; memory: peak of {row['of']}")


def _cohort(folder: Path) -> Path:
    for seed in (1, 3, 5):
        write_phantom(make_phantom(seed), folder / "cohort" / f"p{seed}")
    split = {"train": ["p1", "p3"], "held_out": ["p5"]}
    (folder / "split.json").write_text(json.dumps(split))
    return folder


def _config(path: Path, folder: Path, precision: str, steps: int) -> Config:
    changes = [
        f"data.cohorts=[{{path: {folder / 'cohort'}}}]",
        f"data.split={folder / 'split.json'}",
        f"data.cache={folder / 'cache'}",
        "data.held_out=null",
        "data.phantoms=0",
        f"data.workers={min(2, (os.cpu_count() or 1) - 1)}",
        "data.in_memory=false",  # as with cohorts larger than memory
        "subsets.from_step=0",
        "method.updates=1",
        f"steps={steps + 2}",
        f"precision={precision}",
        "validate_every=0",
    ]
    return read_config(path, changes)


def _measure(config: Config, folder: Path) -> dict[str, object]:
    fabric = make_fabric(Launch(devices=1), config.precision)
    run = Run(config, folder, fabric, make_workload(config))
    run.load_data()
    cuda = fabric.device.type == "cuda"
    batches = run.loader()
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    start = waited = 0.0
    for step in range(config.steps):
        if step == 2:
            start, waited = _settled(cuda), 0.0
        asked = time.perf_counter()
        drawn = next(batches)
        waited += time.perf_counter() - asked
        run.advance(drawn)
    seconds = _settled(cuda) - start
    threads = f"CPU, {torch.get_num_threads()} threads"
    return {
        "rate": (config.steps - 2) / seconds,
        "waiting": waited / seconds,
        "outer": _outer_seconds(run, drawn, cuda),
        "gigabytes": _peak_bytes(cuda) / 1e9,
        "device": torch.cuda.get_device_name() if cuda else threads,
        "of": "the GPU" if cuda else "the process, over all rows so far",
    }


def _outer_seconds(run: Run, drawn: list, cuda: bool) -> float:
    """One update of the importance weights: a held-out batch, its loss and the gradient by w."""
    surroundings = run._surroundings(run._batch(drawn[-1]), 1e-3)
    start = _settled(cuda)
    with run.fabric.autocast():
        run.method.between_steps(replace(surroundings, step=run.config.method.every))
    return _settled(cuda) - start


def _settled(cuda: bool) -> float:
    """The time, once the device has done all it was asked to."""
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter()


def _peak_bytes(cuda: bool) -> int:
    if cuda:
        return torch.cuda.max_memory_allocated()
    scale = 1 if sys.platform == "darwin" else 1024  # macOS counts in bytes, Linux in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


if __name__ == "__main__":
    main()
