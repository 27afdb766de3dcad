"""Samples of a classification task: what each has of every modality, its class, its list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


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

    def check(self, source: str) -> None:
        """Raise `ValueError` for what no run could learn from; `source` is where it comes from."""
        for key in ("train", "held_out"):
            if not self.lists.get(key):
                raise ValueError(f"{source}: the list {key} is missing or empty")
        self._refuse_leaks(source)
        train = torch.tensor(self.lists["train"])
        known = torch.bincount(self.labels[train], minlength=len(self.classes))
        unknown = [name for name, count in zip(self.classes, known, strict=True) if not count]
        if unknown:
            raise ValueError(f"{source}: the list train has no sample of class {_text(unknown)}")
        for key, places in self.lists.items():
            having = self.present[torch.tensor(places)]
            if key == "train":
                for name, has in zip(self.inputs, having.any(dim=0), strict=True):
                    if not has:
                        raise ValueError(f"{source}: no training sample has {name}; leave it out "
                                         "of modalities")  # fmt: skip
            nothing = [self.names[places[i]] for i in (~having.any(dim=1)).nonzero().flatten()]
            if nothing:
                raise ValueError(f"{source}: {_text(nothing)} ({key}) have no modality at all")

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
    return (sounds - mean) / chosen.std(dim=(0, 3), keepdim=True).clamp_min(1e-6)


def _text(names: Sequence[str], most: int = 8) -> str:
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more])
