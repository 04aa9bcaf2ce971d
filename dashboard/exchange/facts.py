"""What a report says of one case, read in the caller's transaction; no comment: free text names patients."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from dashboard.blobs import ArchiveAway, BlobArchive, BlobDamagedError
from dashboard.cases.case_rows import find_cases
from dashboard.cases.field_rows import CaseField, read_fields
from dashboard.cases.keys import CaseKey, parse_case_key
from dashboard.cases.tables import CaseRow
from dashboard.cases.telling import report_id
from dashboard.review.findings import FINDING_WORDS, Fab, finding_of
from dashboard.review.machine import Signature
from dashboard.review.store import load_review, time_of
from dashboard.schema import StoreRow
from wire_protocol.case_messages import Finding
from wire_protocol.json_messages import ACUTE_UNCERTAIN, CANNOT_SAY, DiagnosisStatus, Urgency
from wire_protocol.manifest import UNFILED
from wire_protocol.words import class_word


class NoSuchReportError(Exception):
    """The store has no such case, or several; the message names it."""


@dataclass(frozen=True, slots=True)
class ReportSignature:
    """Who signed what, and when."""

    by: str
    #: RFC 3339.
    at: str
    status: DiagnosisStatus
    #: None where the report was withdrawn.
    finding: Finding | None
    fab: Fab | None
    confirms: bool
    ai_seen: bool
    number: int

    @property
    def words(self) -> str:
        """The result in a person's words."""
        if self.finding is None:
            return "withdrawn: entered in error"
        return FINDING_WORDS[self.finding] + (f" (FAB {self.fab.value})" if self.fab else "")


@dataclass(frozen=True, slots=True)
class ReportPicture:
    """A field of the case and its picture."""

    image_id: str
    sha256: str
    captured_at: str
    device: str
    result: str
    urgency: Urgency
    #: The archived bytes; None where they cannot be had, and then why.
    data: bytes | None
    missing: str = ""
    #: It came after the signature: whoever signed had not seen it.
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """Everything that a report is made of."""

    key: CaseKey
    #: The same for all states of the case's report, as on the report topic.
    report_id: str
    status: DiagnosisStatus
    made_at: str
    first_captured_at: str
    #: As a diagnosis names it.
    model: str
    training_data: str
    #: What the AI said: of a signed case, as the person found it.
    ai_result: str
    ai_urgency: Urgency
    ai_reason: str
    #: The AI's sentence; "" where fields came after the signature and it is about them, too.
    ai_text: str
    #: None where they may not be heard, or are not those that the signature rests on.
    probabilities: dict[str, float] | None
    white_cells: int | None
    #: That the signature rests on; of a draft all.
    fields: int
    new_fields: int
    signatures: tuple[ReportSignature, ...]
    #: The field that stands for the case first.
    pictures: tuple[ReportPicture, ...]

    @property
    def signature(self) -> ReportSignature | None:
        """The one that counts: the last."""
        return self.signatures[-1] if self.signatures else None

    @property
    def is_signed(self) -> bool:
        """Whether a signed report stands."""
        return self.status in (DiagnosisStatus.FINAL, DiagnosisStatus.AMENDED)

    @property
    def ai_finding(self) -> Finding | None:
        """The AI's result in a person's words; None where it cannot say."""
        return finding_of(self.ai_result, self.ai_urgency.value)

    @property
    def ai_words(self) -> str:
        """The AI's result."""
        if self.ai_result == CANNOT_SAY:
            return f"cannot say ({self.ai_reason.replace('_', ' ') or 'no reason told'})"
        if self.ai_urgency is Urgency.NO_LEUKEMIA_PATTERN:
            return FINDING_WORDS[Finding.NO_LEUKEMIA_PATTERN]
        if self.ai_result == ACUTE_UNCERTAIN:
            return "acute leukemia suspected, lineage uncertain"
        kind = "acute" if self.ai_urgency is Urgency.SUSPECTED_ACUTE else "chronic"
        return f"{kind} leukemia suspected, most like {class_word(self.ai_result)}"

    @property
    def state_words(self) -> str:
        """What this report is worth, in one sentence."""
        signed = self.signature
        if signed is None:
            return "PRELIMINARY: an AI draft that nobody has signed."
        if signed.finding is None:
            return f"WITHDRAWN: entered in error by {signed.by} at {signed.at}."
        word = "Amended" if self.status is DiagnosisStatus.AMENDED else "Final"
        new = self.new_fields
        more = f" {new} of its fields came after the signature." if new else ""
        return f"{word}: signed by {signed.by} at {signed.at}.{more}"


