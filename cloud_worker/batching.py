"""When a batch closes and what is in it; pure: it is given `now`, holds no clock, thread or pixels.

A batch closes when it is full or when its oldest item has waited `max_wait_s`. Urgent items go
first, then the order of arrival. Items come in groups (the tiles of one image), whole or not at all.
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

    def __len__(self) -> int:
        return len(self._urgent) + len(self._routine)

    def has_room(self, count: int) -> bool:
        """Whether a group of this many items would be accepted now."""
        return not len(self) or len(self) + count <= self.limits.capacity

    def add(self, items: Sequence[T], *, is_urgent: bool, now: float) -> bool:
        """Takes the whole group and returns True, or returns False because it is full."""
        if not self.has_room(len(items)):
            return False
        queue = self._urgent if is_urgent else self._routine
        queue.extend(_Waiting(item, now) for item in items)
        return True

    @property
    def deadline(self) -> float | None:
        """When `take` has a batch at the latest; None while nothing waits."""
        if not len(self):
            return None
        oldest = min(queue[0].since for queue in (self._urgent, self._routine) if queue)
        return oldest if len(self) >= self.limits.batch_size else oldest + self.limits.max_wait_s

    def take(self, now: float) -> list[T]:
        """The next closed batch, at most `batch_size` items; empty while none is due.

        With `now` infinite everything is due: that is how a queue is emptied at the end.
        """
        deadline = self.deadline
        if deadline is None or now < deadline:
            return []
        batch: list[T] = []
        for queue in (self._urgent, self._routine):
            while queue and len(batch) < self.limits.batch_size:
                batch.append(queue.popleft().item)
        return batch
