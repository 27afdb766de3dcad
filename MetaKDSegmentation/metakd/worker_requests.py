"""What may be asked of the worker: one JSON object a line, checked before anything is done.

Every request but ``shutdown`` has an ``id`` of its own, a text; paths are absolute. A wrong field
is an error that says which; nothing is guessed and nothing is passed over.

    segment   inputs: contrast → file, any of t1, t1c, t2, flair; output: file for the label map;
              options, all of which may be left out or null: device, reference (a contrast), model
              (name or folder), labels (a convention of `regions`), probabilities (folder),
              registration (rigid, affine or off), brain (auto, builtin, synthstrip, hd-bet or
              off), brain_mask (file in the reference's space, on any grid; goes before brain),
              bias_correction (true or false), prepared (folder for the registered contrasts but
              the reference, with skull, and for the brain mask, all on the reference's grid)
    import    path: model package
    phantom   output: folder; seed
    compare   segmentation, reference: maps of regions on one grid, in uint8: bit 0 is set inside
              ET, bit 1 inside TC, bit 2 inside WT; regions: which of these to score
    cancel    (the id of the request to stop)
    shutdown
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metakd.contrasts import CONTRASTS, Contrast
from metakd.outputs import IMAGE_ENDINGS
from metakd.regions import CONVENTIONS, REGIONS, Region
from metakd.steps import BRAIN_SOURCES, REGISTRATIONS, Steps

LONGEST_LINE = 2**20
"""Bytes; a request needs a few hundred."""


class BadRequest(ValueError):  # noqa: N818 - as HTTP calls it
    """Cannot be understood; the message says why, `id` whose it is if that much was clear."""

    id: str | None = None


@dataclass(frozen=True)
class Request:
    """Something to do; its `id` comes back with every event about it."""

    id: str


@dataclass(frozen=True)
class Segment(Request):
    inputs: Mapping[Contrast, Path]
    output: Path
    device: str
    reference: Contrast | None
    model: str | None
    labels: str
    probabilities: Path | None
    registration: str
    brain: str
    brain_mask: Path | None
    bias_correction: bool
    prepared: Path | None


@dataclass(frozen=True)
class Import(Request):
    path: Path


@dataclass(frozen=True)
class Phantom(Request):
    output: Path
    seed: int


@dataclass(frozen=True)
class Compare(Request):
    segmentation: Path
    reference: Path
    regions: tuple[Region, ...]


@dataclass(frozen=True)
class Cancel(Request):
    pass


@dataclass(frozen=True)
class Shutdown:
    pass


def parse(line: bytes) -> Request | Shutdown:
    """The request that a line holds. Raises `BadRequest`."""
    try:
        fields = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadRequest("the line is no JSON") from error
    if not isinstance(fields, dict):
        raise BadRequest("the line is no JSON object")
    name = fields.pop("id", None)
    try:
        return _request(name, fields)
    except BadRequest as error:
        error.id = name if isinstance(name, str) else None
        raise
    except RecursionError as error:  # while it is shown what is wrong
        raise BadRequest("the line is nested too deep") from error


def _request(name: object, fields: dict[str, Any]) -> Request | Shutdown:
    op = fields.pop("op", None)
    if op == "shutdown":
        return Shutdown()
    if not isinstance(op, str) or op not in _OPERATIONS:
        raise BadRequest(f"the op is {_shown(op)}; known: {', '.join(_OPERATIONS)}, shutdown")
    if not isinstance(name, str):
        raise BadRequest(f"the id is {_shown(name)}, not a text")
    make, known = _OPERATIONS[op]
    _refuse_unknown("field", fields, known)
    return make(name, fields)


def _segment(name: str, fields: dict[str, Any]) -> Segment:
    given = _table(fields.get("options", {}), "options", _OPTIONS)
    options = {key: value for key, value in given.items() if value is not None}
    inputs = _table(fields.get("inputs"), "inputs", [contrast.value for contrast in CONTRASTS])
    output = _path(fields, "output")
    if not output.name.endswith(IMAGE_ENDINGS):
        raise BadRequest(f"the output must end in {', '.join(IMAGE_ENDINGS)}")
    return Segment(
        name,
        inputs={c: _path(inputs, c.value) for c in CONTRASTS if c.value in inputs},
        output=output,
        device=_text(options, "device") if "device" in options else "auto",
        reference=_reference(options, inputs) if "reference" in options else None,
        model=_text(options, "model") if "model" in options else None,
        labels=_one_of(options.get("labels", "brats2023"), "labels", CONVENTIONS),
        probabilities=_path_or_none(options, "probabilities"),
        registration=_one_of(
            options.get("registration", _USUAL.registration), "registration", REGISTRATIONS
        ),
        brain=_one_of(options.get("brain", _USUAL.brain), "brain", BRAIN_SOURCES),
        brain_mask=_path_or_none(options, "brain_mask"),
        bias_correction=_truth(options.get("bias_correction", False), "bias_correction"),
        prepared=_path_or_none(options, "prepared"),
    )


def _reference(options: Mapping[str, Any], inputs: Collection[str]) -> Contrast:
    return Contrast(_one_of(options["reference"], "reference", inputs))


def _import(name: str, fields: dict[str, Any]) -> Import:
    return Import(name, _path(fields, "path"))


def _phantom(name: str, fields: dict[str, Any]) -> Phantom:
    seed = fields.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise BadRequest(f"the seed is {_shown(seed)}, not a whole number from 0")
    return Phantom(name, _path(fields, "output"), seed)


def _compare(name: str, fields: dict[str, Any]) -> Compare:
    known = [region.value for region in REGIONS]
    wanted = fields.get("regions", known)
    if not isinstance(wanted, list) or not wanted:
        raise BadRequest("regions is no list of regions")
    regions = tuple(Region(_one_of(region, "regions", known)) for region in wanted)
    return Compare(name, _path(fields, "segmentation"), _path(fields, "reference"), regions)


def _cancel(name: str, fields: dict[str, Any]) -> Cancel:
    return Cancel(name)


_USUAL = Steps()
_OPTIONS = (
    *("device", "reference", "model", "labels", "probabilities"),
    *("registration", "brain", "brain_mask", "bias_correction", "prepared"),
)
_OPERATIONS: Mapping[str, tuple[Callable[[str, dict[str, Any]], Request], Collection[str]]] = {
    "segment": (_segment, ("inputs", "output", "options")),
    "import": (_import, ("path",)),
    "phantom": (_phantom, ("output", "seed")),
    "compare": (_compare, ("segmentation", "reference", "regions")),
    "cancel": (_cancel, ()),
}


def _table(value: object, name: str, known: Collection[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadRequest(f"{name} is no JSON object")
    _refuse_unknown(name, value, known)
    return value


def _refuse_unknown(kind: str, given: Collection[str], known: Collection[str]) -> None:
    for key in given:
        if key not in known:
            raise BadRequest(f"unknown {kind} {_shown(key)}; known: {', '.join(known) or 'none'}")


def _one_of(value: object, name: str, known: Collection[str]) -> str:
    if not isinstance(value, str) or value not in known:
        raise BadRequest(f"{name} holds {_shown(value)}; possible: {', '.join(known)}")
    return value


def _text(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"{key} is {_shown(value)}, not a text")
    return value


def _truth(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise BadRequest(f"{name} is {_shown(value)}, neither true nor false")
    return value


def _path_or_none(fields: Mapping[str, Any], key: str) -> Path | None:
    return _path(fields, key) if key in fields else None


def _path(fields: Mapping[str, Any], key: str) -> Path:
    text = _text(fields, key)
    try:
        usable = "\0" not in text and bool(os.fsencode(text))
    except ValueError:
        usable = False
    if not usable or not Path(text).is_absolute():
        raise BadRequest(f"{key} is {_shown(text)}, not an absolute path")
    return Path(text)


def _shown(value: object) -> str:
    """A value as it may stand in a message: in one line, not endless."""
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
