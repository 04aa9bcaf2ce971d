"""How long after its capture a field's first draft is with the reader, over a slow link; real programs, real broker.

A file is put before the camera of a real agent behind the link; worker and reader are beside the
broker. The first draft is the first diagnosis of the image, with previews the preview's.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.links import LinkProfile, open_link
from benchmarks.links.link import Link
from benchmarks.load.house import SITE, House
from benchmarks.load.listening import Listener
from benchmarks.load.pictures import Picture, make_pictures
from benchmarks.load.scenario import ImageSettings
from broker_config.local import ENGINEER, HEMATOLOGIST, WORKER, LocalBroker, edge_username
from service_runtime.boot import monotonic_s
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import Connected, Message, Subscription
from service_runtime.session_roles import observer_session
from wire_protocol.json_messages import Diagnosis, DiagnosisStatus, parse_json
from wire_protocol.topics import Kind, Topics

DEVICE: Final = "scope-1"
UM_PER_PX: Final = 0.2
_START_S: Final = 240.0


@dataclass(frozen=True, slots=True)
class Case:
    """One link, one size of image."""

    profile: LinkProfile
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Timed:
    """One image, in seconds since its file was there; None for what did not come."""

    what: str
    preview_s: float | None
    draft_s: float | None


class _Reader:
    """Hears diagnoses."""

    def __init__(self, session: MqttSession, topics: Topics) -> None:
        self._session = session
        self._topics = topics
        self._news = asyncio.Event()
        self.heard: list[tuple[float, Diagnosis]] = []

    async def run(self) -> None:
        every = Subscription(self._topics.every(Kind.DIAGNOSIS))
        async for event in self._session.events():
            if isinstance(event, Connected):
                await self._session.subscribe([every])
            elif isinstance(event, Message):
                self.heard.append((monotonic_s(), parse_json(Diagnosis, event.payload)))
            self._news.set()

    async def next(self, after: int, status: DiagnosisStatus, within_s: float) -> float | None:
        """When the first such diagnosis came after the first `after` ones; None where none did."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    for at_s, told in self.heard[after:]:
                        if told.status is status:
                            return at_s
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return None


async def measure(case: Case, *, previews: bool) -> list[Timed]:
    """Three images: of a sender that does not know the link, one that does, and one in the queue."""
    settings = ImageSettings(size_bytes=case.size_bytes, um_per_px=UM_PER_PX, distinct=1)
    [picture] = await asyncio.to_thread(make_pictures, settings, 1)
    patience_s = 60 + 4 * case.profile.transfer_s(case.size_bytes, case.profile.up)
    with tempfile.TemporaryDirectory(prefix="hemowire-preview-") as name:
        async with _site(case, Path(name), previews=previews) as (reader, cameras):
            timed = [
                await _one(reader, cameras, picture, what, patience_s)
                for what in ("first image", "link known")
            ]
            if previews:
                timed.append(await _queued(reader, cameras, picture, patience_s))
    return timed


async def _one(
    reader: _Reader, cameras: Path, picture: Picture, what: str, patience_s: float
) -> Timed:
    before = len(reader.heard)
    at_s = _give(cameras, picture, before + 1)
    draft_s = await reader.next(before, DiagnosisStatus.DRAFT, patience_s)
    preview_s = await reader.next(before, DiagnosisStatus.PREVIEW, 0.0)
    return Timed(what, _since(preview_s, at_s), _since(draft_s, at_s))


async def _queued(reader: _Reader, cameras: Path, picture: Picture, patience_s: float) -> Timed:
    """While an image before it is on its way; nobody waits for the end of either."""
    before = len(reader.heard)
    _give(cameras, picture, 10)
    await reader.next(before, DiagnosisStatus.PREVIEW, patience_s)
    await asyncio.sleep(2.0)  # the link is busy with the first image's chunks now
    before = len(reader.heard)
    at_s = _give(cameras, picture, 11)
    preview_s = await reader.next(before, DiagnosisStatus.PREVIEW, patience_s)
    return Timed("behind another image", _since(preview_s, at_s), None)


def _since(at_s: float | None, begin_s: float) -> float | None:
    return None if at_s is None else at_s - begin_s


def _give(cameras: Path, picture: Picture, number: int) -> float:
    data = picture.numbered(number)
    hidden = cameras / f".{number}.jpg"
    hidden.write_bytes(data)
    at_s = monotonic_s()
    hidden.rename(cameras / f"{number}.jpg")
    return at_s


@asynccontextmanager
async def _site(case: Case, folder: Path, *, previews: bool) -> AsyncIterator[tuple[_Reader, Path]]:
    """Broker, worker, reader, and an agent behind the link."""
    cameras = folder / "camera"
    cameras.mkdir()
    broker = LocalBroker(folder / "broker", site=SITE, devices=[DEVICE])
    house = House(folder, broker)
    session = MqttSession(broker.settings(HEMATOLOGIST), observer_session("reader"))
    reader = _Reader(session, Topics(broker.root))
    listener = Listener(broker.settings(ENGINEER))
    with ExitStack() as stack:
        stack.enter_context(broker)
        link = stack.enter_context(open_link(case.profile, "127.0.0.1", broker.port))
        stack.callback(house.stop, "edge", "worker")
        async with asyncio.TaskGroup() as tasks:
            jobs = [tasks.create_task(job) for job in (session.run(), reader.run(), listener.run())]
            try:
                _start(house, link, cameras, previews=previews)
                for program in ("worker", "edge"):
                    await _online(house, listener, program)
                yield reader, cameras
            finally:
                await session.close()
                for job in jobs:
                    job.cancel()


async def _online(house: House, listener: Listener, program: str) -> None:
    end_s = monotonic_s() + _START_S
    while not await listener.until(lambda: bool(listener.online(program)), 0.5):
        house.check()
        if monotonic_s() > end_s:
            raise TimeoutError(f"{program} is not online after {_START_S:.0f} s")


def _start(house: House, link: Link, cameras: Path, *, previews: bool) -> None:
    worker = house.write(
        "worker",
        {
            "archive_url": str(house.folder / "archive"),
            "log_level": "warning",
            "broker": house.table(WORKER),
        },
    )
    house.start("worker", "worker", ["-m", "hemowire", "worker", "--config", str(worker)])
    edge = house.write(
        "edge",
        {
            "site": SITE,
            "device": DEVICE,
            "data_dir": house.folder / DEVICE,
            "um_per_px": UM_PER_PX,
            "log_level": "warning",
            "camera": {"kind": "folder", "folder": cameras, "mode": "watch", "settle_s": 0},
            "gate": {"duplicates": "off"},
            "transfer": {} if previews else {"preview_bytes": 0},
            "broker": house.table(edge_username(DEVICE), link),
        },
    )
    house.start(DEVICE, "edge", ["-m", "hemowire", "edge", "--config", str(edge)], link=link)


def table(cases: list[tuple[Case, list[Timed], list[Timed]]]) -> list[str]:
    """Every case, with and without previews."""
    lines = [
        "| link | image | of it | first draft s | its final result s | final result without previews s |",
        "|---|---|---|---|---|---|",
    ]
    for case, found, without in cases:
        bare = {timed.what: timed.draft_s for timed in without}
        for timed in found:
            lines.append(
                f"| {case.profile.title} | {case.size_bytes / 1024:.0f} KiB | {timed.what} "
                f"| {_text(timed.preview_s)} | {_text(timed.draft_s)} "
                f"| {_text(bare.get(timed.what))} |"
            )
    return lines


def load_now() -> float:
    """How many processes wanted a core, over the last minute."""
    return os.getloadavg()[0]


def _text(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.2f}"
