"""Whose turn it is while a worker has no room for all: no device gets far ahead of those that wait; it holds no bytes.

Start-time fair queueing over bytes: each image that is taken moves its device's clock on by its
size, and the worker's clock stands where the last one taken began. A device may be so far ahead of
the slowest of those that were told Busy a moment ago. Who was not heard of for a moment is not
waited for, so room is never kept for somebody who may have gone, and idle devices save nothing up.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

#: A device that was told Busy counts as waiting for so long: it asks again within 3 s (busy_max_s and half).
WAITS_S: Final = 3.5
#: A device may be ahead by so many images of the size that it offers.
LEAD_IMAGES: Final = 2
REMEMBERED_DEVICES: Final = 4096


class Turns:
    """The clocks, in bytes; a device that is not remembered stands at the worker's."""

    def __init__(self) -> None:
        self._now_at = 0
        self._clocks: OrderedDict[str, int] = OrderedDict()
        #: When each device was last told Busy, the longest ago first.
        self._refused: OrderedDict[str, float] = OrderedDict()

    def may_go(self, device: str, size: int, now: float) -> bool:
        """Whether taking this device's image is fair to those that wait."""
        while self._refused:
            first, at = next(iter(self._refused.items()))
            if now - at < WAITS_S:
                break
            del self._refused[first]
        others = [self._at(waiting) for waiting in self._refused if waiting != device]
        return not others or self._at(device) <= min(others) + LEAD_IMAGES * size

    def refused(self, device: str, now: float) -> None:
        """It was told Busy, and will ask again."""
        self._remember(device, self._at(device))
        self._refused[device] = now
        self._refused.move_to_end(device)

    def took(self, device: str, size: int) -> None:
        """An image of it was taken in."""
        began = self._at(device)
        self._now_at = max(self._now_at, began)
        self._remember(device, began + size)
        self._refused.pop(device, None)

    def _at(self, device: str) -> int:
        known = self._clocks.get(device)
        if known is None:
            return self._now_at
        # One that waits keeps its place; one that had nothing to send gains none by it.
        return known if device in self._refused else max(known, self._now_at)

    def _remember(self, device: str, clock: int) -> None:
        self._clocks[device] = clock
        self._clocks.move_to_end(device)
        while len(self._clocks) > REMEMBERED_DEVICES:
            oldest, _ = self._clocks.popitem(last=False)
            self._refused.pop(oldest, None)
