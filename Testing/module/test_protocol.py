"""The worker's lines to events, whatever pieces they come in."""

import json

import pytest

from MetaKDSegmentationLib.protocol import (
    EventReader,
    Failure,
    Noise,
    Progress,
    Ready,
    Result,
    Starting,
    request,
)

LINES = [
    ({"event": "starting", "pid": 7, "version": "0.1"}, Starting(7, "0.1")),
    (
        {"event": "ready", "pid": 7, "version": "0.1", "torch": "2.2", "device": "cpu",
         "unusable": {"cuda": "no driver"}, "problem": ""},
        Ready(7, "0.1", "2.2", "cpu", {"cuda": "no driver"}, ""),
    ),
    (
        {"event": "progress", "id": "1", "stage": "encode", "done": 1, "total": 4},
        Progress("1", "encode", 1, 4),
    ),
    (
        {"event": "error", "id": None, "kind": "input", "message": "Ödem?", "hint": "h"},
        Failure(None, "input", "Ödem?", "h"),
    ),
]  # fmt: skip


@pytest.mark.parametrize("size", [1, 3, 10_000])
def test_events_do_not_depend_on_how_the_bytes_are_cut(size):
    data = "".join(json.dumps(message) + "\n" for message, _ in LINES).encode()
    reader = EventReader()
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    events = [event for piece in pieces for event in reader.feed(piece)]
    assert events == [event for _, event in LINES]


def test_a_result_keeps_the_whole_message():
    message = {"event": "result", "id": "3", "output": "/o", "report": {"a": 1}}
    (event,) = EventReader().feed(json.dumps(message).encode() + b"\n")
    assert event == Result("3", message)


@pytest.mark.parametrize(
    "line", ["hello", "[1]", '{"event": "party"}', '{"event": "progress", "id": "1"}', "3", "\xff"]
)
def test_what_is_no_protocol_is_noise_and_stops_nothing(line):
    data = line.encode("latin-1") + b"\r\n\n" + json.dumps(LINES[0][0]).encode() + b"\n"
    first, second = EventReader().feed(data)
    assert isinstance(first, Noise)
    assert second == LINES[0][1]


def test_a_request_is_one_ascii_line():
    line = request("segment", id="1", output="/Ödem\n.nrrd")
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert json.loads(line.decode("ascii")) == {
        "op": "segment", "id": "1", "output": "/Ödem\n.nrrd",
    }  # fmt: skip
