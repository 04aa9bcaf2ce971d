"""What goes into the outbox and comes out of it, as frozen values; nothing here touches a disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from wire_protocol.json_messages import Reason
from wire_protocol.machine_io import OutboxItem, OutboxState
from wire_protocol.manifest import (
    MAX_IMAGE_BYTES,
    ContentType,
    Manifest,
    OverrideReason,
    Priority,
)
from wire_protocol.messages import Outcome

#: States in which the outbox still owes the image to the records store.
UNRECORDED = tuple(state for state in OutboxState if state is not OutboxState.RECORDED)
#: States whose story ended on the device: a Rejection is published until it is recorded.
REFUSED = (OutboxState.REJECTED, OutboxState.QUARANTINED)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a capture ends on the device, in words for the operator."""

    reason: Reason
    text: str
    score: float | None = None
    limit: float | None = None
    #: Who dropped it, where a person did: the outcome is then dropped, not rejected.
    operator: str = ""


@dataclass(frozen=True, slots=True)
class NewCapture:
    """A capture before it has an id and a seq; `source_key` names it, so that it is taken once.

    Without a refusal `content` is a decodable JPEG or PNG; with one it is whatever the camera gave,
    or None where that is too large to be held (then `sha256` and `size_bytes` tell of it).
    """

    source: str
    source_key: str
    content: bytes | None
    captured_at: str
    captured_ns: int
    boot_id: str
    clock_synced: bool
    content_type: ContentType | None = None
    width_px: int = 0
    height_px: int = 0
    um_per_px: float | None = None
    case_id: str = "unfiled"
    priority: Priority = Priority.ROUTINE
    gate_override: bool = False
    refusal: Refusal | None = None
    sha256: str = ""
    size_bytes: int = 0
    #: Why a person sends what the gate refused; "" where nobody did.
    override_reason: OverrideReason | Literal[""] = ""
    #: Names of the gate's warnings that did not stop the capture.
    warnings: tuple[str, ...] = ()
    #: Version of the flat field that corrected the pixels; 0 for none.
    flat_field: int = 0


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One image as it stands in the outbox; `source` stays on the device, it may name a patient."""

    seq: int
    image_id: str
    outbox_id: str
    sha256: str
    size_bytes: int
    content_type: ContentType | None
    width_px: int
    height_px: int
    um_per_px: float | None
    case_id: str
    captured_at: str
    captured_ns: int
    boot_id: str
    clock_synced: bool
    priority: Priority
    gate_override: bool
    state: OutboxState
    vanished: int
    outcome: Outcome | None
    refusal: Refusal | None
    source: str
    bytes_held: bool
    override_reason: OverrideReason | Literal[""] = ""
    warnings: tuple[str, ...] = ()
    flat_field: int = 0
    #: The refused image whose bytes these are, sent all the same ("send anyway").
    copy_of: str = ""
    #: The image that carries this refused one's bytes.
    sent_again_as: str = ""

    def item(self) -> OutboxItem:
        """The row for the sender. A refused capture is never offered, so where its size or format
        is not one that travels, the nearest that a manifest may hold stands in."""
        manifest = Manifest(
            image_id=self.image_id,
            outbox_id=self.outbox_id,
            seq=self.seq,
            sha256=self.sha256,
            size_bytes=min(max(1, self.size_bytes), MAX_IMAGE_BYTES),
            content_type=self.content_type or ContentType.JPEG,
            width_px=max(1, self.width_px),
            height_px=max(1, self.height_px),
            um_per_px=self.um_per_px,
            case_id=self.case_id,
            captured_at=self.captured_at,
            clock_synced=self.clock_synced,
            captured_ns=self.captured_ns,
            boot_id=self.boot_id,
            priority=self.priority,
            gate_override=self.gate_override,
            override_reason=self.override_reason,
        )
        return OutboxItem(manifest, self.state, self.vanished)


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """One line of the outbox for a checker."""

    image_id: str
    seq: int
    sha256: str
    size_bytes: int
    state: OutboxState
    outcome: Outcome | None
    reason: str
    source: str
    bytes_held: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole outbox at one moment: seqs 1 to next_seq - 1 were given out."""

    outbox_id: str
    next_seq: int
    rows: tuple[SnapshotRow, ...]


@dataclass(frozen=True, slots=True)
class OutboxTotals:
    """What health says of the outbox."""

    next_seq: int
    oldest_unrecorded_seq: int | None
    counts: dict[str, int]
    #: Running time since the oldest image that is not recorded was captured; None where all are.
    oldest_unrecorded_s: float | None
    #: Bytes that the records store does not have yet.
    unrecorded_bytes: int
    #: Bytes of recorded images that are still kept.
    recorded_bytes: int

    @property
    def unrecorded(self) -> int:
        """How many images are still owed."""
        return sum(self.counts.get(state.value, 0) for state in UNRECORDED)
