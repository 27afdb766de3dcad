"""Tables of a cohort: read as text, one row a sample, columns as numbers learnt in training."""

import re
import warnings

import numpy as np
import pytest

pytest.importorskip("pandas")
pytest.importorskip("sklearn")

from metakd_training.config.tables import Aliases, TableFile
from metakd_training.data.columns import Cohort, encode_tables
from metakd_training.data.tables import read_aliases, read_text

NAMES = [f"002_S_{i:04}" for i in range(6)]


@pytest.fixture
def write(tmp_path):
    """`write(name, first line, rows)`: a CSV file in the cohort's folder."""

    def write(name, header, rows):
        lines = [header, *(",".join(map(str, row)) for row in rows)]
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines) + "\n", "utf-8")
        return path

    return write


@pytest.fixture
def encode(tmp_path):
    """`encode(settings, …)`: values and presence; the first four of six samples train."""

    def encode(*settings, names=NAMES, train=4, labels=None, aliases=None, **more):
        labels = np.arange(len(names)) % 2 if labels is None else labels
        cohort = Cohort(
            folder=tmp_path,
            names=names,
            train=np.arange(len(names)) < train,
            labels=labels,
            classes=("CN", "MCI", "Dementia")[: max(labels) + 1],
            aliases=aliases or {},
        )
        tables = settings or [TableFile(file="t.csv", key="PTID", **more)]
        return encode_tables(tables, cohort)

    return encode


def column(values, names=NAMES):
    return list(zip(names, values, strict=True))


# --- reading -----------------------------------------------------------------------------------


def test_values_stay_as_they_stand_in_the_file(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(
        '\ufeffPTID,A,B,C\r\n002_S_0413,007,-4,"a, ""b""\nc"\r\n\r\n x ,NA,1e3, \r\n'.encode()
    )
    table = read_text(path)
    assert list(table.columns) == ["PTID", "A", "B", "C"]
    assert table.to_numpy().tolist() == [
        ["002_S_0413", "007", "-4", 'a, "b"\nc'],
        ["x", "NA", "1e3", ""],
    ]


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("PTID;A\nx y;1\n", None),
        ("PTID\tA\nx y\t1\n", None),
        ("PTID,A\nx y,1\n", None),
        ("PTID;A,\nx y;1\n", "semicolon"),
        (" PTID  A \nx_y   1\n", None),
        ("PTID A,\nx_y 1\n", "space"),
    ],
)
def test_the_separator_is_found_or_said(tmp_path, text, separator):
    path = tmp_path / "t.txt"
    path.write_text(text)
    table = read_text(path, separator)
    assert table.shape == (1, 2)
    assert table.iloc[0, 0].replace("_", " ") == "x y"
    assert table.iloc[0, 1] == "1"


def test_columns_without_a_name_are_left_out(write):
    table = read_text(write("t.csv", ",PTID,A,", [(0, "x", 1, ""), (1, "y", 2, "")]))
    assert table.to_numpy().tolist() == [["x", "1"], ["y", "2"]]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b"", r"t\.csv: has no row"),
        (b"PTID,A\n", r"t\.csv: has no row"),
        (b"PTID,A,A\nx,1,2\n", r"t\.csv: has more than one column A"),
        (b"PTID,A\nx,1\ny\n", r"t\.csv: row 3 has 1 columns, the first 2"),
        (b"PTID,A\nx,1,2\n", r"t\.csv: row 2 has 3 columns"),
        (b"PTID,A\nx," + b"1" * 200_000 + b"\n", r"t\.csv: is no table .*field"),
        ("\ufeffPTID,A\nx,1\n".encode("utf-16-le"), r"t\.csv: is in UTF-16; save it as UTF-8"),
        ("\ufeffPTID,A\nx,1\n".encode("utf-16-be"), r"t\.csv: is in UTF-16; save it as UTF-8"),
        (b"PK\x03\x04\x14\0\6\0", r"t\.csv: is a spreadsheet, not text; save the sheet as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", r"t\.csv: is a spreadsheet"),
    ],
)
def test_what_is_no_table_is_refused_by_name(tmp_path, text, match):
    (tmp_path / "t.csv").write_bytes(text)
    with pytest.raises(ValueError, match=match):
        read_text(tmp_path / "t.csv")


