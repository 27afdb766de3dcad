"""The worker as a `QProcess` of Slicer's own Python, and how to end it for certain."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import qt
import slicer

_MODULE_FOLDER = Path(__file__).resolve().parents[1]
_END_MS = 1500

ENGINE = "metakd.worker"
"""The module whose `main` is the worker."""


def python_launcher() -> str:
    """Slicer's Python launcher, which sets up libraries and starts Python as a child process."""
    name = "PythonSlicer.exe" if sys.platform == "win32" else "PythonSlicer"
    beside = Path(slicer.app.slicerHome) / "bin" / name
    return str(beside) if beside.exists() else shutil.which("PythonSlicer") or sys.executable


class WorkerProcess:
    """`worker_client.Process` on `QProcess`: its output arrives in Slicer's event loop.

    Args:
        folder: its working directory; the worker deletes it when its input ends.
        engine: the module whose `main` to run.
    """

    def __init__(self, folder: Path, engine: str = ENGINE) -> None:
        self._folder, self._engine = folder, engine
        self._process = qt.QProcess()
        self._started = False

    def start(
        self,
        on_output: Callable[[bytes], None],
        on_log: Callable[[str], None],
        on_exit: Callable[[str], None],
    ) -> None:
        """Start it; output, log lines and the end are told from the event loop."""
        process = self._process
        process.readyReadStandardOutput.connect(
            lambda *_: on_output(process.readAllStandardOutput().data())
        )
        process.readyReadStandardError.connect(
            lambda *_: on_log(_text(process.readAllStandardError().data()))
        )
        process.connect(
            "finished(int,QProcess::ExitStatus)",
            lambda *_: on_exit(f"exit code {process.exitCode()}"),
        )
        process.connect("started()", lambda *_: self._has_started())
        process.connect("errorOccurred(QProcess::ProcessError)", lambda *_: self._error(on_exit))
        # An explicit path: Slicer's launcher decides on PYTHONPATH itself.
        code = (
            f"import sys; sys.path.insert(0, {str(_MODULE_FOLDER)!r}); "
            f"from {self._engine} import main; sys.exit(main({str(self._folder)!r}))"
        )
        process.setWorkingDirectory(str(self._folder))
        process.setProgram(python_launcher())
        process.setArguments(["-c", code])
        process.start()

    def write(self, data: bytes) -> None:
        """Write to its standard input."""
        self._process.write(data)

    def end(self, pid: int | None) -> None:
        """End launcher, worker and the worker's children; returns when the launcher is gone.

        Killing the launcher alone would leave Python running, so the announced pid goes first; a
        worker too young to have one ends itself when its input closes.
        """
        process = self._process
        process.blockSignals(True)
        if process.state() == qt.QProcess.NotRunning:
            return
        if pid is not None:
            end_tree(pid)
        process.closeWriteChannel()
        process.kill()
        process.waitForFinished(_END_MS)

    def _has_started(self) -> None:
        self._started = True

    def _error(self, on_exit: Callable[[str], None]) -> None:
        """After a start every error ends in `finished`; before it, this is all there is."""
        if not self._started:
            on_exit(f"{python_launcher()} cannot be started")


def end_tree(pid: int) -> None:
    """End a process at once, with its children where it leads a process group (or on Windows)."""
    with suppress(OSError, subprocess.TimeoutExpired):  # it was faster, or is not ours any more
        _end_tree(pid)


def _end_tree(pid: int) -> None:
    if sys.platform == "win32":
        task_kill = Path(os.environ["SYSTEMROOT"]) / "System32" / "taskkill.exe"
        subprocess.run(  # noqa: S603 - a fixed program of Windows
            [str(task_kill), "/PID", str(pid), "/T", "/F"],
            check=False, capture_output=True, timeout=2, creationflags=subprocess.CREATE_NO_WINDOW,
        )  # fmt: skip
        return
    if os.getpgid(pid) == pid:
        os.killpg(pid, signal.SIGKILL)
    else:
        os.kill(pid, signal.SIGKILL)


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace").rstrip()
