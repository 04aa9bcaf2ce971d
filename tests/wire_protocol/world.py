"""A small world in virtual time: devices, workers, an archive, records, and a link that does what bad
links do; it drives the real machines and checks their promises at every step, and knows no MQTT.
Longer than most: devices, workers and links of one world look into each other.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from wire_protocol import machine_io as io
from wire_protocol import messages as m
from wire_protocol.codec import PeerError, decode
from wire_protocol.machine_io import OutboxState
from wire_protocol.machine_settings import ReceiverSettings, SenderSettings
from wire_protocol.manifest import ContentType, Manifest, Priority
from wire_protocol.receiver import Receiver
from wire_protocol.sender import Sender
from wire_protocol.topics import Kind, Topics

TOPICS = Topics()
BOOT = "ab" * 16
KIB = 1024
#: Small chunks, so that small images take many.
SENDER = SenderSettings(
    chunk_first_bytes=4 * KIB, chunk_max_bytes=8 * KIB, window_first_bytes=32 * KIB
)
RECEIVER = ReceiverSettings(
    pool_bytes=512 * KIB, device_pool_bytes=256 * KIB, grant_bytes=32 * KIB, transfers=24
)


class LivelockError(AssertionError):
    """The machines kept talking without getting anywhere."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What the link does to each message, as probabilities, until the world turns good."""

    loss: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    stale: float = 0.0
    #: The broker says 0x97 (quota exceeded) to the device and throws the message away.
    refused: float = 0.0
    jitter_s: float = 0.0
    latency_s: float = 0.005


@dataclass(slots=True)
class Row:
    """One image in a device's outbox: what survives a restart."""

    manifest: Manifest
    data: bytes
    state: OutboxState = OutboxState.WAITING
    vanished: int = 0
    outcome: m.Outcome | None = None
    reason: str = ""
    #: Kills the worker that decodes it, unless that one was warned.
    poison: bool = False
    #: Where reading lets go: bytes changed or cut short on the disk.
    on_disk: bytes | None = None

    @property
    def readable(self) -> bytes:
        return self.data if self.on_disk is None else self.on_disk


