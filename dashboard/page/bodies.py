"""What the page may send, checked before anything is done with it; what is not known is refused."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from dashboard.page.retake import RetakeReason
from dashboard.review.findings import Fab
from wire_protocol.case_messages import Finding
from wire_protocol.ids import HEX128_PATTERN

#: Longer ones do not get as far as the desk, which has a limit of its own.
MAX_COMMENT: Final = 4000

Version = Annotated[int, Field(ge=0, lt=2**53)]


class Body(BaseModel):
    """Base of what the page sends; what is not known is refused."""

    model_config = ConfigDict(extra="forbid")


class SignIn(Body):
    """An account and its password."""

    name: str = Field(min_length=1, max_length=64)
    password: str = Field(min_length=1, max_length=256)


class Enter(Body):
    """A one-time link's secret."""

    link: str = Field(min_length=1, max_length=256)


class Subscribe(Body):
    """A browser that wishes to be notified."""

    endpoint: str = Field(min_length=1, max_length=2000)
    p256dh: str = Field(min_length=1, max_length=128)
    auth: str = Field(min_length=1, max_length=64)


class Unsubscribe(Body):
    """A browser that wishes no more."""

    endpoint: str = Field(min_length=1, max_length=2000)


class Deed(Body):
    """Base of deeds on a case; `version` is what the person saw."""

    version: Version
    comment: str = Field(default="", max_length=MAX_COMMENT)


class Answer(Deed):
    """Without a finding it confirms what the AI says."""

    finding: Finding | None = None
    fab: Fab | None = None


class Refer(Deed):
    """To an account, or "" to whoever comes first."""

    to: str = Field(default="", max_length=32)


Milliseconds = Annotated[float, Field(ge=0, lt=2**43, allow_inf_nan=False)]


class Shown(Body):
    """What a browser drew of one event of the feed, in milliseconds of its own clock."""

    #: Random, new with each time the page is loaded: which clock it is.
    page_id: str = Field(pattern=HEX128_PATTERN)
    upto: Version
    #: As the event said it: a number of this server, too large for a browser's own.
    sent_ns: str = Field(pattern=r"^[0-9]{1,19}$")
    came_ms: Milliseconds
    drawn_ms: Milliseconds
    told_ms: Milliseconds
    keys: tuple[Annotated[str, Field(max_length=200)], ...] = Field(max_length=50)


class Form(StrEnum):
    """What a case can be taken along as."""

    PDF = "pdf"
    FHIR_R5 = "fhir-r5"
    FHIR_R4B = "fhir-r4b"
    DICOM = "dicom"
    CSV = "csv"
    PATIENT = "patient"


class Export(Body):
    """A signed case, to be taken along."""

    form: Form


class Retake(Deed):
    """The reason travels to the microscope, the comment does not."""

    reason: RetakeReason
