"""Synthetic heads, painted when they are drawn; the network finds the brain in them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from metakd.any_subset import AnySubsetNet
from metakd.network import MetaKDNet
from torch import Tensor

from metakd_training.config.brain import BrainConfig
from metakd_training.data.chance import Chance
from metakd_training.data.head_maps import HeadMap, read_head_map
from metakd_training.data.heads import synthetic_head
from metakd_training.methods.method import Batch
from metakd_training.subsets import SubsetSampler
from metakd_training.tasks.segmentation import Segmentation
from metakd_training.tasks.slices import slice_picture


@dataclass(frozen=True)
class DrawnHeads:
    """Sample numbers of a batch, and the list whose maps they are painted on."""

    numbers: Sequence[int]
    purpose: str


class BrainWorkload:
    """`metakd_training.tasks.workload.Workload` of runs that find the brain.

    A head follows from the seed and its number alone; those that a list is scored on from the list
    alone, so that runs of several seeds are scored on the same.
    """

    modalities = ("any contrast",)
    outputs = ("brain",)
    metric = "Dice"

    def __init__(self, config: BrainConfig) -> None:
        self.config = config
        self.task = Segmentation()
        data = config.data
        self.split = {
            "train": list(data.train),
            "held_out": list(data.held_out),
            "val": list(data.validation),
        }
        self.fingerprint = _digest([self._path(n) for some in self.split.values() for n in some])

    def network(self) -> MetaKDNet:
        return MetaKDNet(
            contrasts=1, regions=1, running_statistics=False, **self.config.network.model_dump()
        )

    def prepare(self) -> None:
        """Read every map once."""
        for names in self.split.values():
            for name in names:
                self._map(name)

    def load(self) -> None:
        """Maps are read when they are first painted on."""

    def draw(self, numbers: Iterable[Sequence[int]], purpose: str) -> Iterator[DrawnHeads]:
        return (DrawnHeads(some, purpose) for some in numbers)

    def batch(
        self, drawn: DrawnHeads, sampler: SubsetSampler, *, step: int, device: torch.device
    ) -> Batch:
        """Heads painted on the device."""
        names = self.split[drawn.purpose]
        heads = []
        for number in drawn.numbers:
            chance = Chance(self.config.seed, drawn.purpose, "head", number, device=device)
            heads.append(self._head(names[chance.below(len(names))], chance))
        return _batch(heads)

    def whole(
        self, key: str, device: torch.device, share: tuple[int, int] = (0, 1)
    ) -> Iterator[Batch]:
        first, every = share
        heads = [(name, k) for name in self.split[key] for k in range(self.config.data.heads)]
        for name, k in heads[first::every]:
            yield _batch([self._head(name, Chance(key, name, k, device=device))])

    def pictures(self, network: AnySubsetNet, device: torch.device) -> dict[str, Tensor]:
        """Of the first held-out head."""
        head = next(self.whole("held_out", device))
        return {"head": slice_picture(head, network.predict(head.inputs, head.present))}

    def _head(self, name: str, chance: Chance) -> tuple[Tensor, Tensor]:
        return synthetic_head(self._map(name), self.config.box, chance)

    def _map(self, name: str) -> HeadMap:
        return _read(self._path(name))

    def _path(self, name: str) -> Path:
        return Path(self.config.data.folder) / f"{name}.nii.gz"


_read = cache(read_head_map)


def _batch(heads: Sequence[tuple[Tensor, Tensor]]) -> Batch:
    images, brains = (torch.stack(part) for part in zip(*heads, strict=True))
    has = torch.ones(len(heads), 1, dtype=torch.bool, device=images.device)
    return Batch([images], brains, has, has)


def _digest(paths: Sequence[Path]) -> str:
    """Of the files' content. Raises `ValueError` for one that is missing."""
    digest = hashlib.sha256()
    for path in paths:
        if not path.is_file():
            raise ValueError(f"{path}: no such file; data.folder has the head label maps")
        digest.update(path.read_bytes())
    return digest.hexdigest()
