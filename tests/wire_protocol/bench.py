"""A machine on the bench: events in by hand, its effects sorted, time as one likes."""

from __future__ import annotations

import hashlib
import random
import zlib
from typing import Any, TypeVar

from wire_protocol import machine_io as io
from wire_protocol import messages as m
from wire_protocol.codec import decode
from wire_protocol.machine_settings import ReceiverSettings, SenderSettings
from wire_protocol.manifest import ContentType, Manifest, Priority
from wire_protocol.receiver import Receiver
from wire_protocol.sender import Sender
from wire_protocol.topics import Topics

OUTBOX = "0f" * 16
STORE = "01" * 16
LIMITS = io.LinkLimits(maximum_packet_size=2_000_000, receive_maximum=20)
MessageT = TypeVar("MessageT")
EffectT = TypeVar("EffectT")


def image_bytes(seq: int, size: int) -> bytes:
    """Bytes that belong to this image."""
    return random.Random(seq).randbytes(size)


def manifest(seq: int, size: int, priority: Priority = Priority.ROUTINE, **more: Any) -> Manifest:
    """A manifest whose digest fits `image_bytes`."""
    fields: dict[str, Any] = {
        "image_id": f"{seq:032x}",
        "outbox_id": OUTBOX,
        "seq": seq,
        "sha256": hashlib.sha256(image_bytes(seq, size)).hexdigest(),
        "size_bytes": size,
        "content_type": ContentType.JPEG,
        "width_px": 64,
        "height_px": 64,
        "captured_at": "2026-11-21T09:14:03.120Z",
        "clock_synced": True,
        "captured_ns": 1,
        "boot_id": OUTBOX,
        "priority": priority,
    }
    return Manifest(**(fields | more))


class Bench:
    """What both machines need to be driven."""

    def __init__(self, machine: Sender | Receiver) -> None:
        self.machine = machine
        self.now = 100.0
        self.effects: list[Any] = []

    def tell(self, *events: Any) -> list[Any]:
        """Tells the machine; returns what it did just now."""
        new: list[Any] = []
        for event in events:
            new.extend(self.machine.handle(event, self.now))
        self.effects.extend(new)
        return new

    def messages(self, kind: type[MessageT], effects: list[Any] | None = None) -> list[MessageT]:
        """The messages of one kind that were published (in `effects`, or ever)."""
        out: list[MessageT] = []
        for effect in self.effects if effects is None else effects:
            if isinstance(effect, io.Publish):
                message = decode(effect.payload)
                if isinstance(message, kind):
                    out.append(message)
        return out

    def of(self, kind: type[EffectT], effects: list[Any] | None = None) -> list[EffectT]:
        """The effects of one kind."""
        every = self.effects if effects is None else effects
        return [effect for effect in every if isinstance(effect, kind)]

    def pass_time(self, seconds: float) -> list[Any]:
        """Lets time pass, with a Tick at each deadline."""
        end = self.now + seconds
        new: list[Any] = []
        for _ in range(10_000):
            deadline = self.machine.deadline
            if deadline is None or deadline > end:
                self.now = end
                return new
            self.now = max(self.now, deadline)
            new.extend(self.tell(io.Tick()))
        raise AssertionError("ticks without end")


class SenderBench(Bench):
    """A sender that is connected, unless told otherwise."""

    def __init__(self, *, connect: bool = True, **settings: Any) -> None:
        self.sender = Sender(
            site="site",
            device="d",
            outbox_id=OUTBOX,
            topics=Topics(),
            random64=_random64(),
            settings=SenderSettings(**settings),
        )
        super().__init__(self.sender)
        self.sizes: dict[str, tuple[int, int]] = {}
        if connect:
            self.tell(io.Connected(LIMITS))

    def capture(self, seq: int, size: int, **more: Any) -> list[Any]:
        """A new image."""
        self.sizes[f"{seq:032x}"] = (seq, size)
        return self.tell(io.Queued(io.OutboxItem(manifest(seq, size, **more))))

    def read(self, effects: list[Any]) -> list[Any]:
        """Answers every ReadChunk among `effects`, and those that follow from it."""
        new: list[Any] = []
        todo = self.of(io.ReadChunk, effects)
        while todo:
            effect = todo.pop(0)
            seq, size = self.sizes[effect.image_id]
            data = image_bytes(seq, size)[effect.offset : effect.offset + effect.size]
            more = self.tell(io.ChunkRead(effect.image_id, effect.offset, data))
            todo.extend(self.of(io.ReadChunk, more))
            new.extend(more)
        return new

    def offers(self, effects: list[Any] | None = None) -> list[m.Offer]:
        """The offers published."""
        return self.messages(m.Offer, effects)

    def claim(self, attempt: int, worker: str = "w1", **more: Any) -> list[Any]:
        """The worker takes it, and everything may be sent."""
        fields: dict[str, Any] = {"lease_s": 10, "limit": 2**40, "max_chunk": 98_304} | more
        return self.hear(m.Claim(attempt=attempt, worker=worker, **fields))

    def hear(self, message: Any) -> list[Any]:
        """A message of a worker or of the records store."""
        if isinstance(message, m.Recorded | m.InquiryAnswer):
            return self.tell(io.FromRecords(message))
        return self.tell(io.FromWorker(message))

    def store(self, seq: int, size: int) -> list[Any]:
        """An image that some worker has stored."""
        self.capture(seq, size)
        done = manifest(seq, size)
        return self.hear(m.Stored(attempt=1, image_id=done.image_id, sha256=done.sha256))

    def records_online(self, store_id: str = STORE) -> list[Any]:
        """The records store is there."""
        return self.tell(io.RecordsStatus(online=True, store_id=store_id))

    def answer(self, inquiry: m.Inquiry, *, known: bool) -> list[Any]:
        """The records store knows all of these, or none."""
        recorded = tuple(
            m.Recorded(
                image_id=i,
                sha256=manifest(*self.sizes[i]).sha256,
                outcome=m.Outcome.DIAGNOSED,
                store_id=STORE,
            )
            for i in (inquiry.image_ids if known else ())
        )
        return self.hear(
            m.InquiryAnswer(
                inquiry_id=inquiry.inquiry_id,
                store_id=STORE,
                known=recorded,
                unknown=() if known else inquiry.image_ids,
            )
        )


class ReceiverBench(Bench):
    """A receiver that hears of devices."""

    def __init__(self, **settings: Any) -> None:
        self.receiver = Receiver(
            worker="w1",
            topics=Topics(),
            random64=_random64(),
            settings=ReceiverSettings(**settings),
        )
        super().__init__(self.receiver)
        self.tell(io.Connected(LIMITS))

    def hear(self, message: Any, device: str = "d") -> list[Any]:
        """A message of a device."""
        return self.tell(io.FromDevice("site", device, message))

    def offer(self, attempt: int, seq: int, size: int, device: str = "d", **more: Any) -> list[Any]:
        """An offer of an image."""
        inline = image_bytes(seq, size) if more.pop("inline", False) else None
        offered = m.Offer(attempt=attempt, manifest=manifest(seq, size), inline=inline, **more)
        return self.hear(offered, device)

    def chunk(
        self, attempt: int, seq: int, size: int, start: int, end: int, *, device: str = "d"
    ) -> list[Any]:
        """Bytes [start, end) of an image."""
        data = image_bytes(seq, size)[start:end]
        return self.hear(m.Chunk(attempt, start, zlib.crc32(data), data), device)


def _random64() -> Any:
    rng = random.Random(1)
    return lambda: rng.getrandbits(64)
