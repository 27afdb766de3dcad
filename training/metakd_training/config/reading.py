"""The settings of one run, read from YAML and changed by ``section.key=value``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Discriminator, Tag, TypeAdapter, ValidationError

from metakd_training.config.brain import BrainConfig
from metakd_training.config.classification import ClassificationConfig
from metakd_training.config.segmentation import SegmentationConfig

Config = SegmentationConfig | ClassificationConfig | BrainConfig
"""The settings of a run, by its ``task``; segmentation when that is left out."""

_ANY = TypeAdapter(
    Annotated[
        Annotated[SegmentationConfig, Tag("segmentation")]
        | Annotated[ClassificationConfig, Tag("classification")]
        | Annotated[BrainConfig, Tag("brain")],
        Discriminator(lambda settings: settings.get("task", "segmentation")),
    ]
)


def read_config(path: Path, changes: list[str] | None = None) -> Config:
    """Read a YAML file and apply changes such as ``method.alpha=0.2``.

    ``base: other.yaml`` takes that file's settings, beside this one, for all that is not said
    here; another method starts afresh.

    Raises `ValueError` naming the file and every setting that is wrong.
    """
    settings = _read(path)
    # Names first: with another method its settings start afresh, whatever the order.
    for change in sorted(changes or [], key=lambda text: ".name=" not in text):
        _apply(settings, change)
    try:
        return _ANY.validate_python(settings)
    except ValidationError as error:
        raise ValueError(f"{path}: {_in_words(error, settings)}") from error


def as_yaml(config: Config) -> str:
    """The settings as text that `read_config` reads back."""
    return str(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))


def differences(one: Config, other: Config) -> dict[str, tuple[Any, Any]]:
    """Dotted name → both values, for every setting in which two configurations differ."""
    ours, theirs = _flat(one.model_dump()), _flat(other.model_dump())
    names = dict.fromkeys([*ours, *theirs])
    pairs = {name: (ours.get(name), theirs.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


class _Once(yaml.SafeLoader):
    """Refuses a name that stands twice in a section: one of its values would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {str(name) for name in names if names.count(name) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"{', '.join(sorted(twice))} stands twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def _read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    path = path.resolve()
    if path in above:
        raise ValueError(f"{path}: is its own base")
    try:
        settings = yaml.load(path.read_text(encoding="utf-8"), _Once)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid YAML ({_one_line(error)})") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{path}: holds no settings; see training/configs")
    base = settings.pop("base", None)
    if base is None:
        return settings
    if not isinstance(base, str):
        raise ValueError(f"{path}: base is {base!r}, not the name of a file")
    return _merged(_read(path.parent / base, (*above, path)), settings)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        sections = isinstance(old, dict) and isinstance(value, dict)
        renamed = sections and key == "method" and value.get("name") not in (None, old.get("name"))
        merged[key] = _merged(old, value) if sections and not renamed else value
    return merged


def _apply(settings: dict[str, Any], change: str) -> None:
    name, equals, text = change.partition("=")
    if not equals:
        raise ValueError(f"'{change}': settings are changed by name=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"'{change}': not a value ({_one_line(error)})") from error
    *sections, key = name.split(".")
    for section in sections:
        settings = settings.setdefault(section, {})
        if not isinstance(settings, dict):
            raise ValueError(f"'{change}': {section} is no section")
    if name == "method.name" and settings.get(key, value) != value:
        settings.clear()  # another method has other settings, as with `base`
    settings[key] = value


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        inner = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return flat


_WORDS = {
    "extra_forbidden": "no such setting",
    "union_tag_invalid": "'{tag}' is none of {expected_tags}",
    "union_tag_not_found": "says not which of its kinds it is (task, source, kind or name)",
    "tuple_type": "should be a list; write [ ] around it",
}
"""pydantic's kinds of problems, where its own words do not help."""


def _in_words(error: ValidationError, settings: dict[str, Any]) -> str:
    """Every problem in one line: the setting's dotted name and what is wrong with it."""
    problems = []
    for detail in error.errors():
        place = _place(detail["loc"], settings)
        message = detail["msg"].removeprefix("Value error, ")
        if detail["type"] in _WORDS:
            message = _WORDS[detail["type"]].format_map(detail.get("ctx", {}))
        problems.append(f"{place}: {message}" if place else message)
    return "; ".join(problems)


def _place(steps: tuple[int | str, ...], settings: Any) -> str:
    """The dotted name of a setting, without the choices that pydantic names on the way to it."""
    names, here = [], {"task": "segmentation", **settings}
    for step in steps:
        if isinstance(here, dict):
            if step in [here.get(key) for key in ("task", "name", "kind", "source")]:
                continue
            here = here.get(step)
        elif isinstance(here, list):
            here = here[step] if isinstance(step, int) and step < len(here) else None
        names.append(str(step))
    return ".".join(names)
