"""The thread that owns the engine: batches of tiles of several images go in, each image's outputs
come out. One bad image never fails its batch, and a broken engine is never blamed on an image."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from cloud_worker.batching import Batcher, BatchLimits
from cloud_worker.engines.engine import Batch, Engine, Outputs, join_outputs
from cloud_worker.preprocess import Prepared
from service_runtime.boot import monotonic_ns
from service_runtime.log import get_log


class ImageFailedError(Exception):
    """The engine runs, but not on this image: it is rejected by name."""


class EngineBrokenError(Exception):
    """The engine fails on a plain grey tile too: no image is to blame, the worker must end."""

    #: A restart may mend it.
    exit_code = 1


@dataclass(frozen=True, slots=True)
class Inferred:
    """All tiles of one image, in the plan's order, and when they were batched and answered."""

    outputs: Outputs
    batched_ns: int
    inferred_ns: int


@dataclass(slots=True, eq=False)
class _Job:
    prepared: Prepared
    answer: asyncio.Future[Inferred]
    parts: list[Outputs] = field(default_factory=list)
    answered: int = 0
    batched_ns: int = 0
    failed: bool = False


@dataclass(frozen=True, slots=True)
class _Tile:
    job: _Job
    index: int


class Inference:
    """The event loop's side: `infer` from any task, while `running` holds the thread."""

    def __init__(self, engine: Engine, limits: BatchLimits) -> None:
        self._engine = engine
        self._batcher: Batcher[_Tile] = Batcher(limits)
        self._changed = threading.Condition()
        self._stopping = False
        self._room = asyncio.Event()
        self._log = get_log("worker").bind(engine=engine.name)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.batches = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within this block the thread runs; at its end what was taken on is finished."""
        self._loop = asyncio.get_running_loop()
        thread = threading.Thread(target=self._run, name="inference")
        thread.start()
        try:
            yield
        finally:
            with self._changed:
                self._stopping = True
                self._changed.notify()
            thread.join()

    async def infer(
        self, prepared: Prepared, *, is_urgent: bool, is_preview: bool = False
    ) -> Inferred:
        """The engine's outputs for all tiles; raises ImageFailedError or EngineBrokenError.

        Waits while the queue of tiles is full. A cancelled image's tiles are skipped.
        """
        assert self._loop is not None, "infer() outside of running()"
        job = _Job(prepared, self._loop.create_future())
        tiles = [_Tile(job, index) for index in range(prepared.count)]
        while True:
            self._room.clear()
            with self._changed:
                now = time.monotonic()
                if self._batcher.add(tiles, is_urgent=is_urgent, now=now, is_preview=is_preview):
                    self._changed.notify()
                    break
            await self._room.wait()
        return await job.answer

    # --- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        while batch := self._next_batch():
            self.batches += 1
            self._tell(self._room.set)
            self._run_batch([tile for tile in batch if not self._is_over(tile.job)])

    def _next_batch(self) -> list[_Tile]:
        """The next closed batch; empty only when the thread is to end."""
        with self._changed:
            while True:
                now = time.monotonic()
                if batch := self._batcher.take(now):
                    return batch
                if self._stopping:  # due or not; empty at last
                    return self._batcher.take(math.inf)
                deadline = self._batcher.deadline
                self._changed.wait(None if deadline is None else max(0.0, deadline - now))

    def _run_batch(self, batch: list[_Tile]) -> None:
        batched_ns = monotonic_ns()
        tiles: dict[_Job, Batch] = {}
        for job, start, stop in _runs(batch):
            job.batched_ns = job.batched_ns or batched_ns
            try:
                cut = job.prepared.tiles(start, stop)
            except Exception as error:  # whatever numpy or OpenCV make of this one image
                self._fail(job, ImageFailedError(f"its tiles cannot be cut ({error!r})"), error)
                continue
            tiles[job] = np.concatenate([tiles[job], cut]) if job in tiles else cut
        if not tiles:
            return
        try:
            outputs = self._engine.infer(np.concatenate(list(tiles.values())))
        except Exception as error:  # each engine raises exceptions of its own library
            self._log.warning("batch_failed", images=len(tiles), problem=repr(error))
            self._run_one_by_one(tiles)
            return
        at = 0
        for job, cut in tiles.items():
            self._answer(job, _slice(outputs, at, at + len(cut)))
            at += len(cut)

    def _run_one_by_one(self, tiles: dict[_Job, Batch]) -> None:
        for job, cut in tiles.items():
            try:
                outputs = self._engine.infer(cut)
            except Exception as error:  # as above
                self._fail(job, self._whose_fault(cut, error), error)
                continue
            self._answer(job, outputs)

    def _whose_fault(self, cut: Batch, error: Exception) -> Exception:
        try:
            self._engine.infer(np.zeros_like(cut[:1]))
        except Exception as again:  # as above
            return EngineBrokenError(f"{self._engine.name} fails on a plain tile: {again!r}")
        return ImageFailedError(f"{self._engine.name} fails on it alone ({error!r})")

    def _answer(self, job: _Job, outputs: Outputs) -> None:
        if not (np.isfinite(outputs.logits).all() and np.isfinite(outputs.features).all()):
            problem = ImageFailedError(f"{self._engine.name} answers with no finite numbers")
            self._fail(job, problem, problem)
            return
        job.parts.append(outputs)
        job.answered += len(outputs.logits)
        if job.answered == job.prepared.count:
            inferred = Inferred(join_outputs(job.parts), job.batched_ns, monotonic_ns())
            self._tell(_settle, job.answer, inferred)

    def _fail(self, job: _Job, problem: Exception, cause: BaseException) -> None:
        job.failed = True
        problem.__cause__ = cause if cause is not problem else None
        self._tell(_settle, job.answer, problem)

    def _is_over(self, job: _Job) -> bool:
        return job.failed or job.answer.cancelled()

    def _tell(self, call: object, *arguments: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(call, *arguments)  # type: ignore[arg-type]  # any callable


def _settle(answer: asyncio.Future[Inferred], result: Inferred | Exception) -> None:
    if answer.done():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)


def _runs(batch: list[_Tile]) -> Iterator[tuple[_Job, int, int]]:
    """Consecutive tiles of one image as (job, start, stop)."""
    start = 0
    for end in range(1, len(batch) + 1):
        here, last = batch[start], batch[end - 1]
        if end < len(batch):
            following = batch[end]
            if following.job is last.job and following.index == last.index + 1:
                continue
        yield here.job, here.index, last.index + 1
        start = end


def _slice(outputs: Outputs, start: int, stop: int) -> Outputs:
    return Outputs(
        outputs.logits[start:stop].copy(),
        outputs.features[start:stop].copy(),
        outputs.maps[start:stop].copy(),
    )
