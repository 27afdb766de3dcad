"""One training run: from a `Config` to a checkpoint, resumable at any time."""

from __future__ import annotations

import json
import math
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from metakd.inference import choose_device
from metakd.network import MetaKDNet
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from metakd_training.config import Config, write_config
from metakd_training.data.augment import random_crop
from metakd_training.data.patients import Patient, load_patient, load_phantom, split_cases
from metakd_training.methods.metakd import distillation, importance_step, scale_by_importance
from metakd_training.tasks.segmentation import random_subset, segmentation_loss

CHECKPOINT = "last.pt"


class Run:
    """The state of a run and the steps that change it.

    A step of the network sees one crop with all four encoders run once, and two rows of
    availability: the full set and a random subset. Every `importance_every` steps the importance
    weights take a step on a patient that the network never trains on.
    """

    def __init__(self, config: Config, folder: Path) -> None:
        self.config, self.folder = config, folder
        self.device = choose_device(config.device)
        torch.manual_seed(config.seed)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.network = MetaKDNet(**config.network).to(self.device)
        self.average = AveragedModel(
            self.network, multi_avg_fn=get_ema_multi_avg_fn(config.ema), use_buffers=True
        )
        logits = self.network.importance_logits
        weights = [p for p in self.network.parameters() if p is not logits]
        self.optimizer = torch.optim.AdamW(
            weights, lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.importance_optimizer = torch.optim.Adam([logits], lr=config.importance_learning_rate)
        self.step = 0

    def load_data(self) -> None:
        """Read every patient and phantom into memory, as float16 (about 40 MB each)."""
        config, stride = self.config, self.network.stride
        train, held_out = split_cases(config.cohorts, config.split, config.held_out)
        self.patients = [load_patient(case, config.spacing, stride) for case in train]
        self.held_out = [load_patient(case, config.spacing, stride) for case in held_out]
        self.phantoms = [
            load_phantom(seed, config.spacing, stride) for seed in range(config.phantoms)
        ]

    def fit(self) -> None:
        """Train until `Config.steps`, leaving checkpoints and a log in the run's folder."""
        write_config(self.config, self.folder / "config.yaml")
        start = time.monotonic()
        while self.step < self.config.steps:
            numbers = self.advance()
            if "held_out" in numbers:
                self._log({**numbers, "seconds": round(time.monotonic() - start)})
            if self.step % self.config.checkpoint_every == 0 or self.step == self.config.steps:
                self.save()

    def advance(self) -> dict[str, Any]:
        """One step of the network and, when it is due, one of the importance weights."""
        numbers: dict[str, Any] = self._network_step()
        self.step += 1
        if self.step % self.config.importance_every == 0:
            numbers["held_out"] = self._importance_step()
            numbers["importance"] = [round(w, 3) for w in self.network.importance.tolist()]
        return numbers

    def save(self) -> None:
        """Write the checkpoint so that a kill leaves the old one or the new one, whole."""
        path = self.folder / CHECKPOINT
        state = {name: part.state_dict() for name, part in self._parts().items()}
        temporary = path.with_suffix(".tmp")
        torch.save({**state, "step": self.step, "random": self.generator.get_state()}, temporary)
        temporary.replace(path)

    def resume(self) -> None:
        """Go on from the folder's checkpoint."""
        state = torch.load(self.folder / CHECKPOINT, weights_only=True, map_location=self.device)
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.step = state["step"]
        self.generator.set_state(state["random"].cpu())

    def _parts(self) -> dict[str, Any]:
        return {
            "network": self.network,
            "average": self.average,
            "optimizer": self.optimizer,
            "importance_optimizer": self.importance_optimizer,
        }

    def _network_step(self) -> dict[str, Any]:
        self.network.train(self.step < self.config.fix_statistics_at)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * _schedule(self.step, self.config)
        images, regions = self._draw(self._choose_pool())
        available = self._rows()
        with self._autocast():
            features = self._encode(images)
            logits = self.network.decode(self.network.generate(features, available))
            coarsest = [pyramid[-1] for pyramid in features]
            transfer = distillation(coarsest, self.network.importance)
        task = segmentation_loss(logits, regions.expand(len(available), -1, -1, -1, -1))
        self.optimizer.zero_grad()
        (task + self.config.alpha * transfer).backward()
        self.network.importance_logits.grad = None  # the outer level's alone
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.gradient_clip)
        self.optimizer.step()
        self.average.update_parameters(self.network)
        return {"task": round(task.item(), 4), "distillation": round(transfer.item(), 4)}

    def _importance_step(self) -> float:
        self.network.eval()  # held-out patients leave no trace in the batch statistics
        images, regions = self._draw(self.held_out)
        available = self._rows()
        with torch.no_grad(), self._autocast():
            features = self._encode(images)

        def loss() -> Tensor:
            with self._autocast():
                scaled = scale_by_importance(features, self.network.importance)
                predicted = self.network.decode(self.network.generate(scaled, available))
            return segmentation_loss(predicted, regions.expand(len(available), -1, -1, -1, -1))

        logits = self.network.importance_logits
        return round(importance_step(loss, logits, self.importance_optimizer), 4)

    def _choose_pool(self) -> list[Patient]:
        phantom = torch.rand((), generator=self.generator) < self.config.phantom_share
        return self.phantoms if phantom and self.phantoms else self.patients

    def _draw(self, pool: list[Patient]) -> tuple[Tensor, Tensor]:
        """A crop of one study: images (1, 4, …) and regions (1, 3, …)."""
        patient = pool[int(torch.randint(len(pool), (), generator=self.generator))]
        images, regions = random_crop(patient, self.config.crop, self.generator)
        return images[None].to(self.device), regions[None].to(self.device)

    def _rows(self) -> Tensor:
        """Availability (2, N): everything, and a random subset."""
        contrasts = len(self.network.encoders)
        subset = random_subset(contrasts, self.generator)
        return torch.stack([torch.ones_like(subset), subset]).to(self.device)

    def _encode(self, images: Tensor) -> list[list[Tensor]]:
        return [self.network.encode(i, images[:, i, None]) for i in range(images.shape[1])]

    def _autocast(self) -> AbstractContextManager[object]:
        enabled = self.config.precision == "bf16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled)

    def _log(self, numbers: dict[str, Any]) -> None:
        line = json.dumps({"step": self.step, **numbers})
        print(line, flush=True)
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(line + "\n")


def _schedule(step: int, config: Config) -> float:
    """Factor of the learning rate: linear warm-up, then half a cosine down to zero."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    progress = (step - config.warmup) / max(config.steps - config.warmup, 1)
    return 0.5 * (1 + math.cos(math.pi * progress))
