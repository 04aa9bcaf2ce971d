"""One image on the worker: its bytes as they arrive, the gaps, and the digest; it decides nothing.

A byte is written once: what is there already is never overwritten, so a digest that is computed as
the bytes come is the digest of what is stored.
"""

from __future__ import annotations

import hashlib

from wire_protocol.messages import MAX_MISSING_RANGES, Range

#: One less than a Progress can carry, so that what is there also fits a Claim's `have`.
MAX_GAPS = MAX_MISSING_RANGES - 1


class Reassembly:
    """The bytes [0, upto) but the gaps."""

    __slots__ = ("_hashed", "_hasher", "data", "gaps", "size", "upto")

    def __init__(self, size: int) -> None:
        self.size = size
        self.data = bytearray()
        #: Sorted, disjoint, all below `upto`.
        self.gaps: list[Range] = []
        self.upto = 0
        self._hasher = hashlib.sha256()
        self._hashed = 0

    @property
    def complete(self) -> bool:
        """Whether every byte is here."""
        return self.upto == self.size and not self.gaps

    def have(self) -> tuple[Range, ...]:
        """What is here, as ranges."""
        ranges: list[Range] = []
        start = 0
        for low, high in self.gaps:
            if start < low:
                ranges.append((start, low))
            start = high
        if start < self.upto:
            ranges.append((start, self.upto))
        return tuple(ranges)

    def announce(self, sent_through: int) -> None:
        """The device has sent everything below `sent_through`: what is not here is a gap."""
        end = min(sent_through, self.size)
        if end > self.upto and self._add_gap(end):
            self.upto = end

    def write(self, offset: int, chunk: bytes) -> bool:
        """Takes the new bytes of `chunk`; False where it changed nothing."""
        end = offset + len(chunk)
        if offset > self.upto and not self._add_gap(offset):
            return False
        changed = False
        if self.gaps and offset < self.upto:
            changed = self._fill(offset, chunk)
        if end > self.upto:
            self._put(max(offset, self.upto), chunk[max(0, self.upto - offset) :])
            self.upto = end
            changed = True
        if changed:
            self._hash()
        return changed

    def digest(self) -> str:
        """The sha256 of the whole image, in hex; only once complete."""
        return self._hasher.hexdigest()

    def _add_gap(self, end: int) -> bool:
        if self.gaps and self.gaps[-1][1] == self.upto:
            self.gaps[-1] = (self.gaps[-1][0], end)
            return True
        if len(self.gaps) >= MAX_GAPS:
            return False
        self.gaps.append((self.upto, end))
        return True

    def _fill(self, offset: int, chunk: bytes) -> bool:
        end = offset + len(chunk)
        kept: list[Range] = []
        filled: list[Range] = []
        for low, high in self.gaps:
            start, stop = max(low, offset), min(high, end)
            if start >= stop:
                kept.append((low, high))
                continue
            filled.append((start, stop))
            if low < start:
                kept.append((low, start))
            if stop < high:
                kept.append((stop, high))
        if not filled or len(kept) > MAX_GAPS:
            return False
        for start, stop in filled:
            self._put(start, chunk[start - offset : stop - offset])
        self.gaps = kept
        return True

    def _put(self, offset: int, chunk: bytes) -> None:
        held = len(self.data)
        if offset == held:
            self.data += chunk
            return
        if offset > held:
            self.data += bytes(offset - held)
        self.data[offset : offset + len(chunk)] = chunk

    def _hash(self) -> None:
        ready = self.gaps[0][0] if self.gaps else self.upto
        if ready > self._hashed:
            with memoryview(self.data) as view:
                self._hasher.update(view[self._hashed : ready])
            self._hashed = ready
