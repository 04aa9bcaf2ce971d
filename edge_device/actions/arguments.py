"""What each action may be told, with its limits; nothing here does anything."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from wire_protocol.ids import ImageId, Operator
from wire_protocol.machine_io import OutboxState
from wire_protocol.manifest import OverrideReason, Priority


def _listed(value: Any) -> Any:
    """A command's values are texts and numbers: a list travels as "id, id"."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


ImageIds = Annotated[tuple[ImageId, ...], BeforeValidator(_listed), Field(max_length=1000)]


class Arguments(BaseModel):
    """Base of all; what is not known is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Named(Arguments):
    """Who wants it; not proven, but told in the device's own book."""

    operator: Operator


class Nothing(Arguments):
    """No arguments."""


class Capture(Arguments):
    """Pictures, now."""

    count: int = Field(default=1, ge=1, le=50)
    #: Overtakes what waits in the outbox.
    stat: bool = False
    #: Seconds until all must be on disk.
    within_s: float = Field(default=30.0, ge=1, le=300)


class OpenCase(Arguments):
    """The slide that the next fields belong to; the id names nobody (`cases.case_ids`)."""

    case_id: str = Field(min_length=1, max_length=64)


class MoveField(Arguments):
    """A field to another case, or to "unfiled"."""

    image_id: ImageId
    case_id: str = Field(min_length=1, max_length=64)


class Retake(Arguments):
    """A slide that a reader wants to see again, and why; a closed list, free text would name people."""

    case_id: str = Field(min_length=1, max_length=64)
    reason: Literal["focus", "exposure", "stain", "more_fields", "other_area"]


class SendAnyway(Arguments):
    """A picture that the gate refused."""

    image_id: ImageId
    reason: OverrideReason
    priority: Priority | None = None


class SetQuality(Arguments):
    """How the next pictures are encoded; nothing at all takes every earlier change back."""

    format: Literal["jpeg", "png", "webp"] | None = None
    jpeg_quality: int | None = Field(default=None, ge=1, le=100)
    chroma: Literal["420", "444"] | None = None


class Calibrate(Arguments):
    """Pictures in the outbox: good and bad ones for the limits, red cells or a micrometer for the
    scale; or the last calibration taken back; nothing at all reads its file again."""

    good: Annotated[ImageIds, Field(max_length=100)] = ()
    bad: Annotated[ImageIds, Field(max_length=100)] = ()
    red_cells: Annotated[ImageIds, Field(max_length=100)] = ()
    micrometer: ImageId | None = None
    #: Between the micrometer's nearest lines.
    division_um: float = Field(default=10.0, gt=0, le=10_000, allow_inf_nan=False)
    undo: bool = False

    @model_validator(mode="after")
    def _is_one_wish(self) -> Self:
        if self.red_cells and self.micrometer is not None:
            raise ValueError("red_cells and micrometer both give the scale: choose one")
        if self.undo and (self.good or self.bad or self.red_cells or self.micrometer is not None):
            raise ValueError("undo and learning from pictures are two things: do one at a time")
        return self


class OutboxList(Arguments):
    """Images in the outbox, the newest last."""

    state: OutboxState | None = None
    image_ids: ImageIds = ()
    #: A reply has at most 64 KiB.
    limit: int = Field(default=20, ge=1, le=50)


class OutboxRetry(Arguments):
    """Images that are offered at once."""

    image_ids: ImageIds = Field(min_length=1)


class OutboxPurge(Arguments):
    """Images that are dropped, by id or by kind."""

    image_ids: ImageIds = ()
    rejected: bool = False
    older_than_s: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class CaseList(Arguments):
    """Openings of cases, the newest first."""

    limit: int = Field(default=20, ge=1, le=100)
