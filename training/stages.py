"""The training loop: stages of epochs with one input size each, resumable after every epoch.

All that is random depends on (seed, stage, epoch) alone, so a training that was killed and taken up
again ends in the same weights. An AC-GAN's loop is gan.py's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from cloud_worker.models.card import Preprocessing
from cloud_worker.models.fusion import Fusion
from cloud_worker.models.registry import architecture, build_network
from cloud_worker.preprocess import normalise
from training.batches import Batches, Lesson, Pictures, pictures
from training.checkpoints import ResumeError, load_checkpoint, save_checkpoint
from training.compute import Compute, choose_compute
from training.history import Epoch, StageHistory, read_history
from training.recipe import Stage, TrainingRecipe
from training.unfolding import is_folded, unfold_batch_norm

UNFOLDED_BY = 64
"""About so many tiles give folded batch normalisations their statistics."""
Tensors = Mapping[str, torch.Tensor]


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


@dataclass(frozen=True, slots=True)
class Trained:
    """The network after all stages, in eval mode on the CPU, and how it got there."""

    network: nn.Module
    history: tuple[StageHistory, ...]
    compute: str


def run_stages(
    recipe: TrainingRecipe,
    preprocessing: Preprocessing,
    lesson_of: Callable[[Stage], Lesson],
    checkpoint: Path,
    *,
    resume: bool,
    tell: Callable[[Progress], None],
    initial: Tensors | None = None,
    watched: Lesson | None = None,
    images: str = "",
) -> Trained:
    """Train through all stages and return the network with the recipe's classes.

    Each stage starts from the trunk of the one before; `lesson_of` is asked for its data when it
    begins. The checkpoint is replaced after every epoch. With `initial` tensors the first stage
    starts from them, and a fusion learns its head only, as in its paper. `watched` is the validation
    part; `images` names the training part in the checkpoint.
    """
    compute = choose_compute(recipe.precision)
    saved = load_checkpoint(checkpoint, recipe, images) if resume else None
    trunk: Tensors = saved["trunk"] if saved else dict(initial or {})
    history = read_history(saved["history"]) if saved and "history" in saved else []
    network: nn.Module | None = None
    for number, stage in enumerate(recipe.stages):
        if saved is not None and number < saved["stage"]:
            continue
        last = number == len(recipe.stages) - 1
        if saved is not None and _is_over(saved, stage, number, history) and not last:
            trunk, saved = _kept_weights(saved), None
            continue
        # A stage's head must not depend on whether the stages before ran in this process.
        torch.manual_seed(recipe.seed + 1000 * number)
        lesson = lesson_of(stage)
        network = build_network(recipe.architecture, lesson.classes)
        head = architecture(recipe.architecture).head
        network.load_state_dict(
            {**network.state_dict(), **_without_head(trunk, head, network)}, strict=True
        )
        if initial and isinstance(network, Fusion):
            network.freeze_trunks()
        if initial and number == 0 and saved is None and is_folded(network):
            some = lesson.tiles[:: max(1, len(lesson.tiles) // UNFOLDED_BY), ..., :3]
            unfold_batch_norm(network, torch.from_numpy(normalise(some, preprocessing)))
        run = _StageRun(network, lesson, recipe, preprocessing, compute, number=number)
        run.watched = watched if stage.learns == "classes" else None
        if saved is not None and number == saved["stage"]:
            run.restore(saved)
            saved = None
        history = [*history[:number], run.history]
        while not run.over():
            run.train_epoch(tell)
            history[number] = run.history
            state = {
                "recipe": recipe.model_dump_json(),
                "images": images,
                "stage": number,
                "trunk": dict(trunk),
                "history": [one.plain() for one in history],
            }
            save_checkpoint(checkpoint, {**state, **run.state()})
        run.finish()
        history[number] = run.history
        trunk = {name: t.detach().cpu().clone() for name, t in network.state_dict().items()}
    if network is None:
        raise ResumeError(f"{checkpoint}: its stage is not in the recipe")
    return Trained(network.cpu().eval(), tuple(history), compute.said)


def _is_over(saved: dict[str, Any], stage: Stage, number: int, history: list[StageHistory]) -> bool:
    if number != saved["stage"]:
        return False
    stopped = number < len(history) and _ran_out(history[number], stage)
    return bool(saved["epochs_done"] >= stage.epochs or stopped)


def _kept_weights(saved: dict[str, Any]) -> Tensors:
    best = saved.get("best")
    kept: Tensors = best if best is not None else saved["network"]
    return kept


def _ran_out(history: StageHistory, stage: Stage) -> bool:
    """Whether `patience` epochs have passed since the best one."""
    if stage.patience is None or history.best_epoch is None:
        return False
    return len(history.epochs) - history.best_epoch >= stage.patience


def _without_head(trunk: Tensors, head: str, network: nn.Module) -> dict[str, torch.Tensor]:
    """The trunk's tensors, and the head's too where they fit: both stages learned the same classes."""
    own = network.state_dict()
    return {
        name: tensor
        for name, tensor in trunk.items()
        if not name.startswith(f"{head}.") or own[name].shape == tensor.shape
    }


class _StageRun:
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
        self.best: dict[str, torch.Tensor] | None = None
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
        return done >= self.stage.epochs or _ran_out(self.history, self.stage)

    def train_epoch(self, tell: Callable[[Progress], None]) -> None:
        """One pass over the data, and a look at the validation part."""
        epoch = len(self.history.epochs)
        # Dropout, too, must not depend on what ran before in this process.
        torch.manual_seed((self.recipe.seed * 1000 + self.number) * 10_000 + epoch)
        began = time.monotonic()
        self.network.train()
        losses: list[float] = []
        right = seen = 0
        for index, (shown, labels) in enumerate(self.batches.of(epoch)):
            wanted = labels.to(self.compute.device)
            logits = self._logits(shown)
            loss = self.loss(logits.float(), wanted)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
            self.optimizer.step()
            self.schedule.step()
            losses.append(float(loss.detach()))
            right += int((logits.argmax(1) == wanted).sum())
            seen += len(labels)
            tell(
                Progress(
                    self.stage.name,
                    epoch + 1,
                    self.stage.epochs,
                    index + 1,
                    self.batches.count,
                    float(np.mean(losses[-50:])),
                    right / seen,
                    len(labels),
                )
            )
        rate = float(self.schedule.get_last_lr()[0])
        done = Epoch(
            epoch + 1, float(np.mean(losses)), right / seen, rate, time.monotonic() - began
        )
        self._note(self._validated(done))

    def _logits(self, shown: Pictures) -> torch.Tensor:
        with self.compute.autocast():
            logits: torch.Tensor = self.network(*(p.to(self.compute.device) for p in shown))[0]
        return logits

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
                logits = self._logits(shown).float().cpu()
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