def find_key(connection: Connection, text: str) -> CaseKey:
    """The case of a key (`lab.C7F3K2`) or of a case id that only one site has; raises
    NoSuchReportError."""
    key = parse_case_key(text)
    if key is not None:
        if key not in find_cases(connection, [key]):
            raise NoSuchReportError(f"no case {key.text} in the records store")
        return key
    rows = connection.execute(
        select(CaseRow.site).where(CaseRow.case_id == text, CaseRow.case_id != UNFILED).limit(9)
    ).all()
    if not rows:
        shown = "".join(c if c.isprintable() else "?" for c in text[:80])
        raise NoSuchReportError(f"no case {shown!r} in the records store")
    if len(rows) > 1:
        names = ", ".join(f"{row.site}.{text}" for row in rows)
        raise NoSuchReportError(f"case {text} is at several sites: name one of {names}")
    return CaseKey(rows[0].site, text)


def read_facts(
    connection: Connection, key: CaseKey, archive: BlobArchive, made_at: str
) -> ReportFacts:
    """Everything about a case; raises NoSuchReportError. An answer that could still be taken back
    does not count."""
    row = find_cases(connection, [key]).get(key)
    fields = read_fields(connection, [key])[key]
    if row is None or not fields:
        raise NoSuchReportError(f"no case {key.text} in the records store")
    review = load_review(connection, row.id)
    store_id = connection.execute(select(StoreRow.store_id)).scalar_one()
    pictures = sorted(
        (field for field in fields if not field.is_preview),
        key=lambda field: field.result.image_id != row.leading_image_id,
    )
    leading = pictures[0] if pictures else fields[0]
    signature = review.signature
    rests_on = set(signature.placed.ai.image_ids) if signature else None
    new = 0 if rests_on is None else len({f.result.image_id for f in pictures} - rests_on)
    is_current = signature is None or {f.result.image_id for f in pictures} == rests_on
    ai = signature.placed.ai if signature else None
    return ReportFacts(
        key=key,
        report_id=report_id(store_id, key.site, key.case_id, key.image_id),
        status=review.status if pictures else DiagnosisStatus.PREVIEW,
        made_at=made_at,
        first_captured_at=row.first_captured_at,
        model=_model(row, leading, ai.bundle if ai else row.bundle),
        training_data=row.training_data,
        ai_result=ai.result if ai else row.result,
        ai_urgency=Urgency(ai.urgency if ai else row.urgency),
        ai_reason=row.reason if is_current else "",
        ai_text=row.text if is_current else "",
        probabilities=row.probabilities if is_current else None,
        white_cells=row.white_cells if is_current else None,
        fields=len(pictures) - new,
        new_fields=new,
        signatures=tuple(_signed(one) for one in review.signatures),
        pictures=tuple(_picture(field, archive, rests_on) for field in pictures),
    )


def latin(text: str) -> str:
    """Text for fonts that know Western letters alone; others become "?"."""
    plain = unicodedata.normalize("NFKC", text)
    return plain.encode("latin-1", "replace").decode("latin-1")


def _signed(signature: Signature) -> ReportSignature:
    placed = signature.placed
    return ReportSignature(
        by=placed.by,
        at=time_of(signature.signed_at_ms),
        status=signature.status,
        finding=placed.finding,
        fab=placed.fab,
        confirms=placed.confirms,
        ai_seen=placed.ai_seen,
        number=signature.number,
    )


def _model(row: Row[Any], leading: CaseField, bundle: str) -> str:
    same = leading.engine and bundle == leading.result.bundle
    return f"{bundle}/{leading.engine}" if same else bundle or row.bundle


def _picture(field: CaseField, archive: BlobArchive, rests_on: set[str] | None) -> ReportPicture:
    data, missing = None, ""
    if not field.has_blob:
        missing = "the picture never left the microscope"
    else:
        try:
            data = archive.read(field.sha256)
        except FileNotFoundError:
            missing = "the archive does not hold this picture"
        except BlobDamagedError:
            missing = "the archived bytes are not the recorded ones"
        except ArchiveAway:
            missing = "the archive cannot be reached"
    return ReportPicture(
        image_id=field.result.image_id,
        sha256=field.sha256,
        captured_at=field.captured_at,
        device=field.device,
        result=field.result.result,
        urgency=field.result.urgency,
        data=data,
        missing=missing,
        is_new=rests_on is not None and field.result.image_id not in rests_on,
    )
