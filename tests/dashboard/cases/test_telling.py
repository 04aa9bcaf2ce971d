"""What the records program says of cases on the real broker: to whom, in which order, and again after a kill.

(Over 250 lines: one lab tells a case from its first field to its amendment.)
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from broker_config.local import (
    HEMATOLOGIST,
    OPERATOR,
    RECORDS,
    WORKER,
    LocalBroker,
    edge_username,
)
from dashboard.accounts.roles import Actor, Role
from dashboard.cases.tables import FeedRow
from dashboard.engine import open_engine
from dashboard.review.desk import Desk
from dashboard.review.findings import Fab
from dashboard.review.machine import Opinion
from dashboard.review.settings import ReviewSettings
from dashboard.settings import RecordsSettings
from tests.dashboard.clients import TOPICS, Client, asynchronous, client, say
from tests.dashboard.records_house import running
from tests.dashboard.reports_for_tests import content, diagnosis, digest, hex_id, rejection
from tests.dashboard.review.desk_for_tests import CLASSES, KEY
from wire_protocol.archive_layout import blob_key
from wire_protocol.case_messages import CaseDiagnosis, Finding, Report, Review, Worklist
from wire_protocol.json_messages import JsonT, parse_json
from wire_protocol.topics import Kind

ANNA = Actor("anna", Role.HEMATOLOGIST)
CASE = "lab.C7F3K2"
HEARD = (
    TOPICS.build(Kind.CASE, site="lab", device="scope-1"),
    TOPICS.build(Kind.WORKLIST, site="lab"),
    TOPICS.build(Kind.REVIEW, site="lab"),
    TOPICS.build(Kind.REPORT, site="lab"),
)
STATUS = TOPICS.build(Kind.RECORDS_STATUS)


@pytest.fixture
def settings(own_broker: LocalBroker, url: str, tmp_path: Path) -> RecordsSettings:
    (tmp_path / "archive").mkdir()
    return RecordsSettings(
        broker=own_broker.settings(RECORDS), database_url=url, archive_url=str(tmp_path / "archive")
    )


@asynccontextmanager
async def open_desk(settings: RecordsSettings, undo_s: float = 0.0) -> AsyncIterator[Desk]:
    """The page's side, of its own connections."""
    review = ReviewSettings(undo_s=undo_s)
    desk = Desk.open(settings.database_url, None, audit_key=KEY, review=review)
    try:
        yield desk
    finally:
        desk.close()


def of(phone: Client, kind: Kind, model: type[JsonT]) -> list[JsonT]:
    """The messages of this kind so far."""
    heard = [m for m in phone.received if TOPICS.parse(m.topic).kind is kind]  # type: ignore[union-attr]
    return [parse_json(model, m.payload) for m in heard]


async def online(phone: Client) -> None:
    """Before that nobody would hear a diagnosis."""
    await phone.until(lambda seen: any(b'"online"' in m.payload for m in seen))


async def field(worker: Client, settings: RecordsSettings, number: int, **changes: Any) -> None:
    path = Path(settings.archive_url) / blob_key(digest(number))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content(number))
    await say(worker, diagnosis(number, **(CLASSES | changes)))


@asynchronous
async def test_a_case_is_told_with_each_field_and_the_worklist_is_kept(
    settings: RecordsSettings, own_broker: LocalBroker
) -> None:
    async with (
        running(settings),
        client(own_broker, WORKER) as worker,
        client(own_broker, HEMATOLOGIST, STATUS, *HEARD) as phone,
        client(own_broker, OPERATOR, *HEARD) as operator,
    ):
        await online(phone)
        await field(worker, settings, 1)
        await phone.until(lambda _: len(of(phone, Kind.CASE, CaseDiagnosis)) >= 1)
        await field(worker, settings, 2)
        await phone.until(lambda _: of(phone, Kind.CASE, CaseDiagnosis)[-1].fields == 2)
        told = of(phone, Kind.CASE, CaseDiagnosis)[-1]
        assert (told.level, told.status.value, told.result) == ("slide", "draft", "aml")
        assert told.white_cells == 120 and "120 white cells in 2 fields" in told.text
        assert told.text.endswith("Research use only.")
        assert told.probabilities().keys() == {"all", "aml", "cll", "cml", "healthy"}
        assert told.image_id in {hex_id("image", 1), hex_id("image", 2)}
        numbers = [m.change for m in of(phone, Kind.CASE, CaseDiagnosis)]
        assert numbers == sorted(set(numbers))
        await phone.until(lambda _: bool(of(phone, Kind.WORKLIST, Worklist)))
        async with client(own_broker, HEMATOLOGIST, HEARD[1]) as late:
            await late.until(lambda _: bool(of(late, Kind.WORKLIST, Worklist)))
            listed = of(late, Kind.WORKLIST, Worklist)[0]
        assert late.received[0].retain
        assert (listed.open_cases, listed.most_urgent) == (1, ("C7F3K2",))
        assert listed.by_urgency == {"suspected_acute": 1}
        assert listed.oldest_unread_min == {"suspected_acute": 0}
        assert operator.received == []  # results are not the operator's


