"""Installed packages and their cards, without torch."""

import os
import shutil
import subprocess
import sys

import pytest
from metakd.model import import_package, load_model
from metakd.packages import (
    CARD,
    WEIGHTS,
    ModelError,
    find_models,
    package_folder,
    read_card,
    remove_model,
)


def test_neither_torch_nor_simpleitk_is_needed_to_know_the_models():
    script = (
        "import sys; sys.modules.update(torch=None, SimpleITK=None)\n"
        "from metakd.packages import find_models, package_folder, read_card\n"
        "assert find_models()\n"
        "print(read_card(package_folder())['metakd']['spacing_mm'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert float(done.stdout) > 0, done.stderr


def test_a_card_is_read_without_its_weights(package):
    card = read_card(package)
    (package / WEIGHTS).unlink()
    assert read_card(package) == card
    (package / CARD).unlink()
    with pytest.raises(ModelError, match="is missing; not a MetaKD model package"):
        read_card(package)


def test_what_comes_with_metakd_is_the_default_and_cannot_be_removed(user_models):
    embedded = find_models()
    for name, folder in embedded.items():
        with pytest.raises(ModelError, match=f"'{name}' comes with metakd"):
            remove_model(name)
        assert (folder / CARD).is_file()
    assert package_folder().name in embedded
    assert load_model().name in embedded


def test_an_imported_namesake_of_an_embedded_model_does_not_break_the_default(package, user_models):
    embedded = find_models()
    shutil.copytree(package, user_models / next(iter(embedded)))
    assert load_model().name in embedded


def test_a_package_is_found_by_name_and_by_folder(package, user_models):
    installed = import_package(package)
    assert package_folder("mine") == installed
    assert package_folder(str(package)) == package


@pytest.mark.parametrize("name", ["nope", "..", ".", "", "../user models", os.sep])
def test_nothing_but_an_installed_name_is_removed(package, user_models, name):
    import_package(package)
    with pytest.raises(ModelError, match="no model named"):
        remove_model(name)
    kept = {
        str(path.relative_to(user_models)) for path in user_models.rglob("*.*") if path.is_file()
    }
    assert kept == {f"mine/{CARD}", f"mine/{WEIGHTS}"}


def test_an_unknown_model_is_refused_with_the_known_ones(package, user_models):
    import_package(package)
    with pytest.raises(ModelError, match="unknown model 'nope'; installed: mine"):
        package_folder("nope")


def test_without_any_model_the_error_says_how_to_get_one(user_models, monkeypatch):
    monkeypatch.setattr("metakd.packages.model_folders", lambda: [user_models])
    with pytest.raises(ModelError, match="metakd models import"):
        package_folder()
