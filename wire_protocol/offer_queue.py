"""The order in which a device offers its images, and when each may be offered again; it offers nothing.

New images go before re-offers of stored ones, stat before routine, then the oldest first.
"""

from __future__ import annotations

import heapq

from wire_protocol.manifest import Manifest, Priority

_Key = tuple[bool, bool, int]


class OfferQueue:
    """Two heaps with lazy deletion: images that may be offered, and images that wait for a moment."""

    def __init__(self) -> None:
        self._ready: list[tuple[_Key, int, str]] = []
        self._later: list[tuple[float, int, str, _Key]] = []
        self._current: dict[str, int] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._current)

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._current

    def push(self, manifest: Manifest, *, stored: bool, not_before: float | None = None) -> None:
        """Puts the image in, in place of an earlier entry of it."""
        self._count += 1
        self._current[manifest.image_id] = self._count
        key = (stored, manifest.priority != Priority.STAT, manifest.seq)
        if not_before is None:
            heapq.heappush(self._ready, (key, self._count, manifest.image_id))
        else:
            heapq.heappush(self._later, (not_before, self._count, manifest.image_id, key))

    def discard(self, image_id: str) -> None:
        """Takes the image out, if it is in."""
        self._current.pop(image_id, None)

    def head(self, now: float) -> str | None:
        """The image to offer next."""
        while self._later and self._later[0][0] <= now:
            _, count, image_id, key = heapq.heappop(self._later)
            if self._current.get(image_id) == count:
                heapq.heappush(self._ready, (key, count, image_id))
        while self._ready and self._current.get(self._ready[0][2]) != self._ready[0][1]:
            heapq.heappop(self._ready)
        return self._ready[0][2] if self._ready else None

    def wakes_at(self) -> float | None:
        """When the next waiting image may be offered."""
        while self._later and self._current.get(self._later[0][2]) != self._later[0][1]:
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else None
