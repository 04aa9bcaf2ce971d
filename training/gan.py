"""Training an AC-GAN's classifier with its generator, resumable after every epoch.

The discriminator learns what is real and, on REAL images only (the switch of Karar et al. 2022), which
class it is. The generator is trained by Odena's form: to be taken for real and for the class asked for;
the sign that the paper states would make it avoid that class, and is not used.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cloud_worker.models.ac_gan import AcGanClassifier, AcGanGenerator
from cloud_worker.models.card import Preprocessing
from training.batches import Batches, Lesson, pictures
from training.checkpoints import load_checkpoint, save_checkpoint
from training.compute import choose_compute
from training.history import Epoch, StageHistory, read_history
from training.recipe import TrainingRecipe
from training.stage_run import Progress
from training.stages import Trained

ENLARGED = 4
"""Pixels of the sample sheet per generated pixel: 28 px are too small to look at."""


@dataclass(frozen=True, slots=True)
class TrainedGan:
    """The classifier that a bundle holds, and the generator that made it learn."""

    trained: Trained
    generator: AcGanGenerator


def train_gan(
    recipe: TrainingRecipe,
    preprocessing: Preprocessing,
    lesson: Lesson,
    checkpoint: Path,
    *,
    resume: bool,
    tell: Callable[[Progress], None],
    initial: Mapping[str, Tensor] | None = None,
    watched: Lesson | None = None,
    images: str = "",
) -> TrainedGan:
    """Train discriminator and generator by the recipe's one stage.

    Float32 throughout: at 28 px there is nothing to save. `initial` tensors are the classifier's.
    """
    if recipe.gan is None:
        raise ValueError(f"recipe {recipe.name} has no [gan]")
    compute = choose_compute("float32")
    stage = recipe.stages[0]
    torch.manual_seed(recipe.seed)
    judge, generator = AcGanClassifier(lesson.classes), AcGanGenerator(lesson.classes)
    if initial:
        judge.load_state_dict({**judge.state_dict(), **initial})
    judge.to(compute.device)
    generator.to(compute.device)
    betas = (recipe.gan.beta1, 0.999)
    judging = torch.optim.Adam(judge.parameters(), lr=stage.learning_rate, betas=betas)
    making = torch.optim.Adam(generator.parameters(), lr=stage.learning_rate, betas=betas)
    history = StageHistory(stage.name, stage.learns)
    saved = load_checkpoint(checkpoint, recipe, images) if resume else None
    if saved is not None:
        for name, part in _parts(judge, generator, judging, making).items():
            part.load_state_dict(saved[name])
        history = read_history(saved["history"])[0]
    batches = Batches(lesson, stage, recipe.augmentation, preprocessing, (recipe.seed, 0))
    source, kind = nn.BCEWithLogitsLoss(), nn.CrossEntropyLoss()
    for epoch in range(len(history.epochs), stage.epochs):
        torch.manual_seed(recipe.seed * 10_000 + epoch)
        random = torch.Generator().manual_seed(recipe.seed * 10_000 + epoch + 1)
        judge.train()
        generator.train()
        began = time.monotonic()
        judged, made_losses, right, told, seen = [], [], 0, 0, 0
        for index, batch in enumerate(batches.of(epoch)):
            shown, labels = batch.shown, batch.labels
            real, wanted = shown[0].to(compute.device), labels.to(compute.device)
            asked = torch.randint(lesson.classes, (len(labels),), generator=random)
            asked = asked.to(compute.device)
            made = as_input(generator.draw(asked, random), preprocessing)

            # One batch of both: normalised apart, real and generated images would look alike to the
            # discriminator, and the statistics kept for serving would fit neither.
            logits, kinds = judge.judge(torch.cat([real, made.detach()]))
            (real_logit, made_logit), real_class = logits.tensor_split(2), kinds[: len(real)]
            loss = kind(real_class, wanted) + (
                source(real_logit, torch.ones_like(real_logit))
                + source(made_logit, torch.zeros_like(made_logit))
            )
            judging.zero_grad(set_to_none=True)
            loss.backward()
            judging.step()

            with _statistics_kept(judge):
                logits, kinds = judge.judge(torch.cat([real, made]))
            taken_logit, taken_class = logits[len(real) :], kinds[len(real) :]
            fooled = source(taken_logit, torch.ones_like(taken_logit)) + kind(taken_class, asked)
            making.zero_grad(set_to_none=True)
            fooled.backward()
            making.step()

            judged.append(float(loss.detach()))
            made_losses.append(float(fooled.detach()))
            right += int((real_class.argmax(1) == wanted).sum())
            told += int((real_logit > 0).sum()) + int((made_logit <= 0).sum())
            seen += len(labels)
            recent = float(np.mean(judged[-50:]))
            tell(
                Progress(
                    stage.name,
                    epoch + 1,
                    stage.epochs,
                    index + 1,
                    batches.count,
                    recent,
                    right / seen,
                    len(labels),
                )
            )
        seconds = time.monotonic() - began
        loss_seen, accuracy_seen = _watch(judge, watched, preprocessing)
        history = history.after(
            Epoch(
                epoch + 1,
                float(np.mean(judged)),
                right / seen,
                stage.learning_rate,
                seconds,
                loss_seen,
                accuracy_seen,
                float(np.mean(made_losses)),
                told / (2 * seen),
            )
        )
        kept: dict[str, Any] = {
            "recipe": recipe.model_dump_json(),
            "images": images,
            "stage": 0,
            "history": [history.plain()],
        }
        parts = _parts(judge, generator, judging, making).items()
        states = {name: part.state_dict() for name, part in parts}
        save_checkpoint(checkpoint, {**kept, **states})
    trained = Trained(judge.cpu().eval(), (history,), compute.said)
    return TrainedGan(trained, generator.cpu().eval())


@contextmanager
def _statistics_kept(judge: nn.Module) -> Iterator[None]:
    """Batch normalisation as in training, but the generator's turn leaves no trace in its statistics."""
    parts = [part for part in judge.modules() if isinstance(part, nn.BatchNorm2d)]
    momenta = [part.momentum for part in parts]
    for part in parts:
        part.momentum = 0.0
    try:
        yield
    finally:
        for part, momentum in zip(parts, momenta, strict=True):
            part.momentum = momentum


