"""A cohort of one's own: classes, tables and files by the samples' names, as a configuration says.

A sample is a patient: one class, one row of each table, one file of each kind.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from pandas import DataFrame
from torch import Tensor
from tqdm import tqdm

from metakd_training.config.classification import Image, Modality, Spectrogram, Table, Volume
from metakd_training.config.tables import CohortData, Subjects
from metakd_training.data.columns import Cohort, encode_tables
from metakd_training.data.files import files_of, find_file
from metakd_training.data.media import read_image, read_sound, read_volume
from metakd_training.data.samples import Samples, standardised
from metakd_training.data.splits import read_split
from metakd_training.data.tables import (
    column_of,
    plain,
    ranks,
    read_aliases,
    read_text,
    refuse_unreadable,
)
from metakd_training.words import listed


def load_cohort(data: CohortData, modalities: Mapping[str, Modality]) -> Samples:
    """Everything of a cohort's samples, in memory.

    What is learnt from values (ranges, categories, means) is learnt from the list ``train``.

    Raises `ValueError` naming the file, and the column or the samples, of anything wrong; warns of
    columns that give the class away.
    """
    folder = Path(data.folder)
    lists = read_split(folder / data.split)
    for key in ("train", "held_out"):
        if not lists.get(key):
            raise ValueError(f"{folder / data.split}: the list {key} is missing or empty")
    names = tuple(name for key in lists for name in lists[key])
    classes = tuple(dict.fromkeys(data.subjects.classes.values()))
    class_of = read_classes(data.subjects, folder)
    strangers = [name for name in names if name not in class_of]
    if strangers:
        raise ValueError(
            f"{folder / data.split}: {listed(strangers)} have no class, or several, in "
            f"{_codes_there(data.subjects, folder)}; take them out of the lists, or correct classes"
        )
    cohort = Cohort(
        folder=folder,
        names=names,
        train=np.isin(names, lists["train"]),
        labels=np.array([classes.index(class_of[name]) for name in names]),
        classes=classes,
        aliases=read_aliases(data.aliases, folder) if data.aliases else {},
    )
    inputs, present = {}, []
    for name, modality in modalities.items():
        values, has = _read(name, modality, cohort)
        values[~has] = 0
        inputs[name] = values
        present.append(has)
    places = {name: place for place, name in enumerate(names)}
    samples = Samples(
        names=names,
        inputs=inputs,
        present=torch.stack(present, dim=1),
        labels=torch.from_numpy(cohort.labels),
        classes=classes,
        lists={key: [places[name] for name in some] for key, some in lists.items()},
    )
    samples.check(str(folder))
    return samples


def read_classes(subjects: Subjects, folder: Path) -> dict[str, str]:
    """The class of everybody who has one, and one only, at the visit that counts.

    Warns of rows, and with `Subjects.stable` of samples, that are left out.
    """
    path = find_file(folder, subjects.file)
    table = read_text(path)
    known = {plain(code): label for code, label in subjects.classes.items()}
    columns = [column_of(table, column, path) for column in (subjects.label, subjects.name)]
    for column in columns:
        refuse_unreadable(table, column, path)
    codes, names = (table[column] for column in columns)
    ever: dict[str, set[str | None]] = defaultdict(set)
    at_visit: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    unknown = 0
    for name, code, rank in zip(names, codes, ranks(table, subjects.visits, path), strict=True):
        label = known.get(plain(code))
        ever[name].add(label)
        if rank >= 0 and label is None:
            unknown += 1
        elif rank >= 0 and label is not None:
            at_visit[name][rank].add(label)
    place = f"{path}, column {subjects.label}"
    if not at_visit:
        _refuse_nobody(subjects, table, path, rows_count=bool(unknown))
    if unknown:
        warnings.warn(f"{place}: {unknown} rows have no class's code; left out", stacklevel=2)
    first = {name: by_rank[min(by_rank)] for name, by_rank in at_visit.items()}
    several = [name for name, labels in first.items() if len(labels) > 1]
    changing = [name for name in first if subjects.stable and len(ever[name]) > 1]
    for left_out, why in ((several, "at one visit"), (changing, "over all visits, or none at one")):
        if left_out:
            warnings.warn(
                f"{place}: {len(left_out)} samples have several classes {why}; left out",
                stacklevel=2,
            )
    dropped = {*several, *changing}
    return {name: next(iter(labels)) for name, labels in first.items() if name not in dropped}


def _refuse_nobody(subjects: Subjects, table: DataFrame, path: Path, *, rows_count: bool) -> None:
    """Raise the error of a file that gives nobody a class.

    Args:
        subjects: what is said of it.
        table: its content.
        path: of the file.
        rows_count: some are of a visit that counts.
    """
    if subjects.visits and not rows_count:
        visits = table[column_of(table, subjects.visits.column, path)]
        there = listed(visit for visit, _ in Counter(visits).most_common())
        raise ValueError(
            f"{path}, column {visits.name}: no visit is one of those to prefer; there are {there}"
        )
    label = column_of(table, subjects.label, path)
    both = _both(table[label], subjects.classes)
    raise ValueError(f"{path}, column {label}: no row has a class's code; {both}; correct classes")


def _codes_there(subjects: Subjects, folder: Path) -> str:
    """The file of the classes, and which codes are in it."""
    path = find_file(folder, subjects.file)
    table = read_text(path)
    label = column_of(table, subjects.label, path)
    return f"{path} (column {label}: {_both(table[label], subjects.classes)})"


def _both(codes: Iterable[str], configured: Iterable[str]) -> str:
    common = [code or "nothing" for code, _ in Counter(codes).most_common()]
    return f"there is {listed(common)}, classes has {listed(configured)}"


def _read(name: str, modality: Modality, cohort: Cohort) -> tuple[Tensor, Tensor]:
    """A modality of all samples, (n, …), and who has it, (n,)."""
    if isinstance(modality, Table):
        columns, known = encode_tables(modality.tables, cohort)
        return torch.from_numpy(columns), torch.from_numpy(known)
    files = files_of(modality.files or "", cohort.names, cohort.folder)
    has = torch.tensor([path is not None for path in files])
    train = has & torch.from_numpy(cohort.train)
    if not train.any():
        raise ValueError(
            f"{cohort.folder / (modality.files or '')}: no training sample has such a file; "
            f"correct modalities.{name}.files"
        )
    values = torch.zeros(0)
    read: dict[bytes, int] = {}  # content → place of its sample
    for place, path in enumerate(tqdm(files, desc=name, unit="", leave=False, disable=None)):
        if path is None:
            continue
        value = _read_file(path, modality)
        before = read.setdefault(hashlib.sha256(value.contiguous().numpy()).digest(), place)
        if before != place:
            raise ValueError(
                f"{path}: {cohort.names[before]} and {cohort.names[place]} have the same content "
                f"of {name} (also {files[before]}); give each its own, or take one out of the split"
            )
        if not len(values):
            values = torch.zeros((len(files), *value.shape))
        values[place] = value
    return _scaled(values, modality, train), has


def _scaled(values: Tensor, modality: Modality, train: Tensor) -> Tensor:
    """What is scaled by all training samples' values, and not each by its own."""
    if isinstance(modality, Spectrogram):
        return standardised(values, train)
    if isinstance(modality, Volume) and modality.scaled == "together":
        # A volume at a time, in place: together they may fill most of the memory.
        count, total, squares = 0, 0.0, 0.0
        for place in train.nonzero().flatten().tolist():
            voxels = values[place][values[place] != 0].double()
            count, total = count + len(voxels), total + voxels.sum().item()
            squares += voxels.square().sum().item()
        mean = total / count
        deviation = (squares / count - mean**2) ** 0.5
        for value in values:
            value[value != 0] = (value[value != 0] - mean) / deviation
    return values


def _read_file(path: Path, modality: Image | Spectrogram | Volume) -> Tensor:
    if isinstance(modality, Image):
        return read_image(path, modality)
    if isinstance(modality, Spectrogram):
        return read_sound(path, modality)
    return read_volume(path, modality)
