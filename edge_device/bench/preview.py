"""One live picture for all who look: the camera is asked once, however many pages there are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from service_runtime.boot import monotonic_s

#: A picture is shown again while it is younger; pages ask about five times a second.
FRESH_S: Final = 0.15


class SharedPreview:
    """Asks `take` when nobody else is asking and the last picture is old."""

    def __init__(self, take: Callable[[], Awaitable[bytes | None]]) -> None:
        self._take = take
        self._lock = asyncio.Lock()
        self._last: bytes | None = None
        self._taken_s = float("-inf")

    async def jpeg(self) -> bytes | None:
        """A picture not older than FRESH_S when it was asked for; None where there is none now."""
        asked_s = monotonic_s()
        async with self._lock:
            if asked_s - self._taken_s > FRESH_S:
                self._last = await self._take()
                self._taken_s = monotonic_s()
            return self._last
