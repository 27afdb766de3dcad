"""The installed model packages and what their cards say, for the panel's list and details."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from metakd.packages import ModelError, find_models, package_folder, read_card, user_folder
from metakd.regions import REGIONS


@dataclass(frozen=True)
class InstalledModel:
    """One entry of the list.

    Attributes:
        folder: `None` for one that is not installed.
        problem: why it cannot be used; empty when its card is sound.
        is_imported: False for those that come with the extension.
    """

    name: str
    folder: Path | None
    card: Mapping[str, Any]
    problem: str
    is_imported: bool

    @property
    def title(self) -> str:
        """What the list shows."""
        if self.problem:
            return f"{self.name} ({'missing' if self.folder is None else 'damaged'})"
        return f"{self.name} ({'imported' if self.is_imported else 'embedded'})"

    @property
    def summary(self) -> str:
        """A few plain lines for a tooltip."""
        if self.problem:
            return self.problem
        return (
            f"{self.name}, version {self.card['version']}\n{self.card['description']}\n"
            f"{self.card['intended_use']}"
        )


def installed_models() -> dict[str, InstalledModel]:
    """Name → model of every package, the default first."""
    packages = find_models()
    if not packages:
        return {}
    default = package_folder().name
    names = sorted(packages, key=lambda name: (name != default, name))
    return {name: _installed(name, packages[name]) for name in names}


def missing_model(name: str) -> InstalledModel:
    """A model that a scene asks for and that is not here."""
    problem = f"the model {name} of this scene is not installed: import it or choose another"
    return InstalledModel(name, None, {}, problem, is_imported=False)


def _installed(name: str, folder: Path) -> InstalledModel:
    try:
        card, problem = read_card(folder), ""
    except ModelError as error:
        card, problem = {}, str(error)
    return InstalledModel(name, folder, card, problem, folder.parent == user_folder())


def card_html(model: InstalledModel) -> str:
    """The whole card: use, training data with licences, expected Dice by subset and region."""
    if model.problem:
        return f"<p>{escape(model.problem)}</p>"
    settings = model.card["metakd"]
    sources = "".join(
        f"<li>{escape(s['name'])}: {s['cases']} cases, {escape(s['licence'])}</li>"
        for s in settings["training_data"]
    )
    expected = settings["expected_dice"]
    return (
        f"<h3>{escape(model.name)}, version {escape(model.card['version'])}</h3>"
        f"<p><b>{escape(model.card['intended_use'])}</b></p>"
        f"<p>{escape(model.card['description'])}</p>"
        f"<p>Trained on:</p><ul>{sources}</ul>"
        f"<p>Mean Dice, measured on {escape(expected['measured_on'])}:</p>"
        f"{_dice_table(expected['subsets'])}"
    )


def _dice_table(subsets: Mapping[str, Mapping[str, float]]) -> str:
    head = "".join(f"<th>{region.value}</th>" for region in REGIONS)
    rows = "".join(
        f"<tr><td>{escape(subset)}&nbsp;</td>"
        + "".join(f"<td>{_figure(row.get(region.value))}</td>" for region in REGIONS)
        + "</tr>"
        for subset, row in subsets.items()
    )
    return f'<table cellpadding="2"><tr><th></th>{head}</tr>{rows}</table>'


def _figure(dice: float | None) -> str:
    return "–" if dice is None else f"{dice:.2f}"