def test_names_that_are_not_utf_8_are_refused_and_comments_are_not(encode, tmp_path):
    path = tmp_path / "t.csv"
    rows = [f"{name},{i},caf\xe9" for i, name in enumerate(NAMES)]
    path.write_bytes("\n".join(["PTID,A,B", *rows]).encode("latin-1"))
    assert encode()[0].shape == (6, 1)
    path.write_bytes("\n".join(["PTID,A,B", "", *rows, "Jos\xe9,1,x"]).encode("latin-1"))
    with pytest.raises(ValueError, match=r"t\.csv: is not UTF-8 \(row 9, column PTID\); save"):
        encode()
    with pytest.raises(ValueError, match=r"t\.csv: is not UTF-8 \(row 3, column B\)"):
        read_aliases(Aliases(file="t.csv", alias="B", name="A"), tmp_path)


def test_what_matches_and_is_no_file_is_refused_by_name(write, encode, tmp_path):
    write("a/t.csv", "PTID,A", column(range(6)))
    link = tmp_path / "b.csv"
    for pattern in ("b.csv", "b*.csv"):
        link.symlink_to("a/gone.csv")
        with pytest.raises(ValueError, match=r"/b\.csv: is a link to a/gone\.csv, which"):
            encode(TableFile(file=pattern, key="PTID"))
        link.unlink()
        link.mkdir()
        with pytest.raises(ValueError, match=r"/b\.csv: is a folder, and a file is looked for"):
            encode(TableFile(file=pattern, key="PTID"))
        link.rmdir()
        link.symlink_to("a/t.csv")
        assert encode(TableFile(file=pattern, key="PTID"))[0].shape == (6, 1)
        link.unlink()


def test_one_file_matches_a_pattern(write, encode, tmp_path):
    write("MEDHIST_22Apr2024.csv", "PTID,A", column(range(6)))
    values, _ = encode(TableFile(file="*MEDHIST*.csv", key="PTID"))
    assert values.shape == (6, 1)
    write("MEDHIST_23Apr2024.csv", "PTID,A", column(range(6)))
    with pytest.raises(ValueError, match=r"MEDHIST_22Apr2024\.csv, MEDHIST_23Apr2024\.csv; keep"):
        encode(TableFile(file="*MEDHIST*.csv", key="PTID"))
    with pytest.raises(ValueError, match=r"VITALS\*\.csv: no such file"):
        encode(TableFile(file="VITALS*.csv", key="PTID"))
    with pytest.raises(ValueError, match="is not inside"):
        encode(TableFile(file=str(tmp_path / "MEDHIST_22Apr2024.csv"), key="PTID"))


# --- which columns, which rows -----------------------------------------------------------------


def test_a_missing_column_is_told_with_those_that_are_near(write, encode):
    write("t.csv", "PTID,PTADDX,PTEDUCAT", [(name, i, i) for i, name in enumerate(NAMES)])
    for wrong in ({"only": ["PTEDUCATE"]}, {"drop": ["PTEDUCA"]}, {"numbers": ["PTEDUCATS"]}):
        with pytest.raises(ValueError, match=r"t\.csv: has no column PTEDUCA.*PTEDUCAT"):
            encode(**wrong)
    with pytest.raises(ValueError, match="has no column RID"):
        encode(TableFile(file="t.csv", key="RID"))


