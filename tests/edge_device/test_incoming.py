"""What a device hears of workers: gone, stopped, back; a late will of an earlier life is not told."""

from __future__ import annotations

from typing import Any

import pytest

from edge_device.cases import Refiling
from edge_device.incoming import Incoming
from service_runtime.clock import ClockExchange
from service_runtime.mqtt_types import Message
from wire_protocol import machine_io as io
from wire_protocol.json_messages import STOPPED, Presence, Status
from wire_protocol.topics import Kind, Topics

TOPICS = Topics()
ONLINE, OFFLINE = Presence.ONLINE, Presence.OFFLINE


@pytest.fixture
def told() -> list[Any]:
    return []


@pytest.fixture
def incoming(told: list[Any]) -> Incoming:
    return Incoming(
        TOPICS,
        site="lab",
        device="scope-1",
        tell=told.append,
        on_store=told.append,
        clock=ClockExchange("scope-1", told.append),
        refiling=Refiling(
            None,  # type: ignore[arg-type]  # nothing is said in these tests
            None,  # type: ignore[arg-type]  # and nothing kept
            TOPICS,
            site="lab",
            device="scope-1",
        ),
        commands=None,  # no command comes in these tests
    )


def worker_says(incoming: Incoming, state: Presence, life: str, reason: str = "") -> None:
    status = Status(
        state=state, incarnation=life * 32, program="worker", id="w1", reason=reason
    ).to_bytes()
    receive(incoming, TOPICS.build(Kind.WORKER_STATUS, worker="w1"), status)


def receive(incoming: Incoming, topic: str, payload: bytes) -> None:
    incoming.receive(Message(topic, payload, 1, True, None, 0, lambda: None))


def test_a_goodbye_is_told_as_a_clean_end_and_a_will_is_not(
    incoming: Incoming, told: list[Any]
) -> None:
    for reason in (STOPPED, "connection lost", "failed"):
        worker_says(incoming, ONLINE, "a")
        worker_says(incoming, OFFLINE, "a", reason)
    ends = [event.clean for event in told if not event.online]
    assert ends == [True, False, False]


def test_a_late_will_and_a_removed_status(incoming: Incoming, told: list[Any]) -> None:
    worker_says(incoming, ONLINE, "b")
    worker_says(incoming, OFFLINE, "a", "connection lost")
    receive(incoming, TOPICS.build(Kind.WORKER_STATUS, worker="w1"), b"")
    receive(incoming, TOPICS.build(Kind.WORKER_STATUS, worker="w1"), b"")
    assert told == [io.WorkerStatus("w1", online=True), io.WorkerStatus("w1", online=False)]
    assert not incoming.dropped


def test_the_records_store_is_named_while_it_is_there(incoming: Incoming, told: list[Any]) -> None:
    status = Status(
        state=ONLINE, incarnation="a" * 32, program="records", id="records", store_id="5" * 32
    )
    topic = TOPICS.build(Kind.RECORDS_STATUS)
    receive(incoming, topic, status.to_bytes())
    receive(incoming, topic, status.model_copy(update={"state": OFFLINE}).to_bytes())
    there, gone = io.RecordsStatus(online=True, store_id="5" * 32), io.RecordsStatus(online=False)
    assert told == ["5" * 32, there, gone]
