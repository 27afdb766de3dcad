"""Randomness that belongs to a sample, not to a process: the same anywhere, resumed or not."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


class Chance:
    """Random numbers that follow from a key alone.

    Decisions are drawn on the CPU, so that none waits for the device; noise on the device.

    Args:
        key: such as the run's seed and a sample's number; another key, unrelated numbers.
    """

    def __init__(self, *key: int | str, device: torch.device | None = None) -> None:
        noise_seed = seed_of(*key, "noise")
        self.device = device or torch.device("cpu")
        self.generator = torch.Generator().manual_seed(seed_of(*key))
        self._noise = torch.Generator(self.device).manual_seed(noise_seed)

    def happens(self, probability: float) -> bool:
        """True with this probability."""
        return bool(torch.rand((), generator=self.generator) < probability)

    def below(self, count: int) -> int:
        """A whole number from 0 to count − 1."""
        return int(torch.randint(count, (), generator=self.generator))

    def between(self, low: float, high: float) -> float:
        """A number, uniform."""
        return self.numbers(low, high, 1).item()

    def numbers(self, low: float, high: float, count: int) -> Tensor:
        """(count,) numbers on the CPU, uniform."""
        return low + (high - low) * torch.rand(count, generator=self.generator)

    def noise(self, shape: tuple[int, ...]) -> Tensor:
        """Standard normal numbers on the device."""
        return torch.randn(shape, generator=self._noise, device=self.device)


def seed_of(*key: int | str) -> int:
    """A seed that follows from the key; another key, an unrelated seed."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:7], "big")


_BLOCK = 64


def rows(numbers: Sequence[int], columns: int, *key: int | str) -> Tensor:
    """(B, columns) numbers from 0 to 1, for samples that are too many for a `Chance` each.

    A sample's row follows from the key and its number alone, whatever the others are.
    """
    blocks, block = (torch.tensor(numbers) // _BLOCK).unique(return_inverse=True)
    table = torch.cat(
        [
            Chance(*key, "rows", each).numbers(0, 1, _BLOCK * columns).view(_BLOCK, columns)
            for each in blocks.tolist()
        ]
    )
    return table[block * _BLOCK + torch.tensor(numbers) % _BLOCK]
