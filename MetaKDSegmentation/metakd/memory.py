"""What is kept from one run to the next, and how the process holds memory and lets it go."""

from __future__ import annotations

import ctypes
import hashlib
import sys
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

_Arguments = ParamSpec("_Arguments")
_Value = TypeVar("_Value")

# As CUDA, the CPU's allocator on Linux and on Windows, cuDNN and cuBLAS, MPS, ITK, oneDNN and
# Python put it.
_OUT_OF_MEMORY = (
    "out of memory", "can't allocate", "not enough memory", "alloc_failed", "invalid buffer size",
    "failed to allocate memory", "bad_alloc", "could not create a primitive",
    "could not execute a primitive", "can't start new thread",
)  # fmt: skip
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # glibc's malloc.h


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is some library's way of saying that memory ran out."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in text for sign in _OUT_OF_MEMORY)


@dataclass(frozen=True)
class _Kept:
    source: object
    key: Hashable
    value: Any


class Same:
    """A part of a key that is equal only to what holds the very same object."""

    def __init__(self, thing: object) -> None:
        self._thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other._thing is self._thing

    def __hash__(self) -> int:
        return id(self._thing)


def digest(array: npt.NDArray[Any]) -> bytes:
    """Equal for arrays of the same content alone."""
    return hashlib.blake2b(np.ascontiguousarray(array).data).digest()


class Memory:
    """The latest value of each slot, beside what it was made from.

    A value is used again only for the very same source object and an equal key, so that a run with
    a memory gives the bits of one without. A slot holds one value: a new one replaces it.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, _Kept] = {}

    def recall(
        self,
        slot: Hashable,
        source: object,
        key: Hashable,
        make: Callable[_Arguments, _Value],
        *arguments: _Arguments.args,
        **options: _Arguments.kwargs,
    ) -> _Value:
        """The slot's value if it was made from the same; else a new one from `make`, kept."""
        if not self.holds(slot, source, key):
            self._kept.pop(slot, None)  # its memory is free before the new one needs any
            self._kept[slot] = _Kept(source, key, make(*arguments, **options))
        value: _Value = self._kept[slot].value
        return value

    def holds(self, slot: Hashable, source: object, key: Hashable) -> bool:
        """Whether `recall` would find the slot's value made already."""
        kept = self._kept.get(slot)
        return kept is not None and kept.source is source and kept.key == key

    def forget(self) -> bool:
        """Let everything go; whether there was anything."""
        any_kept = bool(self._kept)
        self._kept.clear()
        return any_kept


def hold_freed_memory() -> None:
    """Let glibc keep freed memory for the next run instead of giving it back to the system.

    A run allocates some gigabytes in large pieces; having the system hand out each anew costs a
    third of its time. Elsewhere than with glibc nothing is changed.
    """
    _glibc("mallopt", _MMAP_MAX, 0)
    _glibc("mallopt", _TRIM_THRESHOLD, 2**31 - 1)
    _glibc("mallopt", _ARENA_MAX, 1)  # what one thread has freed serves another


def give_back_freed_memory(*, for_good: bool = False) -> None:
    """Give the system what glibc has kept; nothing elsewhere.

    Args:
        for_good: and keep nothing from now on, because memory is short.
    """
    if for_good:
        _glibc("mallopt", _MMAP_MAX, 2**16)
        _glibc("mallopt", _TRIM_THRESHOLD, 2**17)
    _glibc("malloc_trim", 0)


def _glibc(name: str, *numbers: int) -> None:
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), name):
        getattr(library, name)(*(ctypes.c_int(number) for number in numbers))
