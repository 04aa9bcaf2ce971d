"""The training loop: killed and taken up again it ends in the same weights; patience runs out."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
import torch

from cloud_worker.models.card import Preprocessing
from training.batches import Lesson, balanced_order, hide_corner, pictures
from training.checkpoints import CHECKPOINT_FILE, ResumeError, load_checkpoint
from training.compute import Precision, choose_compute
from training.gan import TrainedGan, sample_sheet, train_gan
from training.recipe import Stage, TrainingRecipe, load_recipe
from training.stage_run import Progress
from training.stages import Trained, run_stages

COLOURS = (0.5, 0.5, 0.5)
DEADLINE_S = 45.0


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that wait for each other are slow where other tests share the cores."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def recipe_of(**changes: object) -> TrainingRecipe:
    """Three epochs of the smallest network; it drops out at random."""
    whole = load_recipe("karar3-acgan-alone")
    stage = {**whole.stages[0].model_dump(), "epochs": 3, "batch": 8, **changes}
    return whole.model_copy(update={"stages": (Stage.model_validate(stage),)})


def preprocessing_of(side_px: int = 28) -> Preprocessing:
    return Preprocessing(
        height_px=side_px,
        width_px=side_px,
        um_per_px=1.0,
        mean=COLOURS,
        std=COLOURS,
        masked_corner_px=side_px // 6,
    )


def lesson_of(images: int = 24, side_px: int = 28, classes: int = 4, seed: int = 1) -> Lesson:
    """Noise whose brightness tells the class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    tiles = rng.integers(0, 90, (images, side_px, side_px, 3)) + 40 * labels[:, None, None, None]
    return Lesson(tiles.astype(np.uint8), labels.astype(np.int64), classes, 0.0)


def train(folder: Path, *, resume: bool = False, talk: Connection | None = None) -> Trained:
    def tell(progress: Progress) -> None:
        if talk is not None and (progress.epoch, progress.batch) == (2, 2):
            talk.send("in the middle")
            talk.recv()  # and never an answer

    return run_stages(
        recipe_of(),
        preprocessing_of(),
        lambda stage: lesson_of(),
        folder / CHECKPOINT_FILE,
        resume=resume,
        tell=tell,
        images="these",
    )


def train_and_talk(folder: Path, talk: Connection) -> None:
    train(folder, talk=talk)


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_training_killed_in_the_middle_of_an_epoch_ends_in_the_same_weights(
    tmp_path: Path,
) -> None:
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=train_and_talk, args=(tmp_path / "killed", theirs)
    )
    process.start()
    theirs.close()
    try:
        assert ours.poll(DEADLINE_S), "the training said nothing"
        assert ours.recv() == "in the middle"
    finally:
        process.kill()  # SIGKILL: nothing can be tidied up
        process.join(DEADLINE_S)
    taken_up = train(tmp_path / "killed", resume=True)
    undisturbed = train(tmp_path / "whole")
    assert [len(stage.epochs) for stage in taken_up.history] == [3]
    assert taken_up.history[0].epochs[0].loss == pytest.approx(
        undisturbed.history[0].epochs[0].loss, rel=1e-3
    )
    assert same(taken_up.network, undisturbed.network)


def test_a_checkpoint_of_other_images_is_refused(tmp_path: Path) -> None:
    train(tmp_path)
    with pytest.raises(ResumeError, match="other training images"):
        load_checkpoint(tmp_path / CHECKPOINT_FILE, recipe_of(), "those")
    with pytest.raises(ResumeError, match=r"another recipe \(stages\)"):
        load_checkpoint(tmp_path / CHECKPOINT_FILE, recipe_of(batch=4), "these")
    (tmp_path / CHECKPOINT_FILE).write_bytes(b"half a file")
    with pytest.raises(ResumeError, match="not a checkpoint"):
        load_checkpoint(tmp_path / CHECKPOINT_FILE, recipe_of(), "these")


def test_patience_stops_early_and_keeps_the_best_epoch(tmp_path: Path) -> None:
    recipe = recipe_of(epochs=12, patience=2, learning_rate=0.02)
    watched = Lesson(lesson_of(seed=2).tiles, np.roll(lesson_of().labels, 1), 4, 0.0)
    trained = run_stages(
        recipe,
        preprocessing_of(),
        lambda stage: lesson_of(),
        tmp_path / CHECKPOINT_FILE,
        resume=False,
        tell=lambda progress: None,
        watched=watched,
    )
    (history,) = trained.history
    losses = [epoch.validation_loss for epoch in history.epochs]
    assert history.stopped_early
    assert len(losses) < 12
    assert history.best_epoch == 1 + int(np.argmin(np.array(losses, float)))
    assert len(losses) - history.best_epoch == 2


