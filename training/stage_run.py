"""One stage of a training: its network, optimiser, schedule and history, epoch by epoch; it saves nothing itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cloud_worker.models.card import Preprocessing
from cloud_worker.models.registry import architecture
from training.batches import Batch, Batches, Lesson, Pictures, pictures
from training.compute import Compute
from training.history import Epoch, StageHistory, read_history
from training.map_term import share_outside, share_outside_of_all
from training.recipe import Stage, TrainingRecipe


@dataclass(frozen=True, slots=True)
class Progress:
    """Said after each batch."""

    stage: str
    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    accuracy: float
    images: int
    """Of this batch."""


def ran_out(history: StageHistory, stage: Stage) -> bool:
    """Whether `patience` epochs have passed since the best one."""
    if stage.patience is None or history.best_epoch is None:
        return False
    return len(history.epochs) - history.best_epoch >= stage.patience


class StageRun:
    """One stage's network, optimiser, schedule and history."""

    def __init__(
        self,
        network: nn.Module,
        lesson: Lesson,
        recipe: TrainingRecipe,
        preprocessing: Preprocessing,
        compute: Compute,
        *,
        number: int,
    ) -> None:
        stage = recipe.stages[number]
        self.network = network.to(compute.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.stage, self.number, self.compute = stage, number, compute
        self.preprocessing, self.recipe = preprocessing, recipe
        seed = (recipe.seed, number)
        self.batches = Batches(lesson, stage, recipe.augmentation, preprocessing, seed)
        self.watched: Lesson | None = None
        self.history = StageHistory(stage.name, stage.learns)
        self.best: dict[str, Tensor] | None = None
        learned = [p for p in network.parameters() if p.requires_grad]
        # Biases and batch normalisation are not decayed.
        decayed = [p for p in learned if p.ndim > 1]
        plain = [p for p in learned if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": stage.weight_decay},
                {"params": plain, "weight_decay": 0.0},
            ],
            lr=stage.learning_rate,
        )
        self.schedule: torch.optim.lr_scheduler.LRScheduler
        if stage.schedule == "one_cycle":
            self.schedule = torch.optim.lr_scheduler.OneCycleLR(
                self.optimizer,
                max_lr=stage.learning_rate,
                total_steps=self.batches.count * stage.epochs + 1,
                pct_start=0.15,
            )
        else:
            self.schedule = torch.optim.lr_scheduler.ConstantLR(self.optimizer, factor=1.0)
        self.loss = nn.CrossEntropyLoss(label_smoothing=stage.label_smoothing)

    def over(self) -> bool:
        """Whether all epochs are done or patience ran out."""
        done = len(self.history.epochs)
        return done >= self.stage.epochs or ran_out(self.history, self.stage)

    def train_epoch(self, tell: Callable[[Progress], None]) -> None:
        """One pass over the data, and a look at the validation part."""
        epoch = len(self.history.epochs)
        # Dropout, too, must not depend on what ran before in this process.
        torch.manual_seed((self.recipe.seed * 1000 + self.number) * 10_000 + epoch)
        began = time.monotonic()
        self.network.train()
        losses: list[float] = []
        right = seen = 0
        for index, batch in enumerate(self.batches.of(epoch)):
            wanted = batch.labels.to(self.compute.device)
            logits, maps = self._read(batch.shown)
            loss = self.loss(logits.float(), wanted)
            if self.stage.teaches_maps:
                loss = loss + self._outside(batch, wanted, maps)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
            self.optimizer.step()
            self.schedule.step()
            losses.append(float(loss.detach()))
            right += int((logits.argmax(1) == wanted).sum())
            seen += len(wanted)
            tell(
                Progress(
                    self.stage.name,
                    epoch + 1,
                    self.stage.epochs,
                    index + 1,
                    self.batches.count,
                    float(np.mean(losses[-50:])),
                    right / seen,
                    len(wanted),
                )
            )
        rate = float(self.schedule.get_last_lr()[0])
        done = Epoch(
            epoch + 1, float(np.mean(losses)), right / seen, rate, time.monotonic() - began
        )
        self._note(self._validated(done))

    def _read(self, shown: Pictures) -> tuple[Tensor, Tensor]:
        """Logits and last maps."""
        with self.compute.autocast():
            logits, _, maps = self.network(*(p.to(self.compute.device) for p in shown))
        return logits, maps

    def _outside(self, batch: Batch, wanted: Tensor, maps: Tensor) -> Tensor:
        """The map terms by their weights."""
        layer = architecture(self.recipe.architecture).map_layer
        if layer is None or batch.kept is None:
            raise ValueError(f"stage {self.stage.name}: a map term needs a map layer and masks")
        weight = attrgetter(f"{layer}.weight")(self.network)
        cells = batch.kept.to(self.compute.device)
        term = torch.zeros((), device=self.compute.device)
        if self.stage.map_inside:
            term = term + self.stage.map_inside * share_outside(maps, weight, wanted, cells)
        if self.stage.evidence_inside:
            term = term + self.stage.evidence_inside * share_outside_of_all(maps, weight, cells)
        return term

    def _validated(self, epoch: Epoch) -> Epoch:
        """The epoch with its loss and accuracy on the validation part, without label smoothing."""
        if self.watched is None:
            return epoch
        self.network.eval()
        total, right = 0.0, 0
        count = len(self.watched.labels)
        with torch.inference_mode():
            for start in range(0, count, 32):
                tiles = self.watched.tiles[start : start + 32]
                wanted = torch.from_numpy(self.watched.labels[start : start + 32])
                shown = pictures(tiles, self.preprocessing, self.watched.inputs)
                logits = self._read(shown)[0].float().cpu()
                total += float(nn.functional.cross_entropy(logits, wanted, reduction="sum"))
                right += int((logits.argmax(1) == wanted).sum())
        return replace(epoch, validation_loss=total / count, validation_accuracy=right / count)

    def _note(self, epoch: Epoch) -> None:
        self.history = self.history.after(epoch)
        if self.stage.patience is None or epoch.validation_loss is None:
            return
        best = self.history.best_epoch
        least = self.history.epochs[best - 1].validation_loss if best else None
        if least is None or epoch.validation_loss < least:
            self.history = replace(self.history, best_epoch=epoch.epoch)
            self.best = {n: t.detach().cpu().clone() for n, t in self.network.state_dict().items()}

    def finish(self) -> None:
        """Take the best epoch's weights where they were watched."""
        stopped = len(self.history.epochs) < self.stage.epochs
        self.history = replace(self.history, stopped_early=stopped)
        if self.best is not None:
            self.network.load_state_dict(self.best)

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of this stage."""
        return {
            "epochs_done": len(self.history.epochs),
            "network": self.network.state_dict(),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Take up a checkpoint of this stage."""
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.schedule.load_state_dict(saved["schedule"])
        self.best = saved.get("best")
        if "history" in saved:
            self.history = read_history(saved["history"])[self.number]
        else:  # a checkpoint from before histories were kept
            blank = Epoch(0, float("nan"), float("nan"), 0.0, 0.0)
            done = tuple(replace(blank, epoch=i + 1) for i in range(int(saved["epochs_done"])))
            self.history = replace(self.history, epochs=done)
