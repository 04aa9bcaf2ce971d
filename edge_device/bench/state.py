"""What the person at the bench sees, as one frozen value that the agent fills; it names no file and no patient.

Times are ages in seconds (`_s_ago`, `_in_s`), never wall clocks: a device may not know the time.
`None` means "not known" or "there is none", and screens say so; 0 is a measurement.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field

from wire_protocol.ids import Device, ImageId, Site
from wire_protocol.json_messages import Reason
from wire_protocol.machine_io import OutboxState
from wire_protocol.manifest import CaseId, Priority
from wire_protocol.messages import Outcome
from wire_protocol.words import RESEARCH_USE_ONLY

#: Scores that the focus bar draws, and captures in the strip; the agent gives at most so many.
FOCUS_HISTORY: Final = 60
LAST_CAPTURES: Final = 24

Age = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Bytes = Annotated[int, Field(ge=0)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class Shown(BaseModel):
    """Base of all parts of the state."""

    model_config = ConfigDict(frozen=True)


class LinkShown(Shown):
    """The way to the broker and what is known through it."""

    state: Literal["online", "connecting", "offline"] = "connecting"
    #: Why it is not online, in words; "" where there is nothing to say.
    words: str = ""
    #: Of the last transfers.
    rate_bytes_per_s: Number | None = None
    #: This device's clock less the records store's.
    clock_offset_ms: Number | None = None
    clock_synced: bool = True


class CaseShown(Shown):
    """The case that the next capture belongs to."""

    #: None: the next capture is unfiled.
    case_id: CaseId | None = None
    fields: int = Field(default=0, ge=0)
    opened_s_ago: Age | None = None
    #: Until it closes by itself, unless something is captured.
    closes_in_s: Age | None = None
    operator: str = ""
    #: What happened last that should be known (a label could not be read, it was closed as idle).
    notice: str = ""


class CameraShown(Shown):
    """Which camera there is and how it is told to take pictures."""

    kind: str
    #: It takes pictures on demand and has a preview.
    is_live: bool = False
    trigger: Literal["schedule", "command"] = "schedule"
    #: Why there is no picture now (unplugged); "" while all is well.
    trouble: str = ""


class FocusShown(Shown):
    """Focus scores of the preview (or, without one, of the last captures) against the limit."""

    #: Newest last.
    history: tuple[Number, ...] = Field(default=(), max_length=FOCUS_HISTORY)
    limit: Number | None = None


class ScoreShown(Shown):
    """One score of the gate; `at_least` or `at_most` is its limit, where it has one."""

    name: str
    value: Number
    at_least: Number | None = None
    at_most: Number | None = None

    @property
    def is_within(self) -> bool:
        """Whether the limit is kept."""
        above = self.at_least is None or self.value >= self.at_least
        return above and (self.at_most is None or self.value <= self.at_most)


class Judged(StrEnum):
    """What became of a capture at a glance; each has a shape beside its colour."""

    GOOD = "good"
    WARNED = "warned"
    REFUSED = "refused"


class CaptureShown(Shown):
    """One of the last captures."""

    image_id: ImageId
    seq: int = Field(ge=1)
    taken_s_ago: Age
    #: None: unfiled.
    case_id: CaseId | None = None
    priority: Priority = Priority.ROUTINE
    state: OutboxState
    outcome: Outcome | None = None
    #: Why it ends here; None: the gate let it pass.
    reason: Reason | None = None
    #: The gate's sentence for the operator; "" where it has nothing to say.
    verdict: str = ""
    warnings: tuple[str, ...] = ()
    scores: tuple[ScoreShown, ...] = ()
    #: `GET /captures/{image_id}.jpg` has a picture.
    has_picture: bool = False
    #: The gate would have rejected it, and it was sent all the same; why, where a person said so.
    gate_override: bool = False
    override_reason: str = ""
    can_send_anyway: bool = False
    can_move: bool = False

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own way; mypy knows no other
    @property
    def judged(self) -> Judged:
        """At a glance, the same on every screen. A refusal stays one after it was recorded."""
        return self._at_a_glance[0]

    @computed_field  # type: ignore[prop-decorator]  # as above
    @property
    def word(self) -> str:
        """The glance in words."""
        return self._at_a_glance[1]

    @property
    def _at_a_glance(self) -> tuple[Judged, str]:
        if self.state is OutboxState.QUARANTINED:
            return Judged.REFUSED, "Damaged on this device"
        if self.outcome is Outcome.DROPPED:
            return Judged.REFUSED, "Dropped"
        if self.reason is Reason.SLIDE_LABEL:
            return Judged.GOOD if self.case_id else Judged.REFUSED, "Slide label"
        is_refused = self.state is OutboxState.REJECTED or self.outcome is Outcome.REJECTED
        if self.gate_override and not is_refused:
            return Judged.WARNED, "Sent although refused"
        if is_refused or self.reason is not None:
            # Without a reason of the device's own it was the far side that refused it.
            return (
                Judged.REFUSED,
                "Not sent" if self.reason is not None else "Refused after sending",
            )
        return (Judged.WARNED, "Taken, with a warning") if self.warnings else (Judged.GOOD, "Taken")


class QueueShown(Shown):
    """What the records store does not have yet."""

    images: int = Field(default=0, ge=0)
    size_bytes: Bytes = 0
    max_bytes: Bytes | None = None
    oldest_s_ago: Age | None = None
    #: Images by state, recorded ones included.
    counts: dict[str, int] = {}


class DeviceShown(Shown):
    """The computer under the microscope."""

    disk_free_bytes: Bytes | None = None
    #: Below this the capture stops.
    disk_min_free_bytes: Bytes | None = None
    memory_bytes: Bytes | None = None
    temperature_c: Number | None = None
    uptime_s: Age = 0


class VersionsShown(Shown):
    """What has been learned and set here; 0: nothing yet."""

    software: str = ""
    flat_field: int = Field(default=0, ge=0)
    flat_field_frames: int = Field(default=0, ge=0)
    calibration: int = Field(default=0, ge=0)


class Choice(Shown):
    """One of a closed list: its name on the wire and its words."""

    name: str
    words: str


class BenchState(Shown):
    """Everything on the page and in the terminal view."""

    device: Device
    site: Site
    link: LinkShown = LinkShown()
    #: Why nothing can be captured now (outbox full, disk full, paused, camera); "" while all is well.
    halted: str = ""
    paused: bool = False
    case: CaseShown = CaseShown()
    camera: CameraShown
    focus: FocusShown = FocusShown()
    #: Newest first.
    captures: tuple[CaptureShown, ...] = Field(default=(), max_length=LAST_CAPTURES)
    queue: QueueShown = QueueShown()
    computer: DeviceShown = DeviceShown()
    versions: VersionsShown = VersionsShown()
    #: JPEG quality of the next captures; None where they travel without loss.
    jpeg_quality: int | None = Field(default=None, ge=1, le=100)
    #: Names of the actions that this agent knows; screens show no button for others.
    actions: tuple[str, ...] = ()
    #: Closed list of reasons for the action `send_anyway`.
    override_reasons: tuple[Choice, ...] = ()
    research_use_only: str = RESEARCH_USE_ONLY
