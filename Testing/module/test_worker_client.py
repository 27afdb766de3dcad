"""Requests and answers over one process, and what is told when that ends."""

import json

import pytest

from MetaKDSegmentationLib.worker_client import WorkerClient


class Pipes:
    """The near end of a process whose far end is this test."""

    def __init__(self):
        self.asked, self.ended_with = [], "not ended"

    def start(self, on_output, on_log, on_exit):
        self.on_output, self.on_log, self.on_exit = on_output, on_log, on_exit

    def write(self, data):
        self.asked += [json.loads(line) for line in data.splitlines()]

    def end(self, pid):
        self.ended_with = pid

    def say(self, **message):
        self.on_output(json.dumps(message).encode() + b"\n")


class Ask:
    """A client with everything it was told."""

    def __init__(self):
        self.processes, self.log, self.ready, self.told = [], [], [], []
        self.ends = 0
        self.client = WorkerClient(
            self.make, log=self.log.append, on_ready=self.ready.append, on_end=self.over
        )

    def over(self, how):
        self.ends += 1
        self.how = how

    def make(self):
        self.processes.append(Pipes())
        return self.processes[-1]

    def ask(self, op="segment", **fields):
        return self.client.ask(op, self.told.append, self.told.append, self.told.append, **fields)


@pytest.fixture
def worker():
    return Ask()


def test_the_process_starts_with_the_first_request_and_stays(worker):
    assert not worker.processes
    first, second = worker.ask(output="/a"), worker.ask(output="/b")
    (process,) = worker.processes
    assert [m["id"] for m in process.asked] == [first, second]
    assert [m["output"] for m in process.asked] == ["/a", "/b"]


def test_answers_reach_who_asked(worker):
    first, second = worker.ask(), worker.ask()
    (process,) = worker.processes
    process.say(event="progress", id=second, stage="read", done=1, total=2)
    process.say(event="error", id=first, kind="input", message="no", hint="")
    process.say(event="result", id=second, output="/b")
    process.say(event="result", id=second, output="twice")
    assert [event.id for event in worker.told] == [second, first, second]


def test_ready_is_kept_until_the_worker_ends(worker):
    worker.ask()
    worker.processes[0].say(event="ready", pid=5, version="1", torch="2.2", device="cpu")
    assert worker.client.ready.torch == "2.2" and len(worker.ready) == 1
    worker.client.end()
    assert worker.client.ready is None


def test_ending_names_the_announced_pid_and_answers_what_was_asked(worker):
    worker.ask()
    worker.processes[0].say(event="starting", pid=41, version="1")
    worker.client.end()
    assert worker.processes[0].ended_with == 41 and worker.ends == 1
    assert [failure.kind for failure in worker.told] == ["cancelled"]


def test_a_late_word_of_an_ended_worker_says_nothing(worker):
    number = worker.ask()
    worker.client.end()
    worker.ask()
    worker.processes[0].say(event="result", id=number, output="late")
    worker.processes[0].on_exit("exit code 9")
    assert len(worker.told) == 1 and worker.client._process is worker.processes[1]


def test_a_worker_that_dies_is_said_and_the_next_request_starts_another(worker):
    worker.ask()
    worker.processes[0].on_exit("exit code 137")
    (failure,) = worker.told
    assert failure.kind == "internal" and "exit code 137" in failure.message and failure.hint
    assert worker.ends == 1 and worker.how == "exit code 137"  # it was never ready
    worker.ask()
    assert len(worker.processes) == 2


def test_a_process_that_cannot_start_answers_at_once(worker):
    def fail(on_output, on_log, on_exit):
        on_exit("PythonSlicer cannot be started")

    process = Pipes()
    process.start = fail
    worker.client = WorkerClient(lambda: process, log=worker.log.append, on_ready=print)
    worker.ask()
    assert not process.asked and worker.client._process is None
    (failure,) = worker.told
    assert failure.kind == "internal" and "PythonSlicer" in failure.message


def test_noise_and_nameless_errors_go_to_the_log(worker):
    worker.ask()
    worker.processes[0].on_output(b"Traceback\n")
    worker.processes[0].say(event="error", id=None, kind="input", message="garbage", hint="")
    assert worker.log == ["Traceback", "input: garbage"]
