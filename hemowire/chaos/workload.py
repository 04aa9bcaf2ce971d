"""Puts files before the cameras on a schedule that waits for nobody, and sees when they are kept and recorded."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hemowire.chaos.history import Capture, History, Kind, Record
from hemowire.chaos.pictures import Picture
from hemowire.chaos.plant import Plant
from hemowire.chaos.readings import read_outbox, read_records
from service_runtime.boot import monotonic_s

_LOOK_EVERY_S = 0.4
#: What became of an image whose place another one has.
SET_ASIDE = "set aside"


@dataclass(slots=True)
class Seen:
    """How far the images are; outboxes and records store are looked at while they are written."""

    given: dict[tuple[str, str], str] = field(default_factory=dict)
    #: Images in an outbox: their state there, by device and image id.
    kept: dict[tuple[str, str], str] = field(default_factory=dict)
    sources: set[tuple[str, str]] = field(default_factory=set)
    recorded: dict[tuple[str, str], str] = field(default_factory=dict)
    #: Images that the records store set aside, and those that a copied card shares with its original.
    aside: set[str] = field(default_factory=set)
    #: The image that a file became.
    image_of: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def is_settled(self) -> bool:
        """Every image that was given is in an outbox, and recorded to an outbox's knowledge.

        Or set aside: then two devices gave it and another one the same place. (What a copied card
        brought along is two devices', and one of them may have been stopped.)
        """
        recorded = {image_id for _, image_id in self.recorded}
        told = {image_id for (_, image_id), state in self.kept.items() if state == "recorded"}
        images = {image_id for _, image_id in self.kept}
        return self.sources >= set(self.given) and images <= (recorded & told) | self.aside

    def outcome_of(self, device: str, source: str) -> str:
        """What became of a file; "" where that is not known yet."""
        image_id = self.image_of.get((device, source), "")
        outcome = self.recorded.get((device, image_id), "")
        return outcome or (SET_ASIDE if image_id in self.aside else "")


class Workload:
    """The images of one run."""

    def __init__(self, plant: Plant, history: History) -> None:
        self.seen = Seen()
        self._plant = plant
        self._history = history

    async def give(self, pictures: Iterator[Picture], every_s: float) -> None:
        """Puts one picture after the other before the next device's camera."""
        begun_s = monotonic_s()
        for number, picture in enumerate(await asyncio.to_thread(list, pictures)):
            await asyncio.sleep(max(0.0, begun_s + number * every_s - monotonic_s()))
            self.give_one(picture, await self._next_device(number))

    def give_one(self, picture: Picture, device: str) -> None:
        """Renames it into place: it is whole when the camera sees it."""
        folder = self._plant.camera_folder(device)
        hidden = folder / f".{picture.name}"
        hidden.write_bytes(picture.content)
        digest = hashlib.sha256(picture.content).hexdigest()
        event = Capture(kind=Kind.INVOKE, device=device, source=picture.name, sha256=digest)
        self.seen.given[device, picture.name] = digest
        self._history.add(event)
        hidden.rename(folder / picture.name)

    async def _next_device(self, number: int) -> str:
        """In turn, but past those that are to be left alone."""
        while True:
            free = [name for name in self._plant.devices if name not in self._plant.quiet]
            if free:
                return free[number % len(free)]
            await asyncio.sleep(0.05)

    async def watch(self) -> None:
        """Looks until cancelled."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(_LOOK_EVERY_S)

    def look(self) -> None:
        """One look at every outbox and at the records store; what is being written is left for the next."""
        for device, folder in self._plant.outboxes:
            self._look_at_outbox(device, folder)
        try:
            found = read_records(self._plant.database)
        except sqlite3.Error:
            return
        recorded = {(image.device, image.image_id): image.outcome for image in found.images}
        for image in found.images:
            if (image.device, image.image_id) not in self.seen.recorded:
                self._history.add(
                    Record(
                        kind=Kind.OK,
                        device=image.device,
                        image_id=image.image_id,
                        outcome=image.outcome,
                    )
                )
        self.seen.recorded = recorded  # fewer than before where a backup was restored
        self.seen.aside = {image.image_id for image in found.set_aside}

    def close(self) -> None:
        """What has not ended by now ended in a way that nobody knows."""
        for device, source in sorted(set(self.seen.given) - self.seen.sources):
            digest = self.seen.given[device, source]
            self._history.add(Capture(kind=Kind.INFO, device=device, source=source, sha256=digest))
        for device, image_id in sorted(self.seen.kept.keys() - self.seen.recorded.keys()):
            self._history.add(Record(kind=Kind.INFO, device=device, image_id=image_id))

    def _look_at_outbox(self, device: str, folder: Path) -> None:
        try:
            found = read_outbox(device, folder)
        except sqlite3.Error:
            return
        for image in found.images:
            if (device, image.source) not in self.seen.sources:
                self.seen.sources.add((device, image.source))
                self.seen.image_of[device, image.source] = image.image_id
                self._history.add(
                    Capture(
                        kind=Kind.OK,
                        device=device,
                        source=image.source,
                        sha256=image.sha256,
                        image_id=image.image_id,
                    )
                )
                self._history.add(Record(kind=Kind.INVOKE, device=device, image_id=image.image_id))
            self.seen.kept[device, image.image_id] = image.state
