"""Ears and a forger's hand on the broker: tells at which step a transfer is, repeats and spoils messages.

It uses accounts of the run, so that the broker's access rules hold for it too. Offers and chunks are
heard only while a fault wants them: somebody who listens hides from a device that no worker does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from random import Random

from broker_config.local import HEMATOLOGIST, RECORDS, WORKER, LocalBroker, edge_username
from hemowire.chaos.schedule import Spoil, Step
from service_runtime.boot import monotonic_s
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import Connected, Message, MqttError, Subscription
from service_runtime.session_roles import observer_session
from wire_protocol import messages as m
from wire_protocol.codec import PeerError, decode
from wire_protocol.topics import Kind, ParsedTopic, Topics

_MOST_FORGED = 150


_SPOILED: dict[Spoil, frozenset[Kind]] = {
    Spoil.DOUBLE: frozenset(
        {Kind.OFFER, Kind.INGEST, Kind.TRANSFER, Kind.DIAGNOSIS, Kind.RECORDED}
    ),
    Spoil.REPLAY: frozenset(
        {Kind.OFFER, Kind.INGEST, Kind.TRANSFER, Kind.DIAGNOSIS, Kind.RECORDED}
    ),
    Spoil.CUT_SHORT: frozenset(
        {Kind.OFFER, Kind.INGEST, Kind.TRANSFER, Kind.DIAGNOSIS, Kind.RECORDED}
    ),
    # JSON carries no checksum but TCP's: only an account with the right to could turn its bits.
    Spoil.CORRUPT: frozenset({Kind.OFFER, Kind.INGEST, Kind.TRANSFER, Kind.RECORDED}),
}
Heard = Callable[[ParsedTopic, Message], None]


class Wire:
    """Sessions of its own, straight to the broker; `async with wire.open()`."""

    def __init__(self, broker: LocalBroker, devices: list[str]) -> None:
        self._topics = Topics(broker.root)
        self._listeners: list[Heard] = []
        self._workers_of: dict[str, str] = {}  # device -> worker that claimed last
        self._sessions = {
            name: MqttSession(broker.settings(name), observer_session(f"chaos-{name}"))
            for name in (WORKER, HEMATOLOGIST, RECORDS, *map(edge_username, devices))
        }

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Connected as well as the broker lets it be, until the block ends."""
        jobs = [
            asyncio.create_task(job)
            for name, session in self._sessions.items()
            for job in (session.run(), self._listen(name, session))
        ]
        try:
            yield
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)

    async def step(self, step: Step, program: str, limit_s: float) -> str:
        """Waits for that step of a transfer that the program takes part in; "" where none comes."""
        reached: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def hear(topic: ParsedTopic, message: Message) -> None:
            device = topic.levels.get("device", "")
            if not reached.done() and self._step_of(topic, message) is step:
                worker = self._workers_of.get(device, "")
                concerned = (
                    program in ("broker", "records", f"edge-{device}")
                    or worker.rpartition("-")[0] == program
                )
                if concerned:
                    reached.set_result(device)

        self._listeners.append(hear)
        try:
            async with asyncio.timeout(limit_s):
                return await reached
        except TimeoutError:
            return ""
        finally:
            self._listeners.remove(hear)

    async def spoil(self, spoil: Spoil, lasts_s: float, random: Random) -> int:
        """Spoils about every second message of `lasts_s` seconds; returns how many."""
        heard: asyncio.Queue[tuple[ParsedTopic, Message]] = asyncio.Queue()
        forged: set[tuple[str, bytes]] = set()
        kept: list[Message] = []
        count = 0

        def hear(topic: ParsedTopic, message: Message) -> None:
            own = (message.topic, message.payload) in forged
            if topic.kind in _SPOILED[spoil] and not own:
                heard.put_nowait((topic, message))

        extra = [self._topics.every(Kind.OFFER), self._topics.every(Kind.INGEST)]
        worker = self._sessions[WORKER]
        self._listeners.append(hear)
        try:
            with suppress(MqttError):
                await worker.subscribe([Subscription(name) for name in extra])
            until_s = monotonic_s() + lasts_s
            while count < _MOST_FORGED and (left_s := until_s - monotonic_s()) > 0:
                try:
                    _, message = await asyncio.wait_for(heard.get(), left_s)
                except TimeoutError:
                    break
                if random.random() < 0.5:
                    continue
                if spoil is Spoil.REPLAY:
                    kept.append(message)
                else:
                    self._forge(message.topic, _spoiled(spoil, message.payload, random), forged)
                count += 1
        finally:
            self._listeners.remove(hear)
            with suppress(MqttError):
                await worker.unsubscribe(extra)
        random.shuffle(kept)
        for message in kept:
            self._forge(message.topic, message.payload, forged)
        return count

    # --- inside -----------------------------------------------------------------------------------

    def _forge(self, topic: str, payload: bytes, forged: set[tuple[str, bytes]]) -> None:
        parsed = self._topics.parse(topic)
        if parsed is None:
            return
        name = {
            Kind.OFFER: edge_username(parsed.levels["device"]),
            Kind.INGEST: edge_username(parsed.levels["device"]),
            Kind.RECORDED: RECORDS,
        }.get(parsed.kind, WORKER)
        session = self._sessions.get(name)
        if session is not None:  # none speaks for a copied card's device
            forged.add((topic, payload))
            session.send(topic, payload)

    async def _listen(self, name: str, session: MqttSession) -> None:
        async for event in session.events():
            match event:
                case Connected():
                    filters = self._filters(name)
                    if filters:
                        with suppress(MqttError):
                            await session.subscribe([Subscription(f) for f in filters])
                case Message():
                    topic = self._topics.parse(event.topic)
                    if topic is not None:
                        self._note(topic, event)
                        for hear in list(self._listeners):
                            hear(topic, event)
                case _:
                    pass

    def _filters(self, name: str) -> list[str]:
        if name == HEMATOLOGIST:
            return [self._topics.every(Kind.DIAGNOSIS)]
        if name.startswith("edge-"):
            device = name.removeprefix("edge-")
            return [
                self._topics.build(kind, device=device) for kind in (Kind.TRANSFER, Kind.RECORDED)
            ]
        return []

    def _note(self, topic: ParsedTopic, message: Message) -> None:
        if topic.kind is Kind.TRANSFER:
            with suppress(PeerError):
                found = decode(message.payload)
                if isinstance(found, m.Claim):
                    self._workers_of[topic.levels["device"]] = found.worker

    @staticmethod
    def _step_of(topic: ParsedTopic, message: Message) -> Step | None:
        if topic.kind is Kind.DIAGNOSIS:
            return Step.DIAGNOSED
        if topic.kind not in (Kind.TRANSFER, Kind.RECORDED):
            return None
        try:
            found = decode(message.payload)
        except PeerError:
            return None
        match found:
            case m.Claim():
                return Step.CLAIMED
            case m.Progress():
                return Step.UPLOADING
            case m.Stored():
                return Step.STORED
            case m.Recorded():
                return Step.RECORDED
            case _:
                return None


def _spoiled(spoil: Spoil, payload: bytes, random: Random) -> bytes:
    if spoil is Spoil.CUT_SHORT:
        return payload[: random.randrange(len(payload))] if payload else b""
    if spoil is Spoil.CORRUPT and payload:
        spoilt = bytearray(payload)
        for _ in range(random.randint(1, 4)):
            spoilt[random.randrange(len(spoilt))] ^= 1 << random.randrange(8)
        return bytes(spoilt)
    return payload
