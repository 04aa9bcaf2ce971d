"""The records store: commits a batch of reports, inquiries and device facts in ONE transaction; it talks to no network.

`commit` returns only after the database has made the transaction durable, so whoever answers on
the wire afterwards never says more than the disk holds. It raises `StoreAway` when the database is
locked or gone (nothing was committed: try the same batch again). Calls come from one thread.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, insert, select, tuple_, update
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError

from dashboard.device_facts import DevicePresence, put_health, put_presence
from dashboard.engine import StoreError, open_engine
from dashboard.identity import (
    ANSWERED,
    KEPT,
    NEEDS_BLOB,
    SET_ASIDE,
    Identity,
    Ledger,
    Mode,
    ReportKey,
    Verdict,
)
from dashboard.reports import Report
from dashboard.schema import (
    SCHEMA_VERSION,
    Base,
    DiagnosisRow,
    ImageRow,
    SetAsideRow,
    StoreRow,
)
from wire_protocol.json_messages import Health
from wire_protocol.messages import Inquiry, InquiryAnswer, Outcome, Recorded


class StoreAway(Exception):  # noqa: N818 - a state of the world, not a mistake of the caller
    """The database is locked, full or gone; nothing of the batch was committed."""


@dataclass(frozen=True, slots=True)
class Filed:
    """A report, and whether its blob was seen in the archive."""

    report: Report
    blob_seen: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """An inquiry of a device."""

    device: str
    inquiry: Inquiry


Work = Filed | Asked | Health | DevicePresence


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a report; `outcome` is the one that stands, where it is to be answered."""

    verdict: Verdict
    outcome: Outcome | None = None


Result = Judged | InquiryAnswer | None


@dataclass(frozen=True, slots=True)
class Committed:
    """The results in the order of the batch, and the store that holds them."""

    store_id: str
    results: tuple[Result, ...]


class RecordsStore:
    """The store behind one database URL; it is made, with its id, where there is none."""

    def __init__(self, url: str, at: str) -> None:
        self._engine = open_engine(url)
        try:
            self.store_id = _create(self._engine, at)
        except DBAPIError as error:
            self._engine.dispose()
            raise StoreError(f"records database {self._engine.url}: {error.orig}") from error

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()

    def new_store_id(self, at: str) -> str:
        """Gives the store another id, after a restore from a backup, and returns it."""
        store_id = secrets.token_hex(16)
        with self._engine.begin() as connection:
            connection.execute(update(StoreRow).values(store_id=store_id, renewed_at=at))
        self.store_id = store_id
        return store_id

    def commit(self, batch: Sequence[Work], at: str) -> Committed:
        """Decides and stores the whole batch durably; raises StoreAway with nothing stored."""
        try:
            return self._commit(batch, at)
        except IntegrityError:
            pass  # another process wrote the same image meanwhile: decide again on the new facts
        except OperationalError as error:
            raise StoreAway(str(error.orig)) from error
        except (SQLAlchemyError, ValueError, OverflowError):
            if len(batch) == 1:
                return Committed(self.store_id, (Judged(Verdict.UNSTORABLE),))
        # One item that the database cannot hold must not stop the others, nor come back for ever.
        results: list[Result] = []
        for item in batch:
            try:
                results.extend(self._commit([item], at).results)
            except OperationalError as error:
                raise StoreAway(str(error.orig)) from error
            except (SQLAlchemyError, ValueError, OverflowError):
                results.append(Judged(Verdict.UNSTORABLE))
        return Committed(self.store_id, tuple(results))

    def _commit(self, batch: Sequence[Work], at: str) -> Committed:
        with self._engine.begin() as connection:
            self.store_id = _read_store_id(connection)
            reports = [item.report for item in batch if isinstance(item, Filed)]
            ledger = _load(connection, reports)
            judged = {
                number: _judge(ledger, item)
                for number, item in enumerate(batch)
                if isinstance(item, Filed)
            }
            _write_reports(connection, batch, judged, at)
            results: list[Result] = []
            for number, item in enumerate(batch):
                match item:
                    case Filed():
                        results.append(judged[number])
                    case Asked():
                        results.append(_answer(connection, item.inquiry, self.store_id))
                    case Health():
                        put_health(connection, item, at)
                        results.append(None)
                    case DevicePresence():
                        put_presence(connection, item, at)
                        results.append(None)
        return Committed(self.store_id, tuple(results))


def _create(engine: Engine, at: str) -> str:
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        row = connection.execute(select(StoreRow.store_id, StoreRow.schema_version)).first()
        if row is not None:
            if row.schema_version != SCHEMA_VERSION:
                raise StoreError(
                    f"records database {engine.url} has schema version {row.schema_version}; "
                    f"this program speaks {SCHEMA_VERSION}"
                )
            return str(row.store_id)
        store_id = secrets.token_hex(16)
        connection.execute(
            insert(StoreRow).values(
                one=1,
                store_id=store_id,
                schema_version=SCHEMA_VERSION,
                created_at=at,
                renewed_at=at,
            )
        )
        return store_id


def _read_store_id(connection: Connection) -> str:
    return str(connection.execute(select(StoreRow.store_id)).scalar_one())


