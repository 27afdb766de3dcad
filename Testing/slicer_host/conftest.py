"""The host for its own tests."""

from slicer_host.fixtures import host

__all__ = ["host"]
