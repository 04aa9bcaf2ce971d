"""A counted gate that lets urgent images overtake; it bounds how many are past it, nothing else."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Admission:
    """At most `places` inside at once; those who wait enter urgent first, then in order."""

    def __init__(self, places: int) -> None:
        if places < 1:
            raise ValueError(f"places must be at least 1, not {places}")
        self._free = places
        self._numbers = itertools.count()
        self._waiting: list[tuple[bool, int, asyncio.Future[None]]] = []

    @property
    def waiting(self) -> int:
        """How many wait outside."""
        return len(self._waiting)

    @asynccontextmanager
    async def enter(self, *, is_urgent: bool) -> AsyncIterator[None]:
        """Waits for a place and gives it back at the end, however it ends."""
        await self._take(is_urgent)
        try:
            yield
        finally:
            self._free += 1
            self._admit()

    async def _take(self, is_urgent: bool) -> None:
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (not is_urgent, next(self._numbers), turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # admitted and cancelled at the same time
                self._free += 1
                self._admit()
            raise

    def _admit(self) -> None:
        while self._free and self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                self._free -= 1
                turn.set_result(None)