@dataclass
class World:
    """Everything, and the clock."""

    seed: int
    faults: Faults = field(default_factory=Faults)
    bad_until: float = 0.0
    sender_settings: SenderSettings = SENDER
    receiver_settings: ReceiverSettings = RECEIVER
    sender_type: type[Sender] = Sender
    receiver_type: type[Receiver] = Receiver
    receive_maximum: int = 20
    put_s: float = 0.02
    #: Of each device's connection; 0 is unlimited.
    uplink_bytes_per_s: float = 0.0
    #: What a connection tells its sender of the way to the broker and back; 0 is unknown.
    round_trip_s: float = 0.0
    #: Changes a payload on its way to a worker, or drops it by returning None.
    tamper: Callable[[m.Message, bytes], bytes | None] | None = None

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.now = 100.0
        self.steps = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self.archive: dict[str, bytes] = {}
        self.archive_away = False
        self.records = Records(self)
        self.devices: dict[str, DeviceHost] = {}
        self.workers: dict[str, WorkerHost] = {}
        self._turn = 0
        self._worker_number = 0
        self.history: list[Callable[[], None]] = []
        self.puts = 0
        #: Previews that reached a worker: when, and of which image.
        self.previews: list[tuple[float, str]] = []

    @property
    def bad(self) -> bool:
        """Whether the link still misbehaves."""
        return self.now < self.bad_until

    def at(self, delay_s: float, do: Callable[[], None]) -> None:
        """Do it later."""
        self._count += 1
        heapq.heappush(self._events, (self.now + delay_s, self._count, do))

    def run(self, until: Callable[[], bool], limit_s: float) -> None:
        """Goes on until the condition holds; raises LivelockError or AssertionError by what fails."""
        end = self.now + limit_s
        steps_end = self.steps + 400_000
        while not until():
            if not self._events or self._events[0][0] > end:
                raise LivelockError(f"not done after {limit_s} s: {self.unfinished()}")
            self.now, _, do = heapq.heappop(self._events)
            self.steps += 1
            if self.steps > steps_end:
                raise LivelockError(f"{self.steps} steps by {self.now}: {self.unfinished()}")
            do()

    def run_for(self, duration_s: float) -> None:
        """Lets time pass."""
        done = [False]
        self.at(duration_s, lambda: done.__setitem__(0, True))
        self.run(lambda: done[0], duration_s + 1)

    def carry(
        self, deliver: Callable[[bytes], None], payload: bytes, queued_s: float = 0.0
    ) -> None:
        """Takes a message across, as well as the link can just then."""
        rng, f = self.rng, self.faults
        copies = 1
        if self.bad:
            if rng.random() < f.loss:
                copies = 0
            elif rng.random() < f.duplicate:
                copies = 2
            if copies and rng.random() < f.corrupt:
                at = rng.randrange(len(payload))
                flipped = payload[at] ^ (1 << rng.randrange(8))
                payload = payload[:at] + bytes((flipped,)) + payload[at + 1 :]
            if f.stale:
                if self.history and rng.random() < f.stale:
                    self.at(f.latency_s, rng.choice(self.history))
                if len(self.history) < 200:
                    self.history.append(lambda: deliver(payload))
        for _ in range(copies):
            delay = f.latency_s + (rng.random() * f.jitter_s if self.bad else 0.0)
            self.at(queued_s + delay, lambda: deliver(payload))

    def add_device(self, name: str) -> DeviceHost:
        """A microscope with an empty outbox."""
        self.devices[name] = DeviceHost(self, name)
        return self.devices[name]

    def add_worker(self) -> WorkerHost:
        """A new worker process, with an id of its own."""
        self._worker_number += 1
        host = WorkerHost(self, f"w{self._worker_number}")
        self.workers[host.name] = host
        for device in self.devices.values():
            device.tell_if_connected(io.WorkerStatus(host.name, online=True))
        return host

    def next_worker(self) -> WorkerHost | None:
        """Whose turn it is for a shared offer."""
        there = [w for w in self.workers.values() if w.connected]
        if not there:
            return None
        self._turn += 1
        return there[self._turn % len(there)]

    def unfinished(self) -> list[str]:
        """What is not recorded yet, in words."""
        return [
            f"{d.name}/{row.manifest.seq}: {row.state} {row.reason}"
            for d in self.devices.values()
            for row in d.outbox.values()
            if row.state is not OutboxState.RECORDED
        ]

    def all_recorded(self) -> bool:
        """Whether every image has its outcome, and the outboxes know."""
        return all(
            row.state is OutboxState.RECORDED
            for d in self.devices.values()
            for row in d.outbox.values()
        )

    def check_end(self) -> None:
        """The promise: each image once, with equal bytes, or rejected with a reason."""
        for device in self.devices.values():
            for image_id, row in device.outbox.items():
                recorded = self.records.rows.get(image_id)
                assert recorded is not None, f"{image_id} has no record"
                assert recorded.sha256 == row.manifest.sha256
                assert row.outcome is recorded.outcome
                if recorded.outcome is m.Outcome.DIAGNOSED:
                    assert self.archive[row.manifest.sha256] == row.data, "bytes differ"
                else:
                    assert recorded.reason, "rejected without a reason"
        for sha256, data in self.archive.items():
            assert hashlib.sha256(data).hexdigest() == sha256, "the archive holds wrong bytes"
        for worker in self.workers.values():
            if worker.connected and not worker.busy:
                receiver = worker.receiver
                assert receiver.pool.used == receiver_used(receiver)


def receiver_used(receiver: Receiver) -> int:
    """The pool's count, taken from the transfers themselves."""
    return sum(t.limit for t in receiver._by_key.values())


@dataclass(slots=True)
class Record:
    """A committed outcome."""

    sha256: str
    outcome: m.Outcome
    reason: str