def _load(connection: Connection, reports: Sequence[Report]) -> Ledger:
    """The facts that these reports can touch."""
    ledger = Ledger()
    if not reports:
        return ledger
    ids = {report.identity.image_id for report in reports}
    places = {report.identity.place for report in reports}
    columns = (
        ImageRow.image_id, ImageRow.sha256, ImageRow.outbox_id, ImageRow.seq, ImageRow.outcome
    )  # fmt: skip
    queries = (
        select(*columns).where(ImageRow.image_id.in_(ids)),
        select(*columns).where(tuple_(ImageRow.outbox_id, ImageRow.seq).in_(places)),
    )
    for query in queries:
        for row in connection.execute(query):
            identity = Identity(row.image_id, row.sha256, row.outbox_id, row.seq)
            ledger.learn(identity, Outcome(row.outcome))
    keys = select(
        DiagnosisRow.image_id, DiagnosisRow.sha256, DiagnosisRow.bundle, DiagnosisRow.mode
    ).where(DiagnosisRow.image_id.in_(ids))
    for image_id, sha256, bundle, mode in connection.execute(keys):
        ledger.keys.add(ReportKey(image_id, sha256, bundle, Mode(mode)))
    return ledger


def _judge(ledger: Ledger, item: Filed) -> Judged:
    report = item.report
    verdict = ledger.decide(report.identity, report.key, report.outcome, blob_seen=item.blob_seen)
    answered = verdict in ANSWERED
    return Judged(verdict, ledger.outcome(report.identity.image_id) if answered else None)


def _write_reports(
    connection: Connection, batch: Sequence[Work], judged: dict[int, Judged], at: str
) -> None:
    kept: list[tuple[Report, Verdict]] = []
    for number, item in enumerate(batch):
        if not isinstance(item, Filed):
            continue
        verdict = judged[number].verdict
        if verdict in KEPT:
            kept.append((item.report, verdict))
        elif verdict in SET_ASIDE:
            _set_aside(connection, item.report, verdict, at)
    if not kept:
        return
    ids = connection.execute(
        insert(DiagnosisRow).returning(DiagnosisRow.id, sort_by_parameter_order=True),
        [_diagnosis_values(report, at) for report, _ in kept],
    ).scalars()
    images = [
        _image_values(report, shown_id, at)
        for (report, verdict), shown_id in zip(kept, ids, strict=True)
        if verdict is Verdict.FIRST
    ]
    if images:
        connection.execute(insert(ImageRow), images)


def _diagnosis_values(report: Report, at: str) -> dict[str, object]:
    return {
        "image_id": report.identity.image_id,
        "sha256": report.identity.sha256,
        "bundle": report.bundle,
        "mode": report.mode.value,
        "engine": report.engine,
        "result": report.result,
        "reason": report.reason,
        "urgency": report.urgency,
        "urgency_rank": report.urgency_rank,
        "text": report.text,
        "probabilities": report.probabilities,
        "training_data": report.training_data,
        "worker": report.worker,
        "attempt": report.attempt,
        "operator": report.operator,
        "recorded_at": at,
        "body": report.body,
    }


def _image_values(report: Report, shown_id: int, at: str) -> dict[str, object]:
    assert report.outcome is not None
    return {
        "site": report.site,
        "device": report.device,
        "image_id": report.identity.image_id,
        "sha256": report.identity.sha256,
        "outbox_id": report.identity.outbox_id,
        "seq": report.identity.seq,
        "outcome": report.outcome.value,
        "has_blob": report.mode in NEEDS_BLOB,
        "case_id": report.case_id,
        "captured_at": report.captured_at,
        "recorded_at": at,
        "shown_id": shown_id,
    }


def _set_aside(connection: Connection, report: Report, verdict: Verdict, at: str) -> None:
    identity = report.identity
    same = (
        (SetAsideRow.verdict == verdict.value)
        & (SetAsideRow.device == report.device)
        & (SetAsideRow.image_id == identity.image_id)
        & (SetAsideRow.sha256 == identity.sha256)
        & (SetAsideRow.outbox_id == identity.outbox_id)
        & (SetAsideRow.seq == identity.seq)
    )
    again = update(SetAsideRow).where(same).values(times=SetAsideRow.times + 1, last_at=at)
    if connection.execute(again).rowcount:
        return
    connection.execute(
        insert(SetAsideRow).values(
            verdict=verdict.value,
            site=report.site,
            device=report.device,
            image_id=identity.image_id,
            sha256=identity.sha256,
            outbox_id=identity.outbox_id,
            seq=identity.seq,
            times=1,
            first_at=at,
            last_at=at,
            body=report.body,
        )
    )


def _answer(connection: Connection, inquiry: Inquiry, store_id: str) -> InquiryAnswer:
    """Known means: an image of that outbox with a committed outcome."""
    rows = connection.execute(
        select(ImageRow.image_id, ImageRow.sha256, ImageRow.outcome).where(
            ImageRow.image_id.in_(inquiry.image_ids), ImageRow.outbox_id == inquiry.outbox_id
        )
    )
    known = {
        row.image_id: Recorded(
            image_id=row.image_id,
            sha256=row.sha256,
            outcome=Outcome(row.outcome),
            store_id=store_id,
        )
        for row in rows
    }
    asked = tuple(dict.fromkeys(inquiry.image_ids))
    return InquiryAnswer(
        inquiry_id=inquiry.inquiry_id,
        store_id=store_id,
        known=tuple(known[image_id] for image_id in asked if image_id in known),
        unknown=tuple(image_id for image_id in asked if image_id not in known),
    )
