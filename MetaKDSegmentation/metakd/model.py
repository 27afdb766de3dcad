"""Model packages ↔ a `Model` ready to run: the card and weights of `metakd.packages`, checked."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from metakd.contrasts import Contrast, subset_name
from metakd.network import MetaKDNet
from metakd.packages import (
    WEIGHTS,
    ModelError,
    card_of,
    file_of,
    find_models,
    package_files,
    package_folder,
    user_folder,
)
from metakd.regions import Region
from metakd.weights import read_weights


@dataclass(frozen=True)
class Model:
    """A network and its card.

    Attributes:
        name: what the user calls it, the package's folder name.
        card: the whole of ``metadata.json``.
        network: with its weights, in evaluation mode, on the CPU.
    """

    name: str
    card: Mapping[str, Any]
    network: MetaKDNet

    @property
    def settings(self) -> Mapping[str, Any]:
        """The card's section that the engine reads."""
        settings: Mapping[str, Any] = self.card["metakd"]
        return settings

    @property
    def spacing(self) -> float:
        """Spacing of the network's grid, mm."""
        return float(self.settings["spacing_mm"])

    def expected_dice(self, subset: frozenset[Contrast], region: Region) -> float | None:
        """Mean Dice measured with these contrasts, or `None` where the card has no figure."""
        by_region: Mapping[str, float] = self.settings["expected_dice"]["subsets"].get(
            subset_name(subset), {}
        )
        return by_region.get(region.value)

    def reliability(self, dice: float | None) -> str:
        """``reliable``, ``use with care`` or ``not reliable``, by the card's thresholds."""
        thresholds = self.settings["reliability"]
        if dice is None or dice < thresholds["use with care"]:
            return "not reliable"
        return "reliable" if dice >= thresholds["reliable"] else "use with care"


def load_model(name: str | None = None) -> Model:
    """Load an installed model by name, or a package by its folder.

    Args:
        name: the embedded default when left out.

    Raises `ModelError`.
    """
    return read_package(package_folder(name))


def read_package(folder: Path) -> Model:
    """Read and check a package folder. Raises `ModelError` naming the file that is wrong."""
    return _model(folder.resolve().name, package_files(folder), folder)


def _model(name: str, files: Mapping[str, bytes], source: Path) -> Model:
    """The model that a package's files make, once everything about them is found sound."""
    card = card_of(files, source)
    return Model(name, card, network_of(files, card["metakd"], source))


def network_of(files: Mapping[str, bytes], settings: Mapping[str, Any], source: Path) -> MetaKDNet:
    """The network of a package's files, in evaluation mode, checked against its card's settings.

    Raises `ModelError` naming the file that is wrong.
    """
    data = file_of(files, WEIGHTS, source)
    if hashlib.sha256(data).hexdigest() != settings["sha256"]:
        raise ModelError(
            f"{source / WEIGHTS}: the checksum differs from the card's; the file is damaged or "
            "was changed, get the package again"
        )
    try:
        with torch.device("meta"):  # no memory before the weights are known to fit
            network = MetaKDNet(**settings["arguments"])
        network.load_state_dict(read_weights(data), assign=True)
    except (RuntimeError, TypeError, ValueError, LookupError, ArithmeticError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ModelError(f"{source}: weights and card do not fit together ({reason})") from error
    return network.eval()


def import_package(source: Path) -> Path:
    """Check a package (folder or zip) and copy it to the user's models; returns its folder.

    Only the card, the weights, the licence and the read-me are kept. Raises `ModelError`, with
    nothing changed on disk, when the package is not sound or its name is taken.
    """
    if not source.exists():
        raise ModelError(f"{source}: no such file or folder")
    name = source.resolve().name.removesuffix(".zip")
    if not name or name.startswith("."):
        raise ModelError(f"{source}: gives no name for the model; rename the package")
    target = user_folder() / name
    if name in find_models() or target.exists():
        raise ModelError(f"a model named '{name}' is installed already; remove it first")
    files = package_files(source)
    _model(name, files, source)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".import-") as temporary:
        staged = Path(temporary) / name
        for file, data in files.items():
            (staged / file).parent.mkdir(parents=True, exist_ok=True)
            (staged / file).write_bytes(data)
        staged.replace(target)
    return target
