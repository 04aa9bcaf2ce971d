"""The records program and its archive: what is not there yet, away, slow, hanging or broken."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from broker_config.local import WORKER, LocalBroker
from dashboard.outcomes import read_set_aside
from dashboard.settings import RecordsSettings
from service_runtime.boot import new_id
from tests.dashboard.clients import DEADLINE_S, TOPICS, asynchronous, client, device, say
from tests.dashboard.faulty_storage import ClientError, FaultyStorage
from tests.dashboard.records_house import (
    mount,
    put_blob,
    running,
    unmount,
    wait_for_set_aside,
)
from tests.dashboard.reports_for_tests import diagnosis, hex_id, rejection
from wire_protocol.codec import encode
from wire_protocol.messages import (
    Inquiry,
    InquiryAnswer,
    Outcome,
    Recorded,
)
from wire_protocol.topics import Kind


@asynchronous
async def test_a_report_without_its_blob_waits_and_is_then_set_aside_unanswered(
    settings: RecordsSettings,
    own_broker: LocalBroker,
    archive: Path,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dashboard.records.BLOB_LOOKS_AFTER_S", (0.05, 0.1))
    put_blob(archive, 2)
    async with running(settings), client(own_broker, WORKER) as worker, device(own_broker) as scope:
        await scope.until(lambda seen: any(b"online" in m.payload for m in seen))
        await say(worker, diagnosis(1))
        await say(worker, diagnosis(2))
        await scope.first(Recorded)
        await asyncio.to_thread(wait_for_set_aside, url)
        put_blob(archive, 1)
        await say(worker, diagnosis(1))
        answers = await scope.first(Recorded, 2)
    assert [a.image_id for a in answers] == [hex_id("image", 2), hex_id("image", 1)]
    assert [row.verdict for row in read_set_aside(url)] == ["blob_missing"]


@asynchronous
async def test_while_the_archive_is_away_reports_wait_and_none_is_set_aside(
    settings: RecordsSettings,
    own_broker: LocalBroker,
    archive: Path,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dashboard.records.AWAY_RETRY_S", (0.05, 0.1))
    monkeypatch.setattr("dashboard.records.BLOB_LOOKS_AFTER_S", (0.01,))
    put_blob(archive, 1)
    unmount(archive)
    async with running(settings), client(own_broker, WORKER) as worker, device(own_broker) as scope:
        await scope.until(lambda seen: any(b"online" in m.payload for m in seen))
        await say(worker, diagnosis(1))
        await say(scope, rejection(2))
        [first] = await scope.first(Recorded)
        assert first.outcome is Outcome.REJECTED, "what needs no archive does not wait for it"
        mount(archive)
        answers = await scope.first(Recorded, 2)
    assert answers[1].outcome is Outcome.DIAGNOSED
    assert not read_set_aside(url)


@asynchronous
async def test_while_the_archive_hangs_all_else_goes_on_and_what_waited_is_recorded_after_it(
    settings: RecordsSettings,
    own_broker: LocalBroker,
    archive: Path,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dashboard.records.AWAY_RETRY_S", (0.05, 0.1))
    monkeypatch.setattr(FaultyStorage, "answers", threading.Event())
    monkeypatch.setattr(FaultyStorage, "asked", threading.Event())
    put_blob(archive, 1)
    hanging = settings.model_copy(
        update={"archive_url": f"faulty://{archive}", "archive_s": 3600.0}
    )
    async with running(hanging), client(own_broker, WORKER) as worker, device(own_broker) as scope:
        await scope.until(lambda seen: any(b"online" in m.payload for m in seen))
        await say(worker, diagnosis(1))
        assert await asyncio.to_thread(FaultyStorage.asked.wait, DEADLINE_S)
        await say(scope, rejection(2))
        [first] = await scope.first(Recorded)
        assert first.image_id == hex_id("image", 2)
        inquiry = Inquiry(
            inquiry_id=new_id(),
            outbox_id=hex_id("outbox", 0),
            image_ids=(hex_id("image", 1), hex_id("image", 2)),
        )
        await scope.session.publish(TOPICS.build(Kind.INQUIRY, device="scope-1"), encode(inquiry))
        [answer] = await scope.first(InquiryAnswer)
        assert answer.unknown == (hex_id("image", 1),)
        FaultyStorage.answers.set()
        answers = await scope.first(Recorded, 2)
    assert answers[1].outcome is Outcome.DIAGNOSED
    assert not read_set_aside(url)


@asynchronous
async def test_a_look_that_takes_too_long_says_that_the_archive_is_away_and_is_tried_again(
    settings: RecordsSettings,
    own_broker: LocalBroker,
    archive: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dashboard.records.AWAY_RETRY_S", (0.05, 0.1))
    monkeypatch.setattr(FaultyStorage, "answers", threading.Event())
    put_blob(archive, 1)
    hanging = settings.model_copy(update={"archive_url": f"faulty://{archive}", "archive_s": 0.05})
    with capture_logs() as logs:
        async with (
            running(hanging),
            client(own_broker, WORKER) as worker,
            device(own_broker) as scope,
        ):
            await scope.until(lambda seen: any(b"online" in m.payload for m in seen))
            await say(worker, diagnosis(1))
            async with asyncio.timeout(DEADLINE_S):
                while sum(line["event"] == "archive_away" for line in logs) < 3:
                    await scope.pause(0.05)
            assert not scope.of(Recorded)
            FaultyStorage.answers.set()
            await scope.first(Recorded)
    [problem] = {line["problem"] for line in logs if line["event"] == "archive_away"}
    assert problem == "no answer within 0.05 s"


@asynchronous
async def test_an_error_of_the_storage_s_own_library_ends_nothing(
    settings: RecordsSettings,
    own_broker: LocalBroker,
    archive: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dashboard.records.AWAY_RETRY_S", (0.05, 0.1))
    monkeypatch.setattr(FaultyStorage, "fault", ClientError("503 SlowDown"))
    monkeypatch.setattr(FaultyStorage, "asked", threading.Event())
    put_blob(archive, 1)
    faulty = settings.model_copy(update={"archive_url": f"faulty://{archive}"})
    async with running(faulty), client(own_broker, WORKER) as worker, device(own_broker) as scope:
        await scope.until(lambda seen: any(b"online" in m.payload for m in seen))
        await say(worker, diagnosis(1))
        assert await asyncio.to_thread(FaultyStorage.asked.wait, DEADLINE_S)
        await say(scope, rejection(2))
        await scope.first(Recorded)
        FaultyStorage.fault = None
        answers = await scope.first(Recorded, 2)
    assert answers[1].outcome is Outcome.DIAGNOSED
