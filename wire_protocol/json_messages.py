"""The JSON messages that people's tools can read: flat, named by `schema`, versioned; no names, no file names.

Every message carries `schema` and `version`; a newer major version is refused by name and fields
that are not known here are ignored, so that a minor version may add some. (Over 250 lines: a
catalogue reads best whole.)
"""

from __future__ import annotations

import json
import math
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from wire_protocol.codec import OversizedError, PeerError, UnsupportedVersionError
from wire_protocol.ids import (
    Device,
    Hex128,
    ImageId,
    Incarnation,
    Level,
    Operator,
    OutboxId,
    Sha256,
    Site,
    WallTime,
)
from wire_protocol.manifest import MAX_SIDE_PX, UNFILED, CaseId, OverrideReason
from wire_protocol.messages import Outcome

MAX_JSON_BYTES: Final = 64 * 1024
JSON_VERSION: Final = 1
#: Flat messages need two levels; what is deeper is nobody's message.
MAX_JSON_DEPTH: Final = 8


def _check_value(value: Any) -> None:
    """Refuses what JSON cannot carry: NaN, infinities, half characters, and bottomless nesting."""
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, float) and not math.isfinite(item):
                raise ValueError("a number must be finite")
            if isinstance(item, str) and not item.isascii():
                item.encode()  # a lone surrogate has no UTF-8; the error is a ValueError
            if isinstance(item, dict):
                below.extend(item.keys())
                below.extend(item.values())
            elif isinstance(item, list | tuple):
                below.extend(item)
        if not below:
            return
        level = below
    raise ValueError(f"nested deeper than {MAX_JSON_DEPTH} levels")


class JsonMessage(BaseModel):
    """Base of all JSON payloads; `SCHEMA` is the value of their `schema` field."""

    model_config = ConfigDict(frozen=True, extra="allow", serialize_by_alias=True)
    SCHEMA: ClassVar[str] = ""

    @model_validator(mode="after")
    def _can_be_json(self) -> Self:
        _check_value({**self.__dict__, **(self.model_extra or {})})
        return self

    def to_bytes(self) -> bytes:
        """Compact UTF-8 JSON with schema and version first; NaN is refused when it is made."""
        fields = self.model_dump(mode="json", by_alias=True)
        head = {"schema": self.SCHEMA, "version": JSON_VERSION}
        return json.dumps(
            {**head, **fields, **head}, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        ).encode()

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """Parses and checks a payload; raises PeerError naming what is wrong."""
        return parse_json(cls, payload)


JsonT = TypeVar("JsonT", bound=JsonMessage)


