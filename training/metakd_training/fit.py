"""One training run: from a `Config` to checkpoints, on any number of devices, resumable."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import torch
from lightning_fabric import Fabric
from metakd.cases import Case
from metakd.contrasts import CONTRASTS
from metakd.network import MetaKDNet
from metakd.regions import REGIONS
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from metakd_training import runs
from metakd_training.board import Board
from metakd_training.checkpoint import load_state, save_state
from metakd_training.config import Config, MetaKDSettings
from metakd_training.data.draws import Draws, make_batch, whole_patient
from metakd_training.data.patients import Patient, Patients
from metakd_training.data.splits import Lists, read_lists
from metakd_training.launch import Launch, make_fabric
from metakd_training.methods import LogitTeacher, make_method
from metakd_training.methods.method import Batch, Surroundings
from metakd_training.schedule import learning_rate, make_optimizer
from metakd_training.statistics import RunningStatistics
from metakd_training.subsets import SubsetSampler, all_subsets
from metakd_training.tasks.segmentation import Segmentation
from metakd_training.validate import evaluating, subset_scores


def fit(config: Config, folder: Path, launch: Launch, *, resume: bool) -> None:
    """Carry out a run, or go on with it. Raises `ValueError` for what is wrong, before step one."""
    lists = read_lists(config.data)
    fabric = make_fabric(launch, config.precision)
    split = {key: [case.name for case in cases] for key, cases in lists.items()}
    runs.check(folder, config, split, fabric.world_size, resume=resume)
    run = Run(config, folder, fabric, split)
    run.load_data(lists)
    if resume:
        run.resume()
    if fabric.is_global_zero:
        runs.begin(folder, config, split, fabric)
    fabric.barrier()
    run.fit()


class Run:
    """The state of a run and the steps that change it.

    Sample number k is the same whatever process takes it and however often the run was stopped:
    its patient, crop, augmentation and subset follow from the seed and k alone.
    """

    def __init__(self, config: Config, folder: Path, fabric: Fabric, split: runs.Split) -> None:
        self.config, self.folder, self.fabric, self.split = config, folder, fabric, split
        torch.manual_seed(config.seed)
        self.task = Segmentation()
        self.sampler = SubsetSampler(config.subsets, len(CONTRASTS))
        self.network = MetaKDNet(**config.network.model_dump())
        self.method = make_method(
            config.method,
            self.network,
            self.task,
            full_pass=config.subsets.full_pass,
            modalities=len(CONTRASTS),
            outputs=len(REGIONS),
            teacher=self._logit_teacher(),
        )
        optimizer = make_optimizer(self.network.parameters(), config.optimiser)
        self._wrapped, self.optimizer = fabric.setup(self.method, optimizer)
        ema = get_ema_multi_avg_fn(config.optimiser.ema)
        self.average = AveragedModel(self.network, multi_avg_fn=ema, use_buffers=True)
        self.statistics = RunningStatistics(self.network, fabric)
        self.step, self.best, self.seconds = 0, -1.0, 0.0

    def load_data(self, lists: Lists) -> None:
        """Prepare every patient of the split and check them before the first step."""
        data = self.config.data
        everyone = self._prepared([case for cases in lists.values() for case in cases])
        phantoms = self._prepared(range(data.phantoms))
        problem = _problem_of(everyone, phantoms) if self.fabric.is_global_zero else ""
        problem = self.fabric.broadcast(problem)  # every process ends, none waits for the others
        if problem:
            raise ValueError(problem)
        ends = list(accumulate(len(cases) for cases in lists.values()))
        self.pools = {
            key: Subset(everyone, range(end - len(cases), end))
            for (key, cases), end in zip(lists.items(), ends, strict=True)
        }
        pools = [self._kept(self.pools["train"]), self._kept(phantoms)]
        self.held_out = self._kept(self.pools["held_out"])
        seed = self.config.seed
        self.draws = Draws(pools, data.phantom_share, seed, "train")
        self.held_out_draws = Draws([self.held_out], 0.0, seed, "held out")

    def fit(self) -> None:
        """Train until `Config.steps`, leaving checkpoints and events in the run's folder."""
        first, config = self.fabric.is_global_zero, self.config
        if self.step == config.steps:
            return
        board = Board(self.folder, self.step) if first else None
        terminal = first and sys.stderr.isatty()
        bar = tqdm(initial=self.step, total=config.steps, unit="step", disable=not terminal)
        start = time.monotonic() - self.seconds
        for drawn in self._loader():
            losses, numbers = self.advance(drawn)
            self.seconds = time.monotonic() - start
            bar.update()
            last = self.step == config.steps
            due = last or self.step % config.save_every == 0
            if numbers or due or self.step % config.log_every == 0:
                averaged = self._averaged({**losses, **numbers})
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

    def _time_left(self) -> float:
        return self.seconds / 60 * (self.config.steps / self.step - 1)

    def advance(
        self, drawn: list[list[tuple[int, Patient]]]
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        """One step of the network from the batches drawn: its losses, and the method's numbers."""
        settings = self.config.optimiser
        fixed = settings.fix_statistics_at is not None and self.step >= settings.fix_statistics_at
        self.network.train(not fixed)
        rate = learning_rate(self.step, self.config.steps, settings)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batches = (self._batch(samples, "train") for samples in drawn)
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
        }

    def _prepared(self, sources: Iterable[Case | int]) -> Patients:
        data = self.config.data
        return Patients(
            sources, spacing=data.spacing, stride=self.network.stride, cache=Path(data.cache)
        )

    def _kept(self, patients: Sequence[Patient]) -> Sequence[Patient]:
        if not self.config.data.in_memory:
            return patients
        return [patients[i] for i in range(len(patients))]

    def _loader(self) -> Iterator[list[list[tuple[int, Patient]]]]:
        """For each step that is left, the batches of this process."""
        settings, world = self.config.optimiser, self.fabric.world_size
        rounds = range(self.step * settings.accumulate, self.config.steps * settings.accumulate)
        firsts = ((r * world + self.fabric.global_rank) * settings.batch for r in rounds)
        numbers = ([first + i for i in range(settings.batch)] for first in firsts)
        loader = DataLoader(
            self.draws,
            batch_sampler=numbers,
            collate_fn=list,
            num_workers=self.config.data.workers,
        )
        batches = iter(loader)
        for _ in range(self.step, self.config.steps):
            yield [next(batches) for _ in range(settings.accumulate)]

    def _batch(self, samples: list[tuple[int, Patient]], purpose: str) -> Batch:
        return make_batch(
            samples, self.config.crops, self.sampler, step=self.step, seed=self.config.seed,
            purpose=purpose, device=self.fabric.device,
        )  # fmt: skip

    def _held_out_batch(self, number: int) -> Batch:
        """Another one for every process: their gradients are averaged."""
        size, world = self.config.optimiser.batch, self.fabric.world_size
        first = (number * world + self.fabric.global_rank) * size
        return self._batch([self.held_out_draws[first + i] for i in range(size)], "held out")

    def _surroundings(self, batch: Batch, rate: float) -> Surroundings:
        return Surroundings(
            step=self.step,
            learning_rate=rate,
            batch=batch,
            held_out=self._held_out_batch,
            validate=lambda subsets: self._scores(self.network, subsets),
            average=lambda values: self.fabric.all_reduce(values, reduce_op="mean"),
        )

    def _scores(self, network: torch.nn.Module, subsets: Tensor) -> Tensor:
        """(S, R): means over the held-out patients, NaN where none can be served.

        The patients are shared out among the processes.
        """
        mine = range(self.fabric.global_rank, len(self.held_out), self.fabric.world_size)
        patients = (whole_patient(self.held_out[i], self.fabric.device) for i in mine)
        with self.fabric.autocast():
            scores = subset_scores(network, self.task, patients, subsets, len(REGIONS))
        sums = torch.stack([scores.nansum(dim=0), (~scores.isnan()).float().sum(dim=0)])
        total, count = self.fabric.all_reduce(sums.to(self.fabric.device), reduce_op="sum").cpu()
        return total / count.where(count > 0, torch.nan)

    def _validate(self, board: Board | None) -> None:
        scores = self._scores(self.average.module, all_subsets(len(CONTRASTS)))
        self.sampler.learn(scores.nanmean(dim=1))
        if board:
            board.scores(self.step, scores)
            self._draw_pictures(board)
        if scores.nanmean() > self.best:
            self.best = float(scores.nanmean())
            self.save(runs.BEST)

    @torch.no_grad()
    def _draw_pictures(self, board: Board) -> None:
        patient = whole_patient(self.held_out[0], self.fabric.device)
        everything = patient.present
        single = torch.zeros_like(everything)
        single[0, int(everything[0].float().argmax())] = True
        images = torch.cat(patient.inputs, dim=1)
        with evaluating(self.average.module), self.fabric.autocast():
            for name, available in (("all contrasts", everything), ("one contrast", single)):
                logits = self.average.module(images, available)
                board.picture(self.step, name, patient, logits)

    def _logit_teacher(self) -> LogitTeacher | None:
        settings = self.config.method
        if not isinstance(settings, MetaKDSettings) or settings.logit_teacher is None:
            return None
        run = Path(settings.logit_teacher)
        runs.check_teacher(run, self.config, self.split)
        teacher = runs.trained_network(run).to(self.fabric.device)

        @torch.no_grad()
        def logits(batch: Batch) -> Tensor:
            found: Tensor = teacher(torch.cat(batch.inputs, dim=1), batch.present)
            return found

        return logits


def _problem_of(*patients: Patients) -> str:
    """What is wrong with them, a line each; empty when all are sound."""
    try:
        for some in patients:
            some.check()
    except ValueError as error:
        return str(error)
    return ""
