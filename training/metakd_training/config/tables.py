"""Settings of cohorts in tables: who is in them, and which columns are used.

Names of columns are found whatever their case (ADNI writes ``Phase`` and ``PHASE``). In `only`,
`drop`, `numbers` and `categories` a name may be a pattern with ``*``, ``?`` or ``[…]``: a plain
name has to be there, a pattern may match nothing.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from metakd_training.config.sections import Section, Side

NO_VALUE = ("", "NA", "NaN", "nan", "N/A", ".", "NULL", "null", "None")
"""What stands for no value in every table."""


class _Coded(Section):
    """Settings with codes, which YAML may read as numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


class Visits(_Coded):
    """Which of a sample's rows count.

    Attributes:
        column: names the visit.
        prefer: visits in order of preference; rows of any other visit are left out. Each column
            takes its value of the first of these visits at which it has one.
    """

    column: str
    prefer: Annotated[tuple[str, ...], Field(min_length=1)]


class Entries(Section):
    """A column that lists things, one a row, such as the drugs that a patient takes.

    Attributes:
        column: names the thing; upper and lower case are the same.
        most: how many things become a column of their own, 1 for who has it: those that the most
            training samples have.
        leave_out: patterns of things that do not count, such as drugs against the very disease.
    """

    column: str
    most: Side = 50
    leave_out: tuple[str, ...] = ()


class TableFile(_Coded):
    """A file with a row, or several, for each sample.

    Attributes:
        file: in the cohort's folder; a pattern that matches one file (``*MEDHIST*.csv``).
        key: the column that names the sample.
        alias: the key is another name of the sample, see `Aliases`.
        separator: between the columns; of the file's first line when left out.
        visits: which of the rows count; all when left out.
        only: the columns to use, all when left out.
        drop: columns to leave out.
        numbers: columns of numbers; what is none in them is missing.
        categories: columns of categories, though they are written as numbers.
        most_categories: how many of a column's categories get a place of their own.
        missing: codes for a missing value, beside `NO_VALUE`; -4 is also -4.0.
        lists: columns that list things; with them the rows need not be one a visit and the other
            columns are not used.
    """

    file: str
    key: str = "name"
    alias: bool = False
    separator: Literal["comma", "semicolon", "tab", "space"] | None = None
    visits: Visits | None = None
    only: tuple[str, ...] = ("*",)
    drop: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    most_categories: Side = 20
    missing: tuple[str, ...] = ()
    lists: tuple[Entries, ...] = ()

    @model_validator(mode="after")
    def _lists_stand_alone(self) -> TableFile:
        if self.lists and (self.only != ("*",) or self.drop or self.numbers or self.categories):
            raise ValueError(f"{self.file}: with lists there is nothing to say of other columns")
        return self


class Aliases(Section):
    """Where other names of the samples stand, such as ADNI's RID beside its PTID.

    Attributes:
        file: as of a `TableFile`.
        alias: the column of the other name.
        name: the column of the sample's name.
    """

    file: str
    alias: str
    name: str


class Subjects(_Coded):
    """The table that says who is in the cohort, and of which class.

    Attributes:
        file: as of a `TableFile`.
        name: the column of the sample's name.
        label: the column of its class.
        classes: code in that column → class, in the order of all results; rows with another code,
            or none, are left out. Two codes may be of one class.
        visits: the row that gives the class is of the first of these visits that has a class.
        stable: leave out who has another class, or a code of no class, at any visit.
    """

    file: str
    name: str
    label: str
    classes: dict[str, str]
    visits: Visits | None = None
    stable: bool = False

    @model_validator(mode="after")
    def _classes_differ(self) -> Subjects:
        if len(set(self.classes.values())) < 2:
            raise ValueError(f"classes: {', '.join(set(self.classes.values()))} is one class only")
        return self


class CohortData(Section):
    """A cohort of one's own: tables and files by the samples' names.

    Attributes:
        folder: that all files are in.
        split: JSON file of lists of names, ``train``, ``held_out`` and any others; who is in none
            is left out.
    """

    source: Literal["cohort"]
    folder: str
    subjects: Subjects
    aliases: Aliases | None = None
    split: str = "split.json"