def test_only_and_drop_take_patterns_and_any_case(write, encode):
    rows = [(name, i, i + 1, i + 2, i) for i, name in enumerate(NAMES)]
    write("t.csv", "PTID,VSWEIGHT,VSHEIGHT,update_stamp,Phase", rows)
    assert encode()[0].shape[1] == 4
    assert encode(only=["VS*"])[0].shape[1] == 2
    assert encode(drop=["PHASE", "UPDATE_STAMP", "DD_*"])[0].shape[1] == 2
    assert encode(only=["vs*"], drop=["vsweight"])[0].shape[1] == 1
    with pytest.raises(ValueError, match=r"t\.csv: no column is left"):
        encode(drop=["*"])


def test_rows_of_others_do_not_count(write, encode):
    write("t.csv", "PTID,A", [*column(range(6)), ("002_S_9999", 1000)])
    assert encode()[0][:4, 0] == pytest.approx([-1, -1 / 3, 1 / 3, 1])


def test_a_key_that_names_nobody_is_told(write, encode):
    write("t.csv", "PTID,RID,A", [(name, i, i) for i, name in enumerate(NAMES)])
    with pytest.raises(ValueError, match=r"t\.csv, column RID: names none of the samples"):
        encode(TableFile(file="t.csv", key="RID"))


def test_each_column_is_of_the_first_visit_that_has_it(write, encode):
    rows = []
    for i, name in enumerate(NAMES):
        rows += [(name, "m12", 900, 900), (name, "BL", i, -4), (name, "sc", 99 if i else -4, 5 * i)]
    write("t.csv", "PTID,VISCODE2,A,B", rows)
    visits = {"column": "VISCODE2", "prefer": ["bl", "sc"]}
    values, _ = encode(visits=visits, missing=[-4])
    assert values[:4, 0] == pytest.approx([-1, -1 / 3, 1 / 3, 1])
    assert values[:4, 1] == pytest.approx([-1, -1 / 3, 1 / 3, 1])
    values, _ = encode(visits=visits | {"prefer": ["sc", "bl"]}, missing=[-4])
    assert values[:4, 0] == pytest.approx([-1, 1, 1, 1])


def test_samples_without_a_visit_that_counts_are_told(write, encode):
    rows = [(name, "m12" if i == 3 else "bl", i) for i, name in enumerate(NAMES)]
    write("t.csv", "PTID,VISCODE2,A", rows)
    with pytest.warns(UserWarning, match=r"column VISCODE2: 1 samples have no row .* bl, m12"):
        _, has = encode(visits={"column": "VISCODE2", "prefer": ["bl"]})
    assert has.tolist() == [True, True, True, False, True, True]
    with pytest.raises(ValueError, match=r"VISCODE2: no visit is one of those .* bl, m12"):
        encode(visits={"column": "VISCODE2", "prefer": ["init"]})


def test_rows_that_are_the_same_are_one_and_others_give_their_last_value(write, encode):
    twice = [*column(range(6)), *column(range(6))]
    write("t.csv", "PTID,A", twice)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert encode()[0][:4, 0] == pytest.approx([-1, -1 / 3, 1 / 3, 1])
    # The second row corrects A and has no value of B.
    rows = [(name, 50, i) for i, name in enumerate(NAMES)] + [
        (n, i, "") for i, n in enumerate(NAMES)
    ]
    write("t.csv", "PTID,A,B", rows)
    with pytest.warns(UserWarning, match=r"t\.csv: 6 samples have rows that differ"):
        values, _ = encode()
    assert pytest.approx(np.array([[-1, -1 / 3, 1 / 3, 1]] * 2)) == values[:4].T


def test_another_name_leads_to_the_sample(write, encode, tmp_path):
    rows = [(f"{10 + i}", name) for i, name in enumerate(NAMES)]
    write("roster.csv", "RID,PTID", [*rows, ("", "x"), ("", "y"), ("10", "")])
    write("t.csv", "RID,A", [(f"{10 + i}.0", i) for i in range(6)] + [(99, 50)])
    aliases = read_aliases(Aliases(file="roster*.csv", alias="RID", name="PTID"), tmp_path)
    values, has = encode(TableFile(file="t.csv", key="RID", alias=True), aliases=aliases)
    assert values[:4, 0] == pytest.approx([-1, -1 / 3, 1 / 3, 1])
    assert has.all()


