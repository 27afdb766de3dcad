"""How a worker's runs are stopped, how it ends, and what it leaves: on disk and in memory."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import SimpleITK as sitk
from metakd.contrasts import CONTRASTS
from worker_client import PATIENCE, START, WorkerClient

T1, T1C, T2, FLAIR = CONTRASTS
POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="as Linux counts memory")

SLOW_DECODER = """
import time
from metakd.network import MetaKDNet
decode = MetaKDNet.decode
def slow(self, pyramids):
    if pyramids[0][0].shape[-1] > 4:  # more than the device is tried with
        time.sleep({seconds})
    return decode(self, pyramids)
MetaKDNet.decode = slow
"""
SLOW_WRITER = """
import time
import SimpleITK as sitk
write = sitk.WriteImage
def slow(*arguments, **options):
    write(*arguments, **options)
    time.sleep(600)
sitk.WriteImage = slow
"""


@pytest.fixture
def files(write_image, scan):
    return {c: write_image(f"{c.value}.nrrd", scan(c.index)) for c in CONTRASTS}


@pytest.fixture
def start(files, folder, tiny_package):
    """`start(client)`: ask for a segmentation; its id."""

    def ask(client, **options):
        return client.segment(files, folder / "seg.nrrd", model=str(tiny_package), **options)

    return ask


def test_a_cancelled_run_leaves_nothing_and_the_next_one_is_served(start, folder):
    with WorkerClient(SLOW_DECODER.format(seconds=1)) as client:
        client.ready()
        name = start(client)
        client.wait_for("encode")
        client.send("cancel", id=name)
        event = client.answer(name)[-1]
        assert (event["event"], event["kind"]) == ("error", "cancelled")
        assert not list(folder.iterdir())
        assert client.answer(start(client))[-1]["event"] == "result"
        assert (folder / "seg.nrrd").exists()


def test_a_request_that_waits_can_be_cancelled_too(start, files, folder):
    with WorkerClient(SLOW_DECODER.format(seconds=2)) as client:
        client.ready()
        first, second = start(client), client.segment(files, folder / "second.nrrd")
        client.wait_for("encode")
        client.send("cancel", id=second)
        client.send("cancel", id="of no request")
        events = [client.event()]
        while events[-1]["event"] != "result":
            events.append(client.event())
        (error,) = (event for event in events if event["event"] == "error")
        assert (error["id"], error["kind"]) == (second, "cancelled")
        assert events[-1]["id"] == first
    assert [path.name for path in folder.iterdir()] == ["seg.nrrd"]


@POSIX
def test_a_worker_leads_a_process_group_of_its_own():
    with WorkerClient() as client:
        client.ready()
        assert os.getpgid(client.process.pid) == client.process.pid != os.getpgid(0)


@POSIX
def test_a_kill_in_the_middle_of_a_run_leaves_no_file(start, folder):
    with WorkerClient(SLOW_DECODER.format(seconds=600)) as client:
        client.ready()
        start(client)
        client.wait_for("encode", times=4)
        os.killpg(client.process.pid, signal.SIGKILL)
        assert client.ended() == -signal.SIGKILL
        while client.event()["event"] != "gone":
            pass
    assert not list(folder.iterdir())


@POSIX
def test_a_kill_in_the_middle_of_writing_leaves_no_output_but_a_hidden_file(start, folder):
    (folder / "seg.nrrd").write_text("an earlier result")
    with WorkerClient(SLOW_WRITER) as client:
        client.ready()
        start(client)
        wait_for_a_temporary_file(folder)
        client.process.kill()
        client.ended()
    assert (folder / "seg.nrrd").read_text() == "an earlier result"
    others = {path.name for path in folder.iterdir()} - {"seg.nrrd"}
    assert all(name.startswith(".metakd-") for name in others)


def wait_for_a_temporary_file(folder):
    until = time.monotonic() + PATIENCE
    while not list(folder.glob(".metakd-*.nrrd")):
        assert time.monotonic() < until
        time.sleep(0.01)


ENDINGS = {
    "closed stdin": lambda client: client.process.stdin.close(),
    "shutdown": lambda client: client.write(b'{"op": "shutdown"}\n'),
}


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
def test_an_idle_worker_ends_when_asked(end):
    with WorkerClient() as client:
        client.ready()
        end(client)
        assert client.ended() == 0


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
def test_a_worker_that_is_still_loading_torch_ends_when_asked(end):
    with WorkerClient() as client:
        assert client.event()["event"] == "starting"
        end(client)
        assert client.ended() == 0


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
@pytest.mark.parametrize("where", ["decoder", "writer"])
def test_a_unit_of_work_that_takes_ten_minutes_holds_no_ending_back(start, folder, end, where):
    slow = {"decoder": SLOW_DECODER.format(seconds=600), "writer": SLOW_WRITER}[where]
    (folder / "seg.nrrd").write_text("an earlier result")
    with WorkerClient(slow) as client:
        client.ready()
        start(client, probabilities=str(folder))
        if where == "writer":
            wait_for_a_temporary_file(folder)
        else:
            client.wait_for("encode", times=4)
            time.sleep(0.3)  # until the decoder has begun, of which there is no event
        end(client)
        assert client.ended() == 0
    assert [path.name for path in folder.iterdir()] == ["seg.nrrd"]
    assert (folder / "seg.nrrd").read_text() == "an earlier result"


def test_what_is_asked_for_is_answered_before_the_end(start):
    with WorkerClient(SLOW_DECODER.format(seconds=0.3)) as client:
        client.ready()
        two = [start(client) for _ in range(2)]
        client.wait_for("encode")
        client.write(b'{"op": "shutdown"}\n')
        events = []
        while (event := client.event())["event"] != "gone":
            events.append(event)
    answers = {event["id"]: event["kind"] for event in events if event["event"] == "error"}
    assert answers == dict.fromkeys(two, "cancelled")


@POSIX
def test_a_termination_signal_ends_it_without_a_trace(start, folder):
    with WorkerClient(SLOW_WRITER) as client:
        client.ready()
        start(client)
        wait_for_a_temporary_file(folder)
        client.process.terminate()
        assert client.ended() == 0
    assert not list(folder.iterdir())


def test_a_worker_that_nobody_reads_ends():
    read, write = os.pipe()
    command = [sys.executable, "-c", START]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=write) as process:
        os.close(write)
        os.close(read)
        assert process.wait(PATIENCE) == 0


def test_giving_up_waits_for_files_that_are_appearing_and_removes_the_others(tmp_path):
    script = f"""