def as_input(made: Tensor, preprocessing: Preprocessing) -> Tensor:
    """What the generator paints, -1..1, as the network is given real images."""
    mean, std = (torch.tensor(v).to(made.device)[:, None, None] for v in _colours(preprocessing))
    images = ((made + 1) / 2 - mean) / std
    side = preprocessing.masked_corner_px
    if side:
        # Real images come with a masked corner: a generated one must not be known by it.
        hidden = torch.ones_like(images)
        hidden[..., -side:, -side:] = 0
        images = images * hidden
    return images


def sample_sheet(
    generator: AcGanGenerator, classes: int, columns: int, seed: int
) -> NDArray[np.uint8]:
    """A row of generated pictures per class, uint8 RGB, each enlarged without smoothing."""
    random = torch.Generator().manual_seed(seed)
    kinds = torch.arange(classes).repeat_interleave(columns)
    with torch.inference_mode():
        made = generator.eval().draw(kinds, random)
    pixels = ((made + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
    rows = pixels.reshape(classes, columns, 3, *pixels.shape[2:]).transpose(0, 3, 1, 4, 2)
    sheet = rows.reshape(classes * pixels.shape[2], columns * pixels.shape[3], 3)
    return np.asarray(sheet.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1), np.uint8)


def write_sheet(sheet: NDArray[np.uint8], file: Path) -> None:
    """The sheet as PNG."""
    file.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(".png", np.ascontiguousarray(sheet[..., ::-1]))
    file.write_bytes(data.tobytes())


def _parts(
    judge: nn.Module,
    generator: nn.Module,
    judging: torch.optim.Optimizer,
    making: torch.optim.Optimizer,
) -> dict[str, Any]:
    return {"network": judge, "generator": generator, "optimizer": judging, "making": making}


def _watch(
    judge: AcGanClassifier, watched: Lesson | None, preprocessing: Preprocessing
) -> tuple[float | None, float | None]:
    """Class loss and accuracy on the validation part."""
    if watched is None:
        return None, None
    judge.eval()
    device = next(judge.parameters()).device
    with torch.inference_mode():
        shown = pictures(watched.tiles, preprocessing, watched.inputs)[0]
        _, logits = judge.judge(shown.to(device))
        labels = torch.from_numpy(watched.labels)
        loss = float(nn.functional.cross_entropy(logits.cpu(), labels))
        right = float((logits.cpu().argmax(1) == labels).float().mean())
    return loss, right


def _colours(preprocessing: Preprocessing) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return preprocessing.mean, preprocessing.std
