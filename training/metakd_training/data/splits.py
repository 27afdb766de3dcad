"""Splits of a cohort: which cases train, which are held out, which validate; by patient.

A split file is a JSON object of lists of case names: ``{"train": ["P1", "P2"], "val": ["P3"]}``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from metakd.cases import Case, find_cases

from metakd_training.config.segmentation import Data
from metakd_training.words import listed

Lists = dict[str, list[Case]]
"""The cases of each list of a split."""

_TIME_POINT = re.compile(r"(BraTS-[A-Za-z]+-\d+)-\d+")


def read_lists(data: Data) -> Lists:
    """The cases of every list of the split; those held out are no training patients any more.

    Raises `ValueError` and `metakd.study.StudyError` naming what is wrong.
    """
    cases = [case for c in data.cohorts for case in find_cases(Path(c.path), c.labels)]
    split = read_split(Path(data.split))
    if data.held_out is not None:
        train = split.get("train", [])
        strangers = sorted(set(data.held_out) - set(train))
        if strangers:
            raise ValueError(f"held_out: {strangers} are not in the list train of {data.split}")
        split["held_out"] = list(data.held_out)
        split["train"] = [name for name in train if name not in data.held_out]
        _refuse_leaks(Path(data.split), split)  # another time point of one who is held out
    for key in ("train", "held_out"):
        if not split.get(key):
            raise ValueError(f"{data.split}: the list {key} is missing or empty")
    places = [cohort.path for cohort in data.cohorts]
    return {key: choose(cases, split, key, places) for key in split}


def patient_of(case_name: str) -> str:
    """The patient that a case is of: BraTS 2023 and 2024 end their names in a time point.

    >>> patient_of("BraTS-GLI-00005-100")
    'BraTS-GLI-00005'
    >>> patient_of("BraTS2021_00002")
    'BraTS2021_00002'
    """
    name = _TIME_POINT.fullmatch(case_name)
    return name[1] if name else case_name


def read_split(path: Path) -> dict[str, list[str]]:
    """The lists of a split file.

    Raises `ValueError` naming the file when it is missing or no such object, when a name stands
    twice, or a patient stands in two lists.
    """
    try:
        lists = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_once)
    except OSError as error:
        raise ValueError(f"{path}: no such split file, or not readable; check the path") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is no split file ({error}); correct it there") from error
    if not isinstance(lists, dict) or not all(map(_is_list_of_names, lists.values())):
        raise ValueError(
            f"{path}: is no split file; write an object of lists of case names, "
            'such as {"train": ["P1"], "val": ["P2"]}'
        )
    _refuse_repeated(path, lists)
    _refuse_leaks(path, lists)
    return lists


def choose(
    cases: Iterable[Case],
    split: Mapping[str, Sequence[str]],
    key: str,
    places: Iterable[str | Path],
) -> list[Case]:
    """The cases of one list of a split, in the list's order; `places` is where they come from.

    Raises `ValueError` when the split has no such list, naming the cases that are missing and the
    places, or when two of the list's cases have one name.
    """
    if key not in split:
        raise ValueError(f"the split has no list '{key}', only {listed(split)}")
    found = defaultdict(list)
    for case in cases:
        found[case.name].append(case)
    looked = f"in {listed(map(str, places))}"
    missing = [name for name in split[key] if name not in found]
    if missing:
        raise ValueError(f"{key}: no case named {listed(missing)} {looked}")
    repeated = [name for name in split[key] if len(found[name]) > 1]
    if repeated:
        raise ValueError(f"{key}: more than one case named {listed(repeated)} {looked}")
    return [found[name][0] for name in split[key]]


def make_split(
    case_names: Iterable[str], shares: Mapping[str, float], seed: int
) -> dict[str, list[str]]:
    """Lists of case names, drawn by patient: all time points of one stay together.

    Args:
        case_names: in any order; it does not matter.
        shares: for each list its fraction of the patients, together at most 1, or for each list
            its count of patients, an int. Who is left over is in no list.
        seed: another seed is another split.

    Raises `ValueError` for shares that are neither, exceed the patients or leave a list without
    any, and for two cases of one name.
    """
    names = Counter(case_names)
    repeated = [name for name, count in names.items() if count > 1]
    if repeated:
        raise ValueError(f"more than one case named {listed(repeated)}; rename the others")
    of_patient = defaultdict(list)
    for name in names:
        of_patient[patient_of(name)].append(name)
    # By a hash, so that neither the order of the cases nor Python's version plays a part.
    drawn = sorted(of_patient, key=lambda p: hashlib.sha256(f"{seed}:{p}".encode()).digest())
    ends = _ends(shares, len(drawn))
    return {
        key: sorted(name for patient in drawn[start:end] for name in of_patient[patient])
        for key, start, end in zip(shares, [0, *ends], ends, strict=False)
    }


def _ends(shares: Mapping[str, float], patients: int) -> list[int]:
    """Where each list ends in the row of drawn patients."""
    amounts = list(shares.values())
    counts = all(isinstance(amount, int) and amount > 0 for amount in amounts)
    if counts and sum(amounts) > patients:
        raise ValueError(f"shares of {sum(amounts)} patients, but there are {patients}")
    fractions = all(amount > 0 for amount in amounts) and sum(amounts) <= 1 + 1e-9
    if not amounts or not (counts or fractions):
        raise ValueError(
            f"shares {dict(shares)}: give fractions above 0 that sum to at most 1, "
            "or whole numbers of patients"
        )
    ends = [round(end * (1 if counts else patients)) for end in accumulate(amounts)]
    for key, start, end in zip(shares, [0, *ends], ends, strict=False):
        if start == end:
            raise ValueError(f"share {key}: {shares[key]} of {patients} patients is not even one")
    return ends


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, unless a key of it stands twice: one of its lists would be lost."""
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        raise ValueError(f"a list's name stands twice in {keys}")
    return dict(pairs)


def _is_list_of_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) and name for name in value)


def _refuse_repeated(path: Path, lists: Mapping[str, Sequence[str]]) -> None:
    places = defaultdict(list)
    for key, names in lists.items():
        for name in names:
            places[name].append(key)
    repeated = [f"{name} ({', '.join(keys)})" for name, keys in places.items() if len(keys) > 1]
    if repeated:
        raise ValueError(f"{path}: stand twice: {listed(repeated)}; keep each case in one list")


def _refuse_leaks(path: Path, lists: Mapping[str, Sequence[str]]) -> None:
    places = defaultdict(list)
    for key, names in lists.items():
        for name in names:
            places[patient_of(name)].append((key, name))
    leaked = [
        f"{patient} ({', '.join(f'{name} in {key}' for key, name in places[patient])})"
        for patient in places
        if len({key for key, _ in places[patient]}) > 1
    ]
    if leaked:
        raise ValueError(
            f"{path}: patients in two lists: {listed(leaked)}; keep all their cases in one"
        )
