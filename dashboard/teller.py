"""Tells on the broker what was committed: cases, reviews, reports, worklists; it answers nobody and changes no case.

It follows the feed of changes, whoever made them (this program or the page's): after each commit of
its own, and four times a second. How far it came is kept in the database, so that a change is told at
least once; of a case that changed often meanwhile the newest state is told, of signatures every one.
It also signs answers whose time for an undo has passed, so that no page has to be open for that.
(Over 250 lines: the kinds of messages share one order and one transaction.)
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, select
from sqlalchemy.exc import SQLAlchemyError

from dashboard.cases import telling
from dashboard.cases.case_rows import find_cases
from dashboard.cases.feed import forget_changes, mark_told, read_changes, told_change
from dashboard.cases.field_rows import CaseField, read_shown
from dashboard.cases.keys import parse_case_key
from dashboard.cases.tables import CaseRow
from dashboard.engine import open_engine
from dashboard.review.store import load_review, settle_all, time_of
from dashboard.review.tables import ReviewEventRow
from dashboard.schema import StoreRow
from service_runtime.boot import wall_time
from service_runtime.log import get_log
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import MqttError
from wire_protocol.json_messages import JsonMessage
from wire_protocol.topics import Kind, Topics

LOOK_EVERY_S: Final = 0.25
#: Rounds are at least this far apart: what comes meanwhile shares one.
LEAST_REST_S: Final = 0.05
#: A worklist changes with the clock, too: its oldest unread case waits longer.
WORKLIST_EVERY_S: Final = 60.0
WORKLIST_REST_S: Final = 1.0
CHANGES_AT_ONCE: Final = 200
#: How far it came is written down at most this often; what is told twice after a kill is harmless.
MARK_EVERY_S: Final = 1.0
#: A page that was away for longer than so many changes reloads its list.
CHANGES_KEPT: Final = 100_000
FORGET_EVERY: Final = 10_000


@dataclass(frozen=True, slots=True)
class Telling:
    """One message and where it goes."""

    kind: Kind
    levels: dict[str, str]
    message: JsonMessage
    retain: bool = False


class Teller:
    """Works beside the records program on its session; all methods belong to the event loop."""

    def __init__(self, database_url: str, session: MqttSession, topics: Topics) -> None:
        self._session = session
        self._topics = topics
        self._writer = open_engine(database_url)
        self._reader = open_engine(database_url, read_only=True)
        self._thread = ThreadPoolExecutor(1, "records-teller")
        self._poked = asyncio.Event()
        self._told: int | None = None
        self._marked = 0
        self._marked_at = 0.0
        #: Site to when its worklist is due.
        self._worklists: dict[str, float] = {}
        self._log = get_log("records")

    def poke(self) -> None:
        """Something was committed here."""
        self._poked.set()

    def connected(self) -> None:
        """A new connection: a broker that lost its retained messages gets the worklists again."""
        self._worklists = dict.fromkeys(self._worklists, 0.0)
        self.poke()

    async def run(self) -> None:
        """Tells until cancelled."""
        try:
            while True:
                with suppress(TimeoutError):  # wait_for of Python 3.11 can swallow a cancellation
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await self._poked.wait()
                self._poked.clear()
                try:
                    await self._round()
                except SQLAlchemyError as error:
                    self._log.error("database_away", problem=type(error).__name__, waiting=0)
                    await asyncio.sleep(LOOK_EVERY_S * 4)
                except MqttError as error:
                    self._log.info("not_told", problem=str(error))
                    await asyncio.sleep(LOOK_EVERY_S)
                except (
                    Exception
                ):  # the outer edge of telling, whose mistakes must stop no recording
                    self._log.exception("telling_failed")
                    await asyncio.sleep(LOOK_EVERY_S * 4)
                await asyncio.sleep(LEAST_REST_S)
        finally:
            self._thread.shutdown(wait=True, cancel_futures=True)
            self._writer.dispose()
            self._reader.dispose()

    # --- rounds ---------------------------------------------------------------------------------

    async def _round(self) -> None:
        await self._blocking(self._settle)
        if not self._session.is_connected:
            return
        if self._told is None:
            self._told, sites = await self._blocking(self._begin)
            self._marked = self._told
            self._worklists = dict.fromkeys(sites, 0.0)
        last, sites, tellings = await self._blocking(self._read, self._told)
        now = time.monotonic()
        for site in sites:
            due = self._worklists.get(site, 0.0)
            self._worklists[site] = min(due, now + WORKLIST_REST_S)
        await self._publish(tellings)
        if last > self._told:
            self._told = last
            if len(tellings) >= CHANGES_AT_ONCE // 2:
                self._poked.set()
        await self._tell_worklists(now)
        if self._told > self._marked and now - self._marked_at >= MARK_EVERY_S:
            await self._blocking(self._mark, self._told)
            self._marked, self._marked_at = self._told, now

    async def _tell_worklists(self, now: float) -> None:
        due = [site for site, at in self._worklists.items() if at <= now]
        for site in due:
            await self._publish([await self._blocking(self._worklist, site)])
            self._worklists[site] = now + WORKLIST_EVERY_S

    async def _publish(self, tellings: list[Telling]) -> None:
        """All of them, and waits until the broker has each; raises MqttError where it has not."""
        answers = []
        for telling_ in tellings:
            topic = self._topics.build(telling_.kind, **telling_.levels)
            payload = telling_.message.to_bytes()
            answers.append(self._session.publish(topic, payload, retain=telling_.retain))
        codes = await asyncio.gather(*answers)
        for code, telling_ in zip(codes, tellings, strict=True):
            if code >= 0x80:
                self._log.error("telling_refused", kind=telling_.kind.value, code=code)

    async def _blocking(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    # --- in the thread --------------------------------------------------------------------------

    def _settle(self) -> None:
        now_ms = time.time_ns() // 1_000_000
        due = select(CaseRow.id).where(CaseRow.held_due_ms <= now_ms).limit(1)
        with self._reader.begin() as connection:
            if connection.execute(due).first() is None:
                return
        with self._writer.begin() as connection:
            settle_all(connection, now_ms)

    def _begin(self) -> tuple[int, list[str]]:
        with self._reader.begin() as connection:
            sites = connection.execute(select(CaseRow.site).distinct()).scalars()
            return told_change(connection), list(sites)

    def _mark(self, told: int) -> None:
        with self._writer.begin() as connection:
            mark_told(connection, told)
            if told // FORGET_EVERY > self._marked // FORGET_EVERY:
                forget_changes(connection, told - CHANGES_KEPT)

    def _read(self, told: int) -> tuple[int, set[str], list[Telling]]:
        with self._reader.begin() as connection:
            changes = read_changes(connection, told, CHANGES_AT_ONCE)
            if not changes:
                return told, set(), []
            last = changes[-1].id
            keys = {change.case_key: change.id for change in changes}
            rows = _rows(connection, list(keys))
            signed = _signed_in(connection, changes[0].id, last)
            leading = read_shown(
                connection, [row.leading_image_id for key, row in rows.items() if key in keys]
            )
            store_id = str(connection.execute(select(StoreRow.store_id)).scalar_one())
            tellings: list[Telling] = []
            for key, row in rows.items():
                field = leading.get(row.leading_image_id)
                if field is None or row.fields + row.retakes == 0:
                    continue
                try:
                    tellings += _of_case(row, field, keys[key])
                    for one in signed.get(row.id, ()):
                        tellings += _of_signature(connection, row, field, one, store_id)
                except ValueError as error:  # what the wire does not take must not stop the rest
                    self._log.error("not_tellable", case=key, problem=str(error)[:300])
            return last, {row.site for row in rows.values()}, tellings

    def _worklist(self, site: str) -> Telling:
        now = wall_time()
        with self._reader.begin() as connection:
            found = connection.execute(
                select(
                    CaseRow.case_id,
                    CaseRow.urgency,
                    CaseRow.rank,
                    CaseRow.first_recorded_at,
                    CaseRow.opened_at,
                )
                .where(CaseRow.site == site, CaseRow.is_open)
                .order_by(CaseRow.rank, CaseRow.first_recorded_at, CaseRow.id)
            )
            cases = [
                telling.OpenCase(r.case_id, r.urgency, r.rank, r.first_recorded_at, not r.opened_at)
                for r in found
            ]
        message = telling.worklist_message(site, cases, now)
        return Telling(Kind.WORKLIST, {"site": site}, message, retain=True)


def _rows(connection: Connection, keys: list[str]) -> dict[str, Row[Any]]:
    """The rows of these cases by key, in the order of their change."""
    parsed = [key for key in map(parse_case_key, keys) if key is not None]
    found = find_cases(connection, parsed)
    return {key.text: found[key] for key in parsed if key in found}


def _signed_in(connection: Connection, first: int, last: int) -> dict[int, list[tuple[int, int]]]:
    """Case to the (number, change id) of its signatures among these changes."""
    rows = connection.execute(
        select(ReviewEventRow.smear_case_id, ReviewEventRow.number, ReviewEventRow.change_id)
        .where(ReviewEventRow.change_id.between(first, last), ReviewEventRow.kind == "signed")
        .order_by(ReviewEventRow.change_id)
    )
    found: dict[int, list[tuple[int, int]]] = {}
    for row in rows:
        found.setdefault(row.smear_case_id, []).append((row.number, row.change_id))
    return found


def _of_case(row: Row[Any], field: CaseField, change_id: int) -> list[Telling]:
    """Nothing for an unfiled field: its own diagnosis was told."""
    if row.image_id:
        return []
    levels = {"site": row.site, "device": row.device}
    return [Telling(Kind.CASE, levels, telling.case_message(row, field, change_id))]


def _of_signature(
    connection: Connection, row: Row[Any], field: CaseField, signed: tuple[int, int], store_id: str
) -> list[Telling]:
    number, change_id = signed
    review = load_review(connection, row.id)
    signature = next(s for s in review.signatures if s.number == number)
    signed_at = time_of(signature.signed_at_ms)
    levels = {"site": row.site}
    return [
        Telling(
            Kind.REVIEW,
            levels,
            telling.review_message(row, field, signature, change_id, signed_at),
        ),
        Telling(Kind.REPORT, levels, telling.report_message(row, signature, store_id, signed_at)),
    ]
