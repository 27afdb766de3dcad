"""A run's checkpoint → a model package with its card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml
from metakd import __version__
from metakd.card import ARCHITECTURE, INTENDED_USE
from metakd.contrasts import CONTRASTS, SUBSETS, subset_name
from metakd.network import MetaKDNet
from metakd.outputs import OutputFiles
from metakd.packages import CARD, WEIGHTS
from metakd.regions import REGIONS
from safetensors.torch import save

_RELIABILITY = {"reliable": 0.8, "use with care": 0.6}
UNRELEASED: Mapping[str, Any] = {
    "version": "0.0.0",
    "changelog": {},
    "description": "A run of metakd-train that was not released.",
    "authors": "",
    "copyright": "",
    "smallest_ml": {},
    "training_data": [],
}
"""What a card says of a model that is evaluated but not released: no post-processing either."""
_NOT_MEASURED = {"measured_on": "nothing yet", "subsets": {}}


def make_card(
    network: MetaKDNet,
    *,
    description: Mapping[str, Any],
    spacing: float,
    evaluation: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The card of a package, in MONAI's bundle schema with a section of our own.

    Args:
        description: name, version, training data and licences, from the model's YAML file.
        evaluation: ``summary.json`` of `metakd evaluate`; its figures become the expected Dice.
    """
    channel = {"type": "image", "modality": "MR", "is_patch_data": False, "dtype": "float32"}
    return {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/"
        "0.8.1/meta_schema_20240725.json",
        "version": description["version"],
        "changelog": description["changelog"],
        "monai_version": version("monai"),
        "pytorch_version": str(torch.__version__),
        "numpy_version": version("numpy"),
        "required_packages_version": {"metakd": __version__},
        "task": "Brain tumour segmentation from any subset of T1, T1c, T2 and FLAIR",
        "description": description["description"],
        "authors": description["authors"],
        "copyright": description["copyright"],
        "intended_use": INTENDED_USE,
        "eval_metrics": {"mean_dice": (evaluation or {}).get("dice", {}).get("mean", {})},
        "network_data_format": {
            "inputs": {"image": {**channel, "num_channels": len(CONTRASTS), "channel_def":
                {str(c.index): c.label for c in CONTRASTS}}},
            "outputs": {"pred": {**channel, "num_channels": len(REGIONS), "channel_def":
                {str(i): region.title for i, region in enumerate(REGIONS)}}},
        },
        "metakd": {
            "architecture": ARCHITECTURE[0],
            "architecture_version": ARCHITECTURE[1],
            "arguments": network.arguments,
            "contrasts": [contrast.value for contrast in CONTRASTS],
            "spacing_mm": spacing,
            "normalisation": "z-score inside the brain",
            "postprocessing": {"smallest_ml": description["smallest_ml"]},
            "training_data": description["training_data"],
            "expected_dice": _expected_dice(evaluation),
            "reliability": _RELIABILITY,
        },
    }  # fmt: skip


def _expected_dice(evaluation: Mapping[str, Any] | None) -> dict[str, Any]:
    if evaluation is None:
        return dict(_NOT_MEASURED)
    cases = evaluation["cases"]
    return {
        "measured_on": f"{len(cases)} validation patients ({', '.join(cases)})",
        "subsets": {name: evaluation["dice"][name] for name in map(subset_name, SUBSETS)
                    if name in evaluation["dice"]},
    }  # fmt: skip


def write_package(folder: Path, card: Mapping[str, Any], network: MetaKDNet) -> None:
    """Write a package with 16-bit weights; the card gets their SHA-256 and the importance.

    Raises `ValueError` where there is a package, or a part of one, already.
    """
    importance = dict(zip((c.value for c in CONTRASTS), network.importance.tolist(), strict=True))
    rounded = {name: round(weight, 4) for name, weight in importance.items()}
    write_files(folder, {**card, "metakd": {**card["metakd"], "importance": rounded}}, network)


def write_files(folder: Path, card: Mapping[str, Any], network: MetaKDNet) -> None:
    """As `write_package`, of any network of ours."""
    for name in (WEIGHTS, CARD):
        if (folder / name).exists():
            raise ValueError(f"{folder / name}: exists; choose another folder for the package")
    data = weights(network)
    settings = {**card["metakd"], "sha256": hashlib.sha256(data).hexdigest()}
    text = json.dumps({**card, "metakd": settings}, indent=2) + "\n"
    for name in (WEIGHTS, CARD):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    with OutputFiles() as files:
        Path(files.stage(folder / WEIGHTS)).write_bytes(data)
        Path(files.stage(folder / CARD)).write_text(text, encoding="utf-8")


def weights(network: MetaKDNet) -> bytes:
    """The network's state as a safetensors file of 16-bit numbers; the same state, same bytes."""
    state = network.state_dict()
    return save({name: values.half().contiguous() for name, values in state.items()})


def check_evaluation(
    evaluation: Mapping[str, Any], network: MetaKDNet, patients: Sequence[str]
) -> None:
    """Raise `ValueError` unless this very network was evaluated on all validation patients."""
    if not {"weights_sha256", "cases", "dice"} <= set(evaluation):
        raise ValueError("the evaluation is not a summary.json of `metakd-train evaluate`")
    if evaluation["weights_sha256"] != hashlib.sha256(weights(network)).hexdigest():
        raise ValueError("the evaluation was made with other weights; evaluate this run's package")
    if evaluation["cases"] != sorted(patients):
        raise ValueError(
            f"the evaluation is of {evaluation['cases']}; a card needs the run's validation "
            f"patients: {sorted(patients)}"
        )


def read_description(path: Path, needed: Collection[str] = tuple(UNRELEASED)) -> dict[str, Any]:
    """What a card says beyond figures, from YAML. Raises `ValueError` naming the file."""
    try:
        description = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    missing = set(needed) - set(description if isinstance(description, dict) else ())
    if missing:
        raise ValueError(f"{path}: lacks {', '.join(sorted(missing))}; see training/configs")
    return dict(description)