def parse_json(kind: type[JsonT], payload: bytes) -> JsonT:
    """The message of type `kind` in `payload`; raises PeerError."""
    if len(payload) > MAX_JSON_BYTES:
        raise OversizedError(len(payload), MAX_JSON_BYTES)
    try:
        fields: Any = json.loads(payload, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise PeerError(f"{kind.SCHEMA}: not JSON") from error
    if not isinstance(fields, dict) or fields.pop("schema", None) != kind.SCHEMA:
        raise PeerError(f"schema must be {kind.SCHEMA!r}")
    version = fields.pop("version", None)
    if not isinstance(version, int) or isinstance(version, bool):
        raise PeerError(f"{kind.SCHEMA}: version must be an integer")
    if version != JSON_VERSION:
        raise UnsupportedVersionError(version, JSON_VERSION, kind.SCHEMA)
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "message"
        raise PeerError(f"{kind.SCHEMA}.{where}: {first['msg']}") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


class Presence(StrEnum):
    """Whether a program is there."""

    ONLINE = "online"
    OFFLINE = "offline"


#: An offline status with this reason is a goodbye: the program ended as it was told to.
STOPPED: Final = "stopped"
#: With this one it ended because another program has its name; that one stays.
GAVE_WAY: Final = "gave way to another program of this name"


class Status(JsonMessage):
    """Retained on a program's status topic; `incarnation` is new per process, so a late will of an
    earlier life cannot pass for this one's."""

    SCHEMA = "hemowire.status"

    state: Presence
    incarnation: Incarnation
    program: Literal["edge", "worker", "records"]
    id: Level
    reason: str = ""
    #: Records only: which store answers; changes when a store is restored from a backup.
    store_id: str = ""
    #: Worker only.
    bundle: str = ""
    engine: str = ""
    images_per_s: float | None = None

    @property
    def is_goodbye(self) -> bool:
        """Offline because it was stopped: no crash and no cut."""
        return self.state is Presence.OFFLINE and self.reason == STOPPED


class Health(JsonMessage):
    """A device's account of itself, every 10 s and on change."""

    SCHEMA = "hemowire.health"

    site: Site
    device: Device
    outbox_id: OutboxId
    next_seq: int = Field(ge=1)
    oldest_unrecorded_seq: int | None
    counts: dict[str, int]
    queue_bytes: int = Field(ge=0)
    disk_free_bytes: int = Field(ge=0)
    boot_id: Hex128
    uptime_s: float = Field(ge=0)
    last_scores: dict[str, float] = {}
    #: Why nothing is captured now; "" while it goes on.
    halted: str = ""
    #: What a person should look into soon; "" while all is well.
    alarm: str = ""
    #: The case that the next capture belongs to.
    case_id: CaseId = UNFILED
    #: Since the oldest image that is not recorded was captured, in seconds that the agent ran.
    oldest_waiting_s: float | None = None
    #: Images whose row or bytes were found damaged on the device.
    damaged: int = Field(default=0, ge=0)
    memory_bytes: int | None = None
    memory_available_bytes: int | None = None
    cpu_temperature_c: float | None = None
    #: The sender's estimate of what the link to the broker carries.
    link_bytes_per_s: float | None = None
    #: The device's monotonic clock plus this is the records store's, give or take the error.
    clock_offset_ns: int | None = None
    clock_error_ns: int | None = None
    #: Whether the device's wall clock is disciplined.
    clock_synced: bool = False
    #: 0: nothing learned, or nothing measured.
    flat_field_version: int = Field(default=0, ge=0)
    calibration_version: int = Field(default=0, ge=0)
    #: Settings that an operator changed while the agent ran.
    overrides: dict[str, Any] = {}
    software: str = ""


class WorkerHealth(JsonMessage):
    """A worker's account of itself, every 10 s: what it counted since it started."""

    SCHEMA = "hemowire.worker_health"

    worker: Level
    bundle: str
    engine: str
    uptime_s: float = Field(ge=0)
    memory_bytes: int | None = Field(default=None, ge=0)
    #: Images that are here and not yet published.
    in_hand: int = Field(default=0, ge=0)
    #: Name of what was counted to how often; a name that is absent was never counted.
    counts: dict[str, int] = Field(default={}, max_length=64)


class Reason(StrEnum):
    """Why there is no answer; the closed list of DIAGNOSIS.md and of refusals."""

    OUT_OF_DISTRIBUTION = "out_of_distribution"
    LOW_CONFIDENCE = "low_confidence"
    TOO_FEW_WHITE_CELLS = "too_few_white_cells"
    MAGNIFICATION = "magnification"
    FOCUS = "focus"
    EXPOSURE = "exposure"
    STAIN = "stain"
    EMPTY_FIELD = "empty_field"
    DECODE = "decode"
    OUTSIDE_SCOPE = "outside_scope"
    FIELDS_DISAGREE = "fields_disagree"
    DAMAGED_ON_DEVICE = "damaged_on_device"
    CRASHES_DECODER = "crashes_decoder"
    #: The network runs, but not on this image.
    INFERENCE_FAILED = "inference_failed"
    TOO_LARGE = "too_large"
    #: The same field as a capture just before it; only where the device is told to refuse those.
    DUPLICATE = "duplicate"
    #: A worker refused the image with a word that is not in this list; the text has it.
    REFUSED = "refused"
    #: The picture shows a slide's label and no field; it is never sent, a label may show a name.
    SLIDE_LABEL = "slide_label"


class Rejection(JsonMessage):
    """A capture that ends on the device: the gate said no, or its bytes cannot be read."""

    SCHEMA = "hemowire.rejection"

    text: str = Field(max_length=400)
    site: Site
    device: Device
    image_id: ImageId
    outbox_id: OutboxId
    seq: int = Field(ge=1)
    image_sha256: Sha256
    reason: Reason
    score: float | None = None
    limit: float | None = None
    case_id: CaseId = UNFILED
    captured_at: WallTime
    outcome: Literal[Outcome.REJECTED, Outcome.DROPPED] = Outcome.REJECTED
    #: Who dropped it, where a person did.
    operator: str = ""


class Refile(JsonMessage):
    """A field belongs to another case than it was captured for: said again until `Refiled`.

    `number` counts the changes of one image from 1: of several the highest stands, in whatever
    order they arrive. The image may not be recorded yet, and its manifest may say either case.
    """

    SCHEMA = "hemowire.refile"

    site: Site
    device: Device
    refile_id: Hex128
    image_id: ImageId
    outbox_id: OutboxId
    number: int = Field(ge=1, le=2**31 - 1)
    from_case: CaseId
    to_case: CaseId
    operator: Operator
    refiled_at: WallTime


class Urgency(StrEnum):
    """What the hematologist should do first; the rank is the order of work."""

    SUSPECTED_ACUTE = "suspected_acute"
    CANNOT_SAY = "cannot_say"
    SUSPECTED_CHRONIC = "suspected_chronic"
    NO_LEUKEMIA_PATTERN = "no_leukemia_pattern"
    RETAKE = "retake"


URGENCY_RANK: Final[dict[Urgency, int]] = {
    Urgency.SUSPECTED_ACUTE: 1,
    Urgency.CANNOT_SAY: 2,
    Urgency.SUSPECTED_CHRONIC: 3,
    Urgency.NO_LEUKEMIA_PATTERN: 4,
    Urgency.RETAKE: 5,
}
CANNOT_SAY: Final = "cannot_say"
ACUTE_UNCERTAIN: Final = "acute_uncertain"


class DiagnosisStatus(StrEnum):
    """Draft until a person signs."""

    PREVIEW = "preview"
    DRAFT = "draft"
    FINAL = "final"
    AMENDED = "amended"
    ENTERED_IN_ERROR = "entered_in_error"


_FromEdge = Annotated[int, Field(ge=0, lt=MAX_SIDE_PX)]
_Side = Annotated[int, Field(ge=1, le=MAX_SIDE_PX)]
#: x, y, width and height in pixels of the archived image; x and y of the top left corner.
Box = tuple[_FromEdge, _FromEdge, _Side, _Side]
#: Of a field with more white cells the most suspicious ones are told, and the count of all.
MAX_BOXES: Final = 64


class Diagnosis(JsonMessage):
    """One field's result, flat, for people's phones and for the records.

    Beside the fields named here it carries `p_<class>` (0 to 1, or null) for each class of the
    bundle, kept as extra fields; `probabilities()` collects them.
    """

    SCHEMA = "hemowire.diagnosis"

    text: str = Field(max_length=400)
    urgency: Urgency
    urgency_rank: int = Field(ge=0, le=9)
    result: str
    reason: Reason | Literal[""] = ""
    level: Literal["field", "slide"] = "field"
    status: DiagnosisStatus = DiagnosisStatus.DRAFT
    case_id: CaseId = UNFILED
    image_id: ImageId
    image_sha256: Sha256
    fields: int = 1
    #: Counted in the picture; null where they were not, never guessed.
    white_cells: int | None = Field(default=None, ge=0)
    #: Most suspicious first, at most 64; null where they were not counted.
    white_cell_boxes: tuple[Box, ...] | None = Field(default=None, max_length=MAX_BOXES)
    #: Scale and size of the archived image, which the boxes lie in; null where they are not known.
    um_per_px: float | None = Field(default=None, gt=0, le=100)
    width_px: int | None = Field(default=None, ge=1, le=MAX_SIDE_PX)
    height_px: int | None = Field(default=None, ge=1, le=MAX_SIDE_PX)
    p_acute: float | None = Field(default=None, ge=0, le=1)
    ood_percentile: float | None = Field(default=None, ge=0, le=100)
    #: What the bundle's classes mean (a class in neither list means no leukemia pattern) and the
    #: limits that decided; null from a worker that does not tell, whose fields cannot be combined.
    acute_classes: tuple[str, ...] | None = Field(default=None, max_length=64)
    chronic_classes: tuple[str, ...] | None = Field(default=None, max_length=64)
    t_acute: float | None = Field(default=None, gt=0, le=1)
    t_chronic: float | None = Field(default=None, gt=0, le=1)
    abstention: float | None = Field(default=None, ge=0, le=1)
    model: str
    training_data: str
    captured_at: WallTime
    latency_ms: float | None = None
    #: The device's quality gate would have rejected the image, and was told to send it anyway.
    gate_override: bool = False
    #: The operator's reason for that, where a person gave one.
    override_reason: OverrideReason | Literal[""] = ""
    site: Site
    device: Device
    outbox_id: OutboxId
    seq: int = Field(ge=1)
    outcome: Literal[Outcome.DIAGNOSED, Outcome.REJECTED] = Outcome.DIAGNOSED
    attempt: str = ""
    worker: Level

    @model_validator(mode="after")
    def _boxes_are_in_the_picture(self) -> Self:
        boxes = self.white_cell_boxes
        if boxes is None:
            return self
        if self.white_cells is None or len(boxes) > self.white_cells:
            raise ValueError(f"{len(boxes)} white_cell_boxes of {self.white_cells} white_cells")
        if boxes and (self.width_px is None or self.height_px is None):
            raise ValueError("white_cell_boxes without width_px and height_px")
        for x, y, width, height in boxes:
            if x + width > (self.width_px or 0) or y + height > (self.height_px or 0):
                raise ValueError(
                    f"box {[x, y, width, height]} leaves {self.width_px} x {self.height_px} pixels"
                )
        return self

    def probabilities(self) -> dict[str, float | None]:
        """`p_<class>` by class key, without p_acute."""
        extra = self.model_extra or {}
        return {key[2:]: value for key, value in extra.items() if key.startswith("p_")}


class TraceFragment(JsonMessage):
    """One program's stamps of one image, on that program's monotonic clock."""

    SCHEMA = "hemowire.trace"

    program: Literal["edge", "worker", "records", "watch", "page"]
    id: Level
    image_id: ImageId
    attempt: str = ""
    boot_id: Hex128
    #: Stage name to monotonic nanoseconds of `boot_id`.
    stamps_ns: dict[str, int]
    #: These stamps plus the offset are on the monotonic clock of the boot that the records store
    #: runs in; all four are empty where the clocks were never compared.
    records_boot_id: Hex128 | None = None
    clock_offset_ns: int | None = None
    #: Give or take this much at `clock_at_ns`; each second between that and a stamp adds 50 us.
    clock_error_ns: int | None = Field(default=None, ge=0)
    #: When the clocks were compared, on our own.
    clock_at_ns: int | None = None
    #: Wall time when this was told, in words and as Unix time, and the stamp of the same moment:
    #: with them each stamp has a wall time, for display.
    wall: str = ""
    told_unix_ns: int | None = None
    told_ns: int | None = None
    clock_synced: bool = False
    size_bytes: int | None = None


class Command(JsonMessage):
    """An operator's wish to one device; a repeat of `command_id` within 24 h gets the same reply."""

    SCHEMA = "hemowire.command"

    command_id: Hex128
    name: str = Field(min_length=1, max_length=32)
    arguments: dict[str, str | int | float | bool] = {}


class Reply(JsonMessage):
    """The answer that every command gets."""

    SCHEMA = "hemowire.reply"

    command_id: Hex128
    name: str
    ok: bool
    result: dict[str, Any] = {}
    error: str = ""


JSON_MESSAGES: Final[tuple[type[JsonMessage], ...]] = (
    Status,
    Health,
    WorkerHealth,
    Rejection,
    Refile,
    Diagnosis,
    TraceFragment,
    Command,
    Reply,
)