def test_another_name_of_two_samples_is_refused(write, tmp_path):
    write("roster.csv", "RID,PTID", [(10, NAMES[0]), (10, NAMES[0]), ("010", NAMES[1])])
    with pytest.raises(ValueError, match=f"roster.csv: RID 10 is {NAMES[0]} and {NAMES[1]}"):
        read_aliases(Aliases(file="roster.csv", alias="RID", name="PTID"), tmp_path)


# --- numbers and categories --------------------------------------------------------------------


def test_numbers_are_scaled_by_the_training_samples_alone(write, encode):
    write("t.csv", "PTID,A", column([10, 20, 15, -4, 100, -50]))
    values, has = encode(missing=["-4"])
    assert values[:, 0].tolist() == [-1, 1, 0, -2, 1, -1]
    assert has.tolist() == [True, True, True, False, True, True]
    write("t.csv", "PTID,A", column([10, 20, 15, -4, 12, 18]))
    assert (encode(missing=["-4"])[0][:4] == values[:4]).all()


CODES = ["-4", "-4.0", " -4 ", "NA", "", "nan", ".", "NULL", "null", "None"]


@pytest.mark.parametrize("code", CODES)
def test_missing_numbers_are_minus_two(write, encode, code):
    rows = [(name, i, code if i == 1 else i) for i, name in enumerate(NAMES)]
    write("t.csv", "PTID,A,B", rows)
    values, has = encode(missing=[-4])
    assert values[1].tolist() == [pytest.approx(-1 / 3), -2]
    assert has.all()


def test_a_limit_of_detection_counts_as_the_limit(write, encode):
    write("t.csv", "PTID,A", column(["<80", "1300", ">1300", "690", "<80", "690.0"]))
    assert encode()[0][:, 0] == pytest.approx([-1, 1, 1, 0, -1, 0])


def test_text_in_a_column_of_numbers_counts_as_missing(write, encode):
    rows = [(name, i, "high" if i == 5 else i) for i, name in enumerate(NAMES)]
    write("t.csv", "PTID,A,B", rows)
    with pytest.warns(UserWarning, match=r"t\.csv, column B: 1 values are no numbers"):
        assert encode()[0][5, 1] == -2
    rows = [(name, i, "high" if i == 1 else i) for i, name in enumerate(NAMES)]
    write("t.csv", "PTID,A,B", rows)
    with pytest.warns(UserWarning, match=r"t\.csv, column B: 1 values are no numbers"):
        assert encode(numbers=["B"])[0][:, 1] == pytest.approx([-1, -2, 1 / 3, 1, 1, 1])
    write("t.csv", "PTID,A,B", [(name, i, f"19{i}0-01-01") for i, name in enumerate(NAMES)])
    with pytest.warns(UserWarning, match=r"t\.csv, column B: 6 values are no .* 1900-01-01$"):
        assert encode(numbers=["B"])[0].shape[1] == 1


def all_told(encode, **settings):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        encode(**settings)
    return [str(warning.message) for warning in told]


@pytest.mark.parametrize(
    ("values", "settings", "told"),
    [
        (
            [60, 61, "unknown68", 64, 65, 66],
            {},
            r"left out, since only 3 of 4 .* and unknown68 is none; add it to missing, or name",
        ),
        (
            [60, 60, "unknown68", 60, 60, "odd"],
            {},
            r"taken as categories, since only 3 of 4 .* and unknown68 is none; add it to missing",
        ),
        (
            [60, "63,5", "?", 64, 65, 66],
            {},
            r"left out, since only 2 of 4 .* and 63,5 is none; decimal commas .* with points$",
        ),
        (
            ["0,417", "-1,2", "<0,08", "0,5e3", "0,1", "0,2"],
            {},
            r"left out, since only 0 of 4 .* and 0,417 is none; decimal commas .* with points$",
        ),
        (
            ["0,4", "0,5", "0,6", "0,7", "1", "2"],
            {"numbers": ["B"]},
            r"4 values are no numbers .* 0,4 \(decimal commas are not read; export with points\)",
        ),
    ],
)
def test_a_column_of_numbers_is_not_lost_unnoticed(write, encode, values, settings, told):
    write("t.csv", "PTID,A,B", [(n, i, f'"{v}"') for i, (n, v) in enumerate(column(values))])
    warned = all_told(encode, **settings)
    assert len(warned) == 1, warned
    assert re.search(rf"t\.csv, column B: {told}", warned[0]), warned


