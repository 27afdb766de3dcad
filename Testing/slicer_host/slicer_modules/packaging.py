"""`slicer.packaging` with the recorded signatures. It answers questions and installs nothing.

What would have been installed is in `requested`, for a test to read.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import NormalizedName
from packaging.utils import canonicalize_name as _canonicalize_name

__all__ = [
    "canonicalize_name",
    "default_environment",
    "isPipInstallInProgress",
    "load_pyproject_dependencies",
    "load_requirements",
    "pip_check",
    "pip_ensure",
    "pip_install",
    "pip_uninstall",
]

requested: list[tuple[str, object]] = []
"""("install", "uninstall" or "ensure", requirements), in order."""


def canonicalize_name(name: str, *, validate: bool = False) -> NormalizedName:
    return _canonicalize_name(name, validate=validate)


def isPipInstallInProgress() -> bool:
    return False


def load_requirements(path: str | Path) -> list[Requirement]:
    lines = (line.partition("#")[0].strip() for line in Path(path).read_text().splitlines())
    return [Requirement(line) for line in lines if line]


def load_pyproject_dependencies(path: str | Path) -> list[Requirement]:
    import tomllib

    project = tomllib.loads(Path(path).read_text())["project"]
    return [Requirement(line) for line in project.get("dependencies", [])]


def pip_check(
    req: str | Requirement | list[str | Requirement],
    _seen: set[tuple[str, frozenset[str]]] | None = None,
) -> bool:
    """Whether what is asked for is installed, in a version that fits."""
    for item in req if isinstance(req, list) else [req]:
        wanted = Requirement(item) if isinstance(item, str) else item
        if wanted.marker and not wanted.marker.evaluate():
            continue
        try:
            version = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            return False
        if not wanted.specifier.contains(version, prereleases=True):
            return False
    return True


def pip_ensure(
    requirements: str | Requirement | list[str | Requirement],
    constraints: str | Path | None = None,
    skip_packages: list[str] | None = None,
    prompt_install: bool = True,
    prompt_restart: bool = True,
    requester: str | None = None,
    skip_in_testing: bool = True,
    show_progress: bool = True,
) -> list[str] | None:
    requested.append(("ensure", requirements))
    return []


def pip_install(
    requirements: str | list[str],
    constraints: str | Path | None = None,
    no_deps_requirements: str | list[str] | None = None,
    skip_packages: list[str] | None = None,
    blocking: bool = True,
    show_progress: bool = True,
    requester: str | None = None,
    logCallback: Callable[[str], None] | None = None,
    completedCallback: Callable[[int], None] | None = None,
) -> list[str] | None:
    requested.append(("install", requirements))
    if completedCallback is not None:
        completedCallback(0)
    return []


def pip_uninstall(
    requirements: str | list[str],
    blocking: bool = True,
    logCallback: Callable[[str], None] | None = None,
    completedCallback: Callable[[int], None] | None = None,
) -> None:
    requested.append(("uninstall", requirements))
    if completedCallback is not None:
        completedCallback(0)
