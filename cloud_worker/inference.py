"""The threads that feed the engine, one per stream: batches of tiles of several images go in, each
image's outputs come out. One bad image never fails its batch, and a broken engine is never blamed on
an image. A stream takes its next batch as soon as it is free: none waits for another's to end."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from cloud_worker.batching import Batcher, BatchLimits
from cloud_worker.engines.engine import Batch, Engine, Outputs
from cloud_worker.preprocess import Prepared
from cloud_worker.tile_readings import TileReadings, join_readings
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

    tiles: TileReadings
    batched_ns: int
    inferred_ns: int


@dataclass(slots=True, eq=False)
class _Job:
    prepared: Prepared
    answer: asyncio.Future[Inferred]
    #: By the number of the first tile: streams may end out of turn.
    parts: dict[int, TileReadings] = field(default_factory=dict)
    answered: int = 0
    batched_ns: int = 0
    failed: bool = False


@dataclass(frozen=True, slots=True)
class _Tile:
    job: _Job
    index: int


class Inference:
    """The event loop's side: `infer` from any task, while `running` holds the threads.

    `read` keeps what is needed of a batch's outputs, on the thread that ran it.
    """

    def __init__(
        self, engine: Engine, limits: BatchLimits, read: Callable[[Outputs], TileReadings]
    ) -> None:
        self._engine = engine
        self._read = read
        self._batcher: Batcher[_Tile] = Batcher(limits)
        self._changed = threading.Condition()
        self._stopping = False
        self._room = asyncio.Event()
        self._log = get_log("worker").bind(engine=engine.name)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.batches = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within this block the threads run; at its end what was taken on is finished."""
        self._loop = asyncio.get_running_loop()
        threads = [
            threading.Thread(target=self._run, name=f"inference-{stream}")
            for stream in range(self._engine.streams)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            with self._changed:
                self._stopping = True
                self._changed.notify_all()
            for thread in threads:
                thread.join()

    async def infer(
        self, prepared: Prepared, *, is_urgent: bool, is_preview: bool = False
    ) -> Inferred:
        """What was read of all tiles; raises ImageFailedError or EngineBrokenError.

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
                    self._changed.notify_all()
                    break
            await self._room.wait()
        return await job.answer

    # --- the threads --------------------------------------------------------------------------

    def _run(self) -> None:
        while batch := self._next_batch():
            self._tell(self._room.set)
            self._run_batch([tile for tile in batch if not self._is_over(tile.job)])

    def _next_batch(self) -> list[_Tile]:
        """The next closed batch; empty only when the thread is to end."""
        with self._changed:
            while True:
                now = math.inf if self._stopping else time.monotonic()  # at last, due or not
                batch = self._batcher.take(now)
                if batch or self._stopping:
                    self.batches += bool(batch)
                    return batch
                deadline = self._batcher.deadline
                self._changed.wait(None if deadline is None else max(0.0, deadline - now))

    def _run_batch(self, batch: list[_Tile]) -> None:
        batched_ns = monotonic_ns()
        tiles: dict[_Job, tuple[int, Batch]] = {}
        for job, start, stop in _runs(batch):
            try:
                cut = job.prepared.tiles(start, stop)
            except Exception as error:  # whatever numpy or OpenCV make of this one image
                self._fail(job, ImageFailedError(f"its tiles cannot be cut ({error!r})"), error)
                continue
            tiles[job] = (start, cut)
            with self._changed:
                job.batched_ns = job.batched_ns or batched_ns
        if not tiles:
            return
        try:
            outputs = self._engine.infer(_joined([cut for _, cut in tiles.values()]))
        except Exception as error:  # each engine raises exceptions of its own library
            self._log.warning("batch_failed", images=len(tiles), problem=repr(error))
            self._run_one_by_one(tiles)
            return
        at = 0
        for job, (start, cut) in tiles.items():
            self._answer(job, start, _slice(outputs, at, at + len(cut)))
            at += len(cut)

    def _run_one_by_one(self, tiles: dict[_Job, tuple[int, Batch]]) -> None:
        for job, (start, cut) in tiles.items():
            try:
                outputs = self._engine.infer(cut)
            except Exception as error:  # as above
                self._fail(job, self._whose_fault(cut, error), error)
                continue
            self._answer(job, start, outputs)

    def _whose_fault(self, cut: Batch, error: Exception) -> Exception:
        try:
            self._engine.infer(np.zeros_like(cut[:1]))
        except Exception as again:  # as above
            return EngineBrokenError(f"{self._engine.name} fails on a plain tile: {again!r}")
        return ImageFailedError(f"{self._engine.name} fails on it alone ({error!r})")

    def _answer(self, job: _Job, start: int, outputs: Outputs) -> None:
        if not (np.isfinite(outputs.logits).all() and np.isfinite(outputs.features).all()):
            problem = ImageFailedError(f"{self._engine.name} answers with no finite numbers")
            self._fail(job, problem, problem)
            return
        try:
            readings = self._read(outputs)
        except Exception as error:  # whatever numpy makes of this one image's numbers
            self._fail(job, ImageFailedError(f"its answer cannot be read ({error!r})"), error)
            return
        with self._changed:
            job.parts[start] = readings
            job.answered += len(readings.logits)
            if job.answered < job.prepared.count:
                return
        parts = [job.parts[first] for first in sorted(job.parts)]
        inferred = Inferred(join_readings(parts), job.batched_ns, monotonic_ns())
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
    """The tiles of each image as (job, start, stop): they lie side by side in the queue."""
    for job, tiles in groupby(batch, key=lambda tile: tile.job):
        first, *others = tiles
        yield job, first.index, first.index + 1 + len(others)


def _joined(parts: list[Batch]) -> Batch:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _slice(outputs: Outputs, start: int, stop: int) -> Outputs:
    if stop - start == len(outputs.logits):
        return outputs
    return Outputs(
        outputs.logits[start:stop].copy(),  # it outlives the batch
        outputs.features[start:stop],
        outputs.maps[start:stop],
    )
