"""A diagnosis is kept until the broker has it: lost or refused, it is sent again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from broker_config.local import HEMATOLOGIST, WORKER, LocalBroker
from cloud_worker.publishing import RETRY_FIRST_S, Outgoing, Publisher
from service_runtime.broker_settings import BrokerSettings
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import NO_SUBSCRIBERS, Connected, Disconnected
from service_runtime.session_roles import worker_session
from tests.cloud_worker.watcher import Watcher
from wire_protocol.topics import Kind, Topics

IMAGE_ID = "0123456789abcdef" * 2
OUTGOING = Outgoing("lab", "scope-1", IMAGE_ID, b"\xff\xd8 a picture", b"{}")


@contextlib.asynccontextmanager
async def a_publisher(broker: BrokerSettings, name: str) -> AsyncIterator[Publisher]:
    session = MqttSession(broker, worker_session(name))
    publisher = Publisher(session, Topics(broker.root))
    up = asyncio.Event()

    async def follow() -> None:
        async for event in session.events():
            if isinstance(event, Connected):
                publisher.connected()
                up.set()
            elif isinstance(event, Disconnected):
                publisher.disconnected()

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(session.run()), tasks.create_task(follow())]
        await up.wait()
        yield publisher
        for task in running:
            task.cancel()


def test_the_picture_goes_first_and_both_carry_the_image_id(broker: LocalBroker) -> None:
    async def run() -> None:
        kinds = (Kind.THUMBNAIL, Kind.DIAGNOSIS)
        watcher = Watcher(broker.settings(HEMATOLOGIST), "phone-order", kinds)
        async with watcher.running(), a_publisher(broker.settings(WORKER), "p1") as publisher:
            assert await publisher.publish(OUTGOING) == 0
            await watcher.until(lambda: len(watcher.messages) == 2)
            assert publisher.counts == {"diagnoses": 1, "thumbnails": 1, "no_subscribers": 0}
        picture, diagnosis = watcher.messages
        assert picture.topic == f"hemowire/v1/thumbnail/lab/scope-1/{IMAGE_ID}"
        assert picture.payload == OUTGOING.thumbnail
        assert diagnosis.topic == "hemowire/v1/diagnosis/lab/scope-1"
        assert {picture.correlation, diagnosis.correlation} == {IMAGE_ID.encode()}

    asyncio.run(run())


def test_nobody_subscribed_is_an_answer(broker: LocalBroker) -> None:
    async def run() -> None:
        elsewhere = Outgoing("lab", "nobody-reads-this", IMAGE_ID, None, b"{}")
        async with a_publisher(broker.settings(WORKER), "p2") as publisher:
            assert await publisher.publish(elsewhere) == NO_SUBSCRIBERS
            assert publisher.counts["no_subscribers"] == 1

    asyncio.run(run())


def test_what_is_lost_with_the_broker_is_sent_again_by_the_next_connection(
    own_broker: LocalBroker,
) -> None:
    async def run() -> None:
        async with a_publisher(own_broker.settings(WORKER), "p3") as publisher:
            own_broker.process.freeze()  # it takes the bytes and never answers
            told = asyncio.create_task(publisher.publish(OUTGOING))
            await asyncio.sleep(0)
            own_broker.process.kill()
            own_broker.process.start()
            assert await told == NO_SUBSCRIBERS
            assert publisher.counts["diagnoses_lost"] >= 1

    asyncio.run(run())


def test_what_is_refused_is_kept_and_tried_again(broker: LocalBroker) -> None:
    async def run() -> None:
        forbidden = broker.settings(HEMATOLOGIST)  # may read diagnoses, never publish one
        async with a_publisher(forbidden, "p4") as publisher:
            refused = replace(OUTGOING, thumbnail=None)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(publisher.publish(refused), 3 * RETRY_FIRST_S)
            # Mosquitto 2.0.11 answers the first denial with 0x87 and ends the connection over the
            # next one: both are tried again.
            assert publisher.counts["diagnoses_refused"] >= 1
            assert publisher.counts["diagnoses_refused"] + publisher.counts["diagnoses_lost"] >= 2
            assert publisher.counts["diagnoses"] == 0

    asyncio.run(run())
