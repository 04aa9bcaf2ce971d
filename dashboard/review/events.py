"""What can happen to a case's review, one frozen type each; rows of the store are made of them and only ever come."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from dashboard.review.findings import Fab
from wire_protocol.case_messages import Finding


class ReviewEvent(BaseModel):
    """Base of all. `at_ms` is Unix time in milliseconds, of the machine that stores."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at_ms: int = Field(ge=0)
    #: Whose deed it is; "" for what time or a microscope did.
    by: str = ""


class AiSaid(BaseModel):
    """The AI's result of the case as it stood when a person answered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    result: str
    urgency: str
    bundle: str
    #: The fields that it rested on, by image id.
    image_ids: tuple[str, ...]


class Placed(ReviewEvent):
    """A person has answered; it is signed at `due_ms` unless it is taken back before."""

    kind: Literal["placed"] = "placed"
    purpose: Literal["sign", "amend", "enter_in_error"]
    #: Confirmed the AI's result, instead of choosing a finding.
    confirms: bool
    #: None where the report is entered in error.
    finding: Finding | None
    fab: Fab | None
    comment: str
    due_ms: int
    ai: AiSaid
    #: Whether this person had been shown the AI's answer before.
    ai_seen: bool


class Undone(ReviewEvent):
    """Taken back before it was signed."""

    kind: Literal["undone"] = "undone"


class Signed(ReviewEvent):
    """The time for an undo has passed: the answer stands."""

    kind: Literal["signed"] = "signed"


class Referred(ReviewEvent):
    """Somebody else is asked to answer."""

    kind: Literal["referred"] = "referred"
    #: An account, or "" for whoever comes first.
    to: str
    comment: str


class RetakeAsked(ReviewEvent):
    """The microscope is asked for another picture."""

    kind: Literal["retake_asked"] = "retake_asked"
    command_id: str
    device: str
    comment: str


class RetakeAnswered(ReviewEvent):
    """What the microscope said to that, or that it said nothing."""

    kind: Literal["retake_answered"] = "retake_answered"
    command_id: str
    ok: bool
    text: str


AnyEvent = Placed | Undone | Signed | Referred | RetakeAsked | RetakeAnswered
_EVENT: TypeAdapter[AnyEvent] = TypeAdapter(Annotated[AnyEvent, Field(discriminator="kind")])


def read_event(text: str) -> AnyEvent:
    """The event in a row's JSON."""
    return _EVENT.validate_json(text)
