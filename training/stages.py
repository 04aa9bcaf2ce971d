"""The training loop: stages of epochs with one input size each, resumable after every epoch.

Shuffling and augmentation depend on (seed, stage, epoch) alone, so a resumed run sees the batches that
an uninterrupted one would have seen. (Over 250 lines: the loop and what it resumes from.)
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cloud_worker.models.card import Preprocessing
from cloud_worker.models.fusion import Fusion
from cloud_worker.models.registry import architecture, build_network
from cloud_worker.preprocess import normalise
from training.augment import augment, cut_part
from training.recipe import Augmentation, Stage, TrainingRecipe
from training.unfolding import is_folded, unfold_batch_norm

Tiles = NDArray[np.uint8]
Numbers = NDArray[np.int64]

UNFOLDED_BY = 64
"""About so many tiles give folded batch normalisations their statistics."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one stage learns: tiles, the number of each one's class, and how many classes there are."""

    tiles: Tiles
    labels: Numbers
    classes: int
    balance: float
    """1 shows every class equally often, 0 as often as it comes."""


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


class ResumeError(ValueError):
    """The checkpoint belongs to another recipe."""


def run_stages(
    recipe: TrainingRecipe,
    preprocessing: Preprocessing,
    lesson_of: Callable[[Stage], Lesson],
    checkpoint: Path,
    *,
    resume: bool,
    tell: Callable[[Progress], None],
    initial: Mapping[str, torch.Tensor] | None = None,
) -> nn.Module:
    """Train through all stages and return the network with the recipe's classes.

    Each stage starts from the trunk of the one before; `lesson_of` is asked for its data when it
    begins. The checkpoint is replaced after every epoch. With `initial` tensors the first stage
    starts from them, and a fusion learns its head only, as in its paper.
    """
    torch.manual_seed(recipe.seed)
    signature = recipe.model_dump_json()
    saved = _load_checkpoint(checkpoint, signature) if resume and checkpoint.is_file() else None
    trunk: dict[str, torch.Tensor] = saved["trunk"] if saved else dict(initial or {})
    network: nn.Module | None = None
    for number, stage in enumerate(recipe.stages):
        if saved is not None and number < saved["stage"]:
            continue
        last = number == len(recipe.stages) - 1
        if saved is not None and saved["epochs_done"] >= stage.epochs and not last:
            trunk, saved = saved["network"], None
            continue
        lesson = lesson_of(stage)
        network = build_network(recipe.architecture, lesson.classes)
        head = architecture(recipe.architecture).head
        network.load_state_dict(
            {**network.state_dict(), **_without_head(trunk, head, network)}, strict=True
        )
        if initial and isinstance(network, Fusion):
            network.freeze_trunks()
        start = 0
        if initial and number == 0 and saved is None and is_folded(network):
            some = lesson.tiles[:: max(1, len(lesson.tiles) // UNFOLDED_BY)]
            unfold_batch_norm(network, torch.from_numpy(normalise(some, preprocessing)))
        run = _StageRun(network, lesson, recipe, preprocessing, number=number)
        if saved is not None and number == saved["stage"]:
            start = run.restore(saved)
            saved = None
        for epoch in range(start, stage.epochs):
            run.train_epoch(epoch, tell)
            run.save(checkpoint, signature, epoch + 1, trunk)
        trunk = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    if network is None:
        raise ResumeError(f"{checkpoint}: its stage is not in the recipe")
    return network.eval()


def _without_head(
    trunk: dict[str, torch.Tensor], head: str, network: nn.Module
) -> dict[str, torch.Tensor]:
    """The trunk's tensors, and the head's too where they fit: both stages learned the same classes."""
    own = network.state_dict()
    return {
        name: tensor
        for name, tensor in trunk.items()
        if not name.startswith(f"{head}.") or own[name].shape == tensor.shape
    }


class _StageRun:
    """One stage's network, optimiser and schedule."""

    def __init__(
        self,
        network: nn.Module,
        lesson: Lesson,
        recipe: TrainingRecipe,
        preprocessing: Preprocessing,
        *,
        number: int,
    ) -> None:
        stage = recipe.stages[number]
        self.network = network.to(memory_format=torch.channels_last)
        self.stage, self.lesson, self.number = stage, lesson, number
        self.preprocessing, self.recipe = preprocessing, recipe
        self.batches = max(1, len(lesson.labels) // stage.batch)
        # Biases and batch normalisation are not decayed.
        decayed = [p for p in network.parameters() if p.ndim > 1]
        plain = [p for p in network.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": stage.weight_decay},
                {"params": plain, "weight_decay": 0.0},
            ],
            lr=stage.learning_rate,
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            max_lr=stage.learning_rate,
            total_steps=self.batches * stage.epochs + 1,
            pct_start=0.15,
        )
        self.loss = nn.CrossEntropyLoss(label_smoothing=stage.label_smoothing)

    def train_epoch(self, epoch: int, tell: Callable[[Progress], None]) -> None:
        """One pass over the data."""
        self.network.train()
        losses: list[float] = []
        right = seen = 0
        for index, (images, labels) in enumerate(self._batches(epoch)):
            with torch.autocast("cpu", torch.bfloat16):
                logits = self.network(images)[0]
            loss = self.loss(logits.float(), labels)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
            self.optimizer.step()
            self.schedule.step()
            losses.append(float(loss.detach()))
            right += int((logits.argmax(1) == labels).sum())
            seen += len(labels)
            recent = float(np.mean(losses[-50:]))
            tell(
                Progress(
                    self.stage.name,
                    epoch + 1,
                    self.stage.epochs,
                    index + 1,
                    self.batches,
                    recent,
                    right / seen,
                )
            )

    def _batches(self, epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        rng = np.random.default_rng([self.recipe.seed, self.number, epoch])
        order = balanced_order(self.lesson.labels, self.lesson.balance, rng)
        chunks = [
            order[i * self.stage.batch : (i + 1) * self.stage.batch] for i in range(self.batches)
        ]
        seeds = rng.integers(1 << 62, size=len(chunks))

        def make(chunk: Numbers, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
            own = np.random.default_rng(seed)
            tiles = np.stack([self._changed(self.lesson.tiles[i], own) for i in chunk])
            images = torch.from_numpy(normalise(tiles, self.preprocessing))
            labels = torch.from_numpy(self.lesson.labels[chunk])
            return images.to(memory_format=torch.channels_last), labels

        # One batch is prepared while the one before is learned.
        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(make, chunks[0], int(seeds[0]))
            for chunk, seed in zip(chunks[1:], seeds[1:], strict=True):
                ready = ahead.result()
                ahead = pool.submit(make, chunk, int(seed))
                yield ready
            yield ahead.result()

    def _changed(self, tile: Tiles, rng: np.random.Generator) -> Tiles:
        tile = hide_corner(tile, self.preprocessing)
        tile = cut_part(tile, self.stage.height_px, self.stage.width_px, rng)
        by: Augmentation = self.recipe.augmentation
        return augment(tile, by, rng)

    def save(
        self, checkpoint: Path, signature: str, epochs_done: int, trunk: dict[str, torch.Tensor]
    ) -> None:
        """Replace the checkpoint file in one step."""
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        partial = checkpoint.with_suffix(".partial")
        torch.save(
            {
                "recipe": signature,
                "stage": self.number,
                "epochs_done": epochs_done,
                "trunk": trunk,
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "schedule": self.schedule.state_dict(),
            },
            partial,
        )
        partial.replace(checkpoint)

    def restore(self, saved: dict[str, Any]) -> int:
        """Take up a checkpoint of this stage; returns the epochs that are done."""
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.schedule.load_state_dict(saved["schedule"])
        return int(saved["epochs_done"])


def balanced_order(labels: Numbers, balance: float, rng: np.random.Generator) -> Numbers:
    """As many indices as there are labels, shuffled; each class's share is between its own and equal.

    No index comes twice before all of its class have come once.
    """
    classes, counts = np.unique(labels, return_counts=True)
    shares = (1.0 / counts) ** balance * counts
    quotas = np.round(shares / shares.sum() * len(labels)).astype(int)
    picks = []
    for kind, quota in zip(classes, quotas, strict=True):
        members = np.flatnonzero(labels == kind)
        rounds = [rng.permutation(members) for _ in range(-(-quota // len(members)))]
        if rounds:
            picks.append(np.concatenate(rounds)[:quota])
    return np.asarray(rng.permutation(np.concatenate(picks)), np.int64)


def hide_corner(tile: Tiles, preprocessing: Preprocessing) -> Tiles:
    """The tile with its masked corner in the mean colour, so that no flip brings it into view."""
    side = preprocessing.masked_corner_px
    if not side:
        return tile
    tile = tile.copy()
    tile[-side:, -side:] = np.round(np.array(preprocessing.mean) * 255).astype(np.uint8)
    return tile


def use_cores() -> int:
    """Let torch use the cores of this process and OpenCV one; returns their number.

    OMP_NUM_THREADS limits them: where other work shares the cores, threads that wait for each other
    at every layer are slower than one thread alone.
    """
    cores = len(os.sched_getaffinity(0))
    limit = os.environ.get("OMP_NUM_THREADS", "")
    cores = min(cores, int(limit)) if limit.isdigit() and int(limit) > 0 else cores
    torch.set_num_threads(cores)
    cv2.setNumThreads(1)
    return cores


def _load_checkpoint(checkpoint: Path, signature: str) -> dict[str, Any]:
    saved: dict[str, Any] = torch.load(checkpoint, weights_only=True)
    then, now = (_learned_so_far(text, saved["stage"]) for text in (saved["recipe"], signature))
    if then != now:
        changed = ", ".join(key for key in now if then.get(key) != now[key])
        raise ResumeError(
            f"{checkpoint} was made with another recipe ({changed}); train without --resume"
        )
    return saved


def _learned_so_far(signature: str, stage: int) -> dict[str, Any]:
    """What of a recipe the weights depend on after this stage: later stages may still change."""
    recipe: dict[str, Any] = json.loads(signature)
    recipe["stages"] = recipe["stages"][: stage + 1]
    recipe.setdefault("initial_weights", "random")
    kept = (
        "architecture",
        "initial_weights",
        "seed",
        "classes",
        "input",
        "split",
        "stages",
        "augmentation",
    )
    return {key: recipe[key] for key in kept}