import threading, os
from pathlib import Path
from metakd import outputs
folder, renamed, rename = Path({str(tmp_path)!r}), threading.Event(), Path.replace
def slowly(self, target):
    rename(self, target)
    renamed.set()
    threading.Event().wait(0.2)
Path.replace = slowly
half = outputs.OutputFiles().__enter__()
Path(half.stage(folder / "half")).write_text("half")
def end():
    renamed.wait()
    outputs.give_up()
    os._exit(7)
threading.Thread(target=end).start()
with outputs.OutputFiles() as files:
    for name in "ab":
        Path(files.stage(folder / name)).write_text(name)
threading.Event().wait()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 7, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}


def resident(process):
    pages = Path(f"/proc/{process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


@LINUX
def test_fifty_requests_need_no_more_memory_than_ten(folder, tiny_package, write_image, scan):
    """Of two patients in turn, so that nothing of one serves the other; errors in between."""
    patients = [
        {
            c: write_image(f"{p}_{c.value}.nrrd", scan(4 * p + c.index, (90, 90, 80)))
            for c in CONTRASTS
        }
        for p in range(2)
    ]
    sizes = []
    with WorkerClient() as client:
        client.ready()
        for k in range(50):
            paths = dict(list(patients[k % 2].items())[k % 3 :])
            name = client.segment(paths, folder / "seg.nrrd", model=str(tiny_package))
            assert client.answer(name)[-1]["event"] == "result"
            client.write(b"garbage\n")
            assert client.event()["kind"] == "input"
            sizes.append(resident(client.process))
    assert max(sizes[10:]) - max(sizes[:10]) < 10, sizes


@LINUX
def test_an_idle_worker_gives_memory_back_and_still_serves(folder, files, start, write_image, scan):
    soon = "import metakd.worker as worker\nworker.IDLE_SECONDS = 0.5"
    big = write_image("big.nrrd", scan(0, (160, 170, 160)))
    with WorkerClient(soon) as client:
        client.ready()
        idle = resident(client.process)
        assert (
            client.answer(client.segment({T1: big}, folder / "big.nrrd"))[-1]["event"] == "result"
        )
        peak, until = resident(client.process), time.monotonic() + PATIENCE
        while resident(client.process) > idle + (peak - idle) / 3:
            assert time.monotonic() < until, (idle, peak, resident(client.process))
            time.sleep(0.1)
        assert client.answer(start(client))[-1]["event"] == "result"


SCARCE_MEMORY = """
import resource, sys
from pathlib import Path
import metakd.inference as inference
import metakd.session as session
real, is_out_of_memory = session.segment, inference.is_out_of_memory
def told(error):
    print("no memory:", error, file=sys.stderr, flush=True)
    return is_out_of_memory(error)
inference.is_out_of_memory = session.is_out_of_memory = told
def scarce(*arguments, **options):
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + {megabytes} * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        return real(*arguments, **options)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
session.segment = scarce
"""


@LINUX
@pytest.mark.parametrize("megabytes", [200, 60], ids=["too little for one pass", "too little"])
def test_when_memory_is_really_short_a_smaller_window_is_used_or_the_error_says_so(
    folder, write_image, scan, megabytes
):
    """The embedded model on a head of 1 mm: an allocation of a library fails, not a pretence.

    A window of 64 voxels gets by with 140 MB, one pass sometimes with 300; at 200 a run that gives
    nothing back before it tries again fails. The limit is on addresses: where the top of the heap
    is in use they stay taken, though the memory is given back.
    """
    head = write_image("head.nrrd", scan(0, (150, 180, 150)))
    with WorkerClient(SCARCE_MEMORY.format(megabytes=megabytes)) as client:
        client.ready()
        events = client.answer(client.segment({T1: head}, folder / "seg.nrrd"))
        if megabytes == 200:
            assert events[-1]["event"] == "result", (events[-1], client.log)
            assert events[-1]["report"]["window"] in (64, 96, 128), client.log
            assert sitk.ReadImage(str(folder / "seg.nrrd")).GetSize() == (150, 180, 150)
        else:
            assert (events[-1]["event"], events[-1]["kind"]) == ("error", "memory")
            assert events[-1]["hint"].startswith("close other programs")
            assert not list(folder.iterdir())
        done = [event["done"] for event in events[:-1]]
        assert done == sorted(set(done))
        small = write_image("small.nrrd", scan())
        again = client.answer(client.segment({T1: small}, folder / "small.nrrd"))[-1]
        assert again["event"] == "result"
