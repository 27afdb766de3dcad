"""A run that finds the brain → the package of the built-in brain extraction."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from metakd import __version__
from metakd.card import ARCHITECTURE, INTENDED_USE

from metakd_training.config.brain import BrainConfig
from metakd_training.evaluate_brain import brain_network
from metakd_training.export import read_description, weights, write_files

_DESCRIBED = ("version", "changelog", "description", "authors", "copyright", "training_data")


def export_brain(
    run: Path,
    config: BrainConfig,
    checkpoint: str,
    description: Path,
    evaluation: Mapping[str, Any],
    output: Path,
) -> None:
    """Write a run's package.

    Args:
        description: YAML of what the card says beyond figures.
        evaluation: ``summary.json`` of `metakd-train evaluate`, of this very network.

    Raises `ValueError` for an evaluation of other weights, and where there is a package already.
    """
    network = brain_network(run, config, checkpoint)
    said = read_description(description, _DESCRIBED)
    if not {"weights_sha256", "threshold"} <= set(evaluation):
        raise ValueError("the evaluation is not a summary.json of `metakd-train evaluate`")
    if evaluation["weights_sha256"] != hashlib.sha256(weights(network)).hexdigest():
        raise ValueError("the evaluation was made with other weights; evaluate this run")
    measured = {k: v for k, v in evaluation.items() if k != "weights_sha256"}
    card = {
        "version": said["version"],
        "changelog": said["changelog"],
        "monai_version": version("monai"),
        "pytorch_version": str(torch.__version__),
        "numpy_version": version("numpy"),
        "required_packages_version": {"metakd": __version__},
        "task": "Brain extraction from a scan of a whole head, of any contrast",
        "description": said["description"],
        "authors": said["authors"],
        "copyright": said["copyright"],
        "intended_use": INTENDED_USE,
        "eval_metrics": measured,
        "metakd": {
            "architecture": ARCHITECTURE[0],
            "architecture_version": ARCHITECTURE[1],
            "arguments": network.arguments,
            "spacing_mm": config.box.spacing,
            "threshold": evaluation["threshold"],
            "normalisation": "1st to 99th percentile of the head's box to 0 to 1",
            "training_data": said["training_data"],
        },
    }
    write_files(output, card, network)
