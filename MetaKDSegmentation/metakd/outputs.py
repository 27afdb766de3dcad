"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import signal
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

IMAGE_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")

_open: set[OutputFiles] = set()
_settling = threading.Lock()  # held while files appear, or are given up for good


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
        _open.add(self)
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
                with _undisturbed(), _settling:
                    for path, temporary in self._staged.items():
                        temporary.replace(path)
        finally:
            _open.discard(self)
            self._remove()

    def _remove(self) -> None:
        for temporary in self._staged.values():
            temporary.unlink(missing_ok=True)


def give_up() -> None:
    """Remove every file that is staged, for a thread that ends the process right after.

    Files that were about to appear together do so before, or not at all any more.
    """
    _settling.acquire(timeout=0.5)
    for files in list(_open):
        with suppress(OSError):  # Windows removes no open file; it stays, hidden
            files._remove()


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


def check_places(
    files: Collection[Path], inputs: Collection[Path], new_folder: Path | None = None
) -> None:
    """Raise `OSError`, saying what to do, unless each file can be written and is no other's place.

    Args:
        new_folder: of some of the files; it need not exist, if it can be made.
    """
    if new_folder and not new_folder.exists():
        check_writable(new_folder)
    for file in files:
        if file.parent != new_folder or new_folder.exists():
            check_writable(file)
    if len({file.resolve() for file in files}) < len(files):
        raise FileExistsError("two results would be written to one file; give each its own name")
    for file in files:
        if file.resolve() in {path.resolve() for path in inputs}:
            raise FileExistsError(f"{file}: is an input; choose another name for the result")


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
