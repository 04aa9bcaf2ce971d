"""What the local page and socket need of an agent: its state, its pictures and its actions; nothing of how it works."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from edge_device.bench.state import BenchState


class Answered(Protocol):
    """What an action came to; `error` is "" where `ok`."""

    @property
    def ok(self) -> bool: ...
    @property
    def result(self) -> Mapping[str, Any]: ...
    @property
    def error(self) -> str: ...


class Bench(Protocol):
    """An agent as seen from the bench. All methods are called on the agent's event loop."""

    def state(self) -> BenchState:
        """The state now; cheap, and asks no disk."""
        ...

    async def run(self, name: str, arguments: Mapping[str, Any], *, operator: str) -> Answered:
        """Does one of `state().actions`; never raises."""
        ...

    async def preview_jpeg(self) -> bytes | None:
        """The camera's live picture, at most 800 px wide; None where there is none now."""
        ...

    async def capture_jpeg(self, image_id: str) -> bytes | None:
        """A small picture (at most 800 px wide) of a capture; None where its bytes are gone."""
        ...

    async def changed(self, seen: int) -> int:
        """Waits until there was a change after change number `seen`; gives the newest one's number.

        0 is before the first. `Changes` does this.
        """
        ...


class Changes:
    """Counts changes of the state, so that nobody who waits for one can miss it."""

    def __init__(self) -> None:
        self._number = 1
        self._news = asyncio.Event()

    def note(self) -> None:
        """Something that the state tells is different now."""
        self._number += 1
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def after(self, seen: int) -> int:
        """Returns the newest change's number, as soon as that is not `seen`."""
        while self._number == seen:
            await self._news.wait()
        return self._number
