"""The memory pool of a worker: whose limits may grow, so that some order always lets all finish; it holds no bytes.

The sum of what was granted never exceeds the pool. A grant is given only where, after it, the
transfers can still be completed one after the other (the banker's rule), for the pool and for the
share of each device: half-granted images can never block each other for good.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Share(Protocol):
    """What the pool knows of a transfer."""

    @property
    def device(self) -> str:
        """Whose share it counts in."""

    @property
    def size(self) -> int:
        """Bytes of the whole image."""

    limit: int


class Pool:
    """Counts grants: of transfers that go on, and of bytes that others hold (kept or handed on)."""

    def __init__(self, pool_bytes: int, device_bytes: int) -> None:
        self.pool_bytes = pool_bytes
        self.device_bytes = min(device_bytes, pool_bytes)
        self.used = 0
        self._of_device: dict[str, int] = {}

    def of_device(self, device: str) -> int:
        """Bytes granted to this device."""
        return self._of_device.get(device, 0)

    def fits(self, size: int) -> bool:
        """Whether an image of this size could ever be taken."""
        return size <= self.device_bytes

    def room(self, device: str) -> int:
        """Bytes that could be granted to this device now."""
        return min(self.pool_bytes - self.used, self.device_bytes - self.of_device(device))

    def grant(self, device: str, size: int) -> None:
        """Takes `size` bytes for this device; the caller has seen that there is room."""
        self.used += size
        self._of_device[device] = self.of_device(device) + size

    def free(self, device: str, size: int) -> None:
        """Gives `size` bytes of this device back."""
        self.used -= size
        left = self.of_device(device) - size
        if left:
            self._of_device[device] = left
        else:
            self._of_device.pop(device, None)

    def safe(self, active: Iterable[Share], grown: Share, by: int) -> bool:
        """Whether all of `active` could still finish after `grown` got `by` bytes more.

        Bytes that are kept for absent devices, or already handed to the pipeline, count as room:
        the first are let go when needed, the second come back by themselves.
        """
        shares = list(active)
        if not _completable(shares, self.pool_bytes, grown, by):
            return False
        own = [share for share in shares if share.device == grown.device]
        return _completable(own, self.device_bytes, grown, by)


def _completable(shares: list[Share], capacity: int, grown: Share, by: int) -> bool:
    if sum(share.size for share in shares) <= capacity:
        return True
    held = [(share, share.limit + (by if share is grown else 0)) for share in shares]
    free = capacity - sum(limit for _, limit in held)
    if free < 0:
        return False
    for left, limit in sorted((share.size - limit, limit) for share, limit in held):
        if left > free:
            return False
        free += limit
    return True
