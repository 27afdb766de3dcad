"""Lists of cases: a JSON or CSV file → its rows as checked text, files not yet looked for.

```
name,t1,t1c,t2,flair,segmentation,labels
P1,P1/t1.nii.gz,P1/gd.nii.gz,,,P1/truth.nii.gz,brats2018
```

A JSON list holds an object for each case, with the same names. Cells may be empty or absent.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metakd.contrasts import CONTRASTS
from metakd.study import StudyError

LIST_SUFFIXES = (".json", ".csv")
COLUMNS = ("name", *(contrast.value for contrast in CONTRASTS), "segmentation", "labels")


@dataclass(frozen=True)
class Row:
    """One case of a list.

    Attributes:
        place: list and row, for error messages.
        cells: column → text, without the empty ones.
    """

    place: str
    cells: dict[str, str]


def read_rows(path: Path) -> list[Row]:
    """The rows of a list in UTF-8, in its order.

    Raises `StudyError`, naming list and row, for a list that is missing or neither JSON nor CSV,
    an unknown column, a cell that is no text, and a name that is missing or repeated.
    """
    text = _read_text(path)
    found = _json_rows(path, text) if path.suffix.lower() == ".json" else _csv_rows(path, text)
    rows = [_checked(place, pairs) for place, pairs in found]
    _refuse_repeated(rows)
    return rows


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise StudyError(f"{path}: no such list, or not readable; check the path") from error
    except UnicodeDecodeError as error:
        raise StudyError(f"{path}: is not UTF-8; save the list in that encoding") from error


def _json_rows(path: Path, text: str) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    try:
        entries = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise StudyError(f"{path}: is not JSON ({error}); correct it there") from error
    if not isinstance(entries, list) or isinstance(entries, _Pairs):
        raise StudyError(f"{path}: is no JSON list; write [{{…}}, …] with an object for each case")
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, _Pairs):
            raise StudyError(f"{path}: entry {number}: is no object; write {{…}} for each case")
        yield f"{path}: entry {number}", entry


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with its keys as written, the repeated ones too."""


def _csv_rows(path: Path, text: str) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [column.strip() for column in next(reader, [])]
        for cells in filter(None, reader):
            place = f"{path}: line {reader.line_num}"
            if len(cells) > len(header):
                raise StudyError(
                    f"{place}: has {len(cells)} cells for {len(header)} columns; "
                    "put text with commas in quotes"
                )
            yield place, list(zip(header, cells, strict=False))
    except csv.Error as error:
        raise StudyError(f"{path}: line {reader.line_num}: {error}; correct it there") from error


def _checked(place: str, pairs: Iterable[tuple[str, Any]]) -> Row:
    cells: dict[str, str] = {}
    seen = set()
    for column, value in pairs:
        if column not in COLUMNS or column in seen:
            what = "repeated" if column in seen else "unknown"
            raise StudyError(
                f"{place}: {what} column '{column}'; use {', '.join(COLUMNS)}, "
                "in CSV separated by commas"
            )
        seen.add(column)
        if not isinstance(value, str | None):
            raise StudyError(f"{place}: {column} is {value!r}; write it as text in quotes")
        if value and value.strip():
            cells[column] = value.strip()
    if "name" not in cells:
        raise StudyError(f"{place}: has no name; name the case")
    return Row(f"{place} ({cells['name']})", cells)


def _refuse_repeated(rows: Iterable[Row]) -> None:
    first: dict[str, Row] = {}
    for row in rows:
        before = first.setdefault(row.cells["name"], row)
        if before is not row:
            raise StudyError(
                f"{row.place}: {before.place} has this name too; give each case its own"
            )