@asynchronous
async def test_a_signature_made_elsewhere_is_told_as_review_and_report_without_its_comment(
    settings: RecordsSettings, own_broker: LocalBroker
) -> None:
    async with (
        running(settings),
        client(own_broker, WORKER) as worker,
        client(own_broker, HEMATOLOGIST, STATUS, *HEARD) as phone,
        open_desk(settings, undo_s=0.3) as desk,
    ):
        await online(phone)
        await field(worker, settings, 1)
        await phone.until(lambda _: bool(of(phone, Kind.CASE, CaseDiagnosis)))
        await asyncio.to_thread(desk.case, CASE, ANNA)
        opinion = Opinion(Finding.APL, Fab.M3, "Mrs Smith, faggot cells")
        await asyncio.to_thread(desk.sign, CASE, opinion, by=ANNA, expected_version=0)
        await phone.until(lambda _: bool(of(phone, Kind.REPORT, Report)))
        (review,) = of(phone, Kind.REVIEW, Review)
        assert (review.finding, review.fab, review.ai_result) == (Finding.APL, "M3", "aml")
        assert (review.status.value, review.urgency_rank, review.ai_seen) == ("final", 0, True)
        assert review.reviewed_by == "anna" and review.text.startswith("EMERGENCY: APL suspected")
        (report,) = of(phone, Kind.REPORT, Report)
        assert (report.status, report.number) == ("final", review.number)
        await phone.until(lambda _: of(phone, Kind.CASE, CaseDiagnosis)[-1].status.value == "final")
        await phone.until(lambda _: of(phone, Kind.WORKLIST, Worklist)[-1].open_cases == 0)
        assert not any(b"Smith" in m.payload for m in phone.received)
        await asyncio.to_thread(desk.case, CASE, ANNA)
        await asyncio.to_thread(
            desk.enter_in_error, CASE, "wrong slide", by=ANNA, expected_version=1
        )
        await phone.until(lambda _: len(of(phone, Kind.REPORT, Report)) == 2)
        withdrawn = of(phone, Kind.REPORT, Report)[1]
        assert (withdrawn.status, withdrawn.finding) == ("entered-in-error", None)
        assert withdrawn.report_id == report.report_id
        assert of(phone, Kind.REVIEW, Review)[1].text.startswith("Entered in error")


@asynchronous
async def test_an_answer_taken_back_in_time_is_never_told(
    settings: RecordsSettings, own_broker: LocalBroker
) -> None:
    async with (
        running(settings),
        client(own_broker, WORKER) as worker,
        client(own_broker, HEMATOLOGIST, STATUS, *HEARD) as phone,
        open_desk(settings, undo_s=5) as desk,
    ):
        await online(phone)
        await field(worker, settings, 1)
        await phone.until(lambda _: bool(of(phone, Kind.CASE, CaseDiagnosis)))
        await asyncio.to_thread(desk.case, CASE, ANNA)
        await asyncio.to_thread(desk.sign, CASE, Opinion(), by=ANNA, expected_version=0)
        done = await asyncio.to_thread(desk.undo, CASE, by=ANNA, expected_version=1)
        await phone.until(
            lambda _: of(phone, Kind.CASE, CaseDiagnosis)[-1].change >= done.change_id
        )
        assert of(phone, Kind.REVIEW, Review) == [] and of(phone, Kind.REPORT, Report) == []