def test_an_ac_gan_taken_up_again_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    whole = load_recipe("karar3-acgan")
    epochs = 3

    def learn(folder: Path, *, resume: bool = False, until: int | None = None) -> TrainedGan:
        stage = whole.stages[0].model_copy(update={"epochs": epochs, "batch": 6})
        recipe = whole.model_copy(update={"stages": (stage,)})

        def tell(progress: Progress) -> None:
            if until is not None and progress.epoch > until:
                raise KeyboardInterrupt

        return train_gan(
            recipe,
            preprocessing_of(28),
            lesson_of(18, 28, 3),
            folder / CHECKPOINT_FILE,
            resume=resume,
            tell=tell,
        )

    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "stopped", until=2)
    taken_up, undisturbed = learn(tmp_path / "stopped", resume=True), learn(tmp_path / "whole")
    assert same(taken_up.generator, undisturbed.generator)
    assert same(taken_up.trained.network, undisturbed.trained.network)
    (history,) = taken_up.trained.history
    assert [epoch.epoch for epoch in history.epochs] == [1, 2, 3]
    assert all(epoch.generator_loss is not None for epoch in history.epochs)
    sheet = sample_sheet(taken_up.generator, 3, 5, seed=1)
    assert sheet.shape == (3 * 28 * 4, 5 * 28 * 4, 3)
    assert sheet.std() > 0


def test_the_segmented_picture_is_black_where_nothing_is_kept_and_moves_with_the_original() -> None:
    by = preprocessing_of(32)
    tiles = np.full((1, 32, 32, 4), 200, np.uint8)
    tiles[..., 3] = 0
    tiles[0, :10, :12, 3] = 255
    original, segmented = pictures(tiles, by, ("original", "segmented"))
    assert torch.equal(original[..., :10, :12], segmented[..., :10, :12])
    assert torch.all(segmented[..., 10:, :] == -1.0)  # (0 - 0.5) / 0.5
    assert torch.all(segmented[..., 12:] == -1.0)
    assert len(pictures(tiles, by, ("segmented",))) == 1


def test_a_hidden_corner_is_not_kept_either() -> None:
    tile = np.full((32, 32, 4), 255, np.uint8)
    hidden = hide_corner(tile, preprocessing_of(32))
    assert (hidden[-5:, -5:, :3] == 128).all()
    assert not hidden[-5:, -5:, 3].any()
    assert hidden[:-5, :, 3].all()


def test_balance_shows_every_class_equally_often() -> None:
    labels = np.repeat([0, 1], [90, 10])
    order = balanced_order(labels, 1.0, np.random.default_rng(0))
    assert np.bincount(labels[order]).tolist() == [50, 50]
    order = balanced_order(labels, 0.0, np.random.default_rng(0))
    assert np.bincount(labels[order]).tolist() == [90, 10]


@pytest.mark.parametrize(("asked", "bfloat16"), [("float32", False), ("bfloat16", True)])
def test_the_precision_asked_for_is_the_one_that_convolutions_run_in(
    asked: Precision, bfloat16: bool
) -> None:
    compute = choose_compute(asked)
    layer = torch.nn.Conv2d(3, 4, 1).to(compute.device)
    with compute.autocast():
        out = layer(torch.zeros(1, 3, 4, 4, device=compute.device))
    assert out.dtype == (torch.bfloat16 if bfloat16 else torch.float32)
    assert ("bfloat16" in compute.said) == bfloat16


@pytest.mark.gpu
def test_a_gpu_trains_in_mixed_precision_and_hands_back_a_network_on_the_cpu(
    tmp_path: Path,
) -> None:
    recipe = recipe_of().model_copy(update={"precision": "auto"})
    trained = run_stages(
        recipe,
        preprocessing_of(),
        lambda stage: lesson_of(),
        tmp_path / CHECKPOINT_FILE,
        resume=False,
        tell=lambda progress: None,
    )
    assert "bfloat16" in trained.compute
    assert {p.device.type for p in trained.network.parameters()} == {"cpu"}
    assert {p.dtype for p in trained.network.parameters()} == {torch.float32}
