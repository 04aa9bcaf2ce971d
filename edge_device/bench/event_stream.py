"""The state as server-sent events: whole, on change, at most twice a second, at least every five seconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from edge_device.bench.protocol import Bench

LEAST_GAP_S: Final = 0.5
#: A reader that hears nothing for three of these knows that the agent is gone.
HEARTBEAT_S: Final = 5.0


async def state_events(bench: Bench, stopping: asyncio.Event) -> AsyncIterator[bytes]:
    """Goes on until `stopping`. A slow reader misses states in between, never the newest one."""
    yield b"retry: 1000\n\n"
    seen = 0
    while not stopping.is_set():
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                seen = await _change_or_stop(bench, seen, stopping)
        except TimeoutError:
            pass
        if stopping.is_set():
            return
        yield b"data: " + bench.state().model_dump_json().encode() + b"\n\n"
        try:
            async with asyncio.timeout(LEAST_GAP_S):
                await stopping.wait()
        except TimeoutError:
            pass


async def _change_or_stop(bench: Bench, seen: int, stopping: asyncio.Event) -> int:
    changed = asyncio.ensure_future(bench.changed(seen))
    stopped = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({changed, stopped}, return_when=asyncio.FIRST_COMPLETED)
        return changed.result() if changed.done() else seen
    finally:
        changed.cancel()
        stopped.cancel()
