"""One training run: from a `Config` to checkpoints, on any number of devices, resumable."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from metakd_training import runs
from metakd_training.board import Board
from metakd_training.checkpoint import load_state, save_state
from metakd_training.config import Config
from metakd_training.config.sections import MetaKDSettings
from metakd_training.data.chance import seed_of
from metakd_training.launch import Launch, make_fabric
from metakd_training.methods import LogitTeacher, make_method
from metakd_training.methods.method import Batch, Surroundings
from metakd_training.schedule import learning_rate, make_optimizer
from metakd_training.statistics import RunningStatistics
from metakd_training.subsets import SubsetSampler, all_subsets
from metakd_training.tasks import make_workload
from metakd_training.tasks.workload import Drawn, Workload
from metakd_training.validate import evaluating, subset_scores


def fit(
    config: Config, folder: Path, launch: Launch, *, resume: bool, workload: Workload | None = None
) -> None:
    """Carry out a run, or go on with it.

    Args:
        workload: the configuration's own, if there is one already.

    Raises `ValueError` for what is wrong, before step one.
    """
    workload = workload or make_workload(config)
    fabric = make_fabric(launch, config.precision)
    runs.check(folder, config, workload, fabric.world_size, resume=resume)
    run = Run(config, folder, fabric, workload)
    run.load_data()
    if resume:
        run.resume()
    if fabric.is_global_zero:
        runs.begin(folder, config, workload, fabric)
    fabric.barrier()
    run.fit()


class Run:
    """The state of a run and the steps that change it.

    Attributes:
        curve: what each validation found, an entry for each list scored: ``step``, ``list``, and
            ``scores`` (S, R), `None` where nobody could be measured.
    """

    def __init__(self, config: Config, folder: Path, fabric: Fabric, workload: Workload) -> None:
        self.config, self.folder, self.fabric, self.workload = config, folder, fabric, workload
        unknown = sorted(set(config.watch) - set(workload.split))
        if unknown:
            raise ValueError(f"watch: {unknown} are no lists of the split")
        torch.manual_seed(config.seed)
        self.subsets = all_subsets(len(workload.modalities))
        self.sampler = SubsetSampler(config.subsets, len(workload.modalities))
        self.network = workload.network()
        self.method = make_method(
            config.method,
            self.network,
            workload.task,
            full_pass=config.subsets.full_pass,
            modalities=len(workload.modalities),
            outputs=len(workload.outputs),
            teacher=self._logit_teacher(),
        )
        optimizer = make_optimizer(self.network.parameters(), config.optimiser)
        self._wrapped, self.optimizer = fabric.setup(self.method, optimizer)
        ema = get_ema_multi_avg_fn(config.optimiser.ema)
        self.average = AveragedModel(self.network, multi_avg_fn=ema, use_buffers=True)
        self.statistics = RunningStatistics(self.network, fabric)
        self.step, self.best, self.seconds = 0, -1.0, 0.0
        self.curve: list[dict[str, Any]] = []

    def load_data(self) -> None:
        """Check every sample of the split, and make them ready, before the first step."""
        problem = _problem_of(self.workload) if self.fabric.is_global_zero else ""
        problem = self.fabric.broadcast(problem)  # every process ends, none waits for the others
        if problem:
            raise ValueError(problem)
        self.workload.load()

    def fit(self) -> None:
        """Train until `Config.steps`, leaving checkpoints and events in the run's folder."""
        first, config = self.fabric.is_global_zero, self.config
        if self.step == config.steps:
            return
        board = Board(self.folder, self.step, self.workload) if first else None
        terminal = first and sys.stderr.isatty()
        bar = tqdm(initial=self.step, total=config.steps, unit="step", disable=not terminal)
        start = time.monotonic() - self.seconds
        for drawn in self.loader():
            losses, numbers = self.advance(drawn)
            self.seconds = time.monotonic() - start
            bar.update()
            last = self.step == config.steps
            due = last or self.step % config.save_every == 0
            if numbers or due or self.step % config.log_every == 0:
                averaged = self._averaged({**losses, **numbers})
                self._refuse_divergence(averaged["loss"])
                bar.set_postfix_str(f"loss {averaged['loss']:.3f}", refresh=False)
                if board:
                    board.numbers(self.step, averaged)
            if config.validate_every and (self.step % config.validate_every == 0 or last):
                self._validate(board)
            if due:
                self.save(runs.LAST)
            if due and first and not terminal:
                print(f"step {self.step}/{config.steps}  loss {averaged['loss']:.3f}  "
                      f"{self._time_left():.0f} min left", file=sys.stderr, flush=True)  # fmt: skip
        bar.close()
        if board:
            board.close()

    def _refuse_divergence(self, loss: float) -> None:
        """Rather than train on, and save, what is lost."""
        if not math.isfinite(loss):
            raise ValueError(
                f"{self.folder}: the loss is {loss} at step {self.step}; lower "
                "optimiser.learning_rate or method.alpha, or set optimiser.clip"
            )

    def _time_left(self) -> float:
        return self.seconds / 60 * (self.config.steps / self.step - 1)

    def advance(self, drawn: list[Drawn]) -> tuple[dict[str, Tensor], dict[str, float]]:
        """One step of the network from the batches drawn: its losses, and the method's numbers."""
        settings = self.config.optimiser
        fixed = settings.fix_statistics_at is not None and self.step >= settings.fix_statistics_at
        self.network.train(not fixed)
        # What the network itself leaves to chance follows from the step, resumed or not.
        torch.manual_seed(seed_of(self.config.seed, "step", self.step, self.fabric.global_rank))
        rate = learning_rate(self.step, self.config.steps, settings)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batches = (self._batch(some) for some in drawn)
        losses: dict[str, Tensor] = {}
        for place, batch in enumerate(batches, start=1):
            with self.fabric.no_backward_sync(self._wrapped, enabled=place < len(drawn)):
                each = self._wrapped(batch)
                self.fabric.backward(each["loss"] / len(drawn))
            for name, loss in each.items():
                losses[name] = losses.get(name, 0) + loss.detach() / len(drawn)
        if settings.clip:
            self.fabric.clip_gradients(self._wrapped, self.optimizer, max_norm=settings.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if not fixed:
            self.statistics.share()
        self.average.update_parameters(self.network)
        self.step += 1
        with self.fabric.autocast():
            numbers = self.method.between_steps(self._surroundings(batch, rate))
        return losses, numbers

    def _averaged(self, numbers: Mapping[str, Tensor | float]) -> dict[str, float]:
        """Means over the processes."""
        mine = torch.tensor([float(number) for number in numbers.values()])
        means = self.fabric.all_reduce(mine.to(self.fabric.device), reduce_op="mean")
        return dict(zip(numbers, means.tolist(), strict=True))

    def save(self, name: str) -> None:
        """Write a checkpoint, whole or not at all."""
        if self.fabric.is_global_zero:
            save_state(self._state(), self.folder / name)
        self.fabric.barrier()

    def resume(self) -> None:
        """Go on from the folder's last checkpoint; from the start if it was never written."""
        path = self.folder / runs.LAST
        everywhere = self._averaged({"there": float(path.exists())})["there"]
        if 0 < everywhere < 1:
            raise ValueError(f"{self.folder}: not seen by every machine; use a shared folder")
        if not path.exists():
            return
        state = load_state(path)
        self.method.load_state_dict(state["method"])
        self.average.module.load_state_dict(state["average"])
        self.average.n_averaged.fill_(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.sampler.weights = state["subsets"]
        self.statistics.seen = state["statistics"]
        self.step, self.best, self.seconds = state["step"], state["best"], state["seconds"]
        self.curve = state["curve"]

    def _state(self) -> dict[str, object]:
        return {
            "method": self.method.state_dict(),
            "average": self.average.module.state_dict(),
            "averaged": int(self.average.n_averaged),
            "optimizer": self.optimizer.state_dict(),
            "subsets": self.sampler.weights,
            "step": self.step,
            "best": self.best,
            "statistics": self.statistics.seen,
            "seconds": self.seconds,
            "curve": self.curve,
        }

    def loader(self) -> Iterator[list[Drawn]]:
        """For each step that is left, what this process draws for its batches."""
        settings, world = self.config.optimiser, self.fabric.world_size
        rounds = range(self.step * settings.accumulate, self.config.steps * settings.accumulate)
        firsts = ((r * world + self.fabric.global_rank) * settings.batch for r in rounds)
        numbers = ([first + i for i in range(settings.batch)] for first in firsts)
        batches = self.workload.draw(numbers, "train")
        for _ in range(self.step, self.config.steps):
            yield [next(batches) for _ in range(settings.accumulate)]

    def _batch(self, drawn: Drawn) -> Batch:
        return self.workload.batch(drawn, self.sampler, step=self.step, device=self.fabric.device)

    def _held_out_batch(self, number: int) -> Batch:
        """Another one for every process: their gradients are averaged."""
        size, world = self.config.optimiser.batch, self.fabric.world_size
        first = (number * world + self.fabric.global_rank) * size
        (drawn,) = self.workload.draw([range(first, first + size)], "held_out")
        return self._batch(drawn)

    def _surroundings(self, batch: Batch, rate: float) -> Surroundings:
        return Surroundings(
            step=self.step,
            learning_rate=rate,
            batch=batch,
            held_out=self._held_out_batch,
            validate=lambda subsets: _means(self._scores(self.network, "held_out", subsets)),
            average=lambda values: self.fabric.all_reduce(values, reduce_op="mean"),
        )

    def _scores(self, network: torch.nn.Module, key: str, subsets: Tensor) -> Tensor:
        """(2, S, R): sums of a list's scores, and over how many samples.

        The samples are shared out among the processes.
        """
        share = (self.fabric.global_rank, self.fabric.world_size)
        batches = self.workload.whole(key, self.fabric.device, share)
        with self.fabric.autocast():
            scores = subset_scores(
                network, self.workload.task, batches, subsets, len(self.workload.outputs)
            )
        sums = torch.stack([scores.nansum(dim=0), (~scores.isnan()).float().sum(dim=0)])
        total: Tensor = self.fabric.all_reduce(sums.to(self.fabric.device), reduce_op="sum")
        return total.cpu()

    def _validate(self, board: Board | None) -> None:
        """Score the held-out samples, by whom the best checkpoint is chosen, and those watched."""
        for key in ("held_out", *self.config.watch):
            sums = self._scores(self.average.module, key, self.subsets)
            means = _means(sums)
            rows = [[None if v != v else round(v, 6) for v in row] for row in means.tolist()]
            self.curve.append({"step": self.step, "list": key, "scores": rows})
            if board:
                board.scores(self.step, means, "" if key == "held_out" else key)
            if key == "held_out":
                self.sampler.learn(means.nanmean(dim=1))
                overall = float(sums[0].sum() / sums[1].sum())
        if board:
            with torch.no_grad(), evaluating(self.average.module), self.fabric.autocast():
                pictures = self.workload.pictures(self.average.module, self.fabric.device)
            for name, picture in pictures.items():
                board.picture(self.step, name, picture)
            runs.write_whole(self.folder / runs.CURVE, json.dumps(self.curve) + "\n")
        # Of equals the later, which has learned longer.
        if overall >= self.best:
            self.best = overall
            self.save(runs.BEST)

    def _logit_teacher(self) -> LogitTeacher | None:
        settings = self.config.method
        if not isinstance(settings, MetaKDSettings) or settings.logit_teacher is None:
            return None
        run = Path(settings.logit_teacher)
        runs.check_teacher(run, self.config, self.workload.split)
        teacher = runs.trained_network(run, self.workload.network()).to(self.fabric.device)

        @torch.no_grad()
        def logits(batch: Batch) -> Tensor:
            return teacher.predict(batch.inputs, batch.present)

        return logits


def _means(sums: Tensor) -> Tensor:
    """(S, R) of sums and counts (2, S, R); NaN where nobody can be served."""
    total, count = sums
    return total / count.where(count > 0, torch.nan)


def _problem_of(workload: Workload) -> str:
    """What is wrong with its samples, a line each; empty when all are sound."""
    try:
        workload.prepare()
    except ValueError as error:
        return str(error)
    return ""
