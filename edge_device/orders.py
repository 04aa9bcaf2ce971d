"""Pictures that a person or a program asked for, from the wish to the rows that came of it; it takes none itself."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from service_runtime.boot import monotonic_ns
from wire_protocol.manifest import Priority


@dataclass(slots=True, eq=False)
class Order:
    """`count` pictures, at once; it has ended when all are on disk, or `error` says why not."""

    count: int
    priority: Priority
    asked_ns: int = field(default_factory=monotonic_ns)
    #: Pictures that are on their way or on disk.
    taken: int = 0
    #: What each came to, as a reply tells it.
    results: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def wants_more(self) -> bool:
        """Whether another picture is to be taken for it."""
        return not self.error and not self.ended.is_set() and self.taken < self.count

    def came_to(self, result: dict[str, Any]) -> None:
        """One picture is on disk, or was a label that opened a case."""
        self.results.append(result)
        self._look()

    def came_to_nothing(self) -> None:
        """The camera gave a picture that the outbox has already: another is taken instead."""
        self.taken -= 1
        self._look()

    def fail(self, error: str) -> None:
        """No more pictures are taken; those on their way are waited for."""
        self.error = self.error or error
        self._look()

    def give_up(self, error: str) -> None:
        """Nobody waits any longer, whatever is on its way."""
        if not self.ended.is_set():
            self.error = self.error or error
            self.ended.set()

    def _look(self) -> None:
        wanted = self.taken if self.error else self.count
        if len(self.results) >= wanted:
            self.ended.set()
