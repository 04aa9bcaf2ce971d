"""Images a second against the engine's own, milliseconds beside inference, and a worker's memory under fifty devices.

    python -m benchmarks.end_to_end --disk DIR --out benchmarks/results/end_to_end.md

A real broker and a real `hemowire worker` with the packaged bundle; the devices are real Senders in
this process, so engine, worker, broker and devices share the machine's cores. Nothing is recorded;
`hemowire bench end-to-end` has the records store and whole agents as well. Longer than most files: one
lab serves three questions.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.light_devices import SITE, LightDevice
from benchmarks.load.pictures import Picture, make_pictures
from benchmarks.load.scenario import ImageSettings
from benchmarks.process_facts import look_at
from broker_config.local import ENGINEER, HEMATOLOGIST, WORKER, LocalBroker, edge_username
from cloud_worker.engines.engine import measure_images_per_s, open_engine
from cloud_worker.models.bundle import default_bundle
from hemowire.demo.toml_text import Value, toml_text
from service_runtime.log import configure_logging
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import Connected, Message, Subscription
from service_runtime.session_roles import observer_session
from wire_protocol.json_messages import Diagnosis, TraceFragment, parse_json
from wire_protocol.topics import Kind, Topics
from wire_protocol.words import RESEARCH_USE_ONLY

CELL_BYTES, FIELD_BYTES, UM_PER_PX = 22_000, 850_000, 0.3
DEVICES, FLEET = 4, 50
#: Images on their way in the closed loop: always enough for the engine's next batches.
ON_THEIR_WAY = 24
#: Images that are encoded beforehand for each second.
_MOST_PER_S = 100
POOL_BYTES = 16 * 1024 * 1024
_TMPFS = Path("/dev/shm")


@dataclass(slots=True)
class Lab:
    """Devices and what was heard of their images."""

    devices: list[LightDevice]
    pictures: Sequence[Picture]
    worker_pid: int
    #: Encoded before they are wanted: devices are not to take time from the engine.
    encoded: deque[bytes] = field(default_factory=deque)
    heard_s: list[float] = field(default_factory=list)
    fragments: list[TraceFragment] = field(default_factory=list)
    captured_ns: dict[str, int] = field(default_factory=dict)
    by_image: dict[str, LightDevice] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    sent: int = 0
    made: int = 0

    def encode(self, images: int) -> None:
        """Makes this many images, no two alike, for `capture`."""
        for number in range(self.made, self.made + images):
            self.encoded.append(self.pictures[number % len(self.pictures)].numbered(number))
        self.made += images

    def capture(self) -> None:
        """The next device takes the next image."""
        device = self.devices[self.sent % len(self.devices)]
        picture = self.pictures[self.sent % len(self.pictures)]
        if not self.encoded:
            self.encode(1)
        data = self.encoded.popleft()
        self.sent += 1
        height_px, width_px = picture.bgr.shape[:2]
        at_ns = time.monotonic_ns()
        image_id = device.send(data, width_px, height_px, UM_PER_PX)
        self.captured_ns[image_id], self.by_image[image_id] = at_ns, device

    def published(self, image_id: str) -> None:
        """A diagnosis came."""
        self.heard_s.append(time.monotonic())
        self.by_image.pop(image_id).forget(image_id)
        self.news.set()

    async def until_all_are_published(self) -> None:
        """Every image that was captured."""
        async with asyncio.timeout(120):
            while self.by_image:
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def lab(
    folder: Path, archive: Path, devices: int, size: int, **transfer: Value
) -> AsyncIterator[Lab]:
    """A broker, a worker that is online, and so many devices."""
    names = [f"scope-{number}" for number in range(1, devices + 1)]
    with LocalBroker(folder / "broker", site=SITE, devices=names) as broker:
        settings = folder / "worker.toml"
        account: Value = {
            "port": broker.port,
            "username": WORKER,
            "password_file": broker.password_file(WORKER),
        }
        values: dict[str, Value] = {
            "archive_url": str(archive),
            "log_level": "warning",
            "broker": account,
            "model": {"engine": "openvino"},
        }
        settings.write_text(toml_text({**values, **transfer}), encoding="utf-8")
        command = [sys.executable, "-m", "hemowire", "worker", "--config", str(settings)]
        worker = await asyncio.create_subprocess_exec(*command)
        try:
            async with asyncio.TaskGroup() as tasks:
                pictures = make_pictures(
                    ImageSettings(size_bytes=size, um_per_px=UM_PER_PX, distinct=4), seed=7
                )
                made = [
                    LightDevice(broker.settings(edge_username(name)), name, tasks) for name in names
                ]
                built = Lab(made, pictures, worker.pid)
                listeners = []
                for account_name, kind in ((HEMATOLOGIST, Kind.DIAGNOSIS), (ENGINEER, Kind.TRACE)):
                    session = MqttSession(
                        broker.settings(account_name), observer_session(f"bench-{account_name}")
                    )
                    listeners.append(session)
                    tasks.create_task(session.run())
                    tasks.create_task(_listen(session, Topics(broker.root), kind, built))
                for device in made:
                    await device.ready.wait()
                built.capture()  # the first comes through when the worker is online
                await built.until_all_are_published()
                yield built
                for device in made:
                    await device.stop()
                for session in listeners:
                    await session.close()
        finally:
            worker.terminate()
            await worker.wait()


async def _listen(session: MqttSession, topics: Topics, kind: Kind, built: Lab) -> None:
    async for event in session.events():
        if isinstance(event, Connected):
            await session.subscribe([Subscription(topics.every(kind))])
        elif isinstance(event, Message) and kind is Kind.DIAGNOSIS:
            built.published(parse_json(Diagnosis, event.payload).image_id)
        elif isinstance(event, Message):
            fragment = parse_json(TraceFragment, event.payload)
            if "published" in fragment.stamps_ns:  # the worker's part
                built.fragments.append(fragment)


# --- images a second ---------------------------------------------------------------------------


def _engine_process(pipe: Connection) -> None:
    """Answers each number of seconds with the engine's own images a second over them."""
    bundle = default_bundle()
    engine = open_engine(bundle, "openvino")
    pipe.send((engine.streams, engine.batch_size))
    while seconds := pipe.recv():
        pipe.send(measure_images_per_s(engine, bundle, for_s=seconds))


