"""Cases, reviews and worklists as messages for the broker's readers; no comment of a person is among them.

Pure: rows and fields in, messages out.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from dashboard.cases.field_rows import CaseField
from dashboard.review.findings import FINDING_RANK, FINDING_URGENCY, FINDING_WORDS
from dashboard.review.machine import Signature
from wire_protocol.case_messages import (
    MOST_URGENT,
    CaseDiagnosis,
    Finding,
    Report,
    Review,
    Worklist,
)
from wire_protocol.json_messages import URGENCY_RANK, DiagnosisStatus, Urgency
from wire_protocol.messages import Outcome
from wire_protocol.words import RESEARCH_USE_ONLY_BRIEF

_FHIR = {
    DiagnosisStatus.FINAL: "final",
    DiagnosisStatus.AMENDED: "amended",
    DiagnosisStatus.ENTERED_IN_ERROR: "entered-in-error",
}


@dataclass(frozen=True, slots=True)
class OpenCase:
    """What a worklist message needs of an open case."""

    case_id: str
    urgency: str
    rank: int
    #: RFC 3339.
    since: str
    is_unread: bool


def case_message(row: Row[Any], leading: CaseField, change_id: int) -> CaseDiagnosis:
    """A case as it stands: the AI's draft, or what a person signed."""
    return CaseDiagnosis.model_validate(_facts(row, leading, change_id))


def review_message(
    row: Row[Any], leading: CaseField, signature: Signature, change_id: int, signed_at: str
) -> Review:
    """One signature."""
    placed, finding = signature.placed, signature.placed.finding
    facts = _facts(row, leading, change_id) | {
        "status": signature.status,
        "text": _signed_text(row, signature),
        "finding": finding,
        "fab": placed.fab.value if placed.fab is not None else "",
        "ai_result": placed.ai.result,
        "ai_seen": placed.ai_seen,
        "reviewed_by": placed.by,
        "signed_at": signed_at,
        "number": signature.number,
    }
    if finding is not None:
        facts |= {
            "result": finding.value,
            "reason": "",
            "urgency": FINDING_URGENCY[finding],
            "urgency_rank": FINDING_RANK[finding],
        }
    return Review.model_validate(facts)


def report_message(row: Row[Any], signature: Signature, store_id: str, signed_at: str) -> Report:
    """That a report can be had, in which state."""
    return Report.model_validate(
        {
            "site": row.site,
            "case_id": row.case_id,
            "image_id": row.image_id,
            "report_id": report_id(store_id, row.site, row.case_id, row.image_id),
            "status": _FHIR[signature.status],
            "finding": signature.placed.finding,
            "number": signature.number,
            "reviewed_by": signature.placed.by,
            "signed_at": signed_at,
            "text": _signed_text(row, signature),
        }
    )


def report_id(store_id: str, site: str, case_id: str, image_id: str) -> str:
    """The report of a case, the same in all of its states."""
    name = f"{store_id}:{site}:{case_id}:{image_id}"
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def worklist_message(site: str, cases: Sequence[OpenCase], now: str) -> Worklist:
    """A site's open cases; `cases` in the order of work."""
    by_urgency = Counter(case.urgency for case in cases)
    waits = _oldest_unread_min((case for case in cases if case.is_unread), now)
    acute = by_urgency.get(Urgency.SUSPECTED_ACUTE, 0)
    words = f"{len(cases)} open case{'' if len(cases) == 1 else 's'}"
    if acute:
        words += f", {acute} with acute leukemia suspected"
    filed = [case.case_id for case in cases if case.case_id != "unfiled"]
    return Worklist.model_validate(
        {
            "site": site,
            "text": f"{words}. {RESEARCH_USE_ONLY_BRIEF}",
            "told_at": now,
            "open_cases": len(cases),
            "by_urgency": dict(by_urgency),
            "oldest_unread_min": waits,
            "most_urgent": filed[:MOST_URGENT],
        }
    )


def _facts(row: Row[Any], leading: CaseField, change_id: int) -> dict[str, Any]:
    body = leading.body
    told = [name for name in body if name.startswith("p_") and name != "p_acute"]
    heard = row.probabilities or {}
    finding = Finding(row.finding) if row.finding else None
    urgency = Urgency(row.urgency) if finding is None else FINDING_URGENCY[finding]
    kept = ("acute_classes", "chronic_classes", "t_acute", "t_chronic", "abstention")
    return {
        "text": row.text if finding is None else _state_text(row, finding),
        "urgency": urgency,
        "urgency_rank": URGENCY_RANK[urgency] if finding is None else FINDING_RANK[finding],
        "result": row.result if finding is None else finding.value,
        "reason": row.reason if finding is None else "",
        "status": DiagnosisStatus(row.review_status),
        "case_id": row.case_id,
        "image_id": leading.result.image_id,
        "image_sha256": leading.sha256,
        "fields": row.fields,
        "retakes": row.retakes,
        "acute_fields": row.acute_fields,
        "white_cells": row.white_cells,
        "p_acute": row.p_acute,
        **{name: heard.get(name[2:]) for name in told},
        **{name: body.get(name) for name in kept},
        "model": f"{row.bundle}/{leading.engine}" if leading.engine else row.bundle,
        "training_data": row.training_data,
        "captured_at": row.first_captured_at,
        "site": row.site,
        "device": row.device,
        "outbox_id": leading.outbox_id,
        "seq": leading.seq,
        # A case has no outcome of its own: this only says whether a field of it was judged.
        "outcome": Outcome.DIAGNOSED if row.fields else Outcome.REJECTED,
        "worker": leading.worker or "none",
        "change": change_id,
    }


def _state_text(row: Row[Any], finding: Finding) -> str:
    amended = " (amended)" if row.review_status == DiagnosisStatus.AMENDED else ""
    head = "EMERGENCY: " if finding is Finding.APL else ""
    more = ""
    if row.is_open:
        new = row.fields + row.retakes - row.signed_fields
        more = f" {new} more field{'' if new == 1 else 's'} since: look again."
    return (
        f"{head}{FINDING_WORDS[finding]}. {_name(row)}, signed by {row.signed_by}{amended}.{more} "
        f"{RESEARCH_USE_ONLY_BRIEF}"
    )


def _signed_text(row: Row[Any], signature: Signature) -> str:
    by, finding = signature.placed.by, signature.placed.finding
    if finding is None:
        said = f"Entered in error: the report of {_name(row).lower()} is withdrawn by {by}."
    else:
        head = "EMERGENCY: " if finding is Finding.APL else ""
        verb = "amended" if signature.status is DiagnosisStatus.AMENDED else "signed"
        said = f"{head}{FINDING_WORDS[finding]}. {_name(row)}, {verb} by {by}."
    return f"{said} {RESEARCH_USE_ONLY_BRIEF}"


def _name(row: Row[Any]) -> str:
    return f"Field {row.image_id[-6:]}" if row.image_id else f"Case {row.case_id}"


def _oldest_unread_min(cases: Iterable[OpenCase], now: str) -> dict[str, int]:
    found: dict[str, int] = {}
    at = datetime.fromisoformat(now)
    for case in cases:
        minutes = max(0, int((at - datetime.fromisoformat(case.since)).total_seconds() // 60))
        found[case.urgency] = max(minutes, found.get(case.urgency, 0))
    return found
