"""The binary messages of the transfer and of the records' answers, as frozen values; `codec` turns them into bytes.

Control messages are pydantic models; the three that travel per chunk are slotted dataclasses,
because validating them field by field would cost more than the broker does.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from wire_protocol.ids import Attempt, Hex128, ImageId, OutboxId, Sha256, StoreId, Worker
from wire_protocol.manifest import MAX_SIDE_PX, Manifest

MAX_CHUNK_BYTES = 96 * 1024
MIN_CHUNK_BYTES = 4 * 1024
#: A preview has to reach the worker in a second or so on the slowest links.
MAX_PREVIEW_BYTES = 24 * 1024
MAX_INQUIRY_IDS = 200
MAX_MISSING_RANGES = 64
#: Room for the header of a chunk or the fields of an offer beside its bytes, in one packet.
PACKET_OVERHEAD_BYTES = 1024

#: A half-open byte range [start, end).
Range = tuple[int, int]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Reason(StrEnum):
    """Why a transfer ended without `Stored`; the words that operators and records see."""

    STALE = "stale"
    DRAINING = "draining"
    ARCHIVE_AWAY = "archive_away"
    LEASE_EXPIRED = "lease_expired"
    NO_LONGER_NEEDED = "no_longer_needed"


class Outcome(StrEnum):
    """How an image's story ends; every image ends as exactly one of these."""

    DIAGNOSED = "diagnosed"
    REJECTED = "rejected"
    DROPPED = "dropped"


# --- device -> one worker, on offer/{site}/{device} -------------------------------------------


class Preview(_Message):
    """A small JPEG of the same field, for a first draft while the image travels; it frees nothing."""

    sha256: Sha256
    width_px: int = Field(ge=1, le=MAX_SIDE_PX)
    height_px: int = Field(ge=1, le=MAX_SIDE_PX)
    #: Of the preview's own pixels: as many times the image's as the preview is smaller.
    um_per_px: float = Field(gt=0, le=10_000, allow_inf_nan=False)
    data: bytes = Field(min_length=1, max_length=MAX_PREVIEW_BYTES)


class Offer(_Message):
    """Asks any worker to take an image; `inline` holds all its bytes when they fit one chunk."""

    attempt: Attempt
    manifest: Manifest
    stored: bool = False
    suspect: bool = False
    inline: bytes | None = Field(default=None, max_length=MAX_CHUNK_BYTES)
    preview: Preview | None = None

    @model_validator(mode="after")
    def _inline_is_whole(self) -> Offer:
        if self.inline is not None and len(self.inline) != self.manifest.size_bytes:
            raise ValueError("inline must hold all size_bytes of the image")
        if self.inline is not None and self.stored:
            raise ValueError("a stored offer carries no bytes")
        if self.preview is not None and (self.stored or self.inline is not None):
            raise ValueError("a preview stands for bytes that are still to come")
        return self


# --- device -> that worker, on ingest/{worker}/{device} ----------------------------------------


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes of one attempt at an absolute offset; crc32 is zlib's, over the bytes."""

    attempt: int
    offset: int
    crc32: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Probe:
    """Asks for a Progress; `held` says that a higher priority has the link meanwhile."""

    attempt: int
    sent_through: int
    held: bool = False


class DeviceRelease(_Message):
    """The device gives this attempt up; the worker forgets its partial bytes."""

    attempt: Attempt
    reason: Reason


# --- worker -> device, on transfer/{device} -----------------------------------------------------


class Claim(_Message):
    """The worker takes the offer; bytes below `limit` may be sent, `have` are there already."""

    attempt: Attempt
    worker: Worker
    lease_s: float = Field(gt=0, le=3600)
    limit: int = Field(ge=0)
    max_chunk: int = Field(ge=1, le=MAX_CHUNK_BYTES)
    have: tuple[Range, ...] = Field(default=(), max_length=MAX_MISSING_RANGES)


class Busy(_Message):
    """Not now; offer again after `retry_after_s`. Never counted against the image."""

    attempt: Attempt
    retry_after_s: float = Field(ge=0, le=3600)


class Unknown(_Message):
    """The worker holds nothing under this attempt: make a new offer."""

    attempt: Attempt


class WorkerRelease(_Message):
    """The worker lets this attempt go; the bytes are to be offered again."""

    attempt: Attempt
    reason: Reason


class Stored(_Message):
    """The digest matched and the archive put is durable. Counts from any attempt."""

    attempt: Attempt
    image_id: ImageId
    sha256: Sha256


class Mismatch(_Message):
    """All bytes are here but their sha256 is `actual`; the device checks its own row."""

    attempt: Attempt
    image_id: ImageId
    actual: Sha256


class Refused(_Message):
    """A permanent refusal by name and limit; recorded as a rejected outcome."""

    attempt: Attempt
    image_id: ImageId
    reason: str = Field(min_length=1, max_length=64)
    detail: str = Field(default="", max_length=400)


@dataclass(frozen=True, slots=True)
class Progress:
    """What the worker has: everything below `upto` but the `missing` ranges; `n` only grows."""

    attempt: int
    n: int
    upto: int
    missing: tuple[Range, ...]
    limit: int


# --- device <-> records, on inquiry/{device} and recorded/{device} -------------------------------


class Inquiry(_Message):
    """Which of these images do the records know?"""

    inquiry_id: Hex128
    outbox_id: OutboxId
    image_ids: Annotated[tuple[ImageId, ...], Field(min_length=1, max_length=MAX_INQUIRY_IDS)]


class Recorded(_Message):
    """This image with exactly these bytes has a committed outcome; the outbox may let go."""

    image_id: ImageId
    sha256: Sha256
    outcome: Outcome
    store_id: StoreId


class InquiryAnswer(_Message):
    """The known ones with their outcomes, and the unknown ones by id."""

    inquiry_id: Hex128
    store_id: StoreId
    known: tuple[Recorded, ...] = Field(default=(), max_length=MAX_INQUIRY_IDS)
    unknown: tuple[ImageId, ...] = Field(default=(), max_length=MAX_INQUIRY_IDS)


class Refiled(_Message):
    """The records keep this change of case durably; the device need not say it again."""

    refile_id: Hex128
    image_id: ImageId
    store_id: StoreId


# --- any <-> records, on clock/records and clock/{id} --------------------------------------------


class ClockRequest(_Message):
    """First of the four timestamps; the reply topic is derived from `requester`."""

    requester: Worker
    boot_id: Hex128
    sent_ns: int


class ClockReply(_Message):
    """The request's stamp, and when records received and answered it, on their monotonic clock."""

    boot_id: Hex128
    records_boot_id: Hex128
    sent_ns: int
    received_ns: int
    replied_ns: int


OfferMessage = Offer
IngestMessage = Chunk | Probe | DeviceRelease
TransferMessage = Claim | Busy | Unknown | WorkerRelease | Stored | Mismatch | Refused | Progress
RecordsMessage = Inquiry | Recorded | InquiryAnswer | Refiled
ClockMessage = ClockRequest | ClockReply
Message = OfferMessage | IngestMessage | TransferMessage | RecordsMessage | ClockMessage
