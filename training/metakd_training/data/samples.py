"""Samples of a classification task: what each has of every modality, its class, its list."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metakd_training.words import listed


@dataclass(frozen=True)
class Samples:
    """Everything a run learns from and is scored on, in memory.

    Attributes:
        names: of the n samples, no two alike.
        inputs: modality → (n, …) float32: pictures and spectrograms (1, rows, columns), volumes
            (1, D, H, W), tables (columns,); 0 where the sample lacks it.
        present: (n, N) booleans, what each sample has, in the order of `inputs`.
        labels: (n,) place of its class in `classes`.
        classes: their names.
        lists: list of the split → places of its samples; ``train`` and ``held_out`` at least.
    """

    names: tuple[str, ...]
    inputs: Mapping[str, Tensor]
    present: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    lists: Mapping[str, Sequence[int]]

    def counts(self) -> str:
        """How many samples of each list have each modality, a line a list."""
        lines = []
        for key, places in self.lists.items():
            has = self.present[torch.tensor(places)].sum(dim=0).tolist()
            each = ", ".join(f"{name} {n}" for name, n in zip(self.inputs, has, strict=True))
            lines.append(f"{key}: {len(places)} samples; {each}")
        return "\n".join(lines)

    def fingerprint(self) -> str:
        """A digest of all that a run learns from and is scored on: other samples, another one."""
        digest = hashlib.sha256(repr((self.names, self.classes, list(self.inputs))).encode())
        for part in (self.present, self.labels, *self.inputs.values()):
            digest.update(part.contiguous().view(torch.uint8).numpy())
        return digest.hexdigest()

    def check(self, source: str) -> None:
        """Raise `ValueError` for what no run could learn from; `source` is where it comes from."""
        for key in dict.fromkeys(("train", "held_out", *self.lists)):
            if not self.lists.get(key):
                raise ValueError(f"{source}: the list {key} is missing or empty")
        self._refuse_leaks(source)
        train = torch.tensor(self.lists["train"])
        known = torch.bincount(self.labels[train], minlength=len(self.classes))
        unknown = [name for name, count in zip(self.classes, known, strict=True) if not count]
        if unknown:
            raise ValueError(f"{source}: the list train has no sample of class {listed(unknown)}")
        for key, places in self.lists.items():
            having = self.present[torch.tensor(places)]
            lacking = [n for n, has in zip(self.inputs, having.any(dim=0), strict=True) if not has]
            if lacking and key == "train":
                raise ValueError(f"{source}: no training sample has {listed(lacking)}; leave it "
                                 "out of modalities")  # fmt: skip
            if lacking:
                self._warn(source, key, f"no sample has {listed(lacking)}")
            if len(self.labels[torch.tensor(places)].unique()) == 1:
                self._warn(source, key, "all samples are of one class")
            nothing = [self.names[places[i]] for i in (~having.any(dim=1)).nonzero().flatten()]
            if nothing:
                raise ValueError(f"{source}: {listed(nothing)} ({key}) have no modality at all")

    @staticmethod
    def _warn(source: str, key: str, what: str) -> None:
        use = {"held_out": "importance weights and the best checkpoint rest on this list"}
        say = use.get(key, "its scores say little")
        warnings.warn(f"{source}: list {key}: {what}; {say}", stacklevel=3)

    def _refuse_leaks(self, source: str) -> None:
        place: dict[int, str] = {}
        for key, places in self.lists.items():
            for i in places:
                if i in place:
                    raise ValueError(
                        f"{source}: {self.names[i]} is in the lists {place[i]} and {key}; keep it "
                        "in one"
                    )
                place[i] = key


def standardised(sounds: Tensor, over: Tensor) -> Tensor:
    """Every coefficient with mean 0 and deviation 1 over all frames of the sounds `over`.

    Not place by place: hardly any sound reaches the last frames, whose tiny deviation would make
    a longer sound's numbers huge. The zeros that fill frames count, too: whoever leaves them out
    puts them far from all others.

    Args:
        sounds: (n, 1, coefficients, frames).
        over: (n,) booleans; where none is true nothing is changed.
    """
    if not over.any():
        return sounds
    chosen = sounds[over]
    mean = chosen.mean(dim=(0, 3), keepdim=True)
    return (sounds - mean) / chosen.std(dim=(0, 3), keepdim=True, correction=0).clamp_min(1e-6)
