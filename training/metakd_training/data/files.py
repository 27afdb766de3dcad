"""Files of a cohort: found by a pattern, one for each sample that has one."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from metakd_training.words import listed


def find_files(folder: Path, pattern: str) -> list[Path]:
    """The files of a folder that a pattern matches, in order of their names.

    Raises `ValueError` naming anything else that it matches: a link to nothing is a file that was
    meant to be there.
    """
    if Path(pattern).is_absolute():
        raise ValueError(f"{pattern}: is not inside {folder}; name it from there")
    # Not `Path.glob`, which passes over links to nothing where the pattern is a plain name.
    names = glob.glob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207
    found = sorted(folder / name for name in names)
    for path in found:
        _refuse_no_file(path)
    return found


def _refuse_no_file(path: Path) -> None:
    if path.is_file():
        return
    if path.is_dir():
        raise ValueError(
            f"{path}: is a folder, and a file is looked for; name the file in it, or make the "
            "pattern narrower"
        )
    if path.is_symlink() and not path.exists():
        raise ValueError(
            f"{path}: is a link to {path.readlink()}, which is not there; copy the file, or take "
            "the link away"
        )
    raise ValueError(f"{path}: is no file; take it away")


def find_file(folder: Path, pattern: str) -> Path:
    """The one file of a folder that a pattern matches.

    Raises `ValueError` naming the pattern and what matches it, or that nothing does.
    """
    found = find_files(folder, pattern)
    if not found:
        raise ValueError(f"{folder / pattern}: no such file; check the folder and the name")
    if len(found) > 1:
        names = listed(path.name for path in found)
        raise ValueError(f"{folder / pattern}: matches {names}; keep one, or name it in full")
    return found[0]


def files_of(pattern: str, samples: Sequence[str], folder: Path) -> list[Path | None]:
    """Each sample's file, none where it has none.

    Args:
        pattern: with ``{name}`` for the sample.
        samples: their names.
        folder: that the pattern starts from.

    Raises `ValueError` naming a sample with several files, and a file of several samples: of
    ``S0`` and ``S0_b`` the pattern ``{name}_*`` gives the first one the other's, too.
    """
    if "{name}" not in pattern:
        raise ValueError(f"files {pattern}: has no {{name}}, which stands for the sample")
    files = [_file_of(pattern, sample, folder) for sample in samples]
    owner: dict[Path, str] = {}
    for sample, path in zip(samples, files, strict=True):
        if path is not None and owner.setdefault(path, sample) != sample:
            raise ValueError(
                f"{folder / pattern}: {owner[path]} and {sample} both have {path.name}; make the "
                "pattern narrower, or rename the files"
            )
    return files


def _file_of(pattern: str, sample: str, folder: Path) -> Path | None:
    found = find_files(folder, pattern.replace("{name}", glob.escape(sample)))
    if len(found) > 1:
        names = listed(path.name for path in found)
        raise ValueError(f"{folder / pattern}: {sample} has {names}; keep one, or make the "
                         "pattern narrower")  # fmt: skip
    return found[0] if found else None
