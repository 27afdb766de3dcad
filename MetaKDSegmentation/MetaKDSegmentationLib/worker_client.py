"""One warm worker: started when first needed, asked by request, ended with all its children."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from MetaKDSegmentationLib.protocol import (
    Event,
    EventReader,
    Failure,
    Noise,
    Progress,
    Ready,
    Result,
    Starting,
    request,
)


class Process(Protocol):
    """A process with pipes; `worker_process.WorkerProcess` is the one in Slicer."""

    def start(
        self,
        on_output: Callable[[bytes], None],
        on_log: Callable[[str], None],
        on_exit: Callable[[str], None],
    ) -> None:
        """Start it; `on_exit` gets a few words on how it ended."""

    def write(self, data: bytes) -> None:
        """Write to its standard input."""

    def end(self, pid: int | None) -> None:
        """End the process, the worker it announced as `pid`, and their children, at once."""


@dataclass(frozen=True)
class Pending:
    """Who is told about a request."""

    on_result: Callable[[Result], None]
    on_failure: Callable[[Failure], None]
    on_progress: Callable[[Progress], None]


class WorkerClient:
    """Asks one worker process, matching its answers to requests by id.

    Args:
        make_process: a process that is not started yet.
        log: is told what is no protocol.
        on_ready: is told what the worker found of PyTorch.
        on_end: is told that a worker is over, before those who wait for its answers; and how it
            came to that, where it died before it was ready.

    Example:
        >>> client = WorkerClient(make_process, log=print, on_ready=print)  # doctest: +SKIP
        >>> client.ask("phantom", show, complain, output="/tmp/example")  # doctest: +SKIP
    """

    def __init__(
        self,
        make_process: Callable[[], Process],
        *,
        log: Callable[[str], None],
        on_ready: Callable[[Ready], None],
        on_end: Callable[[str], None] = lambda how: None,
    ) -> None:
        self._make_process, self._log = make_process, log
        self._on_ready, self._on_end = on_ready, on_end
        self._process: Process | None = None
        self._pid: int | None = None
        self._pending: dict[str, Pending] = {}
        self._count = 0
        self.ready: Ready | None = None

    def start(self) -> None:
        """Start the worker unless it runs."""
        if self._process is not None:
            return
        process = self._make_process()
        reader = EventReader()
        self._process, self._pid, self.ready = process, None, None

        def on_output(data: bytes) -> None:
            for event in reader.feed(data):
                if self._process is process:  # a late word of an ended worker says nothing
                    self._receive(event)

        def on_exit(how: str) -> None:
            if self._process is process:
                self._lost(how)

        process.start(on_output, self._log, on_exit)

    def ask(
        self,
        op: str,
        on_result: Callable[[Result], None],
        on_failure: Callable[[Failure], None],
        on_progress: Callable[[Progress], None] = lambda progress: None,
        **fields: Any,
    ) -> str:
        """Send a request, starting the worker if need be; returns the request's id."""
        self._count += 1
        number = str(self._count)
        self._pending[number] = Pending(on_result, on_failure, on_progress)
        self.start()
        if self._process is not None:  # else it could not start, and that was the answer
            self._process.write(request(op, id=number, **fields))
        return number

    def end(self) -> None:
        """End the worker and its children; what was asked is answered with kind ``cancelled``."""
        process, pid = self._process, self._pid
        self._process = self._pid = self.ready = None
        try:
            if process is not None:
                process.end(pid)
        finally:
            if process is not None:
                self._on_end("")
            self._fail_all("cancelled", "cancelled", "")

    def _receive(self, event: Event) -> None:
        if isinstance(event, Starting):
            self._pid = event.pid
        elif isinstance(event, Ready):
            self.ready = event
            self._on_ready(event)
        elif isinstance(event, Progress):
            if event.id in self._pending:
                self._pending[event.id].on_progress(event)
        elif isinstance(event, Result):
            if event.id in self._pending:
                self._pending.pop(event.id).on_result(event)
        elif isinstance(event, Failure):
            if event.id in self._pending:
                self._pending.pop(event.id).on_failure(event)
            else:
                self._log(f"{event.kind}: {event.message}")
        elif isinstance(event, Noise):
            self._log(event.text)

    def _lost(self, how: str) -> None:
        was_ready = self.ready is not None
        self._process = self._pid = self.ready = None
        self._log(f"The worker ended: {how}.")
        self._on_end("" if was_ready else how)
        self._fail_all(
            "internal",
            f"the background process ended unexpectedly ({how})",
            "Try again; if it happens again, use Copy diagnostics under Advanced.",
        )

    def _fail_all(self, kind: str, message: str, hint: str) -> None:
        pending, self._pending = self._pending, {}
        for number, who in pending.items():
            who.on_failure(Failure(number, kind, message, hint))