@pytest.mark.parametrize(
    ("values", "settings"),
    [
        (["Ann", "Bob", "Cy", 7, 8, 9], {}),  # names
        (["1,2,3", "4,5,6", "7,8", "x", "y", "z"], {}),  # lists
        ([1, 1, 2, "3+", 2, 1], {"categories": ["B"]}),
        ([60, 61, "unknown68", 64, 65, 66], {"missing": ["unknown68"]}),
    ],
)
def test_columns_of_texts_are_not_warned_of(write, encode, values, settings):
    write("t.csv", "PTID,A,B", [(n, i, f'"{v}"') for i, (n, v) in enumerate(column(values))])
    assert all_told(encode, **settings) == []


def test_categories_are_those_of_the_training_samples(write, encode):
    rows = list(zip(NAMES, "bbacza", range(6), strict=True))
    write("t.csv", "PTID,A,B", rows)
    values, has = encode(categories=["A"])
    places = values[:, :3].tolist()
    assert places[:4] == [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]  # the most common first
    assert places[4:] == [[0, 0, 0], [0, 1, 0]]  # no training sample has a z
    assert values.shape[1] == 4
    assert has.all()
    values, _ = encode(categories=["A"], most_categories=1)
    assert values[:, 0].tolist() == [1, 1, 0, 0, 0, 0]
    assert values.shape[1] == 2


def test_codes_are_categories_when_said_so(write, encode):
    write("t.csv", "PTID,A", column(["1", "2.0", "1.0", "2", "3", "-4"]))
    assert encode()[0].shape[1] == 1
    values, has = encode(categories=["A"], missing=[-4])
    assert values.tolist() == [[1, 0], [0, 1], [1, 0], [0, 1], [0, 0], [0, 0]]
    assert has.tolist() == [True] * 5 + [False]


def test_columns_of_no_use_are_left_out_and_told(write, encode, caplog):
    rows = [
        (name, i, 7, "" if i < 4 else i, f"2005-01-{i:02}", "x", -4 if i % 2 else 1)
        for i, name in enumerate(NAMES)
    ]
    write("t.csv", "PTID,A,CONSTANT,EMPTY,DATE,SAME,CODE", rows)
    with caplog.at_level("INFO"):
        values, _ = encode(missing=[-4])
    assert values.shape[1] == 1
    assert "t.csv: no use in training: CONSTANT, EMPTY, DATE, SAME, CODE" in caplog.text
    with pytest.raises(ValueError, match=r"^no column of /.*/t\.csv differs among"):
        encode(only=["CONSTANT"])
    with pytest.raises(ValueError, match=r"^/.*/t\.csv: holds no value of any training sample"):
        encode(only=["EMPTY"])


def test_a_table_without_training_samples_is_told(write, encode):
    write("t.csv", "PTID,A", column(range(6))[4:])
    with pytest.raises(ValueError, match=r"^/.*/t\.csv: no training sample is in it"):
        encode()
    with pytest.raises(ValueError, match=r"/t\.csv: no training sample is in it"):
        encode(lists=[{"column": "A"}])
    write("b.csv", "PTID,B", column(range(6)))
    tables = [TableFile(file=f"{table}.csv", key="PTID") for table in "tb"]
    with pytest.warns(UserWarning, match=r"/t\.csv: no training sample is in it.*; nothing of it"):
        assert encode(*tables)[0].shape == (6, 1)


