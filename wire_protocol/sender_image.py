"""What a Sender remembers of one image, of one publish, and of its own doings; it holds no bytes."""

from __future__ import annotations

from dataclasses import dataclass

from wire_protocol.machine_io import OutboxState
from wire_protocol.manifest import Manifest
from wire_protocol.upload import Upload


@dataclass(slots=True)
class Image:
    """An image whose outcome is not known yet."""

    manifest: Manifest
    state: OutboxState
    vanished: int
    #: When Stored was heard; the start of the program for images stored in an earlier life. For
    #: a rejected image: when its rejection may be published again.
    stored_at: float = float("inf")
    upload: Upload | None = None
    #: The outbox is hashing this image's row.
    checking: bool = False
    #: The worker that has, or had, all bytes and the duty to publish a diagnosis.
    holder: str = ""
    #: `ReadChunk`s without answer, those of earlier attempts included.
    reads: int = 0
    failures: int = 0
    reoffers: int = 0
    mismatches: int = 0
    #: Offers of it that carried a preview.
    previews: int = 0


@dataclass(slots=True)
class Token:
    """A QoS 1 publish whose PUBACK matters."""

    attempt: int
    #: Of a chunk; -1 for every other message.
    offset: int = -1


@dataclass(slots=True)
class SenderCounts:
    """What happened, for health and the curious."""

    offers: int = 0
    previews: int = 0
    chunks: int = 0
    chunk_bytes: int = 0
    resent_bytes: int = 0
    probes: int = 0
    busy: int = 0
    stale: int = 0
    expired_leases: int = 0
    mismatches: int = 0
    inquiries: int = 0
