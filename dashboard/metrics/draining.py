"""Sends what waits in the spool, oldest first, for ever; it backs off from a server that is away."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from dashboard.metrics.server import Away, Server
from dashboard.metrics.spool import Spool
from service_runtime.log import get_log

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0


class Draining:
    """One batch at a time; the spool belongs to the event loop's thread, the request to another."""

    def __init__(self, spool: Spool, server: Server, batch_points: int, flush_s: float) -> None:
        #: Lines that the server will never take; they are out of the spool.
        self.refused = 0
        self._spool = spool
        self._server = server
        self._batch_points = batch_points
        self._flush_s = flush_s
        self._failures = 0
        self._log = get_log("metrics")

    async def run(self, stop: asyncio.Event) -> None:
        """Sends until `stop`, and then what waits, as long as the server takes it at once."""
        while True:
            pause_s = await self._send_all()
            if stop.is_set():
                return
            try:
                async with asyncio.timeout(pause_s):
                    await stop.wait()
            except TimeoutError:
                pass

    async def _send_all(self) -> float:
        """Sends all that waits; returns the pause that follows."""
        while (batch := self._spool.take(self._batch_points)) is not None:
            try:
                outcome = await asyncio.to_thread(self._server.write, batch.lines)
            except BaseException:
                self._spool.give_back(batch)
                raise
            if isinstance(outcome, Away):
                self._spool.give_back(batch)
                self._failures += 1
                return max(self._pause_s(), outcome.retry_after_s)
            if self._failures:
                self._log.info("server_back", after_failures=self._failures)
                self._failures = 0
            self._spool.commit(batch)
            self.refused += outcome.refused
        return self._flush_s

    def _pause_s(self) -> float:
        step: float = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._failures - 1, 30))
        return step * random.uniform(0.5, 1.0)
