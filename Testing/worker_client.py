"""Talks to a worker in a process of its own, as Slicer's module does."""

import contextlib
import itertools
import json
import os
import queue
import subprocess
import sys
import threading

PATIENCE = 120  # seconds until a test gives up on an answer
START = "import sys\nfrom metakd.worker import main\nsys.exit(main())\n"


class WorkerClient:
    """A running worker: what it says on stdout arrives as events in order.

    `before`: Python that the worker's process runs first, to spoil something in it.
    """

    def __init__(self, before="", **environment):
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"{before}\n{START}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "", **environment},
        )
        self.lines, self.log, self._ids = [], [], itertools.count(1)
        self._arrived = queue.Queue()
        self._readers = [
            threading.Thread(target=self._read_events, daemon=True),
            threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read_events(self):
        for line in self.process.stdout:
            self.lines.append(line)
            self._arrived.put(line)
        self._arrived.put(b'{"event": "gone"}')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join(PATIENCE)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                pipe.close()

    def event(self):
        """The next event; ``gone`` when the worker has closed its stdout."""
        return json.loads(self._arrived.get(timeout=PATIENCE))

    def ready(self):
        """Past ``starting`` and ``ready``; the latter."""
        assert self.event()["event"] == "starting"
        event = self.event()
        assert event["event"] == "ready", b"".join(self.log).decode()
        return event

    def write(self, line):
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def send(self, op, **fields):
        """Send a request without waiting for what comes of it; its id."""
        fields.setdefault("id", str(next(self._ids)))
        self.write(json.dumps({"op": op, **fields}).encode() + b"\n")
        return fields["id"]

    def answer(self, name):
        """The events about one request up to its result or error, which is the last."""
        events = [self.event()]
        while events[-1]["event"] == "progress":
            assert events[-1]["id"] == name
            events.append(self.event())
        assert events[-1]["event"] in ("result", "error"), events[-1]
        assert events[-1]["id"] == name
        return events

    def ask(self, op, **fields):
        """The result or error of a request."""
        return self.answer(self.send(op, **fields))[-1]

    def segment(self, inputs, output, **options):
        """Send a request to segment on the CPU; its id."""
        inputs = {contrast.value: str(path) for contrast, path in inputs.items()}
        options = {"device": "cpu", **options}
        return self.send("segment", inputs=inputs, output=str(output), options=options)

    def wait_for(self, stage, times=1):
        """Until so many units of a stage are done."""
        while times:
            event = self.event()
            assert event["event"] == "progress", event
            times -= event["stage"] == stage

    def ended(self):
        """The exit status, once the process is gone."""
        return self.process.wait(PATIENCE)
