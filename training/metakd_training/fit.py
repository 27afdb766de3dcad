"""One training run: from a `Config` to checkpoints, on any number of devices, resumable."""

from __future__ import annotations

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
from metakd_training.subsets import SubsetSampler, all_subsets
from metakd_training.tasks.segmentation import Segmentation
from metakd_training.validate import evaluating, subset_scores


def fit(config: Config, folder: Path, launch: Launch, *, resume: bool) -> None:
    """Carry out a run, or go on with it. Raises `ValueError` for what is wrong, before step one."""
    lists = read_lists(config.data)
    split = {key: [case.name for case in cases] for key, cases in lists.items()}
    runs.check(folder, config, split, resume=resume)
    fabric = make_fabric(launch, config.precision)
    run = Run(config, folder, fabric)
    run.load_data(lists)
    if fabric.is_global_zero:
        runs.begin(folder, config, split)
    fabric.barrier()
    if resume:
        run.resume()
    run.fit()


def average_statistics(network: torch.nn.Module, step: int) -> None:
    """Let running statistics be a plain mean at first, then one over about a hundred samples.

    With a constant momentum their initial values, which are no statistics, would linger.
    """
    for module in network.modules():
        if isinstance(module, torch.nn.InstanceNorm3d):
            module.momentum = max(0.01, 1 / (step + 1))


class Run:
    """The state of a run and the steps that change it.

    Sample number k is the same whatever process takes it and however often the run was stopped:
    its patient, crop, augmentation and subset follow from the seed and k alone.
    """

    def __init__(self, config: Config, folder: Path, fabric: Fabric) -> None:
        self.config, self.folder, self.fabric = config, folder, fabric
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
        self.step, self.best = 0, -1.0

    def load_data(self, lists: Lists) -> None:
        """Prepare every patient of the split and check them before the first step."""
        data = self.config.data
        with self.fabric.rank_zero_first():
            everyone = self._prepared([case for cases in lists.values() for case in cases])
            everyone.check()
            phantoms = self._prepared(range(data.phantoms))
            phantoms.check()
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
        board = Board(self.folder, self.step) if first else None
        bar = tqdm(initial=self.step, total=config.steps, unit="step", disable=not first)
        for drawn in self._loader():
            losses, numbers = self.advance(drawn)
            bar.update()
            if numbers or self.step % config.log_every == 0:
                averaged = self._averaged({**losses, **numbers})
                bar.set_postfix_str(f"loss {averaged['loss']:.3f}", refresh=False)
                if board:
                    board.numbers(self.step, averaged)
            last = self.step == config.steps
            if config.validate_every and (self.step % config.validate_every == 0 or last):
                self._validate(board)
            if self.step % config.save_every == 0 or last:
                self.save(runs.LAST)
        bar.close()
        if board:
            board.close()

    def advance(
        self, drawn: list[list[tuple[int, Patient]]]
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        """One step of the network from the batches drawn: its losses, and the method's numbers."""
        settings = self.config.optimiser
        if self.step == settings.fix_statistics_at:
            self._share_statistics()
        fixed = settings.fix_statistics_at is not None and self.step >= settings.fix_statistics_at
        self.network.train(not fixed)
        average_statistics(self.network, self.step)
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
        self._share_statistics()
        if self.fabric.is_global_zero:
            save_state(self._state(), self.folder / name)
        self.fabric.barrier()

    def resume(self) -> None:
        """Go on from the folder's last checkpoint; from the start if it was never written."""
        path = self.folder / runs.LAST
        if not path.exists():
            return
        state = load_state(path)
        self.method.load_state_dict(state["method"])
        self.average.module.load_state_dict(state["average"])
        self.average.n_averaged.fill_(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.sampler.weights = state["subsets"]
        self.step, self.best = state["step"], state["best"]

    def _state(self) -> dict[str, object]:
        return {
            "method": self.method.state_dict(),
            "average": self.average.module.state_dict(),
            "averaged": int(self.average.n_averaged),
            "optimizer": self.optimizer.state_dict(),
            "subsets": self.sampler.weights,
            "step": self.step,
            "best": self.best,
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
        """(S, R): means over the held-out patients, shared out among the processes."""
        self._share_statistics()
        mine = range(self.fabric.global_rank, len(self.held_out), self.fabric.world_size)
        patients = (whole_patient(self.held_out[i], self.fabric.device) for i in mine)
        with self.fabric.autocast():
            scores = subset_scores(network, self.task, patients, subsets, len(REGIONS))
        sums = torch.stack([scores.nansum(dim=0), (~scores.isnan()).float().sum(dim=0)])
        total, count = self.fabric.all_reduce(sums.to(self.fabric.device), reduce_op="sum").cpu()
        return total / count.clamp_min(1)

    def _validate(self, board: Board | None) -> None:
        scores = self._scores(self.average.module, all_subsets(len(CONTRASTS)))
        self.sampler.learn(scores.mean(dim=1))
        if board:
            board.scores(self.step, scores)
            self._draw_pictures(board)
        if scores.mean() > self.best:
            self.best = float(scores.mean())
            self.save(runs.BEST)

    @torch.no_grad()
    def _draw_pictures(self, board: Board) -> None:
        patient = whole_patient(self.held_out[0], self.fabric.device)
        network = self.average.module
        with evaluating(network), self.fabric.autocast():
            for name, contrasts in (("all", range(4)), ("T1 alone", range(1))):
                available = torch.tensor([[i in contrasts for i in range(4)]])
                images = torch.cat(patient.inputs, dim=1)
                logits = network(images, available.to(images.device))
                board.picture(self.step, name, patient, logits)

    @torch.no_grad()
    def _share_statistics(self) -> None:
        """Give every process the mean of the running statistics, which each collects alone."""
        if self.fabric.world_size == 1:
            return
        for network in (self.network, self.average.module):
            for name, buffer in network.named_buffers():
                if name.endswith(("running_mean", "running_var")):
                    buffer.copy_(self.fabric.all_reduce(buffer, reduce_op="mean"))

    def _logit_teacher(self) -> LogitTeacher | None:
        settings = self.config.method
        if not isinstance(settings, MetaKDSettings) or settings.logit_teacher is None:
            return None
        teacher = runs.trained_network(Path(settings.logit_teacher)).to(self.fabric.device)

        @torch.no_grad()
        def logits(batch: Batch) -> Tensor:
            found: Tensor = teacher(torch.cat(batch.inputs, dim=1), batch.present)
            return found

        return logits
