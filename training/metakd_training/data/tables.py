"""Tables of a cohort: CSV files and the like, read as text, a row for each sample.

Nothing is guessed from the values here: ``002_S_0413`` and ``-4`` come out as they stand in the
file. What the columns mean is decided in `metakd_training.data.columns`, from training samples.
"""

from __future__ import annotations

import csv
import difflib
import fnmatch
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

import pandas as pd

from metakd_training.config.tables import NO_VALUE, Aliases, TableFile, Visits
from metakd_training.data.files import find_file

_SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "space": None}
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_DECIMAL_COMMA = re.compile(r"[<>]?\s*[-+]?\d*,\d+([eE][-+]?\d+)?")
_SPREADSHEET = "is a spreadsheet, not text; save the sheet as CSV in UTF-8"
_NO_TEXT = {  # first bytes → what is wrong
    b"\xff\xfe": "is in UTF-16; save it as UTF-8",
    b"\xfe\xff": "is in UTF-16; save it as UTF-8",
    b"PK\x03\x04": _SPREADSHEET,
    b"\xd0\xcf\x11\xe0": _SPREADSHEET,
}
_UNREADABLE = "\ufffd"  # for bytes that are no UTF-8


def read_text(path: Path, separator: str | None = None) -> pd.DataFrame:
    """A table as it stands in a file: all values text, without spaces around them.

    Its index is the rows' numbers in the file.

    Args:
        path: of a file whose first line names the columns; columns without a name are left out.
        separator: a key of `TableFile.separator`; looked for in the first line when left out.

    Raises `ValueError` naming the file, and its row, when it is no such table.
    """
    try:
        _refuse_no_text(path)
        # Comments may be in Latin-1; names and codes are not, see `refuse_unreadable`.
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            between = _SEPARATORS[separator] if separator else _sniffed(file.readline())
            file.seek(0)
            rows = dict(_rows(file, between, path))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    except csv.Error as error:
        raise ValueError(f"{path}: is no table ({error}); save it as CSV") from error
    if len(rows) < 2:
        raise ValueError(f"{path}: has no row but the first; is the file whole?")
    names = next(iter(rows.values()))
    twice = [name for name, count in Counter(filter(None, names)).items() if count > 1]
    if twice:
        raise ValueError(f"{path}: has more than one column {', '.join(twice)}; rename the others")
    table = pd.DataFrame(list(rows.values())[1:], index=list(rows)[1:], dtype=object)
    named = [place for place, name in enumerate(names) if name]
    return table[named].set_axis([names[place] for place in named], axis=1)


