"""Reads what a report says of one case from store and archive, in the caller's transaction; it writes nothing."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, select

from dashboard.blobs import ArchiveAway, BlobArchive, BlobDamagedError
from dashboard.cases.case_rows import find_cases
from dashboard.cases.field_rows import CaseField, read_fields
from dashboard.cases.keys import CaseKey, parse_case_key
from dashboard.cases.tables import CaseRow
from dashboard.cases.telling import report_id
from dashboard.exchange.facts import ReportFacts, ReportPicture, ReportSignature
from dashboard.exchange.tables import DicomImageRow
from dashboard.review.machine import Signature
from dashboard.review.store import load_review, time_of
from dashboard.schema import StoreRow
from wire_protocol.json_messages import CANNOT_SAY, DiagnosisStatus, Urgency
from wire_protocol.manifest import UNFILED


class NoSuchReportError(Exception):
    """The store has no such case, or several; the message names it."""


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
    in_dicom = _in_dicom(connection, [field.result.image_id for field in fields])
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
        pictures=tuple(_picture(field, archive, rests_on, in_dicom) for field in pictures),
    )


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


def _map_key(field: CaseField) -> str:
    """The class that the model named, or the likeliest of those that it could not choose between."""
    known, result = field.result.probabilities or {}, field.result.result
    if result in known:
        return result
    return max(known, key=lambda key: known[key]) if known and result != CANNOT_SAY else ""


def _in_dicom(connection: Connection, image_ids: list[str]) -> set[str]:
    query = select(DicomImageRow.image_id).where(DicomImageRow.image_id.in_(image_ids))
    return set(connection.execute(query).scalars())


def _picture(
    field: CaseField, archive: BlobArchive, rests_on: set[str] | None, in_dicom: set[str]
) -> ReportPicture:
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
        model=f"{field.result.bundle}/{field.engine}" if field.engine else field.result.bundle,
        um_per_px=field.body.get("um_per_px"),
        map_key=_map_key(field),
        has_dicom=field.result.image_id in in_dicom,
    )
