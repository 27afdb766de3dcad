"""`metakd worker`: segments for another program that asks in lines of JSON on stdin.

Requests are served in order by the main thread; a second one listens, so that being cancelled and
the end of input are noticed at once, also in the middle of a run. stdout carries the protocol
alone: what libraries print there goes to stderr. Nothing that could name a patient is logged.

    → {"op":"segment","id":"7","inputs":{"t1c":"/…/t1c.nrrd"},"output":"/…/seg.nrrd","options":{}}
    ← {"event":"progress","id":"7","stage":"encode","done":3,"total":7}
    ← {"event":"result","id":"7","output":"/…/seg.nrrd","report":{…}}
    ← {"event":"error","id":"7","kind":"input","message":"…","hint":"…"}

`worker_requests` has all that can be asked, `worker_operations` what is done. Neither torch nor
SimpleITK is needed to start and to say what is missing.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from metakd import __version__
from metakd.outputs import give_up
from metakd.worker_inbox import Inbox
from metakd.worker_requests import LONGEST_LINE, BadRequest, Cancel, Request, Shutdown, parse

if TYPE_CHECKING:
    from metakd.worker_operations import Operations

IDLE_SECONDS = 300.0
"""Without a request for so long, the memory of the last study is given back."""

_GRACE_SECONDS = 1.0  # for the unit of work under way when input ends


def main(scratch: str | None = None) -> NoReturn:
    """Serve until stdin closes, or until asked to stop; ends the process.

    Args:
        scratch: a folder of whoever started this, deleted at the end: its owner may have crashed.
    """
    send = _claim_stdout()
    if scratch:
        tempfile.tempdir = scratch  # what a killed run leaves goes with the rest
    if hasattr(os, "setsid"):
        with suppress(OSError):  # so that whoever started this can end it with all its children
            os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    worker = Worker(send, scratch)
    worker.announce("starting")
    threading.Thread(target=worker.listen, args=(0,), daemon=True).start()
    status = 0
    try:
        worker.serve()
    except SystemExit:
        pass
    except BaseException:  # before or between requests: no patient's name is in it
        _say(traceback.format_exc())
        status = 1
    worker.leave(status)


class Worker:
    """Between the lines that come in, the work, and the events that go out.

    Args:
        send: writes one line.
        scratch: a folder to delete at the end.
    """

    def __init__(self, send: Callable[[bytes], None], scratch: str | None = None) -> None:
        self._send_line, self._sending, self._scratch = send, threading.Lock(), scratch
        self._inbox, self._finished = Inbox(), threading.Event()

    def announce(self, event: str, **fields: object) -> None:
        self._send(event, pid=os.getpid(), version=__version__, **fields)

    def listen(self, source: int) -> None:
        """Hear requests from a file descriptor to its end; then end the process within a grace."""
        try:
            for line in _lines(source):
                if not self._hear(line):
                    break
        finally:
            self._inbox.close()
            if not self._finished.wait(_GRACE_SECONDS):
                with suppress(SystemExit):  # nobody reads any more
                    self._refuse_the_rest()
                give_up()
                self.leave(0)

    def serve(self) -> None:
        """Get ready and carry out what comes, until input ends."""
        try:
            from metakd.worker_operations import Operations

            operations = Operations()
            self.announce(
                "ready",
                torch=operations.torch,
                device=operations.device,
                unusable=operations.unusable,
                problem=operations.problem,
            )
            while not self._inbox.closed:
                request = self._inbox.take(IDLE_SECONDS)
                if request:
                    self._carry_out(request, operations)
                elif not self._inbox.closed:
                    operations.release()
            self._refuse_the_rest()
        finally:
            self._finished.set()

    def _refuse_the_rest(self) -> None:
        for request in self._inbox.left():
            self._refuse(request.id, "cancelled", "the worker ends", "start it again")

    def leave(self, status: int) -> NoReturn:
        """End the process at once; nothing in the libraries' own ending is worth a wait."""
        if self._scratch:
            os.chdir(Path(self._scratch).parent)  # Windows deletes no folder that is in use
            shutil.rmtree(self._scratch, ignore_errors=True)
        os._exit(status)

    def _hear(self, line: bytes | None) -> bool:
        """Take a line in; false when it asks to stop."""
        try:
            if line is None:
                raise BadRequest(f"the line is longer than {LONGEST_LINE} bytes")
            request = parse(line)
        except BadRequest as error:
            # With the id of a request that is not done it would be taken for its answer.
            name = None if self._inbox.has(error.id) else error.id
            self._refuse(name, "input", str(error), "send a request as the protocol has it")
            return True
        if isinstance(request, Shutdown):
            return False
        if isinstance(request, Cancel):
            waiting = self._inbox.cancel(request.id)
            if waiting:
                self._refuse(waiting.id, "cancelled", "cancelled", "start again when ready")
        elif not self._inbox.put(request):
            text = f"the id {json.dumps(request.id)} is in use by a request that is not done"
            self._refuse(None, "input", text, "give each request an id of its own")
        return True

    def _carry_out(self, request: Request, operations: Operations) -> None:
        from metakd.worker_operations import failure

        stage = ""

        def on_progress(stage_: str, done: int, total: int) -> None:
            nonlocal stage
            if stage_ != stage:
                stage = stage_
                _log(request, stage)
            self._send("progress", id=request.id, stage=stage, done=done, total=total)

        _log(request, "begins")
        try:
            event, fields = "result", operations.run(request, on_progress, self._inbox.is_cancelled)
        except Exception as error:
            event, fields = "error", failure(error)
            _log(request, f"ends in an error of kind {fields['kind']}")
            if fields["kind"] == "internal":
                _log_trace(error)
        else:
            _log(request, "is done")
        self._inbox.finish()  # first, so that the id can be used again by who reads the answer
        self._send(event, id=request.id, **fields)

    def _refuse(self, name: str | None, kind: str, message: str, hint: str) -> None:
        self._send("error", id=name, kind=kind, message=message, hint=hint)

    def _send(self, event: str, **fields: object) -> None:
        line = json.dumps({"event": event, **fields}) + "\n"
        try:
            with self._sending:
                self._send_line(line.encode("ascii"))
        except OSError:  # nobody reads any more
            raise SystemExit(0) from None


