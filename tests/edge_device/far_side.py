"""The other end of a device for its tests: the real Receiver on the real broker, with an archive in memory.

It says `Recorded` as the records store would, after the bytes are archived; tests withhold any part.
Longer than most: it stands in for a whole worker and records store.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from broker_config.local import ENGINEER, OPERATOR, RECORDS, WORKER, LocalBroker
from service_runtime.boot import monotonic_ns, monotonic_s, new_attempt, new_id
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import LOST, Connected, Message, Presence, Subscription
from service_runtime.session_roles import observer_session, worker_session
from wire_protocol import codec
from wire_protocol import json_messages as jm
from wire_protocol import machine_io as io
from wire_protocol.manifest import Manifest
from wire_protocol.messages import (
    ClockReply,
    ClockRequest,
    Inquiry,
    InquiryAnswer,
    Outcome,
    Recorded,
    Refiled,
)
from wire_protocol.receiver import Receiver
from wire_protocol.topics import Kind, Topics

#: The records store's monotonic clock, as if it were on another machine.
CLOCK_AHEAD_NS = 3_600_000_000_000
OBSERVED = (Kind.DEVICE_STATUS, Kind.DEVICE_HEALTH, Kind.TRACE)


class FarSide:
    """Worker, records store, engineer and operator in one; what they saw is in its attributes."""

    def __init__(self, broker: LocalBroker) -> None:
        self.topics = Topics(broker.root)
        self.worker = f"double-{new_id()[:8]}"
        self.store_id = new_id()
        self.archive: dict[str, bytes] = {}
        self.manifests: dict[str, Manifest] = {}
        self.recorded: dict[str, Recorded] = {}
        self.times_recorded: dict[str, int] = {}
        self.rejections: list[jm.Rejection] = []
        self.refiles: list[jm.Refile] = []
        self.traces: list[jm.TraceFragment] = []
        self.health: list[jm.Health] = []
        self.statuses: list[jm.Status] = []
        self.replies: list[jm.Reply] = []
        #: MQTT's correlation data of each reply.
        self.correlations: list[bytes | None] = []
        self.suspects: list[str] = []
        self.records_answer = True
        #: Every image that a device asked about.
        self.inquired: set[str] = set()
        #: None is a normal put; else what the Receiver is told instead.
        self.on_store: Callable[[io.Store], io.PutFailed | None] = lambda _store: None
        self._changed = asyncio.Event()
        self._broker = broker
        self._receiver = Receiver(worker=self.worker, topics=self.topics, random64=new_attempt)
        self._timer: asyncio.TimerHandle | None = None
        self._worker = self._session(
            WORKER,
            worker_session(self.worker),
            self.topics.build(Kind.WORKER_STATUS, worker=self.worker),
            jm.Status(
                state=jm.Presence.ONLINE, incarnation=new_id(), program="worker", id=self.worker
            ),
        )
        self._records = self._session(
            RECORDS,
            observer_session(f"records-{self.worker}"),
            self.topics.build(Kind.RECORDS_STATUS),
            self._records_status(),
        )
        self._people = [
            MqttSession(broker.settings(name), observer_session(f"{name}-{self.worker}"))
            for name in (ENGINEER, OPERATOR)
        ]

    async def until(self, reached: Callable[[], bool], seconds: float = 30.0) -> None:
        """Waits for a state of this side, looked at on every message; raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not reached():
                self._changed.clear()
                await self._changed.wait()

    async def become_another_store(self, *, knowing: tuple[str, ...] = ()) -> None:
        """As after restoring a backup: a new store_id, and only these images known."""
        self.store_id = new_id()
        self.recorded = {
            image_id: known.model_copy(update={"store_id": self.store_id})
            for image_id, known in self.recorded.items()
            if image_id in knowing
        }
        await self._records.announce(self._records_status())

    def record(self, image_id: str, sha256: str, outcome: Outcome, device: str) -> None:
        """Commits an outcome and says so."""
        known = self.recorded.get(image_id)
        if known is None:
            known = Recorded(
                image_id=image_id, sha256=sha256, outcome=outcome, store_id=self.store_id
            )
            self.recorded[image_id] = known
            self.times_recorded[image_id] = self.times_recorded.get(image_id, 0) + 1
        topic = self.topics.build(Kind.RECORDED, device=device)
        self._records.send(topic, codec.encode(known))

    def command(
        self,
        site: str,
        device: str,
        payload: bytes,
        *,
        retain: bool = False,
        correlation: bytes | None = None,
    ) -> None:
        """An operator's command."""
        topic = self.topics.build(Kind.COMMAND, site=site, device=device)
        self._people[1].send(topic, payload, retain=retain, expiry_s=10, correlation=correlation)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FarSide]:
        """Connected and subscribed, until the block ends."""
        sessions = [self._worker, self._records, *self._people]
        ready = asyncio.Semaphore(0)
        jobs = [asyncio.create_task(session.run()) for session in sessions]
        jobs += [
            asyncio.create_task(self._follow(session, self._filters(n), ready))
            for n, session in enumerate(sessions)
        ]
        try:
            async with asyncio.timeout(10):
                for _ in sessions:
                    await ready.acquire()
            yield self
        finally:
            for session in sessions:
                await session.close()
            if self._timer is not None:
                self._timer.cancel()
            await asyncio.gather(*jobs)

    # --- inside -------------------------------------------------------------------------------

    def _session(self, name: str, options: object, topic: str, status: jm.Status) -> MqttSession:
        return MqttSession(self._broker.settings(name), options, Presence(topic, status))  # type: ignore[arg-type]  # options are SessionOptions

    def _records_status(self) -> jm.Status:
        return jm.Status(
            state=jm.Presence.ONLINE,
            incarnation=new_id(),
            program="records",
            id="records",
            store_id=self.store_id,
        )

    def _filters(self, number: int) -> list[str]:
        every = self.topics.every
        ingest = self.topics.build(Kind.INGEST, worker=self.worker, device="+")
        return (
            [ingest, self.topics.shared_offers()],
            [
                every(Kind.REJECTION),
                every(Kind.INQUIRY),
                every(Kind.REFILE),
                self.topics.build(Kind.CLOCK, peer="records"),
            ],
            [every(kind) for kind in OBSERVED],
            [self.topics.build(Kind.REPLY, site="lab", device="+")],
        )[number]

    async def _follow(
        self, session: MqttSession, filters: list[str], ready: asyncio.Semaphore
    ) -> None:
        async for event in session.events():
            match event:
                case Connected():
                    await session.subscribe([Subscription(topic) for topic in filters])
                    if session in (self._worker, self._records):
                        await session.announce()
                    ready.release()
                case Message():
                    self._on_message(event)
                    self._changed.set()

    def _on_message(self, message: Message) -> None:
        parsed = self.topics.parse(message.topic)
        assert parsed is not None, message.topic
        device = parsed.levels.get("device", "")
        match parsed.kind:
            case Kind.OFFER | Kind.INGEST:
                payload = codec.decode(message.payload)
                self._tell(io.FromDevice(parsed.levels.get("site", ""), device, payload))  # type: ignore[arg-type]  # the topic's own kinds
            case Kind.REJECTION:
                rejection = jm.Rejection.from_bytes(message.payload)
                self.rejections.append(rejection)
                if self.records_answer:
                    self.record(
                        rejection.image_id, rejection.image_sha256, rejection.outcome, device
                    )
            case Kind.INQUIRY:
                self._answer(codec.decode(message.payload), device)  # type: ignore[arg-type]  # the topic's own kind
            case Kind.REFILE:
                self._refile(jm.Refile.from_bytes(message.payload))
            case Kind.CLOCK:
                self._answer_clock(codec.decode(message.payload), message.received_at_ns)  # type: ignore[arg-type]  # the topic's own kind
            case Kind.TRACE:
                self.traces.append(jm.TraceFragment.from_bytes(message.payload))
            case Kind.DEVICE_HEALTH:
                self.health.append(jm.Health.from_bytes(message.payload))
            case Kind.DEVICE_STATUS:
                self.statuses.append(jm.Status.from_bytes(message.payload))
            case Kind.REPLY:
                self.replies.append(jm.Reply.from_bytes(message.payload))
                self.correlations.append(message.correlation)

    def _answer(self, inquiry: Inquiry, device: str) -> None:
        self.inquired.update(inquiry.image_ids)
        if not self.records_answer:
            return
        known = [self.recorded[i] for i in inquiry.image_ids if i in self.recorded]
        unknown = tuple(i for i in inquiry.image_ids if i not in self.recorded)
        answer = InquiryAnswer(
            inquiry_id=inquiry.inquiry_id,
            store_id=self.store_id,
            known=tuple(known),
            unknown=unknown,
        )
        self._records.send(self.topics.build(Kind.RECORDED, device=device), codec.encode(answer))

    def _refile(self, refile: jm.Refile) -> None:
        self.refiles.append(refile)
        if self.records_answer:
            kept = Refiled(
                refile_id=refile.refile_id, image_id=refile.image_id, store_id=self.store_id
            )
            topic = self.topics.build(Kind.RECORDED, device=refile.device)
            self._records.send(topic, codec.encode(kept))

    def _answer_clock(self, asked: ClockRequest, received_ns: int) -> None:
        reply = ClockReply(
            boot_id=asked.boot_id,
            records_boot_id=self.store_id,
            sent_ns=asked.sent_ns,
            received_ns=received_ns + CLOCK_AHEAD_NS,
            replied_ns=monotonic_ns() + CLOCK_AHEAD_NS,
        )
        topic = self.topics.build(Kind.CLOCK, peer=asked.requester)
        self._records.send(topic, codec.encode(reply), qos=0)

    def _tell(self, event: io.ReceiverEvent) -> None:
        for effect in self._receiver.handle(event, monotonic_s()):
            match effect:
                case io.Publish(token=token, topic=topic, payload=payload):
                    done = partial(self._published, token)
                    self._worker.send(
                        topic, payload, done, qos=effect.qos, expiry_s=effect.expiry_s
                    )
                case io.Store():
                    self._store(effect)
                case io.Fetch():
                    self._fetch(effect)
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._receiver.deadline
        if deadline is not None:
            pause = max(0.001, deadline - monotonic_s())
            self._timer = asyncio.get_running_loop().call_later(pause, self._tell, io.Tick())

    def _published(self, token: int, code: int) -> None:
        if code != LOST:
            self._tell(io.Published(token, code))

    def _store(self, store: io.Store) -> None:
        if store.suspect:
            self.suspects.append(store.manifest.image_id)
        failed = self.on_store(store)
        if failed is None:
            self.archive[store.manifest.sha256] = bytes(store.data)
        self._tell(failed or io.Put(store.key))
        self._tell(io.Freed(store.key))
        if failed is None:
            self._diagnose(store.manifest, store.device)

    def _fetch(self, fetch: io.Fetch) -> None:
        data = self.archive.get(fetch.manifest.sha256)
        if data is None:
            self._tell(io.PutFailed(fetch.key, True, "unknown_blob"))
            return
        self._tell(io.Fetched(fetch.key, len(data)))
        self._tell(io.Freed(fetch.key))
        self._diagnose(fetch.manifest, fetch.device)

    def _diagnose(self, manifest: Manifest, device: str) -> None:
        self.manifests[manifest.image_id] = manifest
        if self.records_answer:
            self.record(manifest.image_id, manifest.sha256, Outcome.DIAGNOSED, device)
        self._changed.set()
