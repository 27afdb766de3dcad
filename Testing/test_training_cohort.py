"""Cohorts by configuration, on generated ones in ADNI's layout and on small ones of other kinds."""

import csv
import json
import shutil
import warnings
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("pandas")
pytest.importorskip("sklearn")
pytest.importorskip("librosa")

from metakd_training.config import read_config
from metakd_training.config.classification import ClassificationConfig
from metakd_training.data.adni_phantom import CohortSettings, write_cohort
from metakd_training.data.cohort import load_cohort
from PIL import Image as Picture
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

ADNI = Path(__file__).parents[1] / "training" / "configs" / "adni_metakd.yaml"
SMALL = CohortSettings(size=(8, 9, 8))
MODALITIES = ["image", "genetic", "clinical", "biospecimen"]


def adni(folder, *changes):
    """The published protocol on another folder; nothing else that it says of tables changes."""
    return read_config(ADNI, [f"data.folder={folder}", "modalities.image.size=[8,9,8]", *changes])


def load(config):
    return load_cohort(config.data, config.modalities)


@pytest.fixture(scope="session")
def generated(tmp_path_factory):
    """A cohort to read only."""
    folder = tmp_path_factory.mktemp("generated")
    write_cohort(folder, 80, 1, SMALL)
    return folder


@pytest.fixture(scope="session")
def samples(generated):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load(adni(generated))


@pytest.fixture
def cohort(generated, tmp_path):
    """A copy to spoil, in a folder whose name looks like a pattern."""
    return Path(shutil.copytree(generated, tmp_path / "ADNI [2024]"))


def split_of(folder):
    return json.loads((folder / "split.json").read_text("utf-8"))


def table(folder, name):
    return next(folder.glob(f"*/*{name}*.csv"))


def read(folder, name):
    with table(folder, name).open() as file:
        return list(csv.DictReader(file))


