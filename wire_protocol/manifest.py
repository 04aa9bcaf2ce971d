"""What a device says of an image before sending it; it never carries a file name or anything of a patient."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from wire_protocol.ids import CASE_PATTERN, Hex128, ImageId, OutboxId, Sha256, WallTime

MAX_IMAGE_BYTES = 64 * 1024 * 1024
MAX_SIDE_PX = 65_535
#: Pixels of the largest picture that devices take and workers decode, unless their settings differ.
MAX_PIXELS = 64_000_000
UNFILED = "unfiled"

_CASE = re.compile(CASE_PATTERN)


def _check_case(value: str) -> str:
    if not _CASE.fullmatch(value):
        raise ValueError(
            "case_id must be 4-16 capitals, digits or dashes with at least one digit, or 'unfiled'"
        )
    return value


CaseId = Annotated[str, AfterValidator(_check_case)]


class Priority(StrEnum):
    """STAT overtakes routine in every queue."""

    STAT = "stat"
    ROUTINE = "routine"


class ContentType(StrEnum):
    """The encodings that travel."""

    JPEG = "image/jpeg"
    PNG = "image/png"
    WEBP = "image/webp"


class OverrideReason(StrEnum):
    """Why an operator sends what the quality gate would have rejected; a closed list, because free
    text would name patients."""

    ONLY_FIELD = "only_field"
    URGENT = "urgent"
    RARE_FINDING = "rare_finding"
    GATE_IS_WRONG = "gate_is_wrong"
    TEACHING = "teaching"


class Manifest(BaseModel):
    """Identity and facts of one captured image; fixed at capture, repeated in every offer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_id: ImageId
    outbox_id: OutboxId
    seq: int = Field(ge=1, le=2**63 - 1)
    sha256: Sha256
    size_bytes: int = Field(ge=1, le=MAX_IMAGE_BYTES)
    content_type: ContentType
    width_px: int = Field(ge=1, le=MAX_SIDE_PX)
    height_px: int = Field(ge=1, le=MAX_SIDE_PX)
    um_per_px: float | None = Field(default=None, gt=0, le=100, allow_inf_nan=False)
    case_id: CaseId = UNFILED
    captured_at: WallTime
    clock_synced: bool
    #: Monotonic nanoseconds of `boot_id` at capture; compared only within that boot.
    captured_ns: int = Field(ge=0, le=2**63 - 1)
    boot_id: Hex128
    priority: Priority = Priority.ROUTINE
    #: True only where the quality gate would have rejected the image and it is sent anyway.
    gate_override: bool = False
    #: The operator's reason, where a person decided that; a device may also be set to send all.
    override_reason: OverrideReason | Literal[""] = ""

    @model_validator(mode="after")
    def _reason_needs_override(self) -> Self:
        if self.override_reason and not self.gate_override:
            raise ValueError("override_reason without gate_override")
        return self
