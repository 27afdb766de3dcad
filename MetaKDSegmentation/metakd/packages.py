"""Installed model packages and their cards: what can be known of a model without torch.

A package is a folder, or a zip of it, in MONAI-bundle layout: ``configs/metadata.json`` (the card)
and ``models/model.safetensors``. Nothing in it is ever executed or unpickled: the card is JSON, the
weights are plain numbers. Making a network of them is `metakd.model`'s.
"""

from __future__ import annotations

import json
import lzma
import os
import shutil
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from metakd.card import card_problem

CARD = "configs/metadata.json"
WEIGHTS = "models/model.safetensors"
_KEPT = (CARD, WEIGHTS, "LICENSE", "docs/README.md")
_LARGEST_PACKAGE = 256 * 2**20


class ModelError(ValueError):
    """A model package that is missing, damaged or not one; the message says what to do."""


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


def package_folder(name: str | None = None) -> Path:
    """The folder of an installed package by name, or of any package by its folder.

    Args:
        name: the default when left out, which is one that comes with metakd where there is any.

    Raises `ModelError`.
    """
    packages = find_models()
    if name is None:
        if not packages:
            raise ModelError("no model is installed; import one with: metakd models import FILE")
        return min(packages.values(), key=lambda p: p.parent == user_folder())
    if name in packages:
        return packages[name]
    if Path(name).is_dir():
        return Path(name)
    known = ", ".join(packages) or "none"
    raise ModelError(f"unknown model '{name}'; installed: {known}. A folder works too")


def read_card(folder: Path) -> dict[str, Any]:
    """Read and check ``metadata.json`` of a package. Raises `ModelError`."""
    return card_of(_files_of_folder(folder, (CARD,)), folder)


def card_of(
    files: Mapping[str, bytes],
    source: Path,
    problem_of: Callable[[object], str] = card_problem,
) -> dict[str, Any]:
    """The checked card among a package's files; errors (`ModelError`) name their `source`."""
    path = source / CARD
    try:
        card = json.loads(file_of(files, CARD, source))
    except (ValueError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path}: not valid JSON; get the package again") from error
    problem = problem_of(card)
    if problem:
        raise ModelError(f"{path}: {problem}")
    return dict(card)


def file_of(files: Mapping[str, bytes], name: str, source: Path) -> bytes:
    """One of a package's files. Raises `ModelError` when it is missing."""
    if name not in files:
        raise ModelError(f"{source / name}: is missing; not a MetaKD model package")
    return files[name]


def package_files(source: Path) -> dict[str, bytes]:
    """Card, weights, licence and read-me of a package (folder or zip) by their names inside it.

    Raises `ModelError` when it cannot be read or reaches outside itself.
    """
    return _files_of_zip(source) if source.is_file() else _files_of_folder(source, _KEPT)


def _files_of_folder(folder: Path, names: Sequence[str]) -> dict[str, bytes]:
    """The package's files; a link that leads out of the folder is refused."""
    files = {}
    for name in names:
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