def _claim_stdout() -> Callable[[bytes], None]:
    """What writes to stdout; from here on nothing else does, C libraries included."""
    protocol = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr

    def send(line: bytes) -> None:
        protocol.write(line)
        protocol.flush()

    return send


def _lines(source: int) -> Iterator[bytes | None]:
    """Lines from a file descriptor, without those that are blank; `None` for one that is too long.

    Not from `sys.stdin`, whose lock would be held by the waiting thread when the process ends.
    """
    begun, skipping = b"", False
    while chunk := os.read(source, 2**16):
        *lines, begun = (begun + chunk).split(b"\n")
        for line in lines:
            if skipping or len(line) > LONGEST_LINE:
                yield None
            elif line.strip():
                yield line
            skipping = False
        if len(begun) > LONGEST_LINE:
            begun, skipping = b"", True


def _log(request: Request, what: str) -> None:
    name = f"{type(request).__name__.lower()} {json.dumps(request.id)}"
    _say(f"metakd worker: {name} {what}")


def _log_trace(error: BaseException) -> None:
    """Where it happened, without the message: that may hold a file's name."""
    lines = [*traceback.format_tb(error.__traceback__), type(error).__name__]
    _say("".join(lines))


def _say(text: str) -> None:
    with suppress(OSError):  # nobody has to listen
        print(text, file=sys.stderr, flush=True)


def _stop(number: int, frame: object) -> NoReturn:
    raise SystemExit(0)
