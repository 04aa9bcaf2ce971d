"""Sets of byte ranges, half-open, sorted and disjoint; it holds no bytes and knows no image."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from wire_protocol.messages import Range


class Ranges:
    """A mutable set of byte positions, kept as few sorted ranges."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[Range] = ()) -> None:
        self._items: list[Range] = []
        for start, end in items:
            self.add(start, end)

    def __iter__(self) -> Iterator[Range]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __bool__(self) -> bool:
        return bool(self._items)

    def first(self) -> Range | None:
        """The lowest range."""
        return self._items[0] if self._items else None

    def size(self) -> int:
        """How many bytes are in the set."""
        return sum(end - start for start, end in self._items)

    def add(self, start: int, end: int) -> None:
        """Puts [start, end) into the set; an empty range changes nothing."""
        if start >= end:
            return
        items = self._items
        low = bisect_left(items, start, key=_end_of)
        high = bisect_right(items, end, key=_start_of)
        if low < high:
            start = min(start, items[low][0])
            end = max(end, items[high - 1][1])
        items[low:high] = [(start, end)]

    def remove(self, start: int, end: int) -> None:
        """Takes [start, end) out of the set."""
        if start >= end or not self._items:
            return
        items = self._items
        low = bisect_right(items, start, key=_end_of)
        high = bisect_left(items, end, key=_start_of)
        if low >= high:
            return
        kept: list[Range] = []
        if items[low][0] < start:
            kept.append((items[low][0], start))
        if items[high - 1][1] > end:
            kept.append((end, items[high - 1][1]))
        items[low:high] = kept

    def within(self, start: int, end: int) -> list[Range]:
        """The parts of the set that lie in [start, end)."""
        return [
            (max(start, low), min(end, high))
            for low, high in self._items
            if low < end and high > start
        ]


def _start_of(item: Range) -> int:
    return item[0]


def _end_of(item: Range) -> int:
    return item[1]