def change(folder, name, edit):
    """Write a table again, each row as `edit(row)` gives it, but for those given as None."""
    rows = [edited for row in read(folder, name) if (edited := edit(dict(row)))]
    with table(folder, name).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def told(function):
    """What a call returns, and all that it warns of."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        result = function()
    return result, [str(warning.message) for warning in seen]


# --- the published protocol --------------------------------------------------------------------


def test_every_sample_has_what_the_files_hold(generated, samples):
    split = split_of(generated)
    assert {
        key: [samples.names[i] for i in places] for key, places in samples.lists.items()
    } == split
    assert samples.classes == ("CN", "MCI", "Dementia")
    baseline = {row["PTID"]: row["DIAGNOSIS"] for row in read(generated, "DXSUM")}
    assert [str(label + 1) for label in samples.labels.tolist()] == [
        baseline[n] for n in samples.names
    ]
    assert list(samples.inputs) == MODALITIES
    assert samples.inputs["image"].shape == (80, 1, 8, 9, 8)
    assert samples.inputs["genetic"].shape == (80, 60)
    has = dict(zip(MODALITIES, samples.present.T.tolist(), strict=True))
    assert has["image"] == [any(generated.glob(f"image/{name}_*")) for name in samples.names]
    lines = (generated / "genetic" / "ADNI.raw").read_text("utf-8").splitlines()[1:]
    assert has["genetic"] == [name in {line.split()[1] for line in lines} for name in samples.names]
    clinical = {row["PTID"] for row in read(generated, "MEDHIST")}
    assert has["clinical"] == [name in clinical for name in samples.names]
    rids = {int(row["RID"]) for row in read(generated, "ROCHE")}
    blood = {row["PTID"] for row in read(generated, "APOERES")}
    assert has["biospecimen"] == [n in blood or int(n[-4:]) in rids for n in samples.names]
    for place, (name, values) in enumerate(samples.inputs.items()):
        assert values.dtype == torch.float32, name
        assert torch.isfinite(values).all(), name
        absent = ~samples.present[:, place]
        assert absent.any() or name == "clinical"
        assert not values[absent].any(), name
        assert values[~absent].flatten(1).any(dim=1).all(), name


def test_nothing_of_the_protocol_gives_the_diagnosis_away(generated):
    _, warned = told(lambda: load(adni(generated)))
    assert not [text for text in warned if "alone tells" in text]
    assert all("differ" in text or "left out" in text for text in warned), warned


def test_the_columns_that_are_left_out_would(tmp_path):
    write_cohort(tmp_path, 120, 3, SMALL)
    config = adni(
        tmp_path,
        "modalities.clinical.tables=[{file: clinical/*PTDEMOG*.csv, key: PTID, missing: [-4, -1]}]",
    )
    _, warned = told(lambda: load(config))
    leaks = " ".join(text for text in warned if "alone tells" in text)
    assert "PTDEMOG_22Apr2024.csv, column PTADDX: alone tells class Dementia" in leaks
    assert "column PTADBEG: alone tells class Dementia" in leaks
    assert "column PTCOGBEG: alone tells class CN" in leaks
    assert "PTEDUCAT" not in leaks


def test_values_of_the_test_change_nothing_in_training(cohort, samples):
    tested = {*split_of(cohort)["test"], *split_of(cohort)["held_out"]}

    def strange(row):
        if row["PTID"] in tested:
            row |= {key: "17" for key in row if key.startswith(("PTE", "PTH", "NX", "VS", "MH"))}
        return row

    for name in ("PTDEMOG", "NEUROEXM", "VITALS", "MEDHIST"):
        change(cohort, name, strange)
    change(cohort, "RECCMEDS", lambda row: row | {"CMMED": "Zyx"} if row["PTID"] in tested else row)
    (others, _), places = told(lambda: load(adni(cohort))), samples.lists["train"]
    clinical = others.inputs["clinical"]
    assert torch.equal(clinical[places], samples.inputs["clinical"][places])
    assert not torch.equal(clinical, samples.inputs["clinical"])


def test_a_later_visit_changes_nothing(cohort, samples):
    later = {"m06", "m12"}
    for name in ("NEUROEXM", "VITALS", "ROCHE", "RECCMEDS"):
        kept = [row for row in read(cohort, name) if row["VISCODE2"] not in later]
        assert len(kept) < len(read(cohort, name))
        change(cohort, name, lambda row: None if row["VISCODE2"] in later else row)
    again, _ = told(lambda: load(adni(cohort)))
    assert all(torch.equal(again.inputs[name], samples.inputs[name]) for name in MODALITIES)


def test_a_category_of_test_patients_alone_is_in_no_column(generated, samples):
    homes = {row["PTID"]: row["PTHOME"] for row in read(generated, "PTDEMOG")}
    unknown = [name for name, home in homes.items() if home == "8"]
    assert unknown
    assert set(unknown) <= set(split_of(generated)["test"])
    assert samples.present[samples.names.index(unknown[0]), 2]


# --- what is refused ---------------------------------------------------------------------------


def spoil_split(folder, edit):
    split = split_of(folder)
    edit(split)
    (folder / "split.json").write_text(json.dumps(split))
    return split


def test_a_patient_in_two_lists_is_refused_by_name(cohort):
    name = split_of(cohort)["train"][0]
    spoil_split(cohort, lambda split: split["test"].append(name))
    with pytest.raises(ValueError, match=rf"split\.json: stand twice: {name} \(train, test\)"):
        load(adni(cohort))


def test_a_split_needs_two_lists(cohort):
    spoil_split(cohort, lambda split: split.pop("held_out"))
    with pytest.raises(ValueError, match=r"split\.json: the list held_out is missing or empty"):
        load(adni(cohort))


def test_who_has_no_class_is_refused_by_name(cohort):
    listed = {name for names in split_of(cohort).values() for name in names}
    others = {row["PTID"]: row["DIAGNOSIS"] for row in read(cohort, "DXSUM")}.items()
    nothing = next(name for name, code in others if name not in listed and code == "-4")
    changing = next(name for name, code in others if name not in listed and code != "-4")
    spoil_split(cohort, lambda split: split["test"].extend([nothing, changing, "999_S_9999"]))
    match = rf"split\.json: {nothing}, {changing}, 999_S_9999 have no class, or several, in .*DXSUM"
    with pytest.warns(UserWarning), pytest.raises(ValueError, match=match):
        load(adni(cohort))
    with (
        pytest.warns(UserWarning),
        pytest.raises(ValueError, match=rf": {nothing}, 999_S_9999 have"),
    ):
        load(adni(cohort, "data.subjects.stable=false"))


def test_rows_and_patients_without_a_class_are_counted(cohort):
    _, warned = told(lambda: load(adni(cohort)))
    rows = read(cohort, "DXSUM")
    nothing = sum(row["DIAGNOSIS"] == "-4" and row["VISCODE2"] == "bl" for row in rows)
    assert any(f"column DIAGNOSIS: {nothing} rows have no class's code" in text for text in warned)
    by_name = {}
    for row in rows:
        by_name.setdefault(row["PTID"], set()).add(row["DIAGNOSIS"])
    changing = sum(len(codes) > 1 for codes in by_name.values())
    assert any(f"{changing} samples have several classes over all visits" in t for t in warned)


def test_the_class_is_of_the_visit_that_counts(cohort):
    name = split_of(cohort)["train"][0]
    old = next(row["DIAGNOSIS"] for row in read(cohort, "DXSUM") if row["PTID"] == name)
    new = str(int(old) % 3 + 1)

    def at(visit, code):
        def edit(row):
            chosen = row["PTID"] == name and row["VISCODE2"] == visit
            return row | {"DIAGNOSIS": code} if chosen else row

        return edit

    def label():
        read_again, _ = told(lambda: load(adni(cohort, "data.subjects.stable=false")))
        return read_again.labels[read_again.names.index(name)] + 1

    change(cohort, "DXSUM", at("m12", new))
    assert label() == int(old)
    change(cohort, "DXSUM", at("bl", f"{new}.0"))
    assert label() == int(new)
    rows = read(cohort, "DXSUM")
    screening = [row | {"VISCODE2": "sc", "DIAGNOSIS": old} for row in rows if row["PTID"] == name]
    with table(cohort, "DXSUM").open("a", newline="") as file:
        csv.DictWriter(file, list(rows[0])).writerow(screening[0])
    assert label() == int(new)  # bl before sc
    change(cohort, "DXSUM", at("bl", "-4"))
    assert label() == int(old)


def test_two_classes_at_one_visit_are_refused_by_name(cohort):
    name = split_of(cohort)["train"][0]
    rows = [row for row in read(cohort, "DXSUM") if row["PTID"] == name][:1]
    with table(cohort, "DXSUM").open("a", newline="") as file:
        row = rows[0] | {"DIAGNOSIS": int(rows[0]["DIAGNOSIS"]) % 3 + 1}
        csv.DictWriter(file, list(row)).writerow(row)
    with (
        pytest.warns(UserWarning),
        pytest.raises(ValueError, match=f"{name} have no class, or several"),
    ):
        load(adni(cohort, "data.subjects.stable=false"))


@pytest.mark.filterwarnings("ignore:.*column")
def test_a_class_that_nobody_in_training_has_is_named(cohort):
    codes = {row["PTID"]: row["DIAGNOSIS"] for row in read(cohort, "DXSUM")}
    spoil_split(
        cohort, lambda split: split.update(train=[n for n in split["train"] if codes[n] != "2"])
    )
    with pytest.raises(ValueError, match="train has no sample of class MCI"):
        load(adni(cohort))


@pytest.mark.filterwarnings("ignore:.*column")
def test_a_modality_that_nobody_in_training_has_is_named(cohort):
    for name in split_of(cohort)["train"]:
        for path in cohort.glob(f"image/{name}_*"):
            path.unlink()
    with pytest.raises(ValueError, match=r"image/\{name\}_\*\.nii\*: no training sample has such"):
        load(adni(cohort))


@pytest.mark.filterwarnings("ignore:.*column")
@pytest.mark.parametrize("tested_alone", [True, False])
def test_a_table_that_nobody_in_training_is_in_is_named(cohort, tested_alone):
    train = split_of(cohort)["train"]
    lines = (cohort / "genetic" / "ADNI.raw").read_text("utf-8").splitlines()
    kept = [line for line in lines[1:] if tested_alone and line.split()[1] not in train]
    kept.append("1 somebody_else " + " ".join(["1"] * (len(lines[0].split()) - 2)))
    (cohort / "genetic" / "ADNI.raw").write_text("\n".join([lines[0], *kept]))
    match = r"ADNI\.raw: no training sample is" if tested_alone else r"ADNI\.raw, column IID: names"
    with pytest.raises(ValueError, match=match):
        load(adni(cohort))


@pytest.mark.filterwarnings("ignore:.*column")
@pytest.mark.parametrize(
    ("modality", "match"),
    [
        ("image/*.nii", r"has no \{name\}"),
        ("image/{name}*", r"_S_\d+ has .*_b\.nii; keep one"),
    ],
)
def test_one_file_is_one_sample_s(cohort, modality, match):
    first = sorted(cohort.glob("image/*"))[0]
    shutil.copy(first, first.with_name(first.stem + "_b.nii"))
    with pytest.raises(ValueError, match=match):
        load(adni(cohort, f'modalities.image.files="{modality}"'))


def scan_of(cohort, name):
    return next(cohort.glob(f"image/{name}_*"))


def train_with_scans(cohort):
    return [n for n in split_of(cohort)["train"] if any(cohort.glob(f"image/{n}_*"))]


@pytest.mark.filterwarnings("ignore:.*column")
def test_a_file_of_two_samples_is_refused(cohort):
    short, long = train_with_scans(cohort)[:2]
    for path in cohort.glob("image/*"):
        path.rename(path.with_name(path.name.replace(long, f"{short}_b").replace(".nii", "_x.nii")))
    change(cohort, "DXSUM", lambda r: r | {"PTID": f"{short}_b"} if r["PTID"] == long else r)
    spoil_split(
        cohort,
        lambda split: split.update(
            train=[f"{short}_b" if name == long else name for name in split["train"]]
        ),
    )
    with pytest.raises(ValueError, match=rf": {short} has .*, {short}_b_.*; keep one, or make"):
        load(adni(cohort))
    next(p for p in cohort.glob(f"image/{short}_*") if f"{short}_b" not in p.name).unlink()
    both = rf"image/\{{name\}}_\*\.nii\*: {short}(_b)? and {short}(_b)? both have {short}_b_"
    with pytest.raises(ValueError, match=both):
        load(adni(cohort))


@pytest.mark.filterwarnings("ignore:.*column")
def test_a_copy_of_a_scan_is_refused(cohort):
    tested = next(n for n in split_of(cohort)["test"] if any(cohort.glob(f"image/{n}_*")))
    trained = train_with_scans(cohort)[3]
    shutil.copy(scan_of(cohort, trained), scan_of(cohort, tested))
    match = f"image/{tested}_.*: {trained} and {tested} have the same content of image"
    with pytest.raises(ValueError, match=match):
        load(adni(cohort))


@pytest.mark.filterwarnings("ignore:.*column")
@pytest.mark.parametrize(("kind", "match"), [("link", "is a link to gone"), ("dir", "is a folder")])
def test_a_scan_that_is_no_file_does_not_count_as_absent(cohort, kind, match):
    path = scan_of(cohort, train_with_scans(cohort)[0])
    path.unlink()
    if kind == "link":
        path.symlink_to("gone")
    else:
        path.mkdir()
    with pytest.raises(ValueError, match=f"{path.name}: {match}"):
        load(adni(cohort))


def test_codes_of_no_class_are_told_with_those_that_are_there(cohort):
    change(cohort, "DXSUM", lambda row: row | {"DIAGNOSIS": "ABC"[int(row["DIAGNOSIS"]) % 3]})
    match = (
        r"DXSUM.*, column DIAGNOSIS: no row has a class's code; there is [ABC], [ABC], [ABC], "
        r"classes has 1, 2, 3; correct classes"
    )
    with pytest.raises(ValueError, match=match):
        load(adni(cohort))


@pytest.mark.filterwarnings("ignore:.*column")
def test_samples_of_another_code_are_told_with_the_codes(cohort):
    other = {"1": "", "2": "MCI"}
    change(cohort, "DXSUM", lambda r: r | {"DIAGNOSIS": other.get(r["DIAGNOSIS"], r["DIAGNOSIS"])})
    codes = r"(3|MCI|nothing|-4)"
    match = rf"have no class.*column DIAGNOSIS: there is ({codes}, ){{4}}classes has 1, 2, 3\)"
    with pytest.raises(ValueError, match=match):
        load(adni(cohort))


def test_visits_of_nobody_are_told_with_those_that_are_there(cohort):
    with pytest.raises(ValueError, match=r"column VISCODE2: no visit is one of .* there are .*bl"):
        load(adni(cohort, "data.subjects.visits={column: VISCODE2, prefer: [v01]}"))


@pytest.mark.parametrize("column", ["PTID", "DIAGNOSIS"])
def test_classes_in_another_encoding_are_refused(cohort, column):
    path = table(cohort, "DXSUM")
    rows = read(cohort, "DXSUM")
    rows[4][column] = "\xe9"
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    path.write_bytes("\n".join(lines).encode("latin-1"))
    with pytest.raises(ValueError, match=rf"not UTF-8 \(row 6, column {column}\); save"):
        load(adni(cohort))


@pytest.mark.filterwarnings("ignore:.*column")
def test_a_rid_of_two_patients_is_refused(cohort):
    names = split_of(cohort)["train"][:2]
    rid = next(row["RID"] for row in read(cohort, "DXSUM") if row["PTID"] == names[0])
    change(cohort, "DXSUM", lambda row: row | {"RID": rid} if row["PTID"] in names else row)
    with pytest.raises(ValueError, match=f"RID {rid} is {names[0]} and {names[1]}|{names[1]} and"):
        load(adni(cohort))


@pytest.mark.filterwarnings("ignore:.*column")
def test_a_damaged_volume_is_named(cohort):
    path = sorted(cohort.glob("image/*"))[0]
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=path.name):
        load(adni(cohort))


# --- the generated cohort ----------------------------------------------------------------------


def contents(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in files}


def test_a_seed_is_a_cohort(tmp_path, generated):
    write_cohort(tmp_path / "again", 80, 1, SMALL)
    assert contents(tmp_path / "again") == contents(generated)
    write_cohort(tmp_path / "other", 80, 2, SMALL)
    assert (
        contents(tmp_path / "other")[Path("split.json")] != contents(generated)[Path("split.json")]
    )


def test_the_split_is_by_patient(generated):
    split = split_of(generated)
    names = [name for listed in split.values() for name in listed]
    assert len(names) == len(set(names)) == 80
    assert list(split) == ["train", "held_out", "test"]
    assert all(split.values())
    assert len({row["PTID"] for row in read(generated, "DXSUM")}) > 80


@pytest.fixture(scope="module")
def strengths(tmp_path_factory):
    """`strengths(settings)`: who has what, and each modality's AUC on unseen patients."""

    def measure(settings):
        folder = tmp_path_factory.mktemp("strengths")
        write_cohort(folder, 400, 5, settings)
        loaded, _ = told(lambda: load(adni(folder)))
        train = torch.zeros(400, dtype=torch.bool)
        train[loaded.lists["train"]] = True
        found = {}
        for name, has in zip(MODALITIES, loaded.present.T, strict=True):
            x, y = loaded.inputs[name].flatten(1).numpy(), loaded.labels.numpy()
            model = LogisticRegression(C=0.01 if name == "image" else 0.1, max_iter=1000)
            model.fit(x[has & train], y[has & train])
            chances = model.predict_proba(x[has & ~train])
            found[name] = roc_auc_score(y[has & ~train], chances, multi_class="ovr")
        return loaded.present, found

    return measure