@asynchronous
async def test_what_was_signed_while_the_records_program_was_away_is_told_when_it_is_back(
    settings: RecordsSettings, own_broker: LocalBroker
) -> None:
    async with client(own_broker, WORKER) as worker:
        async with running(settings), client(own_broker, HEMATOLOGIST, STATUS, *HEARD) as phone:
            await online(phone)
            await field(worker, settings, 1)
            await phone.until(lambda _: bool(of(phone, Kind.CASE, CaseDiagnosis)))
        async with open_desk(settings) as desk:
            await asyncio.to_thread(desk.case, CASE, ANNA)
            await asyncio.to_thread(desk.sign, CASE, Opinion(), by=ANNA, expected_version=0)
        async with client(own_broker, HEMATOLOGIST, STATUS, *HEARD) as phone, running(settings):
            await phone.until(lambda _: bool(of(phone, Kind.REPORT, Report)))
            assert of(phone, Kind.REVIEW, Review)[0].finding is Finding.AML


@asynchronous
async def test_a_kill_before_the_mark_tells_again_and_loses_nothing(
    settings: RecordsSettings, own_broker: LocalBroker, url: str
) -> None:
    """The mark of what was told is behind after a kill: everything after it is told once more."""
    async with client(own_broker, WORKER) as worker:
        async with (
            running(settings),
            open_desk(settings) as desk,
            client(own_broker, HEMATOLOGIST, STATUS, *HEARD) as phone,
        ):
            await online(phone)
            await field(worker, settings, 1)
            await phone.until(lambda _: bool(of(phone, Kind.CASE, CaseDiagnosis)))
            await asyncio.to_thread(desk.case, CASE, ANNA)
            await asyncio.to_thread(desk.sign, CASE, Opinion(), by=ANNA, expected_version=0)
            await phone.until(lambda _: bool(of(phone, Kind.REPORT, Report)))
        engine = open_engine(url)
        with engine.begin() as connection:
            connection.execute(update(FeedRow).values(told_id=0))
            last = connection.execute(select(FeedRow.last_id)).scalar_one()
        engine.dispose()
        async with client(own_broker, HEMATOLOGIST, STATUS, *HEARD) as phone, running(settings):
            await phone.until(lambda _: bool(of(phone, Kind.REPORT, Report)))
            await phone.until(
                lambda _: any(c.change == last for c in of(phone, Kind.CASE, CaseDiagnosis))
            )
            assert len(of(phone, Kind.REPORT, Report)) == 1


@asynchronous
async def test_a_case_of_rejected_and_dropped_fields_is_told_as_one_to_take_again(
    settings: RecordsSettings, own_broker: LocalBroker
) -> None:
    async with (
        running(settings),
        client(own_broker, edge_username("scope-1")) as scope,
        client(own_broker, HEMATOLOGIST, STATUS, *HEARD) as phone,
    ):
        await online(phone)
        await say(scope, rejection(1, case_id="C7F3K2"))
        await phone.until(lambda _: bool(of(phone, Kind.CASE, CaseDiagnosis)))
        dropped = rejection(2, case_id="C7F3K2", outcome="dropped", operator="olga")
        await say(scope, dropped)
        await phone.until(lambda _: of(phone, Kind.CASE, CaseDiagnosis)[-1].retakes == 2)
        told = of(phone, Kind.CASE, CaseDiagnosis)[-1]
        assert (told.urgency.value, told.fields, told.reason) == ("retake", 0, "focus")
        assert told.text.startswith("Take again: all 2 fields could not be judged (focus).")


@asynchronous
async def test_an_unfiled_field_has_no_case_message_but_a_review(
    settings: RecordsSettings, own_broker: LocalBroker
) -> None:
    key = f"lab.unfiled.{hex_id('image', 1)}"
    async with (
        running(settings),
        client(own_broker, WORKER) as worker,
        client(own_broker, HEMATOLOGIST, STATUS, *HEARD) as phone,
        open_desk(settings) as desk,
    ):
        await online(phone)
        await field(worker, settings, 1, case_id="unfiled")
        await phone.until(lambda _: bool(of(phone, Kind.WORKLIST, Worklist)))
        await phone.until(lambda _: of(phone, Kind.WORKLIST, Worklist)[-1].open_cases == 1)
        await asyncio.to_thread(desk.case, key, ANNA)
        await asyncio.to_thread(desk.sign, key, Opinion(), by=ANNA, expected_version=0)
        await phone.until(lambda _: bool(of(phone, Kind.REPORT, Report)))
        (report,) = of(phone, Kind.REPORT, Report)
        assert (report.case_id, report.image_id) == ("unfiled", hex_id("image", 1))
        assert of(phone, Kind.CASE, CaseDiagnosis) == []
        assert json.loads(phone.received[-1].payload)["version"] == 1
