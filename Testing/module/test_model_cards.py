"""The list of models and their cards."""

import json
import shutil

from metakd.packages import CARD, package_folder

from MetaKDSegmentationLib.model_cards import card_html, installed_models


def test_the_embedded_model_comes_first_and_cannot_be_removed(user_models):
    shutil.copytree(package_folder(), user_models / "a-model")
    models = list(installed_models().values())
    assert [model.is_imported for model in models] == [False, True]
    assert models[0].title == f"{package_folder().name} (embedded)"
    assert models[1].title == "a-model (imported)"


def test_the_card_says_what_to_trust(user_models):
    html = card_html(next(iter(installed_models().values())))
    assert "Research use only" in html and "CC BY 4.0" in html
    assert "<td>t1+t1c+t2+flair&nbsp;</td>" in html


def test_a_damaged_package_is_listed_with_its_problem(user_models):
    folder = shutil.copytree(package_folder(), user_models / "b-model")
    card = json.loads((folder / CARD).read_text())
    del card["metakd"]
    (folder / CARD).write_text(json.dumps(card))
    model = installed_models()["b-model"]
    assert model.title == "b-model (damaged)" and "metakd" in model.problem
    assert model.problem in card_html(model) or "package" in card_html(model)
