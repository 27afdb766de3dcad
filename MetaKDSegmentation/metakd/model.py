"""Model packages: a folder or zip in MONAI-bundle layout ↔ a `Model` ready to run.

A package holds ``configs/metadata.json`` (the card) and ``models/model.safetensors``. Nothing in
it is ever executed or unpickled: the card is JSON, the weights are plain numbers in the
safetensors format, and both are checked before anything is kept.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from metakd.card import card_problem
from metakd.contrasts import Contrast, subset_name
from metakd.network import MetaKDNet
from metakd.regions import Region
from metakd.weights import read_weights

CARD = "configs/metadata.json"
WEIGHTS = "models/model.safetensors"
_LARGEST_PACKAGE = 256 * 2**20
_KEPT = (CARD, WEIGHTS, "LICENSE", "docs/README.md")


class ModelError(ValueError):
    """A model package that is missing, damaged or not one; the message says what to do."""


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


def model_folders() -> list[Path]:
    """Where packages are looked for: imported ones first, then those that come with metakd."""
    here = Path(__file__).resolve().parent
    return [user_folder(), here.parent / "Resources" / "Models", here / "Models"]


def user_folder() -> Path:
    """Where imported packages live; ``METAKD_MODELS`` overrides the system's usual place."""
    if chosen := os.environ.get("METAKD_MODELS"):
        return Path(chosen)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home()))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share"))
    return base / "metakd" / "models"


def find_models() -> dict[str, Path]:
    """Name → folder of every installed package; an imported one hides an embedded namesake."""
    packages: dict[str, Path] = {}
    for folder in model_folders():
        for card in sorted(folder.glob(f"*/{CARD}")):
            package = card.parents[1]
            if not package.name.startswith("."):
                packages.setdefault(package.name, package)
    return packages


def load_model(name: str | None = None) -> Model:
    """Load an installed model by name, or a package by its folder.

    Args:
        name: the embedded default when left out.

    Raises `ModelError`.
    """
    packages = find_models()
    if name is None:
        if not packages:
            raise ModelError("no model is installed; import one with: metakd models import FILE")
        return read_package(min(packages.values(), key=lambda p: p.parent == user_folder()))
    if name in packages:
        return read_package(packages[name])
    if Path(name).is_dir():
        return read_package(Path(name))
    known = ", ".join(packages) or "none"
    raise ModelError(f"unknown model '{name}'; installed: {known}. A folder works too")


def read_package(folder: Path) -> Model:
    """Read and check a package folder. Raises `ModelError` naming the file that is wrong."""
    return _model(folder.resolve().name, _files_of_folder(folder), folder)


def read_card(folder: Path) -> dict[str, Any]:
    """Read and check ``metadata.json``. Raises `ModelError`."""
    return _card(_files_of_folder(folder), folder)


def _model(name: str, files: Mapping[str, bytes], source: Path) -> Model:
    """The model that a package's files make, once everything about them is found sound."""
    card = _card(files, source)
    settings = card["metakd"]
    data = _file(files, WEIGHTS, source)
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
    return Model(name, card, network.eval())


def _card(files: Mapping[str, bytes], source: Path) -> dict[str, Any]:
    path = source / CARD
    try:
        card = json.loads(_file(files, CARD, source))
    except (ValueError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path}: not valid JSON; get the package again") from error
    problem = card_problem(card)
    if problem:
        raise ModelError(f"{path}: {problem}")
    return dict(card)


def _file(files: Mapping[str, bytes], name: str, source: Path) -> bytes:
    if name not in files:
        raise ModelError(f"{source / name}: is missing; not a MetaKD model package")
    return files[name]


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
    files = _files_of_zip(source) if source.is_file() else _files_of_folder(source)
    _model(name, files, source)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".import-") as temporary:
        staged = Path(temporary) / name
        for file, data in files.items():
            (staged / file).parent.mkdir(parents=True, exist_ok=True)
            (staged / file).write_bytes(data)
        staged.replace(target)
    return target


def _files_of_folder(folder: Path) -> dict[str, bytes]:
    """The package's files; a link that leads out of the folder is refused."""
    files = {}
    for name in _KEPT:
        path = folder / name
        try:
            if not path.resolve().is_relative_to(folder.resolve()):
                raise ModelError(f"{path}: leads out of the package; refused")
            if path.is_file():
                files[name] = path.read_bytes()
        except (OSError, RuntimeError) as error:  # RuntimeError: a link in a circle
            raise ModelError(f"{path}: cannot be read; get the package again") from error
    return files


def _files_of_zip(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            for entry in entries:
                parts = PurePosixPath(entry.filename.replace("\\", "/"))
                if parts.is_absolute() or ".." in parts.parts or ":" in entry.filename:
                    raise ModelError(f"{path}: the entry '{entry.filename}' escapes; refused")
            if sum(entry.file_size for entry in entries) > _LARGEST_PACKAGE:
                raise ModelError(f"{path}: unpacks to more than any model package; refused")
            return {_within(e): archive.read(e) for e in entries if _within(e) in _KEPT}
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, zlib.error, lzma.LZMAError) as e:
        raise ModelError(f"{path}: not a readable zip file; get the package again") from e


def _within(entry: zipfile.ZipInfo) -> str:
    """Name inside the package: zips hold it bare or in one folder of its own."""
    name = entry.filename
    inside = name.split("/", 1)[-1]
    return name if name in _KEPT else inside


def remove_model(name: str) -> Path:
    """Delete an imported model; returns where it was. Raises `ModelError` for any other."""
    package = find_models().get(name)
    if package is None:
        raise ModelError(f"no model named '{name}' is installed")
    if package.parent != user_folder():
        raise ModelError(f"'{name}' comes with metakd and cannot be removed")
    shutil.rmtree(package)
    return package
