"""The records store was away for some hundred images: how long until all are recorded, and what that costs.

Twice: with the broker that kept the diagnoses for it, and with one that lost them, so that every
device has to ask, and a worker to read the archive again. Each image's bytes may travel once.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from benchmarks.recovery.ear import Heard
from benchmarks.recovery.ground import Ground
from service_runtime.boot import monotonic_s
from wire_protocol.json_messages import Presence, Status
from wire_protocol.machine_settings import SenderSettings
from wire_protocol.messages import Offer, Recorded

TARGET_S: Final = 60.0
_STORED_S = 900.0
_LIMIT_S = 600.0
#: Between two images of all devices together: no faster than workers on a busy machine diagnose.
_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """One return."""

    name: str
    images: int
    away_s: float
    took_s: float
    #: Bytes of the images, of everything that the devices sent until they were stored, and of
    #: everything that they sent after the return.
    image_bytes: int
    before_bytes: int
    after_bytes: int
    #: Offers with bytes to come, or in them, after the return; each would be a second upload.
    uploads_after: int
    recorded_twice: int

    @property
    def is_missed(self) -> bool:
        """Whether it took longer than it may, or an image was sent again."""
        return self.took_s > TARGET_S or self.uploads_after > 0 or self.recorded_twice > 0


async def measure_records_away(
    ground: Ground, images: int, *, away_s: float, forget: bool
) -> CaughtUp:
    """Kills the records store, gives the images, waits, starts it again."""
    plant = ground.plant
    program = plant.programs.programs["records"]
    process = program.process
    assert process is not None
    program.may_start.clear()
    plant.expect_end("records")
    process.kill()
    await process.wait()
    gone_s = monotonic_s()
    up_before = _sent(ground)
    sizes = 0
    for number in range(images):
        sizes += len(ground.give(plant.devices[number % len(plant.devices)]).content)
        await asyncio.sleep(_EVERY_S)
    await _until_stored(ground)
    if forget:
        await ground.blows.kill("broker", forget=True)
        # All are connected again, and as after an hour every image was stored long enough ago that a
        # device believes a store which does not know it.
        away_s = max(away_s, monotonic_s() - gone_s + SenderSettings().reoffer_after_s + 3.0)
    await asyncio.sleep(max(0.0, gone_s + away_s - monotonic_s()))
    up_stored = _sent(ground)
    program.may_start.set()
    back_s = await _records_online(ground)
    if not await ground.settled(_LIMIT_S):
        raise TimeoutError(f"not all were recorded {_LIMIT_S:g} s after the return")
    done_s = max(h.at_s for h in ground.ear.since(back_s, lambda h: isinstance(h.said, Recorded)))
    uploads = ground.ear.since(back_s, lambda h: isinstance(h.said, Offer) and not h.said.stored)
    ground.check()
    kept = "lost the diagnoses" if forget else "kept the diagnoses"
    return CaughtUp(
        name=f"the broker {kept}",
        images=images,
        away_s=back_s - gone_s,
        took_s=done_s - back_s,
        image_bytes=sizes,
        before_bytes=up_stored - up_before,
        after_bytes=_sent(ground) - up_stored,
        uploads_after=len(uploads),
        recorded_twice=_recorded_twice(ground),
    )


def _sent(ground: Ground) -> int:
    return sum(ground.plant.links[device].counters().bytes_up for device in ground.plant.devices)


async def _until_stored(ground: Ground) -> None:
    deadline = monotonic_s() + _STORED_S
    while True:
        states = Counter(
            state for _, outbox in ground.plant.outboxes for state in ground.states(outbox)
        )
        if ground.owed() == states["stored"]:
            return
        if monotonic_s() > deadline:
            raise TimeoutError(f"not all images were stored: {dict(states)}")
        await asyncio.sleep(0.5)


async def _records_online(ground: Ground) -> float:
    """When the store began to answer: its process needs some seconds to be there at all."""

    def is_it(heard: Heard) -> bool:
        said = heard.said
        return (
            isinstance(said, Status) and said.program == "records" and said.state is Presence.ONLINE
        )

    return (await ground.ear.first("records online", monotonic_s(), is_it, 60.0)).at_s


def _recorded_twice(ground: Ground) -> int:
    uri = f"{ground.plant.database.as_uri()}?mode=ro"
    query = "SELECT count(*) - count(DISTINCT sha256) FROM image"
    with closing(sqlite3.connect(uri, uri=True, timeout=5)) as connection:
        return int(connection.execute(query).fetchone()[0])