def test_modalities_are_as_strong_as_planned(strengths):
    _, found = strengths(SMALL)
    assert found["biospecimen"] > found["image"] + 0.03
    assert found["image"] > max(found["genetic"], found["clinical"]) + 0.03
    assert min(found["genetic"], found["clinical"]) > 0.53


def test_another_modality_can_be_the_strong_one(strengths):
    signal = {"image": 0.5, "genetic": 0.5, "clinical": 3.0, "biospecimen": 0.0}
    present, found = strengths(CohortSettings(size=(8, 9, 8), signal=signal))
    assert found["clinical"] > max(found["image"], found["genetic"]) + 0.08
    assert found["biospecimen"] == pytest.approx(0.5, abs=0.1)
    lacking = 1 - present.float().mean(dim=0)
    assert lacking.tolist() == pytest.approx([0.2, 0.3, 0.02, 0.4], abs=0.06)
    assert torch.corrcoef(present.T.float())[[0, 0, 1], [1, 3, 3]].min() > 0.03


def test_the_sicker_lack_more(tmp_path):
    write_cohort(tmp_path, 1200, 5, CohortSettings(size=(2, 2, 2), snps=5))
    codes = {row["PTID"]: row["DIAGNOSIS"] for row in read(tmp_path, "DXSUM")}
    rids = {row["RID"] for row in read(tmp_path, "ROCHE")}
    lacking = {
        code: np.mean([str(int(n[-5:].lstrip("_"))) not in rids for n in codes if codes[n] == code])
        for code in "13"
    }
    assert lacking["1"] < lacking["3"] < lacking["1"] + 0.25