@contextmanager
def engine_alone() -> Iterator[Connection]:
    """The same engine in a process of its own, idle but when asked."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_engine_process, args=(theirs,))
    process.start()
    try:
        yield ours
    finally:
        ours.send(0)
        process.join(10)


async def closed_loop(built: Lab, for_s: float) -> float:
    """Diagnoses a second with always `ON_THEIR_WAY` images on their way, after a second of it."""
    begin = time.monotonic() + 1.0
    built.heard_s.clear()
    while time.monotonic() < begin + for_s:
        while len(built.by_image) < ON_THEIR_WAY:
            built.capture()
        built.news.clear()
        await built.news.wait()
    await built.until_all_are_published()
    return sum(begin <= at < begin + for_s for at in built.heard_s) / for_s


# --- milliseconds --------------------------------------------------------------------------------


async def half_load(built: Lab, per_s: float, for_s: float) -> None:
    """Captures at random moments, `per_s` of them a second, whatever becomes of them."""
    rng = random.Random(11)
    built.fragments.clear()
    due = time.monotonic()
    end = due + for_s
    while due < end:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        built.capture()
        due += rng.expovariate(per_s)
    await built.until_all_are_published()
    await asyncio.sleep(0.2)  # the last fragments come after their diagnoses


@dataclass(frozen=True, slots=True)
class Beside:
    """One image's milliseconds from capture to published."""

    total_ms: float
    inference_ms: float
    #: How long the diagnosis waited for the archive's fsyncs, when all else was done.
    archive_ms: float
    #: From the capture to the worker's last byte, decoding, waiting for a batch, explaining.
    parts_ms: tuple[float, float, float, float]

    @property
    def rest_ms(self) -> float:
        """What is neither inference nor waiting for fsync."""
        return self.total_ms - self.inference_ms - self.archive_ms


