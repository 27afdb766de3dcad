"""`make bench`: what the network costs, and what a real patient costs, from 1 to 4 contrasts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from metakd.cases import find_cases
from metakd.contrasts import CONTRASTS, Contrast, subset_name
from metakd.model import load_model
from metakd.phantom import make_phantom, write_phantom
from torch.utils.flop_counter import FlopCounterMode

PATIENT = Path(__file__).parents[2] / "shared/data/brats/BraTS2021/BraTS2021_00002"
CHOICES = [CONTRASTS[1:2], (Contrast.T1C, Contrast.FLAIR), CONTRASTS[1:], CONTRASTS]
STAGES = ("read", "orient", "register", "brain", "grid", "normalise", "network", "finish")


def main() -> None:
    network_table()
    with tempfile.TemporaryDirectory() as folder:
        patient_table(Path(folder))


def network_table() -> None:
    network = load_model().network
    parameters = sum(p.numel() for p in network.parameters())
    print(f"Network: {parameters / 1e6:.2f} M parameters (budget 6)")
    print(f"{'contrasts':<18}{'kFLOP/voxel':>12}   (budget 100 with four)")
    side = 64
    for chosen in CHOICES:
        available = torch.tensor([[contrast in chosen for contrast in CONTRASTS]])
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.zeros(1, 4, side, side, side), available)
        flops = counter.get_total_flops() / side**3 / 1e3
        print(f"{len(chosen):<18}{flops:>12.1f}")


def patient_table(folder: Path) -> None:
    patient = PATIENT
    if not patient.exists():
        patient = folder / "phantom"
        write_phantom(make_phantom(0), patient)
    (case,) = find_cases(patient)
    print(f"\nPatient {case.name}, CPU, {os.cpu_count()} cores: seconds; peak memory")
    print(f"{'contrasts':<18}" + "".join(f"{s:>10}" for s in (*STAGES, "in all", "GB")))
    for chosen in CHOICES:
        report = folder / "report.json"
        command = [sys.executable, "-m", "metakd.cli", "segment", "--device", "cpu"]
        command += ["--output", str(folder / "seg.nii.gz"), "--report", str(report)]
        for contrast in chosen:
            command += [f"--{contrast.value}", str(case.images[contrast])]
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"failed: {' '.join(command)}")
        seconds = json.loads(report.read_text())["seconds"]
        figures = [*(seconds.get(stage, 0.0) for stage in STAGES), time.perf_counter() - start]
        # Linux counts in KiB, macOS in bytes.
        gigabytes = usage.ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
        row = "".join(f"{figure:10.1f}" for figure in figures)
        print(f"{subset_name(chosen):<18}{row}{gigabytes:10.1f}")


if __name__ == "__main__":
    main()