# --- cohorts of other kinds --------------------------------------------------------------------


def write_wav(path, rate=8000):
    seed = list(path.name.encode())  # each its own sound
    sound = (8000 * np.random.default_rng(seed).normal(size=4000)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(sound.tobytes())


def test_any_kinds_of_modality_need_a_configuration_alone(tmp_path):
    names = [f"case[{i}]" for i in range(12)]
    rng = np.random.default_rng(0)
    for name in names[:9]:
        pixels = rng.integers(0, 255, size=(20, 24), dtype=np.uint8)
        Picture.fromarray(pixels).save(tmp_path / f"{name}.png")
    for name in names[3:]:
        write_wav(tmp_path / f"{name}.wav")
    rows = [f"{name},{i % 2},{i}" for i, name in enumerate(names)]
    (tmp_path / "who.csv").write_text("\n".join(["id,sick,age", *rows]))
    split = {"train": names[:8], "held_out": names[8:10], "test": names[10:]}
    (tmp_path / "lists.json").write_text(json.dumps(split))
    config = ClassificationConfig.model_validate(
        {
            "task": "classification",
            "data": {
                "source": "cohort",
                "folder": str(tmp_path),
                "split": "lists.json",
                "subjects": {
                    "file": "who.csv",
                    "name": "id",
                    "label": "sick",
                    "classes": {0: "no", 1: "yes"},
                },
            },
            "modalities": {
                "picture": {"kind": "image", "files": "{name}.png", "size": [10, 12]},
                "sound": {"kind": "spectrogram", "files": "{name}.wav"},
                "facts": {
                    "kind": "table",
                    "tables": [{"file": "who.csv", "key": "id", "only": ["age"]}],
                },
            },
            "method": {"name": "dropout"},
            "steps": 1,
        }
    )
    loaded = load(config)
    shapes = {name: tuple(values.shape) for name, values in loaded.inputs.items()}
    assert shapes == {"picture": (12, 1, 10, 12), "sound": (12, 1, 20, 20), "facts": (12, 1)}
    assert loaded.present[:, 0].tolist() == [True] * 9 + [False] * 3
    assert loaded.present[:, 1].tolist() == [False] * 3 + [True] * 9
    assert not loaded.inputs["sound"][:3].any()
    assert loaded.classes == ("no", "yes")
    trained = loaded.inputs["sound"][3:8]
    assert trained.mean(dim=(0, 3)).abs().max() < 1e-4
    assert trained.std(dim=(0, 3), correction=0).flatten().tolist() == pytest.approx(
        [1] * 20, abs=1e-3
    )
    for kind in ("png", "wav"):
        kept, copied = (tmp_path / f"case[{i}].{kind}" for i in (8, 4))
        own = kept.read_bytes()
        shutil.copy(copied, kept)
        with pytest.raises(ValueError, match=rf"\[8\]\.{kind}: case\[4\] and case\[8\] have"):
            load(config)
        kept.write_bytes(own)
    write_wav(tmp_path / "case[5].wav", rate=16000)
    with pytest.raises(ValueError, match=r"case\[5\]\.wav"):
        load(config)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ("data.subjects.classes={1: CN}", "one class only"),
        ("data.subjects.visits={column: V, prefer: []}", "prefer"),
        ("data.speed=3", "no such setting"),
        ("modalities.genetic.tables=[]", "tables"),
    ],
)
def test_settings_that_say_nothing_are_refused(tmp_path, change, match):
    with pytest.raises(ValueError, match=match):
        adni(tmp_path, change)


def test_a_folder_without_a_split_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"split\.json: no such split file"):
        load(adni(tmp_path))


def test_volumes_of_tissue_are_scaled_together_and_keep_their_differences(generated):
    config = adni(generated)
    brains = {}
    for scaled in ("alone", "together"):
        image = config.modalities["image"].model_copy(update={"scaled": scaled})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            samples = load_cohort(config.data, {**config.modalities, "image": image})
        train = torch.tensor(samples.lists["train"])
        brains[scaled] = samples.inputs["image"][train][samples.present[train, 0]]
    alone, together = brains.values()
    assert torch.equal(alone == 0, together == 0)
    voxels = together[together != 0]
    assert voxels.mean().abs() < 1e-3 and (voxels.std() - 1).abs() < 1e-3
    each = [torch.stack([v[v != 0].mean() for v in some]) for some in (alone, together)]
    assert each[0].abs().max() < 1e-3
    assert each[1].std() > 0.05  # a brain with less tissue has a lower mean
