"""A device that was offline for long sends its full outbox: at link speed, in order, new urgent images at once.

The outbox is filled with routine images and some urgent ones among them while the agent is stopped,
as a day without a network leaves it; then the agent starts behind a slow link, and while it sends,
urgent captures are ordered from it as an operator does.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.links.profile import Direction, LinkProfile
from benchmarks.links.proxy import ProxyLink
from benchmarks.recovery.ear import Heard
from benchmarks.recovery.ground import Ground
from broker_config.local import OPERATOR
from edge_device.outbox import NewCapture, Outbox
from hemowire.chaos.pictures import UM_PER_PX
from hemowire.chaos.plant import edge_program
from hemowire.chaos.plant_settings import SITE
from service_runtime.boot import boot_id, monotonic_ns, monotonic_s, new_id, wall_time
from service_runtime.mqtt_session import MqttSession
from service_runtime.session_roles import observer_session
from wire_protocol.image_header import read_header
from wire_protocol.json_messages import Command
from wire_protocol.manifest import ContentType, Priority
from wire_protocol.messages import Claim, Offer, Stored
from wire_protocol.topics import Kind, Topics

LINK: Final = LinkProfile(
    name="drain",
    title="2 Mbit/s, 20 ms each way",
    up=Direction(rate_bit_per_s=2e6, delay_ms=20),
    down=Direction(rate_bit_per_s=2e6, delay_ms=20),
)
#: One in so many of the waiting images is urgent.
_URGENT_EVERY: Final = 15
_STORED_S = 900.0
#: Images that may be on their way already when a more urgent one comes: two transfers at most.
AT_ONCE: Final = 2
SPEED_TARGET: Final = 1.10


@dataclass(frozen=True, slots=True)
class Drained:
    """What one drain was like."""

    images: int
    image_bytes: int
    #: From the first claim to the last Stored, and what the link takes for these bytes at least.
    took_s: float
    limit_s: float
    #: How many places from its own an image that had waited was stored, at most: urgent first, then
    #: oldest first.
    most_out_of_place: int
    #: New urgent captures: from the row in the outbox to Stored, and the most images that were offered
    #: after it and stored before it.
    new_urgent_s: tuple[float, ...]
    overtaken_by: int

    @property
    def is_missed(self) -> bool:
        """Whether it was slow, out of order, or let a new urgent image wait."""
        return (
            self.took_s > self.limit_s * SPEED_TARGET
            or self.most_out_of_place > AT_ONCE
            or self.overtaken_by > 0
        )


@dataclass(frozen=True, slots=True)
class _Row:
    seq: int
    is_urgent: bool
    size: int


async def measure_drain(ground: Ground, images: int, new_urgent: int) -> Drained:
    """With the first device of the plant."""
    plant, device = ground.plant, ground.plant.devices[0]
    name = edge_program(device)
    program = plant.programs.programs[name]
    await plant.programs.stop(name)
    first_seq = max(_rows(plant.outbox(device)).values(), key=lambda row: row.seq).seq + 1
    await asyncio.to_thread(_fill, ground, plant.outbox(device), images)
    link = plant.links[device]
    assert isinstance(link, ProxyLink)
    await asyncio.to_thread(link.reshape, LINK)
    since_s = monotonic_s()
    await plant.programs.start_command(name, program.command, program.environment)

    def stored(heard: Heard) -> bool:
        return heard.device == device and isinstance(heard.said, Stored)

    def claimed(heard: Heard) -> bool:
        return heard.device == device and isinstance(heard.said, Claim)

    began = await ground.ear.first("the first claim of the drain", since_s, claimed, 60.0)
    await ground.ear.first("the first image of the drain", since_s, stored, 60.0)
    waits, overtaken = [], 0
    async with _operator(ground) as operator:
        for _ in range(new_urgent):
            image_id, kept_s = await _order(ground, operator, device)
            found = await ground.ear.first("a new urgent image", kept_s, _is_of(image_id), 60.0)
            waits.append(found.at_s - kept_s)
            overtaken = max(overtaken, _overtakers(ground, image_id, kept_s, found.at_s))
            await asyncio.sleep(1.0)
    deadline = monotonic_s() + _STORED_S
    while len(told := _once_each(ground.ear.since(since_s, stored))) < images + new_urgent:
        if monotonic_s() > deadline:
            raise TimeoutError(f"{len(told)} of {images + new_urgent} images were stored")
        await asyncio.sleep(0.2)
    ground.check()
    rows = _rows(plant.outbox(device))
    payload = sum(rows[image_id].size for image_id, _ in told)
    waiting = [rows[i] for i, _ in told if first_seq <= rows[i].seq < first_seq + images]
    ideal = sorted(waiting, key=lambda row: (not row.is_urgent, row.seq))
    places = {row.seq: place for place, row in enumerate(ideal)}
    assert LINK.up.rate_bit_per_s is not None
    return Drained(
        images=len(told),
        image_bytes=payload,
        took_s=told[-1][1] - began.at_s,
        limit_s=LINK.wire_bytes(payload) * 8 / LINK.up.rate_bit_per_s + LINK.round_trip_s,
        most_out_of_place=max(abs(places[row.seq] - at) for at, row in enumerate(waiting)),
        new_urgent_s=tuple(waits),
        overtaken_by=overtaken,
    )


def _fill(ground: Ground, outbox_folder: Path, images: int) -> None:
    """Captures as an agent without a network keeps them."""
    outbox = Outbox(outbox_folder)
    try:
        for number in range(images):
            content = next(ground.pictures).content
            header = read_header(content)
            is_urgent = number % _URGENT_EVERY == _URGENT_EVERY - 1
            capture = NewCapture(
                source=f"offline-{number}",
                source_key=new_id(),
                content=content,
                captured_at=wall_time(),
                captured_ns=monotonic_ns(),
                boot_id=boot_id(),
                clock_synced=True,
                content_type=ContentType.JPEG,
                width_px=header.width_px,
                height_px=header.height_px,
                um_per_px=UM_PER_PX,
                priority=Priority.STAT if is_urgent else Priority.ROUTINE,
            )
            outbox.add([capture])
    finally:
        outbox.close()


def _rows(outbox: Path) -> dict[str, _Row]:
    uri = f"{(outbox / 'outbox.sqlite').resolve().as_uri()}?mode=ro"
    query = "SELECT image_id, seq, priority, size_bytes FROM images"
    with closing(sqlite3.connect(uri, uri=True, timeout=5)) as connection:
        return {
            image_id: _Row(seq, priority == Priority.STAT.value, size)
            for image_id, seq, priority, size in connection.execute(query)
        }


@asynccontextmanager
async def _operator(ground: Ground) -> AsyncIterator[MqttSession]:
    session = MqttSession(ground.plant.broker.settings(OPERATOR), observer_session("drain"))
    running = asyncio.create_task(session.run())
    try:
        while not session.is_connected:  # noqa: ASYNC110 - a moment
            await asyncio.sleep(0.01)
        yield session
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _order(ground: Ground, operator: MqttSession, device: str) -> tuple[str, float]:
    """An urgent capture: its image id, and when the outbox had it."""
    before = _rows(ground.plant.outbox(device))
    command = Command(command_id=new_id(), name="capture", arguments={"stat": True})
    topic = Topics(ground.plant.broker.root).build(Kind.COMMAND, site=SITE, device=device)
    await operator.publish(topic, command.to_bytes())
    await asyncio.sleep(0.5)  # the order is there before its picture
    ground.give(device)
    while True:
        fresh = _rows(ground.plant.outbox(device)).keys() - before.keys()
        if fresh:
            return next(iter(fresh)), monotonic_s()
        await asyncio.sleep(0.01)


def _is_of(image_id: str) -> Callable[[Heard], bool]:
    return lambda heard: isinstance(heard.said, Stored) and heard.said.image_id == image_id


def _overtakers(ground: Ground, image_id: str, kept_s: float, until_s: float) -> int:
    """Images that the device offered after this one, and that were stored before it was.

    Offers that the broker heard before this one's own had left the device before it: they, and the
    bytes of their images, stand in the link's queue already.
    """
    offers = ground.ear.since(kept_s, lambda h: isinstance(h.said, Offer))
    own_s = min(h.at_s for h in offers if _image_of(h) == image_id)
    later = {_image_of(h) for h in offers if h.at_s > own_s}
    earlier = {
        _image_of(h) for h in ground.ear.heard if isinstance(h.said, Offer) and h.at_s <= own_s
    }
    stored = {
        h.said.image_id
        for h in ground.ear.since(kept_s, lambda h: isinstance(h.said, Stored))
        if isinstance(h.said, Stored) and h.at_s < until_s
    }
    return len((later & stored) - earlier)


def _image_of(offer: Heard) -> str:
    assert isinstance(offer.said, Offer)
    return offer.said.manifest.image_id


def _once_each(told: Sequence[Heard]) -> list[tuple[str, float]]:
    """Every image with the moment at which it was first said to be stored."""
    first: dict[str, float] = {}
    for heard in told:
        if isinstance(heard.said, Stored):
            first.setdefault(heard.said.image_id, heard.at_s)
    return list(first.items())
