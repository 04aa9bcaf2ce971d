"""The outbox on its one writer thread, for a program on the event loop; a full disk ends no stage of it.

Three ways to ask, by what a disk that refuses means: `patiently` for what must happen (it is waited
for), `if_possible` for housekeeping (left out, with a line in the log), `call` for who answers
himself. State changes that come while a commit runs are committed together with the next one.
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
from wire_protocol.machine_io import OutboxState, Persist

T = TypeVar("T")
#: What a full or failing disk raises.
DISK_REFUSES = (OSError, sqlite3.OperationalError)
#: Pause after a write that the disk refused.
_RETRY_S = 2.0


class DiskGivenUpError(Exception):
    """The agent stops and the disk still refuses: this was not done, a later start does it."""


class OutboxThread:
    """All methods belong to the event loop's thread; the outbox itself is touched on another."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="outbox")
        self._waiting: list[Persist] = []
        self._changed = asyncio.Event()
        self._hurried = asyncio.Event()
        self._is_shut = False
        self._log = get_log("edge")

    async def call(self, function: Callable[[Outbox], T]) -> T:
        """Runs `function(outbox)` on the writer thread, after everything asked before."""
        if self._is_shut:
            raise DiskGivenUpError
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, function, self.outbox)

    async def patiently(self, function: Callable[[Outbox], T]) -> T:
        """Like `call`, but a full or failing disk is waited for: each try is whole or nothing.

        Raises DiskGivenUpError once the agent stops.
        """
        while True:
            try:
                return await self.call(function)
            except DISK_REFUSES as error:
                self._log.error("outbox_cannot_write", reason=str(error), again_s=_RETRY_S)
                if self._hurried.is_set():
                    raise DiskGivenUpError from error
            try:
                async with asyncio.timeout(_RETRY_S):
                    await self._hurried.wait()
            except TimeoutError:
                continue

    async def if_possible(self, function: Callable[[Outbox], T]) -> T | None:
        """Like `call`, but None where the disk refuses."""
        try:
            return await self.call(function)
        except DISK_REFUSES as error:
            self._log.error("outbox_refused", reason=str(error))
            return None

    async def add(self, captures: Sequence[NewCapture]) -> list[OutboxRow | None]:
        """Takes captures in durably, however long the disk refuses; see `Outbox.add`."""
        return await self.patiently(lambda outbox: outbox.add(captures))

    def persist(self, change: Persist) -> None:
        """Commits this change soon, in order; that a worker has begun with an image only together
        with what comes next: after a restart it means nothing, and a commit costs a card five pages.
        """
        self._waiting.append(change)
        if change.state is not OutboxState.SENDING:
            self._changed.set()

    @property
    def is_settled(self) -> bool:
        """Whether every change so far is on disk."""
        return not self._waiting

    async def commit_changes(self, on_commit: Callable[[Sequence[Persist]], None]) -> None:
        """Commits what `persist` was given and tells it; until the agent stops."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._commit(on_commit)
            except DiskGivenUpError:
                return  # `close` tries once more

    async def _commit(self, on_commit: Callable[[Sequence[Persist]], None]) -> None:
        while self._waiting:
            batch = tuple(self._waiting)
            await self.patiently(partial(_apply, batch))
            del self._waiting[: len(batch)]
            on_commit(batch)

    def hurry(self) -> None:
        """The agent stops: from here on a disk that refuses is no longer waited for."""
        self._hurried.set()

    async def ends_within(self, seconds: float) -> bool:
        """Waits so long; True, and at once, where the agent stops."""
        try:
            async with asyncio.timeout(seconds):
                await self._hurried.wait()
        except TimeoutError:
            return False
        return True

    def shut(self) -> None:
        """Ends the writer thread after what it is doing; what was not asked for is not done."""
        self._is_shut = True
        self._executor.shutdown(cancel_futures=True)

    async def close(self) -> None:
        """Commits what waits, where the disk lets us, and closes the outbox.

        Without it an image is sent or asked about once more after the next start.
        """
        batch = tuple(self._waiting)
        if batch:
            await self.if_possible(partial(_apply, batch))
        await self.if_possible(Outbox.close)


def _apply(changes: Sequence[Persist], outbox: Outbox) -> None:
    outbox.apply(changes)
