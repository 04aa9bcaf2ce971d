"""When a batch closes and what is in it; pure: it is given `now`, holds no clock, thread or pixels.

A batch closes when it is full or when its oldest item has waited `max_wait_s`. Urgent items go
first, then the order of arrival. Items come in groups (the tiles of one image), whole or not at all.
Previews fill batches of their own, and only while nothing else waits: they delay no whole image by
more than the batch that is running.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The policy's numbers."""

    batch_size: int
    max_wait_s: float
    #: Items waiting at most; a group that alone is larger enters an empty queue.
    capacity: int

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.max_wait_s < 0 or self.capacity < self.batch_size:
            raise ValueError(f"batch limits do not fit together: {self}")


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[T]):
    item: T
    since: float


class Batcher(Generic[T]):
    """Collects items and hands out closed batches; ask `take` on every change and at `deadline`."""

    def __init__(self, limits: BatchLimits) -> None:
        self.limits = limits
        self._urgent: deque[_Waiting[T]] = deque()
        self._routine: deque[_Waiting[T]] = deque()
        self._previews: deque[_Waiting[T]] = deque()

    def __len__(self) -> int:
        return self._full + len(self._previews)

    @property
    def _full(self) -> int:
        return len(self._urgent) + len(self._routine)

    def has_room(self, count: int, *, is_preview: bool = False) -> bool:
        """Whether a group of this many items would be accepted now; previews take no room of others."""
        waiting = len(self._previews) if is_preview else self._full
        return not waiting or waiting + count <= self.limits.capacity

    def add(
        self, items: Sequence[T], *, is_urgent: bool, now: float, is_preview: bool = False
    ) -> bool:
        """Takes the whole group and returns True, or returns False because it is full."""
        if not self.has_room(len(items), is_preview=is_preview):
            return False
        queue = self._urgent if is_urgent else self._routine
        if is_preview:
            queue = self._previews
        queue.extend(_Waiting(item, now) for item in items)
        return True

    @property
    def deadline(self) -> float | None:
        """When `take` has a batch at the latest; None while nothing waits."""
        queues = self._next()
        if not queues:
            return None
        oldest = min(queue[0].since for queue in queues)
        waiting = sum(len(queue) for queue in queues)
        return oldest if waiting >= self.limits.batch_size else oldest + self.limits.max_wait_s

    def take(self, now: float) -> list[T]:
        """The next closed batch, at most `batch_size` items; empty while none is due.

        With `now` infinite everything is due: that is how a queue is emptied at the end.
        """
        deadline = self.deadline
        if deadline is None or now < deadline:
            return []
        batch: list[T] = []
        for queue in self._next():
            while queue and len(batch) < self.limits.batch_size:
                batch.append(queue.popleft().item)
        return batch

    def _next(self) -> list[deque[_Waiting[T]]]:
        """Where the next batch comes from, in order; empty queues are left out."""
        whole = [queue for queue in (self._urgent, self._routine) if queue]
        return whole or [queue for queue in (self._previews,) if queue]