def test_who_has_no_row_or_no_value_lacks_the_modality(write, encode):
    write(
        "a.csv", "PTID,A,CONSTANT", [(n, i if i != 1 else "", 3) for i, n in enumerate(NAMES[:5])]
    )
    write("b.csv", "PTID,B", [(name, i) for i, name in enumerate(NAMES) if i not in (1, 2)])
    values, has = encode(*(TableFile(file=f"{table}.csv", key="PTID") for table in "ab"))
    assert has.tolist() == [True, False, True, True, True, True]
    assert values[2].tolist() == [pytest.approx(1 / 3), -2]
    assert values[5].tolist() == [-2, 1]


# --- lists -------------------------------------------------------------------------------------

DRUGS = [
    *((name, "bl", "Aspirin") for name in NAMES[:3]),
    (NAMES[0], "sc", " ASPIRIN"),
    *((name, "sc", "Vitamin  D") for name in NAMES[1:3]),
    (NAMES[3], "sc", "Fish Oil"),
    *((name, "bl", "Zocor") for name in NAMES[4:]),
    *((name, "bl", "Zocor (20 mg)") for name in NAMES[4:]),
    *((name, "m12", "Plavix") for name in NAMES),
    *((name, "bl", "Aricept 10 mg") for name in NAMES),
]


def test_things_of_a_list_become_columns(write, encode):
    write("t.csv", "PTID,VISCODE2,CMMED", DRUGS)
    lists = [{"column": "cmmed", "most": 2, "leave_out": ["*aricept*"]}]
    visits = {"column": "VISCODE2", "prefer": ["bl", "sc"]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values, has = encode(lists=lists, visits=visits)
    # Aspirin and vitamin D, the most common in training; Zocor is common in test alone.
    assert values.T.tolist() == [[1, 1, 1, 0, 0, 0], [0, 1, 1, 0, 0, 0]]
    assert has.all()
    with pytest.warns(UserWarning, match="2 samples have no row of a visit"):
        values, has = encode(lists=[{"column": "CMMED"}], visits=visits | {"prefer": ["sc"]})
    assert values.shape[1] == 3
    assert has.tolist() == [True] * 4 + [False] * 2


def test_with_lists_other_columns_cannot_be_named():
    with pytest.raises(ValueError, match=r"t\.csv: with lists"):
        TableFile(file="t.csv", lists=[{"column": "A"}], drop=["B"])


# --- columns that give the class away ----------------------------------------------------------

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 80)
MANY = [f"p{i}" for i in range(80)]
SCORE = LABELS + RNG.uniform(0, 1, 80)
SUBTYPE = np.array(["kbf", "ahd", "jec"])[:, None][LABELS][:, 0]
LEAKS = {
    "copied": (LABELS, "the class"),
    "recoded": (np.array(["x", "y", "a"])[LABELS], "the class"),
    "subtypes": ([text[i % 3] for i, text in enumerate(SUBTYPE)], "the class"),
    "thresholds": (np.round(SCORE, 4), "the class"),
    "missing": (np.where(LABELS == 2, RNG.integers(1990, 2000, 80).astype(str), ""), "Dementia"),
    "not applicable": (np.where(LABELS == 0, 9999, RNG.integers(1990, 2000, 80)), "class CN"),
}
HARMLESS = {
    "identifier": RNG.permutation(80),
    "chance": RNG.normal(size=80),
    "good": SCORE + RNG.normal(0, 0.3, 80),
    "category": np.array(list("abcde"))[RNG.integers(0, 5, 80)],
}


def leaks_of(encode, write, values, labels=LABELS, **settings):
    rows = [(name, value, i % 7) for i, (name, value) in enumerate(zip(MANY, values, strict=True))]
    write("t.csv", "PTID,DX,OTHER", rows)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        encode(names=MANY, train=60, labels=labels, **settings)
    return [str(warning.message) for warning in told]


