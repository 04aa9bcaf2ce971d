"""What each action may be told, with its limits; nothing here does anything."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

#: An account of the lab's own list, never a patient: no blank and no capital fits.
OPERATOR_PATTERN = r"^[a-z][a-z0-9._-]{0,31}$"
Operator = Annotated[str, StringConstraints(pattern=OPERATOR_PATTERN)]


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


class SetQuality(Arguments):
    """How the next pictures are encoded; nothing at all takes every earlier change back."""

    format: Literal["jpeg", "png"] | None = None
    jpeg_quality: int | None = Field(default=None, ge=1, le=100)
