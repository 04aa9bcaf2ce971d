"""Watches whether the wall clock was set: then early captures get their time, and the time is remembered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from edge_device.outbox_thread import DiskGivenUpError, OutboxThread
from service_runtime.boot import boot_id, clock_is_synced, monotonic_s
from service_runtime.known_time import KnownTime
from service_runtime.log import get_log

#: A clock that is set is looked at this often, to be remembered and in case it is lost again.
_SET_S = 60.0
#: A clock that is not set may be at any moment.
_UNSET_S = 2.0


async def watch_wall_clock(
    restamp: Callable[[str, float], Awaitable[int]], known_time: KnownTime, disk: OutboxThread
) -> None:
    """For ever. `restamp` is given this boot's id and wall time less monotonic time, in seconds."""
    log = get_log("edge")
    is_restamped = False
    while True:
        if not clock_is_synced():
            is_restamped = False
            await asyncio.sleep(_UNSET_S)
            continue
        if not is_restamped:
            try:
                images = await restamp(boot_id(), time.time() - monotonic_s())
            except DiskGivenUpError:
                return  # the next start of this boot does it
            is_restamped = True
            log.info("clock_is_set", restamped=images)
        await disk.if_possible(lambda _outbox: known_time.remember(time.time()))
        await asyncio.sleep(_SET_S)
