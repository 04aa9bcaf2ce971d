"""The records store: commits a batch of reports, inquiries and device facts in ONE transaction; it talks to no network.

`commit` returns only after the database has made the transaction durable, so whoever answers on
the wire afterwards never says more than the disk holds. It raises `StoreAway` when the database is
locked or gone (nothing was committed: try the same batch again). Calls come from one thread.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError

import dashboard.accounts.tables
import dashboard.audit.tables
import dashboard.exchange.tables
import dashboard.review.tables  # noqa: F401 - create_all makes what these four declare
from dashboard.cases.case_rows import case_keys, touch_cases
from dashboard.cases.feed import begin_feed
from dashboard.cases.field_rows import end_previews, put_previews
from dashboard.cases.keys import CaseKey
from dashboard.cases.settings import CaseSettings
from dashboard.device_facts import DevicePresence, put_health, put_presence
from dashboard.engine import StoreError, open_engine
from dashboard.identity import ANSWERED, Ledger, Verdict
from dashboard.migration import migrate
from dashboard.refiles import RefileVerdict, put_refile
from dashboard.reports import Report
from dashboard.schema import SCHEMA_VERSION, Base, StoreRow
from dashboard.store_rows import answer_inquiry, load_ledger, write_reports
from service_runtime.redacted import without_password
from wire_protocol.json_messages import Health, Refile
from wire_protocol.messages import Inquiry, InquiryAnswer, Outcome


class StoreAway(Exception):  # noqa: N818 - a state of the world, not a mistake of the caller
    """The database is locked, full or gone; nothing of the batch was committed."""

    def __init__(self, message: str) -> None:
        super().__init__(without_password(message))


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


Work = Filed | Asked | Refile | Health | DevicePresence


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a report; `outcome` is the one that stands, where it is to be answered."""

    verdict: Verdict
    outcome: Outcome | None = None


Result = Judged | InquiryAnswer | RefileVerdict | None


@dataclass(frozen=True, slots=True)
class Committed:
    """The results in the order of the batch, and the store that holds them."""

    store_id: str
    results: tuple[Result, ...]


class RecordsStore:
    """The store behind one database URL; it is made, with its id, where there is none."""

    def __init__(self, url: str, at: str, cases: CaseSettings | None = None) -> None:
        self._engine = open_engine(url)
        self._cases = cases or CaseSettings()
        try:
            self.store_id = _create(self._engine, at, self._cases)
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
            filed = [item for item in batch if isinstance(item, Filed)]
            ledger = load_ledger(connection, [item.report for item in filed])
            judged = [_judge(ledger, item) for item in filed]
            decided = [(f.report, j.verdict) for f, j in zip(filed, judged, strict=True)]
            write_reports(connection, decided, at)
            firsts = [
                f.report for f, j in zip(filed, judged, strict=True) if j.verdict is Verdict.FIRST
            ]
            moved = [item.image_id for item in batch if isinstance(item, Refile)]
            touched = case_keys(connection, moved) if moved else set[CaseKey]()
            recorded = [report.identity.image_id for report in firsts]
            touched |= end_previews(connection, recorded)
            small = [report for report, verdict in decided if verdict is Verdict.PREVIEW]
            touched |= put_previews(connection, small, at)
            judgements = iter(judged)
            results: list[Result] = []
            for item in batch:
                match item:
                    case Filed():
                        results.append(next(judgements))
                    case Asked():
                        results.append(answer_inquiry(connection, item.inquiry, self.store_id))
                    case Refile():
                        results.append(put_refile(connection, item, at))
                    case Health():
                        put_health(connection, item, at)
                        results.append(None)
                    case DevicePresence():
                        put_presence(connection, item, at)
                        results.append(None)
            touched |= case_keys(connection, [*moved, *recorded])
            touch_cases(connection, touched, self._cases, at)
        return Committed(self.store_id, tuple(results))


def _create(engine: Engine, at: str, cases: CaseSettings) -> str:
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        begin_feed(connection)
        row = connection.execute(select(StoreRow.store_id, StoreRow.schema_version)).first()
        if row is not None:
            migrate(connection, row.schema_version, cases, at)
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


def _judge(ledger: Ledger, item: Filed) -> Judged:
    report = item.report
    verdict = ledger.decide(report.identity, report.key, report.outcome, blob_seen=item.blob_seen)
    answered = verdict in ANSWERED
    return Judged(verdict, ledger.outcome(report.identity.image_id) if answered else None)
