"""What TensorBoard shows of a run: numbers, scores by subset and output, pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from metakd_training.subsets import subset_names
from metakd_training.tasks.workload import Workload


class Board:
    """Writes a run's events; after `--resume` those of steps that are made again are dropped."""

    def __init__(self, folder: Path, step: int, workload: Workload) -> None:
        self._writer = SummaryWriter(str(folder / "events"), purge_step=step + 1)
        self._workload = workload

    def numbers(self, step: int, numbers: Mapping[str, float]) -> None:
        """Scalars by name."""
        for name, number in numbers.items():
            self._writer.add_scalar(self._readable(name), number, step)

    def scores(self, step: int, scores: Tensor, of: str = "") -> None:
        """Scores (S, R) of each subset and output, NaN where not measured, and their means.

        Args:
            of: list of the split, where it is not the held-out one.
        """
        names = [*subset_names(self._workload.modalities), "mean"]
        for place, output in enumerate(self._workload.outputs):
            group = " ".join(filter(None, (self._workload.metric, output, of)))
            column = scores[:, place]
            for name, score in zip(names, [*column, column.nanmean()], strict=True):
                if not score.isnan():
                    self._writer.add_scalar(f"{group}/{name}", score, step)

    def picture(self, step: int, name: str, picture: Tensor) -> None:
        """An image (3, H, W) in 0 to 1."""
        self._writer.add_image(f"slice/{name}", picture, step)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()

    def _readable(self, name: str) -> str:
        """Methods' numbers say modalities and outputs by their place; here by their name."""
        kind, *places = name.split("/")
        if not places:
            return f"loss/{name}"
        modality = self._workload.modalities[int(places[-1])]
        output = f" {self._workload.outputs[int(places[0])]}".rstrip() if len(places) > 1 else ""
        return f"{kind}{output}/{modality}"
