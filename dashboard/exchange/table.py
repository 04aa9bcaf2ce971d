"""A case as a table with one line per signature or, of a draft, one line that says so; pure, without comments."""

from __future__ import annotations

import csv
import io

from dashboard.exchange.codes import REPORT_STATUS, SNOMED_OF
from dashboard.exchange.facts import ReportFacts, ReportSignature
from wire_protocol.words import RESEARCH_USE_ONLY, class_word

COLUMNS = (
    "case",
    "report_id",
    "state",
    "words",
    "finding",
    "fab",
    "snomed_ct",
    "signed_by",
    "signed_at",
    "ai_seen",
    "ai_finding",
    "ai_words",
    "model",
    "training_data",
    "fields",
    "white_cells",
    "first_captured_at",
    "image_sha256",
    "note",
)


def case_csv(facts: ReportFacts) -> str:
    """The oldest signature first: the last line counts. Then a column for each class."""
    classes = sorted(facts.probabilities or {})
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*COLUMNS, *(_column(key) for key in classes)])
    for signature in facts.signatures or (None,):
        writer.writerow(_line(facts, signature, classes))
    return out.getvalue()


def _line(
    facts: ReportFacts, signature: ReportSignature | None, classes: list[str]
) -> list[str | int | float]:
    finding = signature.finding if signature else None
    stands = signature is None or signature is facts.signature
    known = facts.probabilities or {}
    return [
        facts.key.text,
        facts.report_id,
        REPORT_STATUS[signature.status if signature else facts.status],
        (facts.state_words if stands else "Superseded by a later signature."),
        finding.value if finding else "",
        signature.fab.value if signature and signature.fab else "",
        SNOMED_OF.get(finding, "") if finding else "",
        _cell(signature.by) if signature else "",
        signature.at if signature else "",
        ("yes" if signature.ai_seen else "no") if signature else "",
        (facts.ai_finding.value if facts.ai_finding else "cannot_say") if stands else "",
        facts.ai_words if stands else "",
        facts.model,
        facts.training_data,
        facts.fields,
        "" if facts.white_cells is None else facts.white_cells,
        facts.first_captured_at,
        " ".join(picture.sha256 for picture in facts.pictures),
        RESEARCH_USE_ONLY,
        *(known[key] if stands else "" for key in classes),
    ]


def _column(key: str) -> str:
    """As people may read it: no class is called "healthy"."""
    return "p_" + class_word(key).lower().replace(" ", "_")


def _cell(text: str) -> str:
    """A spreadsheet must not take a name for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
