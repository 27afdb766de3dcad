"""Randomness that belongs to a sample, not to a process: the same anywhere, resumed or not."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


class Chance:
    """Random numbers that follow from a key alone.

    Decisions are drawn on the CPU, so that none waits for the device; noise on the device.

    Args:
        key: such as the run's seed and a sample's number; another key, unrelated numbers.
    """

    def __init__(self, *key: int | str, device: torch.device | None = None) -> None:
        digest = hashlib.sha256(repr(key).encode()).digest()
        seed, noise_seed = (int.from_bytes(part, "big") for part in (digest[:7], digest[7:14]))
        self.device = device or torch.device("cpu")
        self.generator = torch.Generator().manual_seed(seed)
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
