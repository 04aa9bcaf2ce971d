"""The records program through faults: a locked database, kill -9 around a commit, a broker that dies."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from pathlib import Path

import pytest

from broker_config.local import WORKER, LocalBroker
from dashboard.blobs import BlobArchive
from dashboard.outcomes import OutcomeRow, read_outcomes
from dashboard.records import Records
from dashboard.settings import RecordsSettings
from dashboard.store import RecordsStore
from service_runtime.boot import boot_id, wall_time
from tests.dashboard.clients import DEADLINE_S, TOPICS, asynchronous, client, device, say
from tests.dashboard.records_house import (
    ended,
    mount,
    process,
    put_blob,
    running,
    say_when_back,
    unmount,
)
from tests.dashboard.reports_for_tests import diagnosis, hex_id, rejection
from wire_protocol.codec import encode
from wire_protocol.messages import (
    ClockReply,
    ClockRequest,
    Outcome,
    Recorded,
)
from wire_protocol.topics import Kind


@asynchronous
async def test_while_the_database_is_locked_everything_waits_and_nothing_is_lost(
    settings: RecordsSettings,
    own_broker: LocalBroker,
    archive: Path,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dashboard.engine.BUSY_TIMEOUT_S", 0.05)
    monkeypatch.setattr("dashboard.records.AWAY_RETRY_S", (0.02, 0.1))
    for number in range(30):
        put_blob(archive, number)
    async with running(settings), client(own_broker, WORKER) as worker, device(own_broker) as scope:
        await scope.until(lambda seen: any(b"online" in m.payload for m in seen))
        lock = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        for number in range(30):
            await say(worker, diagnosis(number))
        clock = ClockRequest(requester="scope-1", boot_id=boot_id(), sent_ns=1)
        await scope.session.publish(TOPICS.build(Kind.CLOCK, peer="records"), encode(clock), qos=0)
        await scope.first(ClockReply)
        assert not scope.of(Recorded)
        lock.execute("ROLLBACK")
        lock.close()
        await scope.first(Recorded, 30)
    assert [row.seq for row in read_outcomes(url)] == list(range(1, 31))


MOMENTS = ("before_commit", "after_commit", "inside_commit")


@pytest.mark.parametrize("moment", MOMENTS)
@asynchronous
async def test_kill_9_around_the_commit_leaves_one_row_and_an_answer(
    moment: str, settings: RecordsSettings, own_broker: LocalBroker, tmp_path: Path
) -> None:
    numbers = range(25)
    for number in numbers:
        put_blob(Path(settings.archive_url), number)
    async with client(own_broker, WORKER) as worker, device(own_broker) as scope:
        with process(settings, tmp_path, moment) as doomed:
            await scope.until(lambda seen: any(b"online" in m.payload for m in seen))
            for number in numbers:
                await say(worker, diagnosis(number))
            assert await ended(doomed) == -signal.SIGKILL
        assert not scope.of(Recorded)
        with process(settings, tmp_path) as again:
            answers = await scope.first(Recorded, len(numbers))
            os.kill(again.pid, signal.SIGTERM)
            assert await ended(again) == 0
    assert {a.image_id for a in answers} == {hex_id("image", n) for n in numbers}
    rows: list[OutcomeRow] = read_outcomes(settings.database_url)
    assert [(row.seq, row.reports) for row in rows] == [(n + 1, 1) for n in numbers]


@asynchronous
async def test_the_broker_may_be_killed_and_the_rest_is_recorded(
    settings: RecordsSettings, own_broker: LocalBroker, archive: Path, url: str
) -> None:
    for number in (1, 2):
        put_blob(archive, number)
    async with running(settings), client(own_broker, WORKER) as worker, device(own_broker) as scope:
        await scope.until(lambda seen: any(b"online" in m.payload for m in seen))
        await say(worker, diagnosis(1))
        await scope.first(Recorded)
        scope.received.clear()
        own_broker.process.kill()
        own_broker.process.start()
        await scope.until(lambda seen: any(b"online" in m.payload for m in seen))
        await say_when_back(worker, diagnosis(2))
        await scope.first(Recorded)
    assert [row.seq for row in read_outcomes(url)] == [2, 3]


@asynchronous
async def test_a_report_that_waits_is_taken_up_again_after_the_broker_restarted(
    settings: RecordsSettings, own_broker: LocalBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.records.AWAY_RETRY_S", (0.05, 0.3))
    archive = Path(settings.archive_url)
    put_blob(archive, 1)
    unmount(archive)
    stop = asyncio.Event()
    store, looking = RecordsStore(settings.database_url, wall_time()), BlobArchive(str(archive))
    program = Records(settings, store, looking)
    async with device(own_broker) as scope:
        run = asyncio.create_task(program.run(stop))
        async with client(own_broker, WORKER) as worker:
            await scope.until(lambda seen: any(b"online" in m.payload for m in seen))
            await say(worker, diagnosis(1))
            await say(scope, rejection(2))
            await scope.first(Recorded)
        for _ in range(3):
            scope.received.clear()
            own_broker.process.stop()  # in order, so that it keeps the unacknowledged diagnosis
            own_broker.process.start()
            await scope.until(lambda seen: any(b'"online"' in m.payload for m in seen))
            await say_when_back(scope, rejection(3))
            await scope.first(Recorded)
        # Each connection brought the diagnosis again; the rejections' last answers are on their way.
        async with asyncio.timeout(DEADLINE_S):
            while program.held != 1:
                await scope.pause(0.05)
        mount(archive)
        await scope.until(lambda _: any(a.outcome is Outcome.DIAGNOSED for a in scope.of(Recorded)))
        stop.set()
        await run
    looking.close()
    store.close()
    assert [row.seq for row in read_outcomes(settings.database_url)] == [2, 3, 4]
