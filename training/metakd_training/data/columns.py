"""Columns of tables as numbers for a network; what is learnt from values is learnt in training.

A number is scaled to [-1, 1] by the least and the greatest of the training samples, and cut there;
a missing one is -2, as published for ADNI (UNITES-Lab/flex-moe). A category becomes a column of
its own, 1 for who has it; one that no training sample has, or a missing one, is 0 in all of them.
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metakd_training.config.tables import Entries, TableFile
from metakd_training.data.leaks import warn_of_leak
from metakd_training.data.tables import (
    column_of,
    columns_of,
    decimal_comma,
    number,
    one_row_each,
    plain,
    read_rows,
    values_of,
)

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

MISSING = -2.0
_NO_COMMAS = "decimal commas are not read; export with points"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cohort:
    """Whose tables are read.

    Attributes:
        folder: with the tables.
        names: of the n samples.
        train: (n,) who is trained on.
        labels: (n,) place of the class in `classes`.
        aliases: other name of a sample → its name.
    """

    folder: Path
    names: Sequence[str]
    train: Flags
    labels: NDArray[np.int64]
    classes: Sequence[str]
    aliases: Mapping[str, str]


@dataclass(frozen=True)
class Coded:
    """A column in numbers.

    Attributes:
        values: (n, k) for the network.
        codes: (n,) one number for each value that the column had, nan where missing.
    """

    values: Floats
    codes: NDArray[np.float64]


def encode_tables(tables: Sequence[TableFile], cohort: Cohort) -> tuple[Floats, Flags]:
    """Tables side by side: (n, columns) numbers, and (n,) who has a value in any of them.

    Raises `ValueError` naming the file and what is wrong with it; warns of columns that give the
    class away.
    """
    coded, problems = [], []
    for table in tables:
        path, rows = read_rows(table, cohort.folder, cohort.names, cohort.aliases)
        columns = _encode_table(table, path, rows, cohort)
        coded += columns
        problems += [] if columns else [_why_of_no_use(path, rows, cohort)]
    if not coded:
        raise ValueError("; ".join(problems))
    for problem in problems:
        warnings.warn(f"{problem}; nothing of it is used", stacklevel=2)
    has: Flags = np.stack([~np.isnan(column.codes) for column in coded]).any(axis=0)
    values = np.concatenate([column.values for column in coded], axis=1)
    return values, has


def _why_of_no_use(path: Path, rows: pd.DataFrame, cohort: Cohort) -> str:
    training = [name for name, train in zip(cohort.names, cohort.train, strict=True) if train]
    of_training = values_of(rows)[rows.index.isin(training)]
    if of_training.empty:
        return f"{path}: no training sample is in it; correct its key, its visits or the split"
    if of_training.isna().all(axis=None):
        return f"{path}: holds no value of any training sample; see missing and only"
    return f"no column of {path} differs among training samples"


def _encode_table(
    settings: TableFile, path: Path, rows: pd.DataFrame, cohort: Cohort
) -> list[Coded]:
    if settings.lists:
        found = {
            f"{entries.column} {thing}": coded
            for entries in settings.lists
            for thing, coded in _encode_entries(entries, path, rows, cohort).items()
        }
    else:
        found = _encode_columns(settings, path, one_row_each(rows, cohort.names, path), cohort)
    for name, coded in found.items():
        train = cohort.train
        warn_of_leak(
            f"{path}, column {name}", coded.codes[train], cohort.labels[train], cohort.classes
        )
    return list(found.values())


def _encode_columns(
    settings: TableFile, path: Path, table: pd.DataFrame, cohort: Cohort
) -> dict[str, Coded]:
    as_numbers = set(columns_of(table, settings.numbers, path))
    as_categories = set(columns_of(table, settings.categories, path)) - as_numbers
    found, left_out = {}, []
    for name in table.columns:
        texts = table[name].to_numpy(dtype=object)
        places, seen = pd.factorize(texts)  # -1 where missing
        known = set(places[cohort.train]) - {-1}
        values = [number(text) for text in seen]
        numeric = all(values[place] is not None for place in known)
        place = f"{path}, column {name}"
        if name in as_numbers or (numeric and name not in as_categories):
            coded = _scaled(values, places, cohort.train)
            if None in values and (coded or name in as_numbers):
                _warn_of_no_numbers(place, texts)
        else:
            sure = name in as_categories
            coded = _one_hot(texts, cohort.train, settings.most_categories, sure=sure)
            if not sure:
                _warn_of_numbers(place, texts[cohort.train], used=coded is not None)
        if coded:
            found[name] = coded
        else:
            left_out.append(name)
    if left_out:
        _log.info("%s: no use in training: %s", path.name, ", ".join(left_out))
    return found


def _warn_of_no_numbers(place: str, texts: NDArray[np.object_]) -> None:
    """Of a column of numbers."""
    strange = [text for text in texts if text is not None and number(text) is None]
    commas = f" ({_NO_COMMAS})" if any(map(decimal_comma, strange)) else ""
    warnings.warn(
        f"{place}: {len(strange)} values are no numbers and count as missing, such as "
        f"{strange[0]}{commas}",
        stacklevel=2,
    )


def _warn_of_numbers(place: str, texts: NDArray[np.object_], *, used: bool) -> None:
    """Of a column that was meant to be one of numbers, as most of its values look like.

    Args:
        place: where it stands.
        texts: of the training samples.
        used: as categories.
    """
    known = [text for text in texts if text is not None]
    strange = [text for text in known if number(text) is None]
    numbers = len(known) - len(strange)
    commas = [text for text in strange if decimal_comma(text)]
    if 2 * (numbers + len(commas)) <= len(known):
        return
    advice = "add it to missing, or name the column in numbers (or in categories)"
    warnings.warn(
        f"{place}: {'taken as categories' if used else 'left out'}, since only {numbers} of "
        f"{len(known)} training samples' values are numbers, and {(commas or strange)[0]} is none; "
        f"{_NO_COMMAS if commas else advice}",
        stacklevel=2,
    )


def _scaled(values: Sequence[float | None], places: NDArray[np.intp], train: Flags) -> Coded | None:
    """Numbers in [-1, 1]; none when the training samples have one value at most."""
    lookup = np.array([np.nan if v is None else v for v in values] + [np.nan], dtype=float)
    column = lookup[places]
    known = column[train & ~np.isnan(column)]
    if not known.size or known.min() == known.max():
        return None
    low, high = known.min(), known.max()
    scaled = np.clip(2 * (column - low) / (high - low) - 1, -1, 1)
    return Coded(np.nan_to_num(scaled, nan=MISSING)[:, None].astype(np.float32), column)


def _one_hot(texts: NDArray[np.object_], train: Flags, most: int, *, sure: bool) -> Coded | None:
    """A place for each category; none for a single one, and for texts of which most are unique.

    Args:
        texts: (n,) None where missing.
        most: places at most, the categories' that the most training samples have.
        sure: these are categories, however many there are.
    """
    categories = np.array([None if text is None else plain(text) for text in texts], dtype=object)
    counts = Counter(c for c in categories[train] if c is not None)
    dates_or_comments = 2 * len(counts) > counts.total() and not sure
    if len(counts) < 2 or dates_or_comments:
        return None
    order = sorted(counts, key=lambda category: (-counts[category], category))
    kept = order[:most]
    codes = {category: float(place) for place, category in enumerate(sorted(counts))}
    unknown = float(len(codes))  # a value all the same
    return Coded(
        np.stack([categories == category for category in kept], axis=1).astype(np.float32),
        np.array([np.nan if c is None else codes.get(c, unknown) for c in categories]),
    )


def _encode_entries(
    entries: Entries, path: Path, rows: pd.DataFrame, cohort: Cohort
) -> dict[str, Coded]:
    """A column for each of the things that the most training samples have in their rows."""
    column = column_of(rows, entries.column, path)
    patterns = [pattern.casefold() for pattern in entries.leave_out]
    has: dict[str, set[str]] = defaultdict(set)
    for name, text in zip(rows.index, rows[column], strict=True):
        if text is None:
            continue
        thing = " ".join(text.casefold().split())
        left_out = any(fnmatchcase(thing, pattern) for pattern in patterns)
        has[name] |= set() if left_out else {thing}
    training = {name for name, train in zip(cohort.names, cohort.train, strict=True) if train}
    counts = Counter(t for name, things in has.items() if name in training for t in things)
    order = sorted(counts, key=lambda thing: (-counts[thing], thing))
    found = {}
    for thing in order[: entries.most]:
        listed = [float(thing in has[name]) if name in has else np.nan for name in cohort.names]
        codes = np.array(listed)
        found[thing] = Coded(np.nan_to_num(codes)[:, None].astype(np.float32), codes)
    return found
