"""One run of a comparison: fitted unless it is finished, scored unless it is scored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from metakd.inference import choose_device

from metakd_training import runs
from metakd_training.config import Config
from metakd_training.fit import fit
from metakd_training.launch import Launch
from metakd_training.subsets import all_subsets
from metakd_training.tasks import make_workload
from metakd_training.validate import subset_scores


def measure(
    config: Config, run: Path, key: str, accelerator: str = "auto", checkpoint: str = runs.LAST
) -> dict[str, Any]:
    """What a run reaches on a list of its split.

    Returns:
        ``samples``, their names; ``scores`` (samples, S, R), NaN for subsets that a sample lacks;
        ``importance`` (N,), mean 1.

    Raises `ValueError` when the folder holds another run.
    """
    workload = make_workload(config)
    if (run / runs.LAST).exists() and not runs.unfinished(run):
        runs.check(run, config, workload, 1, resume=True)
    else:
        fit(config, run, Launch(accelerator, 1), resume=run.exists(), workload=workload)
    stored = run / f"scores_{key}_{Path(checkpoint).stem}.json"
    if stored.exists():
        known: dict[str, Any] = json.loads(stored.read_text(encoding="utf-8"))
        return known
    workload.load()
    network = runs.trained_network(run, workload.network(), checkpoint)
    device = choose_device(accelerator)
    scores = subset_scores(
        network.to(device),
        workload.task,
        workload.whole(key, device),
        all_subsets(len(workload.modalities)),
        len(workload.outputs),
    )
    measured = {
        "samples": workload.split[key],
        "scores": [[[round(v, 4) for v in row] for row in one] for one in scores.tolist()],
        "importance": [round(w, 4) for w in network.importance.tolist()],
    }
    runs.write_whole(stored, json.dumps(measured) + "\n")
    return measured