def _refuse_no_text(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(4)
    for sign, problem in _NO_TEXT.items():
        if start.startswith(sign):
            raise ValueError(f"{path}: {problem}")


def refuse_unreadable(table: pd.DataFrame, column: str, path: Path) -> None:
    """Raise `ValueError` where a name or a code is not UTF-8, so that it is another one."""
    for row, text in table[column].items():
        if _UNREADABLE in text:
            raise ValueError(f"{path}: is not UTF-8 (row {row}, column {column}); save it as UTF-8")


def _rows(file: TextIO, separator: str | None, path: Path) -> Iterator[tuple[int, list[str]]]:
    """The file's rows by their numbers, all as long as the first one."""
    lines = csv.reader(file, delimiter=separator) if separator else map(str.split, file)
    length = 0
    for count, row in enumerate(lines, start=1):
        if not row:
            continue
        length = length or len(row)
        if len(row) != length:
            raise ValueError(
                f"{path}: row {count} has {len(row)} columns, the first {length}; correct it there"
            )
        yield count, [text.strip() for text in row]


def column_of(table: pd.DataFrame, name: str, path: Path) -> str:
    """The column's name as it stands in the table, whatever its case.

    Raises `ValueError` with the names that are near when there is none.
    """
    if name in table.columns:
        return name
    alike = [column for column in table.columns if column.casefold() == name.casefold()]
    if len(alike) == 1:
        return str(alike[0])
    by_case = {str(column).casefold(): str(column) for column in table.columns}
    near = difflib.get_close_matches(name.casefold(), by_case, n=4, cutoff=0.5)
    there = ", ".join(alike or [by_case[key] for key in near] or list(map(str, table.columns[:8])))
    raise ValueError(f"{path}: has no column {name}; there is {there}")


def columns_of(table: pd.DataFrame, patterns: Iterable[str], path: Path) -> list[str]:
    """The columns that names and patterns stand for, in the table's order.

    Raises `ValueError` for a name, not for a pattern, that is no column.
    """
    chosen = set()
    for pattern in patterns:
        if not any(sign in pattern for sign in "*?["):
            chosen.add(column_of(table, pattern, path))
            continue
        wanted = pattern.casefold()
        chosen |= {c for c in table.columns if fnmatch.fnmatchcase(c.casefold(), wanted)}
    return [column for column in table.columns if column in chosen]


def plain(text: str) -> str:
    """A code as it is compared: whole numbers without zeros before or behind the point.

    >>> plain("-4.0"), plain("007"), plain("3/4")
    ('-4', '7', '3/4')
    """
    if _NUMBER.fullmatch(text) and float(text).is_integer():
        return str(int(float(text)))
    return text


def number(text: str) -> float | None:
    """The number that a text is, a limit of detection (``<80``, ``>1700``) as the limit itself.

    >>> number("1e3"), number(">1700"), number("002_S_0413")
    (1000.0, 1700.0, None)
    """
    text = text[1:].strip() if text[:1] in ("<", ">") else text
    value = float(text) if _NUMBER.fullmatch(text) else float("nan")
    return value if abs(value) < float("inf") else None


def decimal_comma(text: str) -> bool:
    """Whether a text is a number but for its comma, such as ``0,417``."""
    return _DECIMAL_COMMA.fullmatch(text) is not None


def read_aliases(aliases: Aliases, folder: Path) -> dict[str, str]:
    """Other name → name of the sample.

    Raises `ValueError` when one stands for two samples.
    """
    path = find_file(folder, aliases.file)
    table = read_text(path)
    columns = [column_of(table, column, path) for column in (aliases.alias, aliases.name)]
    for column in columns:
        refuse_unreadable(table, column, path)
    other, names = (table[column] for column in columns)
    known: dict[str, str] = {}
    for alias, name in zip(map(plain, other), names, strict=True):
        if alias in NO_VALUE or name in NO_VALUE:
            continue
        if known.setdefault(alias, name) != name:
            raise ValueError(
                f"{path}: {aliases.alias} {alias} is {known[alias]} and {name}; correct it there"
            )
    return known


def read_rows(
    settings: TableFile, folder: Path, names: Sequence[str], aliases: Mapping[str, str]
) -> tuple[Path, pd.DataFrame]:
    """The rows of the samples, by their names, with the columns in use; None for no value.

    Rows of others, and of visits that do not count, are left out; there may be several of one
    sample, those of preferred visits first, the last of the file before the others.
    """
    path = find_file(folder, settings.file)
    table = read_text(path, settings.separator)
    key = column_of(table, settings.key, path)
    refuse_unreadable(table, key, path)
    sample = table[key].map(lambda k: aliases.get(plain(k))) if settings.alias else table[key]
    used = _columns_in_use(settings, table, path, {key})
    rank = ranks(table, settings.visits, path)
    wanted = sample.isin(set(names)).to_numpy()
    if not wanted.any():
        raise ValueError(f"{path}, column {key}: names none of the samples; is it the right key?")
    kept = wanted & (rank >= 0).to_numpy()
    _tell_of_other_visits(settings, table, path, sample[wanted], sample[kept])
    codes = {plain(code) for code in (*NO_VALUE, *settings.missing)}
    rows = table.loc[kept, used].apply(lambda values: _without(values, codes), axis=0)
    rows.index = pd.Index(sample[kept], name=None)
    # A stable sort of the rows from the last to the first.
    order = rank[kept].reset_index(drop=True)[::-1].sort_values(kind="stable").index
    return path, rows.iloc[order].assign(**{_RANK: rank[kept].to_numpy()[order]})


_RANK = "\0rank"  # no file has a column of that name


def values_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows that `read_rows` gave, the columns of the file alone."""
    return rows.drop(columns=_RANK)


def one_row_each(rows: pd.DataFrame, names: Sequence[str], path: Path) -> pd.DataFrame:
    """Each sample's row: of each column the first value that there is, in the rows' order.

    That is the value of the first visit in order of preference that has one, and of several rows
    of one visit the last one's. Warns when such rows differ.
    """
    if rows.index.has_duplicates:
        again = rows[rows.index.duplicated(keep=False)]
        keys = [again.index, _RANK]
        differ = (again.groupby(keys).nunique() > 1).any(axis=1)
        samples = differ[differ].index.get_level_values(0).nunique()
        if samples:
            warnings.warn(
                f"{path}: {samples} samples have rows that differ for one visit, or no visits are "
                "named; of each column the last value in the file counts",
                stacklevel=2,
            )
        rows = rows.groupby(level=0, sort=False).first()
    values = values_of(rows).reindex(list(names)).astype(object)
    return values.where(values.notna(), None)


def ranks(table: pd.DataFrame, visits: Visits | None, path: Path) -> pd.Series:
    """Place of each row's visit in the order of preference; -1 where it does not count."""
    if visits is None:
        return pd.Series(0, index=table.index)
    place = {plain(visit).casefold(): i for i, visit in enumerate(visits.prefer)}
    of_rows = table[column_of(table, visits.column, path)]
    return of_rows.map(lambda visit: place.get(plain(visit).casefold(), -1)).astype(int)


def _tell_of_other_visits(
    settings: TableFile, table: pd.DataFrame, path: Path, wanted: pd.Series, kept: pd.Series
) -> None:
    """Warn of samples whose rows are all of other visits; an error when that is everybody."""
    lost = set(wanted) - set(kept)
    if not lost or settings.visits is None:
        return
    place = f"{path}, column {settings.visits.column}"
    counts = Counter(table.loc[wanted.index, column_of(table, settings.visits.column, path)])
    others = ", ".join(visit for visit, _ in counts.most_common(8))
    if kept.empty:
        raise ValueError(f"{place}: no visit is one of those to prefer; there are {others}")
    warnings.warn(
        f"{place}: {len(lost)} samples have no row of a visit that counts; there are {others}",
        stacklevel=3,
    )


def _columns_in_use(
    settings: TableFile, table: pd.DataFrame, path: Path, keys: set[str]
) -> list[str]:
    """Of the table's columns, without those that name the sample and its visit."""
    if settings.lists:
        return columns_of(table, [entries.column for entries in settings.lists], path)
    if settings.visits:
        keys = keys | {column_of(table, settings.visits.column, path)}
    keys = keys | set(columns_of(table, settings.drop, path))
    used = [column for column in columns_of(table, settings.only, path) if column not in keys]
    if not used:
        raise ValueError(f"{path}: no column is left to use; see only and drop")
    return used


def _without(values: pd.Series, codes: set[str]) -> pd.Series:
    """Texts with None for the missing ones."""
    kept = {text: None if plain(text) in codes else text for text in values.unique()}
    return values.map(kept).astype(object).where(lambda v: v.notna(), None)


def _sniffed(first: str) -> str | None:
    """The separator of a table, by its first line: white space when there is no other."""
    sign = max(",;\t", key=first.count)
    return sign if sign in first else None
