"""Whether an image's first bytes may follow its offer at once, without waiting for the Claim; it sends nothing.

That hides the round trip of offer and claim. It is sound only where the offer can reach nobody but
one worker: where exactly one is online, and on this connection claimed before, so that its first
limit is known. Bytes that it does not take (it is busy, or another one came up meanwhile) are lost
and sent again: they free nothing, as no Progress said that they arrived.
"""

from __future__ import annotations

from dataclasses import dataclass

from wire_protocol.messages import Claim

#: After bytes that nobody took: whoever is overloaded is not sent more in vain.
PAUSE_S = 30.0


@dataclass(frozen=True, slots=True)
class Terms:
    """What the only worker grants with a Claim."""

    worker: str
    limit: int
    max_chunk: int


class Ahead:
    """Who is online, and on what terms the last Claim was given; a connection's knowledge."""

    def __init__(self) -> None:
        self._online: set[str] = set()
        self._terms: Terms | None = None
        self._not_before = float("-inf")

    def status(self, worker: str, *, online: bool) -> None:
        """A worker's status was heard."""
        if online:
            self._online.add(worker)
        else:
            self._online.discard(worker)

    def claimed(self, claim: Claim) -> None:
        """The greatest limit counts: a small image's is its size."""
        known = self._terms
        limit = claim.limit
        if known is not None and known.worker == claim.worker:
            limit = max(limit, known.limit)
        self._terms = Terms(claim.worker, limit, claim.max_chunk)

    def missed(self, now: float) -> None:
        """What was sent ahead came to nothing, or would have."""
        self._not_before = now + PAUSE_S

    def disconnected(self) -> None:
        """The statuses are told again by the next connection."""
        self._online.clear()
        self._terms = None

    def terms(self, now: float) -> Terms | None:
        """Of the only worker there is; None where there are none or several, or it never claimed."""
        terms = self._terms
        if terms is None or now < self._not_before or self._online != {terms.worker}:
            return None
        return terms
