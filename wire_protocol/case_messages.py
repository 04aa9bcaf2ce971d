"""The JSON messages about whole cases, from the records store: results, worklists, reviews, reports; no free text.

`case/` and `review/` carry the flat message of a field with `level` "slide": an app that shows fields
shows cases. What a person wrote in words stays in the store: free text names patients.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from wire_protocol.ids import Hex128, Operator, Site, WallTime
from wire_protocol.json_messages import Diagnosis, JsonMessage, Urgency
from wire_protocol.manifest import CaseId

#: Case ids in a worklist message: what a phone shows at a glance.
MOST_URGENT = 10


class Finding(StrEnum):
    """What a person may say of a case; a closed list."""

    ALL = "all"
    AML = "aml"
    #: An emergency: treatment begins before the test that confirms it.
    APL = "apl"
    ACUTE_UNCERTAIN = "acute_uncertain"
    CLL = "cll"
    CML = "cml"
    OTHER_ABNORMAL = "other_abnormal"
    NO_LEUKEMIA_PATTERN = "no_leukemia_pattern"
    NOT_ASSESSABLE = "not_assessable"


class CaseDiagnosis(Diagnosis):
    """A case's result, combined from its fields; image_id, sha256, outbox and seq are those of the
    field that stands for it, the most suspicious one."""

    level: Literal["slide"] = "slide"
    #: Fields in which acute leukemia is suspected, whatever their sum says.
    acute_fields: int = Field(default=0, ge=0)
    #: Fields that could not be judged and are to be taken again.
    retakes: int = Field(default=0, ge=0)
    #: Number of the change in the store's feed that this tells; of two messages about a case the
    #: one with the higher number is the newer.
    change: int = Field(default=0, ge=0)


class Review(CaseDiagnosis):
    """A case that a person has signed: what the AI had said, and what the person says."""

    finding: Finding | None
    #: FAB subtype, where the person gave one.
    fab: str = Field(default="", max_length=2)
    #: The AI's result as the person found it.
    ai_result: str
    ai_seen: bool
    reviewed_by: Operator
    signed_at: WallTime
    #: Number of the signature among the case's events: of several the highest stands.
    number: int = Field(ge=1)


class Report(JsonMessage):
    """A report can be fetched: which case, in what state, and whose signature it carries."""

    SCHEMA = "hemowire.report"

    site: Site
    case_id: CaseId
    #: Of a field that was filed under no case: then it has a report of its own.
    image_id: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{32})?$")] = ""
    #: Of the case, the same for all of its states.
    report_id: Hex128
    #: FHIR's words for a DiagnosticReport.
    status: Literal["final", "amended", "entered-in-error"]
    finding: Finding | None
    number: int = Field(ge=1)
    reviewed_by: Operator
    signed_at: WallTime
    text: str = Field(max_length=400)


class Worklist(JsonMessage):
    """A site's open cases: how many of each urgency, and the ten most urgent by id."""

    SCHEMA = "hemowire.worklist"

    site: Site
    text: str = Field(max_length=400)
    told_at: WallTime
    open_cases: int = Field(ge=0)
    #: Urgency to cases that are not signed.
    by_urgency: dict[Urgency, int]
    #: Urgency to whole minutes that the oldest case nobody has opened waits; absent where none does.
    oldest_unread_min: dict[Urgency, int]
    most_urgent: tuple[CaseId, ...] = Field(max_length=MOST_URGENT)
