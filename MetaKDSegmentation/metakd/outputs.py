"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType


class OutputFiles:
    """Several output files that appear together, once all of them are written.

    Example:
        >>> with OutputFiles() as files:  # doctest: +SKIP
        ...     sitk.WriteImage(image, files.stage(Path("seg.nii.gz")))
        ...     Path(files.stage(Path("report.json"))).write_text(text)

    Each file is written under a random hidden name in its own folder and renamed on leaving the
    block; an exception inside the block removes what was written. A kill that cannot be caught
    may leave hidden files, and between two renames a part of the files; each file is whole.
    """

    def __init__(self) -> None:
        self._staged: dict[Path, Path] = {}

    def __enter__(self) -> OutputFiles:
        return self

    def stage(self, path: Path) -> str:
        """Where to write what will become `path`; ends in the same file name extension.

        Raises `OSError` when the folder is missing or not writable.
        """
        if path in self._staged:
            raise ValueError(f"{path}: two results would be written to one file")
        check_writable(path)
        extension = "".join(path.suffixes[-2:])
        self._staged[path] = path.parent / f".metakd-{secrets.token_hex(8)}{extension}"
        return str(self._staged[path])

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                for temporary in self._staged.values():
                    _flush(temporary)
                with _undisturbed():
                    for path, temporary in self._staged.items():
                        temporary.replace(path)
        finally:
            for temporary in self._staged.values():
                temporary.unlink(missing_ok=True)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals to stop wait until the block is done; other threads get none anyway."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    stops = (signal.SIGINT, signal.SIGTERM)
    handlers = {stop: signal.signal(stop, lambda number, _: came.append(number)) for stop in stops}
    try:
        yield
    finally:
        for stop, handler in handlers.items():
            signal.signal(stop, handler)
        for number in came:
            signal.raise_signal(number)


def check_writable(path: Path) -> None:
    """Raise `OSError`, saying what to do, when a file cannot be created at `path`."""
    folder = path.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; create it or choose another")
    if path.is_dir():
        raise IsADirectoryError(f"{path}: is a folder; give a file name")
    if path.exists() and not path.is_file():
        raise OSError(f"{path}: is not a regular file; give another name")
    probe = folder / f".metakd-{secrets.token_hex(8)}"
    try:  # permissions say little: as root, on /proc, on a full or read-only disk
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise PermissionError(f"{folder}: cannot be written to; choose another folder") from error


def _flush(path: Path) -> None:
    """Onto the disk, so that a power cut after the rename cannot leave an empty file."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