class Records:
    """The records store: commits first, then answers."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.online = True
        self.store_id = "01" * 16
        self.rows: dict[str, Record] = {}
        #: So many of the next answers are lost.
        self.muted = 0

    def set_online(self, online: bool) -> None:
        """Comes or goes; devices hear of it."""
        self.online = online
        for device in self.world.devices.values():
            device.tell_if_connected(io.RecordsStatus(online, self.store_id if online else ""))

    def restore_older(self, keep: set[str], store_id: str) -> None:
        """A backup that knows only `keep` takes the store's place."""
        self.rows = {i: row for i, row in self.rows.items() if i in keep}
        self.store_id = store_id
        self.set_online(True)

    def outcome(
        self, device: str, manifest: Manifest, outcome: m.Outcome, reason: str = ""
    ) -> None:
        """A diagnosis or rejection arrives."""
        if not self.online:
            return
        if outcome is m.Outcome.DIAGNOSED and manifest.sha256 not in self.world.archive:
            return
        known = self.rows.setdefault(manifest.image_id, Record(manifest.sha256, outcome, reason))
        self._to_device(device, self._recorded(manifest.image_id, known))

    def inquired(self, device: str, inquiry: m.Inquiry) -> None:
        """Answers for known and unknown ones."""
        if not self.online:
            return
        known = [i for i in inquiry.image_ids if i in self.rows]
        answer = m.InquiryAnswer(
            inquiry_id=inquiry.inquiry_id,
            store_id=self.store_id,
            known=tuple(self._recorded(i, self.rows[i]) for i in known),
            unknown=tuple(i for i in inquiry.image_ids if i not in self.rows),
        )
        self._to_device(device, answer)

    def _recorded(self, image_id: str, row: Record) -> m.Recorded:
        return m.Recorded(
            image_id=image_id, sha256=row.sha256, outcome=row.outcome, store_id=self.store_id
        )

    def _to_device(self, name: str, message: m.Recorded | m.InquiryAnswer) -> None:
        if self.muted:
            self.muted -= 1
            return
        self.world.devices[name].carry_in(message, from_records=True)


class Host:
    """A program around a machine: connection, PUBACKs and the timer."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.connected = False
        self.epoch = 0
        self.unacked = 0
        self._tick_at: float | None = None

    def puback(self, token: int, code: int, queued_s: float = 0.0) -> None:
        """The broker's answer to a publish, unless the connection has gone meanwhile."""
        epoch = self.epoch

        def arrive() -> None:
            if self.connected and self.epoch == epoch:
                self.unacked -= 1
                self.tell(io.Published(token, code))

        self.world.at(queued_s + self.world.faults.latency_s, arrive)

    def tell(self, event: object) -> None:
        raise NotImplementedError

    def set_tick(self, deadline: float | None) -> None:
        """Have a Tick at the deadline."""
        if deadline is None or (self._tick_at is not None and self._tick_at <= deadline):
            return
        self._tick_at = deadline

        def tick() -> None:
            if self._tick_at == deadline:
                self._tick_at = None
                self.tell(io.Tick())

        self.world.at(max(0.0, deadline - self.world.now), tick)


