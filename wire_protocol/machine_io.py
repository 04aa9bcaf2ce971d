"""What goes into and comes out of the two machines, `Sender` and `Receiver`; plain values, no behaviour.

Events are told to a machine with the monotonic `now` in seconds; it returns effects. Each effect
that can fail names the event that answers it. The programs around the machines own all I/O.
(Over 250 lines: a catalogue reads best whole.)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wire_protocol.manifest import Manifest
from wire_protocol.messages import (
    IngestMessage,
    InquiryAnswer,
    Offer,
    Outcome,
    Preview,
    Recorded,
    TransferMessage,
)
from wire_protocol.trace import Stage


class OutboxState(StrEnum):
    """Where an image stands on the device."""

    WAITING = "waiting"
    SENDING = "sending"
    STORED = "stored"
    RECORDED = "recorded"
    #: Ends on the device (gate, unreadable, damaged): its rejection is published until recorded.
    REJECTED = "rejected"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """What the broker's CONNACK allows."""

    maximum_packet_size: int
    receive_maximum: int


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """An image as the outbox hands it to the sender."""

    manifest: Manifest
    state: OutboxState = OutboxState.WAITING
    #: Workers that vanished after the last byte; from 2 on the offer says suspect.
    vanished: int = 0


# --- told to either machine -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Connected:
    """A new connection is up and its subscriptions are granted."""

    limits: LinkLimits
    #: From asking for the subscriptions to their grant: the way to the broker and back. 0: unknown.
    round_trip_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection is gone, and every publish without a PUBACK with it."""


@dataclass(frozen=True, slots=True)
class Published:
    """The PUBACK for the `Publish` effect with this token: 0, 0x10 (nobody there) or >= 0x80."""

    token: int
    reason_code: int


@dataclass(frozen=True, slots=True)
class Tick:
    """The deadline came."""


# --- told to the sender -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Queued:
    """The outbox holds this image, durably; also told for every unfinished row at start."""

    item: OutboxItem


@dataclass(frozen=True, slots=True)
class FromWorker:
    """A message arrived on transfer/{device}."""

    message: TransferMessage


@dataclass(frozen=True, slots=True)
class FromRecords:
    """A message arrived on recorded/{device}."""

    message: Recorded | InquiryAnswer


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """worker/{worker}/status said so."""

    worker: str
    online: bool
    #: Offline after a goodbye: it was stopped, so no image is to blame.
    clean: bool = False


@dataclass(frozen=True, slots=True)
class RecordsStatus:
    """records/status said so; inquiries pause while it is offline."""

    online: bool
    store_id: str = ""


@dataclass(frozen=True, slots=True)
class ChunkRead:
    """Answer to `ReadChunk`."""

    image_id: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class PreviewMade:
    """Answer to `MakePreview`; None where none can be made, so that the image goes without."""

    image_id: str
    preview: Preview | None


@dataclass(frozen=True, slots=True)
class RowChecked:
    """Answer to `CheckRow`: whether the outbox's bytes still have the manifest's sha256."""

    image_id: str
    intact: bool


@dataclass(frozen=True, slots=True)
class Persisted:
    """Answer to `Persist`: committed to disk."""

    image_id: str
    state: OutboxState


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The outbox no longer wants this image sent (dropped by a named operator, or rejected)."""

    image_id: str


# --- told to the receiver -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FromDevice:
    """A message arrived on offer/{site}/{device} or ingest/{worker}/{device}; site is "" there."""

    site: str
    device: str
    message: Offer | IngestMessage


@dataclass(frozen=True, slots=True)
class DeviceGone:
    """device/.../status said offline."""

    device: str


@dataclass(frozen=True, slots=True)
class Put:
    """Answer to `Store`: the archive put is durable."""

    key: int


@dataclass(frozen=True, slots=True)
class PutFailed:
    """Answer to `Store` or `Fetch`: transient (archive away), or permanent with a reason's name."""

    key: int
    permanent: bool
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Answer to `Fetch`: the archive holds the bytes and the pipeline has them."""

    key: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Freed:
    """The pipeline is done with the bytes of this image: its share of the pool is free again."""

    key: int


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether archive and model are healthy; while they are not, every offer is answered Busy."""

    healthy: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Drain:
    """Take no more offers, finish what is here until `until` (monotonic s), release the rest."""

    until: float


# --- effects of either machine --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish `payload`; answered by Published(token) where qos is 1 and the connection holds."""

    token: int
    topic: str
    payload: bytes
    qos: int = 1
    expiry_s: int | None = None


@dataclass(frozen=True, slots=True)
class Stamp:
    """The trace: this image reached this stage now."""

    image_id: str
    attempt: int
    stage: Stage


# --- effects of the sender ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadChunk:
    """Read these bytes of the image from the outbox; answered by ChunkRead or Withdrawn."""

    image_id: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class MakePreview:
    """The link is slow: make a preview of at most so many bytes; answered by PreviewMade."""

    image_id: str
    most_bytes: int
    #: Of the image.
    um_per_px: float


@dataclass(frozen=True, slots=True)
class CheckRow:
    """A worker saw another digest: hash the row; answered by RowChecked."""

    image_id: str


@dataclass(frozen=True, slots=True)
class Persist:
    """Commit this state; answered by Persisted. `outcome` with RECORDED, `reason` with others."""

    image_id: str
    state: OutboxState
    vanished: int = 0
    outcome: Outcome | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RejectOnDevice:
    """The image ends here: record this rejection (reason is a `json_messages.Reason`) in the outbox,
    quarantine its bytes, and publish the Rejection until it is recorded."""

    image_id: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class RepublishRejection:
    """The records store does not know this rejection: publish it again."""

    image_id: str


# --- effects of the receiver -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Store:
    """All bytes are here and their sha256 matches: archive them durably, then hand them to the
    pipeline; answered by Put or PutFailed, and later by Freed. `key` names this image here."""

    key: int
    site: str
    device: str
    attempt: int
    manifest: Manifest
    data: bytes | bytearray
    suspect: bool


@dataclass(frozen=True, slots=True)
class Fetch:
    """An offer without bytes: read them from the archive by sha256 into the pipeline; answered by
    Fetched or PutFailed (permanent with reason "unknown_blob": the bytes are not there)."""

    key: int
    site: str
    device: str
    attempt: int
    manifest: Manifest
    suspect: bool


@dataclass(frozen=True, slots=True)
class ClassifyPreview:
    """A preview that is what its sha256 says: publish a draft of it soon, or leave it where there is
    no room; the image follows. Nothing answers this."""

    site: str
    device: str
    attempt: int
    manifest: Manifest
    preview: Preview


SenderEvent = (
    Connected
    | Disconnected
    | Published
    | Tick
    | Queued
    | FromWorker
    | FromRecords
    | WorkerStatus
    | RecordsStatus
    | ChunkRead
    | PreviewMade
    | RowChecked
    | Persisted
    | Withdrawn
)
ReceiverEvent = (
    Connected
    | Disconnected
    | Published
    | Tick
    | FromDevice
    | DeviceGone
    | Put
    | PutFailed
    | Fetched
    | Freed
    | Readiness
    | Drain
)
SenderEffect = (
    Publish
    | Stamp
    | ReadChunk
    | MakePreview
    | CheckRow
    | Persist
    | RejectOnDevice
    | RepublishRejection
)
ReceiverEffect = Publish | Stamp | Store | Fetch | ClassifyPreview