def beside(built: Lab) -> list[Beside]:
    """Every image whose fragment came."""
    found = []
    for fragment in built.fragments:
        at = fragment.stamps_ns
        start = built.captured_ns[fragment.image_id]
        ms = [
            (at[late] - at[early]) / 1e6
            for early, late in (
                ("completed", "decoded"),
                ("decoded", "batched"),
                ("batched", "inferred"),
                ("inferred", "explained"),
            )
        ]
        found.append(
            Beside(
                total_ms=(at["published"] - start) / 1e6,
                inference_ms=ms[2],
                archive_ms=max(0.0, (at["archived"] - at["explained"]) / 1e6),
                parts_ms=((at["completed"] - start) / 1e6, ms[0], ms[1], ms[3]),
            )
        )
    return found


# --- memory --------------------------------------------------------------------------------------


async def memory(folder: Path, archive: Path, each: int) -> str:
    """Fifty devices with `each` fields at once, and a pool that holds a fifth of one round."""
    settings: dict[str, Value] = {
        "transfer": {"pool_bytes": POOL_BYTES, "device_pool_bytes": POOL_BYTES // 4},
        "limits": {"decoded_images": 4},
    }
    async with lab(folder, archive, FLEET, FIELD_BYTES, **settings) as built:
        built.encode(FLEET * each)
        before = look_at(built.worker_pid)
        started = time.monotonic()
        for _ in range(FLEET * each):
            built.capture()
        stored = 0
        while stored < FLEET * each:
            stored = sum(len(device.stored) for device in built.devices) - 1
            await asyncio.sleep(0.05)
        elapsed_s = time.monotonic() - started
        after = look_at(built.worker_pid)
        async with asyncio.timeout(600):
            while built.by_image:
                built.news.clear()
                await built.news.wait()
        end = look_at(built.worker_pid)
    growth = max(after.peak_rss_mb, end.peak_rss_mb) - before.rss_mb
    return (
        f"| {FLEET} devices, {each} fields of 0.85 MB each at once | {POOL_BYTES / 2**20:.0f} |"
        f" {before.rss_mb:.0f} | {end.peak_rss_mb:.0f} | {growth:.0f} | {elapsed_s:.1f} |"
    )


# --- the page ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Way:
    """A worker's setting and its archive's place."""

    words: str
    on_tmpfs: bool
    counts: bool
    #: Closed loops too; without, half load only.
    has_rounds: bool = True


WAYS = (
    Way("white cells counted (the default)", on_tmpfs=True, counts=True),
    Way("white cells not counted", on_tmpfs=True, counts=False),
    Way("white cells counted, archive on disk", on_tmpfs=False, counts=True, has_rounds=False),
)


@dataclass(slots=True)
class Measured:
    """What was seen of one way."""

    way: Way
    #: The engine alone and the whole path, images a second, of each round.
    rates: list[tuple[float, float]]
    half_per_s: float
    images: list[Beside]


async def measure_way(
    way: Way, engine: Connection, work: Path, archive: Path, settings: argparse.Namespace
) -> Measured:
    """Rounds of engine alone, closed loop, engine alone; then half load."""
    rates: list[tuple[float, float]] = []
    limits: dict[str, Value] = {"limits": {"count_white_cells": way.counts}}
    async with lab(work, archive, DEVICES, CELL_BYTES, **limits) as built:

        async def alone_for(seconds: float) -> float:
            engine.send(seconds)
            return float(await asyncio.to_thread(engine.recv))

        for _ in range(settings.rounds if way.has_rounds else 0):
            built.encode(round(settings.seconds * _MOST_PER_S))
            before = await alone_for(settings.seconds / 2)
            together = await closed_loop(built, settings.seconds)
            after = await alone_for(settings.seconds / 2)
            rates.append(((before + after) / 2, together))
        per_s = (rates[-1][0] if rates else await alone_for(settings.seconds / 2)) / 2
        built.encode(round(settings.seconds * 2 * per_s * 1.3))
        await half_load(built, per_s, settings.seconds * 2)
        return Measured(way, rates, per_s, beside(built))


async def measure(disk: Path, tmpfs: Path, settings: argparse.Namespace) -> str:
    """Everything, and the page about it."""
    with engine_alone() as engine:
        streams, batch_size = await asyncio.to_thread(engine.recv)
        found = [
            await measure_way(
                way,
                engine,
                disk / f"lab-{number}",
                (tmpfs if way.on_tmpfs else disk) / f"archive-{number}",
                settings,
            )
            for number, way in enumerate(WAYS)
        ]
    lines = [
        "# End to end: beside the engine",
        "",
        "    python -m benchmarks.end_to_end --disk DIR --out benchmarks/results/end_to_end.md",
        "",
        f"{platform.machine()} with {os.cpu_count()} cores, which engine, worker, broker and"
        f" devices share; Python {platform.python_version()}; packaged bundle, OpenVINO,"
        f" {streams} streams, batch size {batch_size}; images of 22 KB; load average before"
        f" {settings.load_before:.1f}. {RESEARCH_USE_ONLY}",
        "",
        f"## Images a second, {ON_THEIR_WAY} always on their way from {DEVICES} devices",
        "",
        "The engine alone (before and after each round, same batch size and precision), the whole"
        " path, and their ratio, each round; archive on tmpfs.",
        "",
        "| | round | engine alone | captured to published | ratio |",
        "|---|---|---|---|---|",
        *_rate_lines(found),
        "",
        "## Captured to published at half load, ms",
        "",
        "Open loop, random moments. `beside` is the total less inference and less what the"
        " diagnosis waited for the archive's fsyncs (the put runs beside decoding and inference)."
        " Medians, then p95.",
        "",
        "| | images/s | images | total | inference | waiting for fsync | **beside** |"
        " to the worker | decode | to its stream | explain |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *_time_lines(found),
    ]
    grown = await memory(disk / "lab-fleet", tmpfs / "archive-fleet", settings.fields)
    lines += [
        "",
        "## Memory of the worker, MiB",
        "",
        "| | pool | before | peak | growth | all stored after s |",
        "|---|---|---|---|---|---|",
        grown,
        "",
    ]
    return "\n".join(lines)


def _rate_lines(found: Sequence[Measured]) -> Iterator[str]:
    middle = statistics.median
    for one in found:
        for number, (alone, together) in enumerate(one.rates, 1):
            ratio = together / alone
            yield f"| {one.way.words} | {number} | {alone:.1f} | {together:.1f} | {ratio:.2f} |"
        if one.rates:
            ratio = middle(together / alone for alone, together in one.rates)
            alone, together = (middle(rate[part] for rate in one.rates) for part in range(2))
            yield f"| | median | {alone:.1f} | {together:.1f} | **{ratio:.2f}** |"


def _time_lines(found: Sequence[Measured]) -> Iterator[str]:
    for one in found:
        columns = [
            [image.total_ms for image in one.images],
            [image.inference_ms for image in one.images],
            [image.archive_ms for image in one.images],
            [image.rest_ms for image in one.images],
            *([image.parts_ms[part] for image in one.images] for part in range(4)),
        ]
        cells = " | ".join(_middle_and_p95(column) for column in columns)
        yield f"| {one.way.words} | {one.half_per_s:.1f} | {len(one.images)} | {cells} |"


def _middle_and_p95(values: list[float]) -> str:
    ordered = sorted(values)
    return f"{statistics.median(ordered):.1f}, {ordered[int(len(ordered) * 0.95)]:.1f}"


def main() -> None:
    """Measures and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--disk", type=Path, required=True, help="a folder on a real disk")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each closed loop")
    parser.add_argument("--fields", type=int, default=2, help="of each of the fifty devices")
    settings = parser.parse_args()
    settings.load_before = os.getloadavg()[0]
    configure_logging("error")
    temporary = partial(tempfile.TemporaryDirectory, prefix="hemowire-end-to-end-")
    with temporary(dir=settings.disk) as disk, temporary(dir=_TMPFS) as tmpfs:
        page = asyncio.run(measure(Path(disk), Path(tmpfs), settings))
    print(page)
    if settings.out is not None:
        settings.out.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
