"""Fixtures for tests of what runs inside the application."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

_hosts: list = []


@pytest.fixture
def host() -> Iterator:
    """The application, with an empty scene and no module open.

    A test fails when a slot or an observer raised; one that expects that clears
    `problems.seen` itself.
    """
    for package in ("slicer", "PySide6"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    from slicer_host import problems
    from slicer_host.host import Host

    if not _hosts:
        _hosts.append(Host())
        _hosts[0].start()
    _hosts[0].reset()
    yield _hosts[0]
    seen = list(problems.seen)
    _hosts[0].reset()
    assert not seen, "raised in a slot or an observer:\n" + "\n".join(seen)