@pytest.mark.parametrize("kind", LEAKS)
def test_a_column_that_gives_the_class_away_is_told(encode, write, kind):
    values, what = LEAKS[kind]
    told = leaks_of(encode, write, values)
    assert len(told) == 1, told
    assert "t.csv, column DX: alone tells" in told[0]
    assert what in told[0]
    assert "drop" in told[0]


@pytest.mark.parametrize("gaps", [10, 7, 3])
@pytest.mark.parametrize("kind", ["copied", "recoded", "subtypes", "thresholds"])
def test_a_copy_of_the_class_with_gaps_is_told_once(encode, write, kind, gaps):
    gone = np.random.default_rng(gaps).permutation(80) % gaps == 0
    values = np.where(gone, "", LEAKS[kind][0])
    told = leaks_of(encode, write, values)
    assert len(told) == 1, told
    assert re.search(r"alone tells the class in .* training samples that have a value;", told[0])


def test_one_class_is_told_among_those_with_a_value(encode, write):
    values = np.where(LABELS == 1, 1, 2 + np.arange(80) % 2).astype(object)
    values[::7] = ""
    (told,) = leaks_of(encode, write, values, categories=["DX"])
    assert "class MCI from the others in over 99% of the training samples that have" in told


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("has", [8, 30, 50])
def test_chance_with_gaps_is_not_told(encode, write, seed, has):
    rng = np.random.default_rng(seed)
    values = np.where(rng.permutation(80) < has, rng.normal(size=80).round(3).astype(str), "")
    assert leaks_of(encode, write, values) == []


def test_a_few_values_that_fit_tell_nothing(encode, write):
    few = [*np.flatnonzero(LABELS == 0)[:4], *np.flatnonzero(LABELS == 1)[:4]]
    values = ["" for _ in MANY]
    for place in few:
        values[place] = str(LABELS[place])
    assert leaks_of(encode, write, values) == []


@pytest.mark.parametrize("kind", HARMLESS)
def test_other_columns_are_not(encode, write, kind):
    assert leaks_of(encode, write, HARMLESS[kind], categories=["DX"] * (kind == "category")) == []


@pytest.mark.parametrize("seed", range(4))
def test_thresholds_tell_though_a_fold_lacks_their_neighbours(encode, write, seed):
    scores = LABELS + np.random.default_rng(seed).uniform(0, 1, 80)
    assert "the class" in " ".join(leaks_of(encode, write, scores))


def test_a_missing_value_can_be_all_that_tells(encode, write):
    labels = LABELS % 2
    years = np.where(labels, RNG.integers(1, 5, 80).astype(str), "")
    assert "the class" in leaks_of(encode, write, years, labels=labels)[0]


def test_a_rare_class_is_not_told_by_everything(encode, write):
    labels = np.array([1] * 5 + [0] * 75)
    names = [*MANY[:40], *(f"q{i}" for i in range(1000))]
    labels = np.array([1] * 5 + [0] * 1035)
    write("t.csv", "PTID,A", [(name, i % 7) for i, name in enumerate(names)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encode(names=names, train=1000, labels=labels)


def test_leaks_are_sought_among_training_samples(encode, write):
    values = np.where(np.arange(80) < 60, RNG.integers(0, 3, 80), LABELS)
    assert leaks_of(encode, write, values) == []
    values = np.where(np.arange(80) < 60, LABELS, RNG.integers(0, 3, 80))
    assert leaks_of(encode, write, values)


def test_a_drug_against_the_disease_is_told(encode, write):
    rows = [(name, "Aspirin" if i % 2 else "Zocor") for i, name in enumerate(MANY)]
    rows += [(name, "Aricept") for name, label in zip(MANY, LABELS, strict=True) if label == 2]
    write("t.csv", "PTID,CMMED", rows)
    with pytest.warns(UserWarning, match=r"column CMMED aricept: alone tells class Dementia"):
        encode(names=MANY, train=60, labels=LABELS, lists=[{"column": "CMMED"}])
