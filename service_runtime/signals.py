"""SIGINT, SIGTERM and SIGHUP become a stop event; a second one ends the process at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

FORCED_EXIT = 130
#: Ctrl-C, a service manager, and a terminal that was closed.
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stop_on_signals() -> Iterator[asyncio.Event]:
    """Within this block the first of these signals sets the event, a second one exits with 130."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(FORCED_EXIT)
        stop.set()

    for number in _STOPPING:
        loop.add_signal_handler(number, on_signal)
    try:
        yield stop
    finally:
        for number in _STOPPING:
            loop.remove_signal_handler(number)
