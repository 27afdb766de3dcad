"""The worker's JSON lines as typed events, and requests as lines (`metakd.worker` is the far end).

One JSON object a line; every request ends in exactly one `Result` or `Failure` with its id.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Starting:
    """The process runs; torch is not imported yet."""

    pid: int
    version: str


@dataclass(frozen=True)
class Ready:
    """The process has tried torch on the device that it will use.

    Attributes:
        torch: its version, `None` where it cannot be used; `problem` then says why in one line.
        device: ``cpu``, ``cuda:0``, ``mps``; `None` without torch.
        unusable: device → why it cannot be used.
    """

    pid: int
    version: str
    torch: str | None
    device: str | None
    unusable: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class Progress:
    """One more unit of work of a request is done."""

    id: str
    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class Result:
    """A request's answer; `content` is the whole message."""

    id: str
    content: Mapping[str, Any]


@dataclass(frozen=True)
class Failure:
    """A request's end without an answer.

    Attributes:
        id: `None` where the worker could not tell which request a line was.
        kind: ``input``, ``memory``, ``model``, ``internal`` or ``cancelled``.
        hint: what to do about it.
    """

    id: str | None
    kind: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Noise:
    """A line that is no protocol."""

    text: str


Event = Starting | Ready | Progress | Result | Failure | Noise


def request(op: str, **fields: Any) -> bytes:
    """One request as the line to write."""
    return (json.dumps({"op": op, **fields}) + "\n").encode("ascii")


class EventReader:
    """Bytes as they come from a pipe, in pieces of any size, to events."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that these bytes complete."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            text = line.decode("utf-8", errors="replace").strip()
            if text:
                yield _event(text)


def _event(line: str) -> Event:
    try:
        message = json.loads(line)
        return _KINDS[message["event"]](message)
    except (ValueError, KeyError, TypeError):
        return Noise(line)


def _name(value: object) -> str | None:
    return None if value is None else str(value)


def _ready(message: dict[str, Any]) -> Ready:
    return Ready(
        message["pid"],
        message["version"],
        message["torch"],
        message["device"],
        message.get("unusable", {}),
        message.get("problem", ""),
    )


_KINDS: dict[str, Callable[[dict[str, Any]], Event]] = {
    "starting": lambda m: Starting(m["pid"], m["version"]),
    "ready": _ready,
    "progress": lambda m: Progress(str(m["id"]), m["stage"], int(m["done"]), int(m["total"])),
    "result": lambda m: Result(str(m["id"]), m),
    "error": lambda m: Failure(_name(m["id"]), m["kind"], m["message"], m.get("hint", "")),
}
