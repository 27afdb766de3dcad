"""Importing model packages."""

import stat
import zipfile
from pathlib import Path

import pytest
from metakd.model import import_package, load_model
from metakd.packages import CARD, WEIGHTS, ModelError, find_models, remove_model


def zip_of(package, path, *, inside="mine/", also=()):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (CARD, WEIGHTS):
            archive.write(package / name, inside + name)
        for name in also:
            archive.writestr(name, "x")
    return path


def files_below(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("source", ["folder", "zip", "zip without a folder of its own"])
def test_a_sound_package_is_imported_listed_loaded_and_removed(
    package, user_models, tmp_path, source
):
    if source != "folder":
        package = zip_of(package, tmp_path / "mine.zip", inside="mine/" * (source == "zip"))
    installed = import_package(package)
    assert installed == find_models()["mine"] == user_models / "mine"
    assert load_model("mine").name == "mine"
    assert remove_model("mine") == installed
    assert "mine" not in find_models()
    assert not list(user_models.iterdir())


def test_a_models_folder_that_does_not_exist_yet_is_made(package, tmp_path, monkeypatch):
    monkeypatch.setenv("METAKD_MODELS", str(tmp_path / "new" / "models"))
    import_package(package)
    assert files_below(tmp_path / "new") == {f"models/mine/{CARD}", f"models/mine/{WEIGHTS}"}


def test_only_what_belongs_to_a_package_is_kept(package, user_models, tmp_path):
    (package / "LICENSE").write_text("Apache-2.0")
    (package / "evil.py").write_text("raise SystemExit")
    import_package(package)
    archive = zip_of(package, tmp_path / "zipped.zip", also=["mine/run.sh", "mine/models/model.pt"])
    import_package(archive)
    assert files_below(user_models) == {
        f"mine/{CARD}",
        f"mine/{WEIGHTS}",
        "mine/LICENSE",
        f"zipped/{CARD}",
        f"zipped/{WEIGHTS}",
    }


def test_a_name_that_is_taken_is_refused(package, refused):
    import_package(package)
    refused(package, "'mine' is installed already; remove it first")


def test_a_folder_in_the_way_is_refused_and_kept(package, user_models, refused):
    (user_models / "mine").mkdir()
    (user_models / "mine" / "notes.txt").write_text("mine")
    refused(package, "mine")


@pytest.mark.parametrize("inside", [".", "configs"])
def test_a_package_given_as_dots_is_imported_under_its_real_name(
    package, user_models, monkeypatch, inside
):
    monkeypatch.chdir(package / inside)
    import_package(Path("." if inside == "." else ".."))
    assert set(find_models()) & {"mine"} == {path.name for path in user_models.iterdir()}
    assert files_below(user_models) == {f"mine/{CARD}", f"mine/{WEIGHTS}"}


@pytest.mark.parametrize("name", [".zip", ".hidden"])
def test_a_package_whose_name_could_not_be_listed_is_refused(package, refused, tmp_path, name):
    if name.endswith("zip"):
        refused(zip_of(package, tmp_path / name), "name")
    else:
        refused(package.rename(tmp_path / name), "name")


def test_a_source_that_is_not_there_is_refused(refused, tmp_path):
    refused(tmp_path / "none.zip", "none.zip: no such file or folder")


def test_an_empty_folder_is_refused(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "not a MetaKD model package")


@pytest.mark.parametrize("missing", [CARD, WEIGHTS])
def test_a_package_without_card_or_weights_is_refused(package, refused, missing):
    (package / missing).unlink()
    refused(package, Path(missing).name)


@pytest.mark.parametrize("linked", [CARD, WEIGHTS, "LICENSE"])
def test_a_link_that_leads_out_of_the_package_is_refused(package, refused, tmp_path, linked):
    secret = tmp_path / "secret"
    if (package / linked).exists():
        (package / linked).rename(secret)
    else:
        secret.write_text("secret")
    (package / linked).symlink_to(secret)
    refused(package, "leads out of the package")


def test_a_linked_folder_that_leads_out_is_refused(package, refused, tmp_path):
    (package / "models").rename(tmp_path / "elsewhere")
    (package / "models").symlink_to(tmp_path / "elsewhere")
    refused(package, "leads out of the package")


def test_a_link_in_a_circle_is_refused(package, refused):
    (package / CARD).unlink()
    (package / CARD).symlink_to("metadata.json")
    refused(package, "metadata.json")


@pytest.mark.parametrize(
    "name", ["/etc/x", "../x", "mine/../../x", "..\\x", "C:/x", "c:x", "\\\\host\\x"]
)
def test_a_zip_entry_that_escapes_is_refused(package, refused, tmp_path, name):
    refused(zip_of(package, tmp_path / "evil.zip", also=[name]), "escapes; refused")


@pytest.mark.parametrize("name", [".", "./"])
def test_a_zip_entry_without_a_name_does_no_harm(package, user_models, tmp_path, name):
    import_package(zip_of(package, tmp_path / "odd.zip", also=[name]))
    assert files_below(user_models) == {f"odd/{CARD}", f"odd/{WEIGHTS}"}


def test_a_link_inside_a_zip_is_never_made(package, refused, tmp_path):
    link = zipfile.ZipInfo(f"mine/{CARD}")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, str(package / CARD))
        archive.write(package / WEIGHTS, f"mine/{WEIGHTS}")
    refused(tmp_path / "link.zip", "not valid JSON")


def test_the_error_names_what_was_given_and_no_temporary_copy(package, user_models):
    (package / WEIGHTS).write_bytes(b"damaged")
    with pytest.raises(ModelError) as caught:
        import_package(package)
    assert str(package) in str(caught.value)
    assert str(user_models) not in str(caught.value)


def test_a_zip_that_unpacks_to_too_much_is_refused(refused, tmp_path):
    with (
        zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bomb,
        bomb.open(WEIGHTS, "w") as entry,
    ):
        for _ in range(257):
            entry.write(bytes(2**20))
    refused(tmp_path / "bomb.zip", "unpacks to more than any model package")


@pytest.mark.parametrize("spoil", ["half", "one bit in its packed weights", "not a zip"])
def test_a_damaged_zip_is_refused(package, refused, tmp_path, spoil):
    path = zip_of(package, tmp_path / "damaged.zip")
    data = bytearray(path.read_bytes())
    if spoil == "half":
        data = data[: len(data) // 2]
    elif spoil == "not a zip":
        data = bytearray(b"hello")
    for place in range(1200, 1300 if spoil.startswith("one bit") else 0):
        flipped = data.copy()
        flipped[place] ^= 16
        path.write_bytes(flipped)
        refused(path, "not a readable zip|checksum|not valid JSON")
    if not spoil.startswith("one bit"):
        path.write_bytes(data)
        refused(path, "not a readable zip")
