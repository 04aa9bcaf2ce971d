"""The outbox on its one writer thread, for a program on the event loop; it adds no rule of its own.

State changes that come while a commit runs are committed together with the next one.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from edge_device.outbox import NewCapture, Outbox, OutboxRow
from service_runtime.log import get_log
from wire_protocol.machine_io import Persist

T = TypeVar("T")
#: Pause after a write that the disk refused.
_RETRY_S = 2.0


class OutboxThread:
    """All methods belong to the event loop's thread; the outbox itself is touched on another."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="outbox")
        self._waiting: list[Persist] = []
        self._changed = asyncio.Event()

    async def call(self, function: Callable[[Outbox], T]) -> T:
        """Runs `function(outbox)` on the writer thread, after everything asked before."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, function, self.outbox)

    async def add(self, captures: Sequence[NewCapture]) -> list[OutboxRow | None]:
        """Takes captures in durably, however long the disk refuses; see `Outbox.add`."""
        return await self._patiently(lambda outbox: outbox.add(captures))

    def persist(self, change: Persist) -> None:
        """Commits this change soon, in order."""
        self._waiting.append(change)
        self._changed.set()

    @property
    def is_settled(self) -> bool:
        """Whether every change so far is on disk."""
        return not self._waiting

    async def commit_changes(self, on_commit: Callable[[Sequence[Persist]], None]) -> None:
        """Runs for ever: commits what `persist` was given and tells it."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._commit(on_commit)

    async def _commit(self, on_commit: Callable[[Sequence[Persist]], None]) -> None:
        while self._waiting:
            batch = tuple(self._waiting)
            await self._patiently(partial(_apply, batch))
            del self._waiting[: len(batch)]
            on_commit(batch)

    async def _patiently(self, function: Callable[[Outbox], T]) -> T:
        """Like `call`, but a full or failing disk is waited for: each try is whole or nothing."""
        while True:
            try:
                return await self.call(function)
            except (OSError, sqlite3.OperationalError) as error:
                get_log("edge").error("outbox_cannot_write", reason=str(error), again_s=_RETRY_S)
            await asyncio.sleep(_RETRY_S)

    def shut(self) -> None:
        """Ends the writer thread after what it is doing; what was not asked for is not done."""
        self._executor.shutdown(cancel_futures=True)

    async def close(self) -> None:
        """Commits what waits and closes the outbox."""
        batch = tuple(self._waiting)
        if batch:
            await self.call(partial(_apply, batch))
        await self.call(Outbox.close)


def _apply(changes: Sequence[Persist], outbox: Outbox) -> None:
    outbox.apply(changes)
