"""Words of messages."""

from __future__ import annotations

from collections.abc import Iterable


def listed(names: Iterable[object], most: int = 8) -> str:
    """Names with commas between them, and how many more there are."""
    texts = [str(name) for name in names]
    more = [f"and {len(texts) - most} more"] if len(texts) > most else []
    return ", ".join(texts[:most] + more)
