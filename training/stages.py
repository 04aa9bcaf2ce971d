"""The training loop: stages of epochs with one input size each, resumable after every epoch.

All that is random depends on (seed, stage, epoch) alone, so a training that was killed and taken up
again ends in the same weights. An AC-GAN's loop is gan.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cloud_worker.models.card import Preprocessing
from cloud_worker.models.fusion import Fusion
from cloud_worker.models.registry import architecture, build_network, set_output_stride
from cloud_worker.preprocess import normalise
from training.batches import Lesson
from training.checkpoints import ResumeError, load_checkpoint, save_checkpoint
from training.compute import choose_compute
from training.history import StageHistory, read_history
from training.map_term import centre
from training.recipe import Stage, TrainingRecipe
from training.stage_run import Progress, StageRun, ran_out
from training.unfolding import is_folded, unfold_batch_norm

UNFOLDED_BY = 64
"""About so many tiles give folded batch normalisations their statistics."""
Tensors = Mapping[str, torch.Tensor]


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
    row = architecture(recipe.architecture)
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
        set_output_stride(network, recipe.architecture, recipe.output_stride)
        head = row.head
        network.load_state_dict(
            {**network.state_dict(), **_without_head(trunk, head, network)}, strict=True
        )
        if initial and isinstance(network, Fusion):
            network.freeze_trunks()
        if initial and number == 0 and saved is None and is_folded(network):
            some = lesson.tiles[:: max(1, len(lesson.tiles) // UNFOLDED_BY), ..., :3]
            unfold_batch_norm(network, torch.from_numpy(normalise(some, preprocessing)))
        run = StageRun(network, lesson, recipe, preprocessing, compute, number=number)
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
    network = network.cpu().eval()
    if row.map_layer is not None:
        head_layer = network.get_submodule(row.map_layer)
        assert isinstance(head_layer, nn.Linear), row.map_layer
        centre(head_layer)
    return Trained(network, tuple(history), compute.said)


def _is_over(saved: dict[str, Any], stage: Stage, number: int, history: list[StageHistory]) -> bool:
    if number != saved["stage"]:
        return False
    stopped = number < len(history) and ran_out(history[number], stage)
    return bool(saved["epochs_done"] >= stage.epochs or stopped)


def _kept_weights(saved: dict[str, Any]) -> Tensors:
    best = saved.get("best")
    kept: Tensors = best if best is not None else saved["network"]
    return kept


def _without_head(trunk: Tensors, head: str, network: nn.Module) -> dict[str, torch.Tensor]:
    """The trunk's tensors, and the head's too where they fit: both stages learned the same classes."""
    own = network.state_dict()
    return {
        name: tensor
        for name, tensor in trunk.items()
        if not name.startswith(f"{head}.") or own[name].shape == tensor.shape
    }
