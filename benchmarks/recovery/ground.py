"""What a measurement stands on: a plant of the real programs, an ear on its broker, and pictures without end.

Devices are behind links of 16 Mbit/s and 5 ms each way, so that an upload takes long enough to be
struck; a strike is by `hemowire.chaos`.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from queue import Queue
from threading import Thread

from benchmarks.recovery.ear import Ear, Heard
from hemowire.chaos.blows import Blows
from hemowire.chaos.checker import Verdict, check
from hemowire.chaos.history import Capture, Event, Kind
from hemowire.chaos.pictures import Look, Picture, draw_pictures
from hemowire.chaos.plant import Plant
from hemowire.chaos.plant_settings import Size
from hemowire.chaos.readings import (
    is_told,
    read_archive,
    read_as_operator,
    read_outbox,
    read_records,
)
from service_runtime.boot import monotonic_s
from wire_protocol.json_messages import Diagnosis, DiagnosisStatus, Presence, Status

#: The engine is compiled and measures itself before a worker takes anything.
START_S = 120.0
_LOOK_S = 0.002
_TELLING_S = 20.0
_AHEAD = 120


class DiedError(Exception):
    """A program ended that nobody had struck: the figures would be of something else."""


@dataclass(slots=True)
class Ground:
    """A running plant; its methods belong to the event loop's thread."""

    plant: Plant
    blows: Blows
    ear: Ear
    pictures: Iterator[Picture]
    deaths: list[str]
    #: What was put before the cameras and what was struck, for the judge.
    events: list[Event]

    def give(self, device: str) -> Picture:
        """Puts the next picture before that device's camera."""
        picture = next(self.pictures)
        folder = self.plant.camera_folder(device)
        hidden = folder / f".{picture.name}"
        hidden.write_bytes(picture.content)
        digest = hashlib.sha256(picture.content).hexdigest()
        self.events.append(
            Capture(kind=Kind.INVOKE, device=device, source=picture.name, sha256=digest)
        )
        hidden.rename(folder / picture.name)
        return picture

    async def judge(self) -> Verdict:
        """Ends the programs and compares what was given with what the durable parties hold."""
        plant = self.plant
        await plant.stop("edge")
        told = partial(is_told, plant.database, plant.outboxes)
        deadline = monotonic_s() + _TELLING_S
        while not await asyncio.to_thread(told):
            if monotonic_s() > deadline:
                break
            await asyncio.sleep(0.2)
        await plant.stop("worker", "records", "broker")
        return await asyncio.to_thread(self._judge)

    def _judge(self) -> Verdict:
        plant = self.plant
        read: list[Event] = [read_outbox(device, folder) for device, folder in plant.outboxes]
        read += [
            read_records(plant.database),
            read_archive(plant.archive),
            read_as_operator(plant.records_config),
        ]
        return check([*self.events, *read])

    def check(self) -> None:
        """Raises DiedError where a program ended by itself."""
        if self.deaths:
            raise DiedError("; ".join(self.deaths))

    async def worker_online(self, name: str, at_s: float) -> str:
        """The id of the first life of this worker that says online from then on."""

        def is_it(heard: Heard) -> bool:
            said = heard.said
            return (
                isinstance(said, Status)
                and said.state is Presence.ONLINE
                and said.id.rpartition("-")[0] == name
            )

        heard = await self.ear.first(f"{name} online", at_s, is_it, START_S)
        assert isinstance(heard.said, Status)
        return heard.said.id

    async def settled(self, limit_s: float) -> bool:
        """Whether every image of every outbox is recorded, in time."""
        deadline = monotonic_s() + limit_s
        while self.owed():
            if monotonic_s() > deadline:
                return False
            await asyncio.sleep(0.1)
        return True

    def owed(self) -> int:
        """Files before cameras that no outbox has, and images that are not recorded."""
        owed = 0
        for device, folder in self.plant.outboxes:
            files = sum(
                not f.name.startswith(".") for f in self.plant.camera_folder(device).iterdir()
            )
            states = self.states(folder)
            owed += max(0, files - len(states)) + sum(state != "recorded" for state in states)
        return owed

    @staticmethod
    def states(outbox: Path) -> list[str]:
        """Of every image in that outbox."""
        uri = f"{(outbox / 'outbox.sqlite').resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=5)) as connection:
            return [state for (state,) in connection.execute("SELECT state FROM images")]

    async def broker_back(self) -> float:
        """When the broker's port takes connections again."""
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.plant.broker.port), 0.2):
                    return monotonic_s()
            except OSError:
                await asyncio.sleep(_LOOK_S)


@asynccontextmanager
async def open_ground(
    folder: Path, *, devices: int, workers: int, look: Look = Look.FIELD, brisk: bool = False
) -> AsyncIterator[Ground]:
    """A plant with its ear, warm: every worker has taken part once."""
    await asyncio.to_thread(folder.mkdir, parents=True)
    deaths: list[str] = []
    size = Size(devices, workers, is_brisk=brisk, has_disks=False, has_clocks=False)
    plant = Plant(folder, size, lambda name, code: deaths.append(f"{name} ended with {code}"))
    ear = Ear(plant.broker, plant.devices)
    pictures = drawn_ahead(endless_pictures(look))
    async with plant, ear.open():
        ground = Ground(plant, Blows(plant), ear, pictures, deaths, [])
        for name in plant.workers:
            await ground.worker_online(name, 0.0)
        for device in plant.devices:
            ground.give(device)
        if not await ground.settled(START_S):
            raise DiedError("the first images were not recorded")
        yield ground


def drawn_ahead(pictures: Iterator[Picture]) -> Iterator[Picture]:
    """The same, drawn by a thread: who takes one does not wait, and no clock here stands still."""
    ready: Queue[Picture] = Queue(_AHEAD)

    def draw() -> None:
        for picture in pictures:
            ready.put(picture)

    Thread(target=draw, name="draw pictures", daemon=True).start()
    while True:
        yield ready.get()


def endless_pictures(look: Look) -> Iterator[Picture]:
    """Pictures of one look, no two alike."""
    for seed in count(1):
        for picture in draw_pictures(seed, 60):
            if picture.look is look:
                yield Picture(f"{seed:03d}-{picture.name}", picture.look, picture.content)


def full_diagnosis(heard: Heard) -> Diagnosis | None:
    """A diagnosis of the whole image, not a preview's."""
    said = heard.said
    is_full = isinstance(said, Diagnosis) and said.status is not DiagnosisStatus.PREVIEW
    return said if is_full and isinstance(said, Diagnosis) else None