class DeviceHost(Host):
    """A device: its outbox survives everything, its sender does not."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.outbox: dict[str, Row] = {}
        self.outbox_id = f"{world.rng.getrandbits(128):032x}"
        self.checks = 0
        self.sender = self._new_sender()
        self.most_in_flight = 0
        self._uplink_free_at = 0.0
        self.longest_queue_s = 0.0
        self.wire_bytes = 0
        self.offers: list[m.Offer] = []

    def _new_sender(self) -> Sender:
        return self.world.sender_type(
            site="site",
            device=self.name,
            outbox_id=self.outbox_id,
            topics=TOPICS,
            random64=lambda: self.world.rng.getrandbits(64),
            settings=self.world.sender_settings,
        )

    def capture(
        self,
        size: int,
        *,
        priority: Priority = Priority.ROUTINE,
        poison: bool = False,
        on_disk: bytes | None = None,
    ) -> Row:
        """A new image, durable in the outbox before the sender hears of it."""
        data = self.world.rng.randbytes(size)
        manifest = Manifest(
            image_id=f"{self.world.rng.getrandbits(128):032x}",
            outbox_id=self.outbox_id,
            seq=len(self.outbox) + 1,
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=size,
            content_type=ContentType.JPEG,
            width_px=64,
            height_px=64,
            um_per_px=0.2,
            captured_at="2026-11-21T09:14:03.120Z",
            clock_synced=True,
            captured_ns=1,
            boot_id=BOOT,
            priority=priority,
        )
        row = Row(manifest, data, poison=poison, on_disk=on_disk)
        self.outbox[manifest.image_id] = row
        self.tell(io.Queued(io.OutboxItem(manifest)))
        return row

    def connect(self) -> None:
        """A new connection; retained statuses follow."""
        if self.connected:
            return
        self.connected = True
        self.epoch += 1
        self.unacked = 0
        limits = io.LinkLimits(2_000_000, self.world.receive_maximum)
        self.tell(io.Connected(limits, self.world.round_trip_s))
        records = self.world.records
        self.tell(io.RecordsStatus(records.online, records.store_id))
        for worker in list(self.world.workers.values()):
            self.tell(io.WorkerStatus(worker.name, worker.connected))

    def cut(self) -> None:
        """The connection breaks; what was on its way is gone."""
        if self.connected:
            self.connected = False
            self.epoch += 1
            self.tell(io.Disconnected())

    def restart(self) -> None:
        """kill -9 and a new start from the outbox."""
        was = self.connected
        self.connected = False
        self.epoch += 1
        self.sender = self._new_sender()
        self._tick_at = None
        for row in sorted(self.outbox.values(), key=lambda r: r.manifest.seq):
            if row.state is not OutboxState.RECORDED:
                self.tell(io.Queued(io.OutboxItem(row.manifest, row.state, row.vanished)))
        if was:
            self.connect()

    def tell_if_connected(self, event: io.SenderEvent) -> None:
        """For what arrives over the link."""
        if self.connected:
            self.tell(event)

    def tell(self, event: object) -> None:
        sender = self.sender
        for effect in sender.handle(event, self.world.now):  # type: ignore[arg-type]  # hosts share it
            self._do(effect)
        self.most_in_flight = max(self.most_in_flight, sender.pace.in_flight)
        assert sender.pace.in_flight >= 0
        assert self.unacked <= self.world.receive_maximum + 60, "a flood of control messages"
        deadline = sender.deadline
        if isinstance(event, io.Tick) and deadline is not None:
            assert deadline > self.world.now - 1e-6, "a deadline that a Tick does not move"
        self.set_tick(deadline)

    def carry_in(self, message: m.Message, *, from_records: bool) -> None:
        """A message on transfer/ or recorded/ of this device."""
        from wire_protocol.codec import encode

        self.deliver(encode(message), from_records=from_records)

    def deliver(self, payload: bytes, *, from_records: bool = False) -> None:
        """The same, as bytes."""
        epoch = self.epoch

        def arrive(data: bytes) -> None:
            if not self.connected or self.epoch != epoch:
                return
            try:
                message = decode(data)
            except PeerError:
                return
            if from_records:
                if isinstance(message, m.Recorded | m.InquiryAnswer):
                    self.tell(io.FromRecords(message))
            elif isinstance(message, m.TransferMessage):
                self.tell(io.FromWorker(message))

        self.world.carry(arrive, payload)

    def reject(self, image_id: str, reason: str) -> None:
        """Publishes a rejection; it may get lost like everything."""
        row = self.outbox[image_id]
        row.reason = reason
        if self.connected and not (self.world.bad and self.world.rng.random() < 0.3):
            self.world.at(
                0.01,
                lambda: self.world.records.outcome(
                    self.name, row.manifest, m.Outcome.REJECTED, reason
                ),
            )

    def _do(self, effect: io.SenderEffect) -> None:
        world = self.world
        match effect:
            case io.Publish():
                self._publish(effect)
            case io.ReadChunk(image_id=image_id, offset=offset, size=size):
                data = self.outbox[image_id].readable[offset : offset + size]
                sender = self.sender

                def read() -> None:
                    if self.sender is sender:
                        self.tell(io.ChunkRead(image_id, offset, data))

                world.at(0.0005, read)
            case io.MakePreview(image_id=image_id, most_bytes=most):
                made = self._preview(image_id, most)
                maker = self.sender

                def tell_preview() -> None:
                    if self.sender is maker:
                        self.tell(io.PreviewMade(image_id, made))

                world.at(0.03, tell_preview)
            case io.CheckRow(image_id=image_id):
                self.checks += 1
                row = self.outbox[image_id]
                intact = hashlib.sha256(row.readable).hexdigest() == row.manifest.sha256
                world.at(0.01, lambda: self.tell(io.RowChecked(image_id, intact)))
            case io.Persist(image_id=image_id, state=state):
                row = self.outbox[image_id]
                row.state = state
                row.vanished = effect.vanished
                row.outcome = effect.outcome
                world.at(0.001, lambda: self.tell(io.Persisted(image_id, state)))
            case io.RejectOnDevice(image_id=image_id, reason=reason):
                self.outbox[image_id].state = OutboxState.REJECTED
                self.reject(image_id, reason)
            case io.RepublishRejection(image_id=image_id):
                self.reject(image_id, self.outbox[image_id].reason)
            case io.Stamp():
                pass

    def _preview(self, image_id: str, most_bytes: int) -> m.Preview | None:
        """None of a damaged image; else as large as it may be."""
        row = self.outbox[image_id]
        assert 0 < most_bytes <= m.MAX_PREVIEW_BYTES
        if row.on_disk is not None:
            return None
        data = random.Random(image_id).randbytes(most_bytes)
        sha256 = hashlib.sha256(data).hexdigest()
        return m.Preview(sha256=sha256, width_px=32, height_px=32, um_per_px=0.4, data=data)

    def _publish(self, effect: io.Publish) -> None:
        world = self.world
        if not self.connected:
            return
        self.unacked += 1
        parsed = TOPICS.parse(effect.topic)
        assert parsed is not None
        message = decode(effect.payload)
        queued_s = self._queue_on_link(len(effect.payload))
        if parsed.kind is Kind.INQUIRY:
            assert isinstance(message, m.Inquiry)
            inquiry = message
            self.puback(effect.token, 0, queued_s)
            self._send(
                effect.payload,
                lambda _data: world.records.inquired(self.name, inquiry),
                queued_s,
            )
            return
        if parsed.kind is Kind.OFFER:
            assert isinstance(message, m.Offer)
            self.offers.append(message)
            worker = world.next_worker()
        else:
            worker = world.workers.get(parsed.levels["worker"])
        if worker is None or not worker.connected:
            self.puback(effect.token, 0x10, queued_s)
            return
        if world.bad and world.rng.random() < world.faults.refused:
            self.puback(effect.token, 0x97, queued_s)
            return
        self.puback(effect.token, 0, queued_s)
        there = worker
        payload = effect.payload
        if world.tamper is not None:
            tampered = world.tamper(message, payload)
            if tampered is None:
                return
            payload = tampered
        self._send(payload, lambda data: there.arrive(self.name, data), queued_s)

    def _queue_on_link(self, size: int) -> float:
        """How long until these bytes have left the device."""
        self.wire_bytes += size
        if not self.world.uplink_bytes_per_s:
            return 0.0
        now = self.world.now
        start = max(now, self._uplink_free_at)
        self._uplink_free_at = start + size / self.world.uplink_bytes_per_s
        self.longest_queue_s = max(self.longest_queue_s, start - now)
        return self._uplink_free_at - now

    def _send(self, payload: bytes, deliver: Callable[[bytes], None], queued_s: float) -> None:
        epoch = self.epoch

        def arrive(data: bytes) -> None:
            if self.epoch == epoch:
                deliver(data)

        self.world.carry(arrive, payload, queued_s)


class WorkerHost(Host):
    """A worker process: all of it is lost when it is killed."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.receiver = world.receiver_type(
            worker=name,
            topics=TOPICS,
            random64=lambda: world.rng.getrandbits(64),
            settings=world.receiver_settings,
        )
        self.connected = True
        self.alive = True
        #: SIGSTOP: still there for the broker, and deaf.
        self.frozen = False
        self.busy = 0
        self.tell(io.Connected(io.LinkLimits(2_000_000, 20)))
        if world.archive_away:
            self.tell(io.Readiness(healthy=False))

    def kill(self, will_after_s: float = 0.0, *, clean: bool = False) -> None:
        """kill -9, and the broker says so when it has noticed; or a stop with its goodbye."""
        self.alive = self.connected = False
        self.epoch += 1
        self._tick_at = None
        self._tell_devices(will_after_s, clean=clean)

    def cut(self, will_after_s: float) -> None:
        """The worker's own connection breaks; its will comes when the broker notices."""
        if self.connected:
            self.connected = False
            self.epoch += 1
            self.tell(io.Disconnected())
            self._tell_devices(will_after_s)

    def connect(self) -> None:
        """The same process is back, under the same id."""
        if self.alive and not self.connected:
            self.connected = True
            self.epoch += 1
            self.tell(io.Connected(io.LinkLimits(2_000_000, 20)))
            self._tell_devices(0.0)

    def drain(self, wait_s: float) -> None:
        """An orderly end."""
        if not self.connected:
            return
        self.tell(io.Drain(self.world.now + wait_s))

        def end() -> None:
            self.tell(io.Tick())
            assert self.frozen or self.receiver.unfinished == 0, "a drain that leaves work"
            self.world.at(0.2, partial(self.kill, clean=True))

        self.world.at(wait_s, end)

    def _tell_devices(self, after_s: float, *, clean: bool = False) -> None:
        """The retained status, or the will, as it stands when it arrives."""

        def tell() -> None:
            for device in self.world.devices.values():
                status = io.WorkerStatus(self.name, self.connected, clean=clean)
                device.tell_if_connected(status)

        self.world.at(after_s + self.world.faults.latency_s, tell)

    def arrive(self, device: str, payload: bytes) -> None:
        """A message of a device."""
        if not self.connected or self.frozen:
            return
        try:
            message = decode(payload)
        except PeerError:
            return
        if isinstance(message, m.Offer | m.Chunk | m.Probe | m.DeviceRelease):
            self.tell(io.FromDevice("site", device, message))

    def tell(self, event: object) -> None:
        if self.frozen:
            return
        receiver = self.receiver
        for effect in receiver.handle(event, self.world.now):  # type: ignore[arg-type]  # hosts share it
            self._do(effect)
        settings = self.world.receiver_settings
        assert receiver.pool.used <= settings.pool_bytes, "the pool overflows"
        assert receiver.buffered_bytes() <= receiver.pool.used, "bytes without a grant"
        assert receiver.images_in_memory <= settings.transfers
        if self.alive:
            self.set_tick(receiver.deadline)
        if isinstance(event, io.Tick) and receiver.deadline is not None:
            assert receiver.deadline > self.world.now, "a deadline that a Tick does not move"

    def _later(self, delay_s: float, do: Callable[[], None]) -> None:
        self.busy += 1

        def go() -> None:
            self.busy -= 1
            if self.alive and not self.frozen:
                do()

        self.world.at(delay_s, go)

    def _do(self, effect: io.ReceiverEffect) -> None:
        world = self.world
        match effect:
            case io.Publish(topic=topic, payload=payload):
                parsed = TOPICS.parse(topic)
                assert parsed is not None
                device = world.devices[parsed.levels["device"]]
                if not self.connected:
                    return
                if effect.qos:
                    self.unacked += 1
                    self.puback(effect.token, 0 if device.connected else 0x10)
                device.deliver(payload)
            case io.Store(key=key, manifest=manifest, data=data):
                stored = bytes(data)

                def put() -> None:
                    if world.archive_away:
                        self.tell(io.PutFailed(key, permanent=False, reason="away"))
                        self.tell(io.Freed(key))
                        return
                    world.puts += 1
                    world.archive[manifest.sha256] = stored
                    self.tell(io.Put(key))
                    self._later(0.05, lambda: self._diagnose(effect))

                self._later(world.put_s, put)
            case io.Fetch(key=key, manifest=manifest):

                def fetch() -> None:
                    if world.archive_away:
                        self.tell(io.PutFailed(key, permanent=False, reason="away"))
                    elif manifest.sha256 not in world.archive:
                        self.tell(io.PutFailed(key, permanent=True, reason="unknown_blob"))
                    else:
                        self.tell(io.Fetched(key, manifest.size_bytes))
                        self._later(0.05, lambda: self._diagnose(effect))

                self._later(world.put_s, fetch)
            case io.ClassifyPreview(manifest=manifest, preview=preview):
                assert hashlib.sha256(preview.data).hexdigest() == preview.sha256
                assert preview.sha256 != manifest.sha256
                row = world.devices[effect.device].outbox[manifest.image_id]
                assert row.manifest == manifest
                assert not row.poison or row.vanished < self.world.sender_settings.suspect_after
                world.previews.append((world.now, manifest.image_id))
            case io.Stamp():
                pass

    def _diagnose(self, effect: io.Store | io.Fetch) -> None:
        world = self.world
        row = world.devices[effect.device].outbox[effect.manifest.image_id]
        outcome, reason = m.Outcome.DIAGNOSED, ""
        if row.poison:
            if not effect.suspect:
                self.kill()
                world.at(0.5, lambda: void(world.add_worker()))
                return
            outcome, reason = m.Outcome.REJECTED, "crashes_decoder"
        self.tell(io.Freed(effect.key))
        if not self.connected or (world.bad and world.rng.random() < 0.2):
            return  # the diagnosis is lost between worker and records
        world.at(
            0.01,
            lambda: world.records.outcome(effect.device, effect.manifest, outcome, reason),
        )


def void(_value: object) -> None:
    """For lambdas whose value nobody wants."""
