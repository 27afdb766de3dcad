"""A warm session: the model stays loaded, and of the last study everything that can serve again."""

from __future__ import annotations

import os
import time
from collections.abc import Hashable, Mapping
from pathlib import Path

import torch

from metakd.contrasts import Contrast
from metakd.dicom_series import is_dicom
from metakd.memory import Memory, give_back_freed_memory, is_out_of_memory
from metakd.model import Model, read_package
from metakd.packages import CARD, WEIGHTS, package_folder
from metakd.preprocess import units_of_steps
from metakd.progress import Cancelled, IsCancelled, OnProgress, Part
from metakd.segment import Options, Segmentation, segment
from metakd.study import Scan, read_scan, read_study


class Session:
    """Segments studies one after the other; the results are those of a fresh start, to the bit.

    The images, the prepared channels and the encoders' features of one study are kept, so that
    another choice of its contrasts costs only what it must; a study none of whose files was in the
    last one replaces it.
    """

    def __init__(self) -> None:
        self.memory = Memory()
        self._model: tuple[Hashable, Model] | None = None

    def segment(
        self,
        paths: Mapping[Contrast, Path],
        *,
        model: str | None = None,
        options: Options | None = None,
        on_progress: OnProgress = lambda stage, done, total: None,
        is_cancelled: IsCancelled = lambda: False,
    ) -> Segmentation:
        """Read one patient's files and segment them, with the stage ``read`` (a unit a contrast).

        Until the study's grid is known, the units are those of one pass over the whole brain.
        Raises what `read_study`, `load_model` and `segment` raise.
        """
        loaded = self._loaded(model)
        self._make_room_for(paths)
        progress = Part(on_progress)
        for last_try in (False, True):
            progress = Part(on_progress, before=progress.done)
            try:
                return self._run(paths, loaded, options, progress, is_cancelled)
            except (RuntimeError, MemoryError) as error:
                if last_try or not is_out_of_memory(error) or not self.memory.forget():
                    raise
            give_back_freed_memory(for_good=True)
        raise AssertionError  # the last try returns or raises

    def release(self) -> None:
        """Give the memory of the last study back to the system; the model stays."""
        self.memory.forget()
        give_back_freed_memory()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _run(
        self,
        paths: Mapping[Contrast, Path],
        model: Model,
        options: Options | None,
        on_progress: OnProgress,
        is_cancelled: IsCancelled,
    ) -> Segmentation:
        start, contrasts, done = time.perf_counter(), len(paths), 0
        steps = (options or Options()).steps
        # One pass over the whole brain: each contrast encoded, one decoding, one finish.
        later = units_of_steps(contrasts, steps) + contrasts + 2

        def read(contrast: Contrast, path: Path) -> Scan:
            nonlocal done
            if is_cancelled():
                raise Cancelled
            scan = self.memory.recall(
                (contrast, "scan"), None, file_identity(path), read_scan, contrast, path
            )
            done += 1
            on_progress("read", done, contrasts + later)
            return scan

        study = read_study(paths, read)
        seconds = time.perf_counter() - start
        result = segment(
            study,
            model,
            options,
            memory=self.memory,
            on_progress=Part(on_progress, before=contrasts),
            is_cancelled=is_cancelled,
        )
        return result.with_stage("read", seconds)

    def _loaded(self, name: str | None) -> Model:
        folder = package_folder(name).resolve()
        identity = (file_identity(folder / CARD), file_identity(folder / WEIGHTS))
        if self._model is None or self._model[0] != identity:
            self._model = (identity, read_package(folder))
        return self._model[1]

    def _make_room_for(self, paths: Mapping[Contrast, Path]) -> None:
        """Forget the last study before another one is read."""
        known = (
            self.memory.holds((contrast, "scan"), None, file_identity(path))
            for contrast, path in paths.items()
        )
        if not any(known):
            self.memory.forget()


def file_identity(path: Path) -> Hashable:
    """Equal to an earlier one only if the file, or no file of the folder, was changed since.

    A file that keeps its voxels in another one, or cannot be seen, is never what it was.
    """
    try:
        # A file of a DICOM series stands for all of them.
        folder = path if path.is_dir() else path.parent if is_dicom(path) else None
        files = [path] if folder is None else sorted(folder.iterdir())
        if any(_is_only_a_header(file) for file in files):
            return object()
        return (os.fspath(path), *(_stamp(file) for file in files))
    except OSError:
        return object()


def _stamp(file: Path) -> tuple[str, int, int, int, int]:
    status = file.stat()
    return (
        os.fspath(file), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )  # fmt: skip


def _is_only_a_header(file: Path) -> bool:
    """Whether the voxels may lie in a file beside this one, as these formats allow."""
    suffix = file.suffix.lower()
    if suffix in (".nrrd", ".mha"):
        with file.open("rb") as opened:
            header = opened.read(2**12).lower()
        return b"data file:" in header or (b"datafile" in header and b"local" not in header)
    return suffix in (".hdr", ".img", ".mhd", ".nhdr")
