"""What the device still owes the records store, in memory; the outbox on disk is what counts after a restart."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Debt:
    sha256: str
    held_bytes: int


class Owed:
    """Images from commit to `Recorded`: their digests for reading, their sizes for backpressure.

    Room is also taken by captures on their way to the disk, from `reserve` to `release`.
    """

    def __init__(self) -> None:
        self._debts: dict[str, _Debt] = {}
        self.held_bytes = 0
        #: Images whose bytes are held: one that was dropped is still owed, but takes no room.
        self.held_images = 0

    def reserve(self, held_bytes: int) -> None:
        """A capture is on its way to the disk."""
        self.held_bytes += held_bytes
        self.held_images += 1

    def release(self, held_bytes: int) -> None:
        """It is there and counted as such, or will not be kept."""
        self.held_bytes -= held_bytes
        self.held_images -= 1

    def __len__(self) -> int:
        return len(self._debts)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._debts

    def add(self, image_id: str, sha256: str, held_bytes: int) -> None:
        """The outbox holds this image."""
        self.settle(image_id)
        self._debts[image_id] = _Debt(sha256, held_bytes)
        self.held_bytes += held_bytes
        self.held_images += held_bytes > 0

    def settle(self, image_id: str) -> None:
        """The records store has it."""
        debt = self._debts.pop(image_id, None)
        if debt is not None:
            self.held_bytes -= debt.held_bytes
            self.held_images -= debt.held_bytes > 0

    def freed(self, image_id: str) -> None:
        """Its bytes are not held any more; the outcome is still owed."""
        debt = self._debts.get(image_id)
        if debt is not None:
            self.add(image_id, debt.sha256, 0)

    def sha256_of(self, image_id: str) -> str | None:
        """The digest of an image that is owed."""
        debt = self._debts.get(image_id)
        return None if debt is None else debt.sha256
