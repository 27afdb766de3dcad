"""A private folder for what the worker reads and writes; gone when it is closed."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

_PREFIX = "MetaKDSegmentation-"  # no name of a patient, study or file
_STALE_SECONDS = 24 * 3600.0  # of another Slicer, long over


class NoSpaceError(OSError):
    """The disk is too full to hand the volumes over."""


class Scratch:
    """A folder that only this user can read (mode 0700), made when first asked for."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._folder: Path | None = None

    @property
    def folder(self) -> Path:
        """The folder, made on first use."""
        if self._folder is None:
            self._sweep()
            self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._parent))
        elif not self.is_lost:
            os.utime(self._folder)  # in use, whatever sweeps old folders
        return self._folder

    @property
    def is_lost(self) -> bool:
        """Whether somebody else deleted the folder."""
        return self._folder is not None and not self._folder.is_dir()

    def _sweep(self) -> None:
        """Delete what was left behind where a system lets no folder go that is still in use."""
        for left in self._parent.glob(f"{_PREFIX}*"):
            with suppress(OSError):  # another Slicer may sweep too
                if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                    shutil.rmtree(left)

    def subfolder(self, name: str) -> Path:
        """A folder in it."""
        made = self.folder / name
        made.mkdir(exist_ok=True)
        return made

    def demand(self, size: int) -> None:
        """Raise `NoSpaceError` unless the disk has room for so many bytes."""
        free = shutil.disk_usage(self.folder).free
        if free < size:
            raise NoSpaceError(
                f"the disk of {self.folder.parent} has {free / 1e9:.1f} GB left and "
                f"{size / 1e9:.1f} GB are needed; free some space"
            )

    def close(self) -> None:
        """Delete the folder and everything in it."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
