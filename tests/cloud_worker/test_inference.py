"""Tiles of several images share batches, and each image gets its own outputs or its own failure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from cloud_worker.batching import BatchLimits
from cloud_worker.engines.engine import Batch, Engine, Outputs, open_engine
from cloud_worker.inference import EngineBrokenError, ImageFailedError, Inference
from cloud_worker.models.bundle import Bundle
from cloud_worker.preprocess import Prepared, prepare
from cloud_worker.tile_readings import TileReadings
from tests.cloud_worker.images import a_field

LIMITS = BatchLimits(batch_size=8, max_wait_s=0.02, capacity=64)

#: Writing the bundle, once per run, counts as part of the first test that needs it.
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def engine(resnet34_bundle: Bundle) -> Engine:
    return open_engine(resnet34_bundle, "openvino", precision="f32")


@dataclass
class Picky:
    """The real engine, which also fails when a tile of pure `bad` grey is among the batch."""

    engine: Engine
    bad: Batch
    is_broken: bool = False
    answers_nan: bool = False
    batches: list[int] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.engine.name

    @property
    def precision(self) -> str:
        return self.engine.precision

    @property
    def streams(self) -> int:
        return self.engine.streams

    @property
    def batch_size(self) -> int:
        return self.engine.batch_size

    def warm_up(self) -> None:
        self.engine.warm_up()

    def infer(self, batch: Batch) -> Outputs:
        self.batches.append(len(batch))
        if self.is_broken:
            raise RuntimeError("device lost")
        has_bad = (batch == self.bad).all(axis=(1, 2, 3))
        if has_bad.any() and not self.answers_nan:
            raise RuntimeError("bad tile")
        outputs = self.engine.infer(batch)
        outputs.logits[has_bad] = np.nan
        return outputs


def _prepared(bundle: Bundle, seed: int, width: int = 150, height: int = 100) -> Prepared:
    prepared = prepare(a_field(seed, width, height), 0.25, bundle.card.preprocessing)
    assert isinstance(prepared, Prepared)
    return prepared


def _bad_image(bundle: Bundle) -> Prepared:
    prepared = prepare(np.full((64, 64, 3), 7, np.uint8), 0.25, bundle.card.preprocessing)
    assert isinstance(prepared, Prepared)
    assert prepared.count == 1
    return prepared


def first_maps(outputs: Outputs) -> TileReadings:
    """Some of the outputs, as a bundle's conclusion keeps its class maps of them."""
    return TileReadings(outputs.logits, outputs.maps[:, :5].copy(), None)


def _run(
    engine: Engine,
    work: Callable[[Inference], Awaitable[None]],
    limits: BatchLimits = LIMITS,
    read: Callable[[Outputs], TileReadings] = first_maps,
) -> None:
    async def main() -> None:
        inference = Inference(engine, limits, read)
        with inference.running():
            await work(inference)

    asyncio.run(main())


def test_each_image_gets_the_outputs_of_its_own_tiles(
    engine: Engine, resnet34_bundle: Bundle
) -> None:
    images = [_prepared(resnet34_bundle, seed, 100 + 40 * seed) for seed in range(5)]
    assert len({image.count for image in images}) > 1

    async def work(inference: Inference) -> None:
        answers = await asyncio.gather(*(inference.infer(i, is_urgent=False) for i in images))
        for image, answer in zip(images, answers, strict=True):
            alone = engine.infer(image.tiles())
            np.testing.assert_array_equal(answer.tiles.logits, alone.logits)
            np.testing.assert_array_equal(answer.tiles.class_maps, alone.maps[:, :5])
            assert 0 < answer.batched_ns <= answer.inferred_ns
        total = sum(image.count for image in images)
        assert inference.batches <= total / LIMITS.batch_size + 1

    _run(engine, work)


def test_a_single_tile_is_answered_after_the_wait(engine: Engine, resnet34_bundle: Bundle) -> None:
    async def work(inference: Inference) -> None:
        async with asyncio.timeout(10):
            await inference.infer(_bad_image(resnet34_bundle), is_urgent=True)

    _run(engine, work)


@pytest.mark.parametrize("answers_nan", [False, True])
def test_one_bad_image_fails_alone(
    engine: Engine, resnet34_bundle: Bundle, answers_nan: bool
) -> None:
    bad = _bad_image(resnet34_bundle)
    picky = Picky(engine, bad.tiles()[0], answers_nan=answers_nan)
    good = [_prepared(resnet34_bundle, seed, 64, 64) for seed in range(4)]

    async def work(inference: Inference) -> None:
        images = [*good[:2], bad, *good[2:]]
        answers = await asyncio.gather(
            *(inference.infer(i, is_urgent=False) for i in images), return_exceptions=True
        )
        assert isinstance(answers[2], ImageFailedError)
        for image, answer in zip(good, [*answers[:2], *answers[3:]], strict=True):
            assert not isinstance(answer, BaseException)
            np.testing.assert_array_equal(answer.tiles.logits, engine.infer(image.tiles()).logits)

    _run(picky, work)
    assert picky.batches[0] == 5  # they did share a batch


def test_an_answer_that_cannot_be_read_fails_its_image_alone(
    engine: Engine, resnet34_bundle: Bundle
) -> None:
    bad, good = _bad_image(resnet34_bundle), _prepared(resnet34_bundle, 1, 64, 64)
    unreadable = engine.infer(bad.tiles()).logits

    def read(outputs: Outputs) -> TileReadings:
        if np.array_equal(outputs.logits, unreadable):
            raise FloatingPointError("overflow")
        return first_maps(outputs)

    async def work(inference: Inference) -> None:
        answers = await asyncio.gather(
            *(inference.infer(i, is_urgent=False) for i in (bad, good)), return_exceptions=True
        )
        assert isinstance(answers[0], ImageFailedError)
        assert "cannot be read (FloatingPointError('overflow'))" in str(answers[0])
        assert not isinstance(answers[1], BaseException)

    _run(engine, work, read=read)


def test_a_broken_engine_is_not_blamed_on_the_image(
    engine: Engine, resnet34_bundle: Bundle
) -> None:
    picky = Picky(engine, np.zeros((3, 64, 64), np.float32), is_broken=True)

    async def work(inference: Inference) -> None:
        with pytest.raises(EngineBrokenError, match="plain tile"):
            await inference.infer(_prepared(resnet34_bundle, 1), is_urgent=False)

    _run(picky, work)


def test_images_wait_while_the_queue_is_full_and_all_are_answered(
    engine: Engine, resnet34_bundle: Bundle
) -> None:
    async def work(inference: Inference) -> None:
        images = [_prepared(resnet34_bundle, seed) for seed in range(8)]
        answers = await asyncio.gather(*(inference.infer(i, is_urgent=False) for i in images))
        assert [len(a.tiles.logits) for a in answers] == [i.count for i in images]

    _run(engine, work, BatchLimits(batch_size=4, max_wait_s=0.01, capacity=4))


def test_a_cancelled_image_is_skipped_and_the_end_waits_for_the_rest(
    engine: Engine, resnet34_bundle: Bundle
) -> None:
    async def work(inference: Inference) -> None:
        kept, dropped = _prepared(resnet34_bundle, 1), _prepared(resnet34_bundle, 2)
        one = asyncio.create_task(inference.infer(dropped, is_urgent=False))
        two = asyncio.create_task(inference.infer(kept, is_urgent=False))
        await asyncio.sleep(0)
        one.cancel()
        assert len((await two).tiles.logits) == kept.count
        assert one.cancelled()

    _run(engine, work, BatchLimits(batch_size=64, max_wait_s=0.2, capacity=64))
