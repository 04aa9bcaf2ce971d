"""Hears what passes on a plant's broker and when, over connections of its own; it sends nothing.

It is back sooner than any program after the broker was away. (Nobody here listens to `ingest`: who
listens there hides from a device that its worker does not.)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from broker_config.local import HEMATOLOGIST, WORKER, LocalBroker, edge_username
from service_runtime.boot import monotonic_s
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import Connected, Message, MqttError, SessionOptions, Subscription
from wire_protocol.codec import PeerError, decode
from wire_protocol.json_messages import Diagnosis, Status, parse_json
from wire_protocol.messages import (
    Busy,
    Claim,
    InquiryAnswer,
    Offer,
    Progress,
    Recorded,
    Stored,
)
from wire_protocol.topics import Kind, Topics

_AGAIN_S = (0.01, 0.02)
Said = Busy | Claim | Diagnosis | InquiryAnswer | Offer | Progress | Recorded | Status | Stored
_KINDS = (Busy, Claim, Diagnosis, InquiryAnswer, Offer, Progress, Recorded, Status, Stored)


@dataclass(frozen=True, slots=True)
class Heard:
    """One message."""

    at_s: float
    device: str
    said: Said


class EarError(Exception):
    """What was waited for did not come in time."""


class Ear:
    """Everything since it was opened, in order."""

    def __init__(self, broker: LocalBroker, devices: Sequence[str]) -> None:
        self.heard: list[Heard] = []
        self._topics = Topics(broker.root)
        self._news: set[asyncio.Future[None]] = set()
        build, every = self._topics.build, self._topics.every
        wanted = {
            WORKER: [every(Kind.OFFER)],
            HEMATOLOGIST: [
                every(kind) for kind in (Kind.DIAGNOSIS, Kind.WORKER_STATUS, Kind.RECORDS_STATUS)
            ],
            **{
                edge_username(device): [
                    build(Kind.TRANSFER, device=device),
                    build(Kind.RECORDED, device=device),
                ]
                for device in devices
            },
        }
        self._sessions = {
            name: (
                MqttSession(
                    broker.settings(name),
                    SessionOptions(client_id=f"ear-{name}", backoff_s=_AGAIN_S),
                ),
                [Subscription(topic) for topic in topics],
            )
            for name, topics in wanted.items()
        }

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Connected as well as the broker lets it be, until the block ends."""
        jobs = [
            asyncio.create_task(job)
            for session, wanted in self._sessions.values()
            for job in (session.run(), self._listen(session, wanted))
        ]
        try:
            yield
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)

    def since(self, at_s: float, is_it: Callable[[Heard], bool]) -> list[Heard]:
        """What was heard from then on."""
        found = []
        for heard in reversed(self.heard):
            if heard.at_s < at_s:
                break
            if is_it(heard):
                found.append(heard)
        return found[::-1]

    async def first(
        self, what: str, at_s: float, is_it: Callable[[Heard], bool], limit_s: float
    ) -> Heard:
        """The first such message from `at_s` on; raises EarError with `what` after `limit_s`."""
        deadline = monotonic_s() + limit_s
        while not (found := self.since(at_s, is_it)):
            left_s = deadline - monotonic_s()
            if left_s <= 0:
                raise EarError(f"{what} did not come within {limit_s:g} s")
            await self._wait(left_s)
        return found[0]

    # --- inside -----------------------------------------------------------------------------------

    async def _wait(self, limit_s: float) -> None:
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._news.add(news)
        with suppress(TimeoutError):
            await asyncio.wait_for(news, limit_s)
        self._news.discard(news)

    async def _listen(self, session: MqttSession, wanted: list[Subscription]) -> None:
        async for event in session.events():
            if isinstance(event, Connected):
                with suppress(MqttError):
                    await session.subscribe(wanted)
            elif isinstance(event, Message):
                self._take(event)

    def _take(self, message: Message) -> None:
        topic = self._topics.parse(message.topic)
        if topic is None:
            return
        try:
            said: object
            if topic.kind is Kind.DIAGNOSIS:
                said = parse_json(Diagnosis, message.payload)
            elif topic.kind in (Kind.WORKER_STATUS, Kind.RECORDS_STATUS):
                said = parse_json(Status, message.payload)
            else:
                said = decode(message.payload)
        except PeerError:
            return
        if isinstance(said, _KINDS):
            at_s = message.received_at_ns / 1e9
            self.heard.append(Heard(at_s, topic.levels.get("device", ""), said))
            for news in list(self._news):
                if not news.done():
                    news.set_result(None)
