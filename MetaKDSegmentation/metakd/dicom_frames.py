"""Where the frames of a multi-frame DICOM file lie: its functional groups.

ITK's reader takes the first frame's place for the first slice and believes that the others follow
in order and evenly; it hands on no sequence. So the part of a file before its pixels is parsed
here, as PS3.5 section 7 and PS3.3 section C.7.6.16 lay it down.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Dataset = Mapping[int, Any]  # by tag: bytes, or the items of a sequence

_SHARED, _PER_FRAME, _PIXELS = 0x52009229, 0x52009230, 0x7FE0  # the last is a group
_PLACE, _TURN, _MEASURES, _TO_VALUES = 0x00209113, 0x00209116, 0x00289110, 0x00289145
_POSITION, _ORIENTATION, _SPACING = 0x00200032, 0x00200037, 0x00280030
_INTERCEPT, _SLOPE, _SYNTAX = 0x00281052, 0x00281053, 0x00020010
_FOLLOWED = (_SHARED, _PER_FRAME, _PLACE, _TURN, _MEASURES, _TO_VALUES)
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNTIL_ITS_END = 0xFFFFFFFF
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_IMPLICIT, _DEFLATED, _BIG_ENDIAN = (
    "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2",
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A slice in the patient.

    Attributes:
        position: of the first voxel's centre, LPS, mm.
        axes: unit vectors along a row and along a column.
        spacing: mm from row to row, and from column to column.
        rescale: slope and intercept of its intensities; `None` where not told by frame.
    """

    position: tuple[float, ...]
    axes: tuple[float, ...]
    spacing: tuple[float, ...]
    rescale: tuple[float, float] | None = None


def frame_places(path: Path) -> list[Place]:
    """The place of each frame, in the file's order.

    Raises `ValueError` for a file without frames that have a place, or that cannot be parsed.
    """
    try:
        groups = _parsed(path.read_bytes())
        shared = (groups.get(_SHARED) or [{}])[0]
        return [_place(frame, shared) for frame in groups[_PER_FRAME]]
    except (LookupError, ValueError, struct.error, zlib.error, RecursionError) as error:
        raise ValueError("has frames without a readable place in the patient") from error


def numbers(text: str) -> tuple[float, ...]:
    """The numbers of a decimal string. Raises `ValueError`."""
    return tuple(float(number) for number in text.strip(" \0").split("\\"))


def _place(frame: Dataset, shared: Dataset) -> Place:
    def value(sequence: int, tag: int) -> tuple[float, ...]:
        group = frame.get(sequence) or shared[sequence]
        return numbers(group[0][tag].decode("ascii"))

    rescale = None
    if _TO_VALUES in frame:
        rescale = (value(_TO_VALUES, _SLOPE)[0], value(_TO_VALUES, _INTERCEPT)[0])
    position, axes = value(_PLACE, _POSITION), value(_TURN, _ORIENTATION)
    return Place(position, axes, value(_MEASURES, _SPACING), rescale)


def _parsed(data: bytes) -> Dataset:
    """The elements before the pixels, those in `_FOLLOWED` with their items."""
    meta, start = _dataset(data, 132, len(data), implicit=False, only_meta=True)
    syntax = meta[_SYNTAX].decode("ascii").strip(" \0")
    if syntax == _BIG_ENDIAN:
        raise ValueError
    if syntax == _DEFLATED:
        data, start = zlib.decompress(data[start:], -zlib.MAX_WBITS), 0
    return _dataset(data, start, len(data), implicit=syntax == _IMPLICIT)[0]


def _dataset(
    data: bytes, at: int, end: int, *, implicit: bool, only_meta: bool = False
) -> tuple[Dataset, int]:
    """Elements from `at` on, and where they end: at `end`, an end of item, pixels, or group 2."""
    found: dict[int, Any] = {}
    while at + 8 <= end:
        group, element = struct.unpack_from("<HH", data, at)
        tag = group << 16 | element
        if tag == _ITEM_END:
            return found, at + 8
        if group == _PIXELS or (only_meta and group != 2):
            break
        kind, length, at = _element(data, at, implicit=implicit)
        if length == _UNTIL_ITS_END or tag in _FOLLOWED:
            # Of unknown kind and length, it is a sequence in implicit form (PS3.5, 6.2.2).
            found[tag], at = _items(data, at, length, end, implicit=implicit or kind == b"UN")
        else:
            found[tag] = data[at : at + length]
            at += length
    return found, at


def _element(data: bytes, at: int, *, implicit: bool) -> tuple[bytes, int, int]:
    """Kind, length and start of the value of the element at `at`."""
    if implicit:
        return b"", struct.unpack_from("<I", data, at + 4)[0], at + 8
    kind = data[at + 4 : at + 6]
    if kind in _LONG:
        return kind, struct.unpack_from("<I", data, at + 8)[0], at + 12
    return kind, struct.unpack_from("<H", data, at + 6)[0], at + 8


def _items(
    data: bytes, at: int, length: int, end: int, *, implicit: bool
) -> tuple[list[Dataset], int]:
    items = []
    stop = end if length == _UNTIL_ITS_END else at + length
    while at + 8 <= stop:
        group, element, length = struct.unpack_from("<HHI", data, at)
        at += 8
        if group << 16 | element == _SEQUENCE_END:
            break
        if group << 16 | element != _ITEM:
            raise ValueError
        until = stop if length == _UNTIL_ITS_END else at + length
        item, end_of_item = _dataset(data, at, until, implicit=implicit)
        items.append(item)
        at = end_of_item if length == _UNTIL_ITS_END else until
    return items, at
