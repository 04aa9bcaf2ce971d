"""A house with everything running and online: images, broker, links, records store, workers, terminal, devices."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.baselines.running import allow_large_packets
from benchmarks.links.link import Link
from benchmarks.links.opening import open_link
from benchmarks.links.profile import find_profile
from benchmarks.load.house import SITE, House
from benchmarks.load.listening import Listener
from benchmarks.load.pictures import Picture, write_images
from benchmarks.load.plans import Plans
from benchmarks.load.result import ProgramKind
from benchmarks.load.scenario import Scenario
from broker_config.local import ENGINEER, HEMATOLOGIST, RECORDS, WORKER, LocalBroker, edge_username
from hemowire.demo.toml_text import Value
from service_runtime.broker_settings import BrokerSettings

#: The engine compiles and measures itself before the worker says online; many devices take turns.
_START_S, _START_DEVICE_S = 180.0, 4.0
_TMPFS = Path("/dev/shm")
#: Images, outboxes, archive, a baseline's archive.
_COPIES_ON_DISK = 4
#: A baseline's whole image is one packet; base64 and JSON make it larger.
_PACKET_ROOM = 1.5

#: Told what happens now, and how much of how much is done.
Tell = Callable[[str, float, float], None]


class StartError(RuntimeError):
    """A program was not online in time, or the machine cannot take the run; the message says which."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where all programs are online."""

    house: House
    listener: Listener
    plans: Plans
    device_link: Link
    worker_link: Link
    devices: tuple[str, ...]
    images: tuple[tuple[Path, ...], ...]

    @property
    def archive(self) -> Path:
        """The archive's folder."""
        return self.house.folder / "archive"

    @property
    def records_url(self) -> str:
        """The records store's database."""
        return f"sqlite:///{self.house.folder / 'records.sqlite'}"

    def outbox(self, device: str) -> Path:
        """A device's outbox folder."""
        return self.house.folder / device / "outbox"

    def broker_settings(self, username: str) -> BrokerSettings:
        """How an account connects without any link."""
        return self.house.broker.settings(username)

    def processes(self) -> dict[str, tuple[ProgramKind, int]]:
        """Every process of the path, and this one."""
        found: dict[str, tuple[ProgramKind, int]] = {}
        if self.house.broker.process.pid is not None:
            found["broker"] = ("broker", self.house.broker.process.pid)
        for program in self.house.programs.values():
            found[program.name] = (program.kind, program.process.pid)
        return {**found, "bench": ("bench", os.getpid())}


@contextmanager
def run_folder(scenario: Scenario, captures: int) -> Iterator[Path]:
    """A new folder on the file system that the scenario asks for, removed at the end."""
    parent = None
    if scenario.store.on == "tmpfs":
        if not _TMPFS.is_dir():
            raise StartError(f'store.on = "tmpfs": this machine has no {_TMPFS}')
        parent = _TMPFS
    with tempfile.TemporaryDirectory(prefix="hemowire-bench-", dir=parent) as name:
        needed = _COPIES_ON_DISK * captures * scenario.images.size_bytes
        free = shutil.disk_usage(name).free
        if free < needed:
            raise StartError(f"{name}: {free} bytes free, the scenario needs about {needed}")
        yield Path(name)


@asynccontextmanager
async def open_site(
    scenario: Scenario,
    folder: Path,
    pictures: Sequence[Picture],
    captures: Sequence[int],
    *,
    first_number: int,
    check_links: bool,
    tell: Tell,
) -> AsyncIterator[Site]:
    """All programs online, with images for so many captures of each device; ended at the end."""
    tell("making images", 0, 0)
    cameras = folder / "cameras"
    images = await asyncio.to_thread(write_images, pictures, captures, cameras, first_number)
    devices = tuple(f"scope-{number}" for number in range(1, scenario.devices.count + 1))
    broker = LocalBroker(folder / "broker", site=SITE, devices=devices)
    _for_load(broker, scenario.images.size_bytes)
    with ExitStack() as stack:
        stack.enter_context(broker.process)
        tell("opening links", 0, 0)
        device_link, worker_link = [
            stack.enter_context(
                open_link(find_profile(name), "127.0.0.1", broker.port, check=check_links)
            )
            for name in (scenario.link.device, scenario.link.worker)
        ]
        plans = Plans(folder / "plans", devices)
        listener = Listener(broker.settings(ENGINEER), plans.recorded)
        house = House(folder, broker)
        site = Site(
            house, listener, plans, device_link, worker_link, devices,
            tuple(tuple(own) for own in images),
        )  # fmt: skip
        listening = asyncio.create_task(listener.run(), name="listener")
        try:
            await _start(scenario, site, cameras, tell)
            yield site
        finally:
            await asyncio.to_thread(house.stop, "edge", "watch", "worker", "records")
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


async def _start(scenario: Scenario, site: Site, cameras: Path, tell: Tell) -> None:
    house = site.house
    path = house.write(
        "records",
        {
            "database_url": site.records_url,
            "archive_url": str(site.archive),
            "log_level": "warning",
            "broker": house.table(RECORDS),
        },
    )
    house.start("records", "records", ["-m", "hemowire", "records", "--config", str(path)])
    for number in range(1, scenario.worker.count + 1):
        path = house.write(f"worker-{number}", _worker(scenario, site))
        arguments = ["-m", "hemowire", "worker", "--config", str(path)]
        house.start(f"worker-{number}", "worker", arguments, link=site.worker_link)
    path = house.write("watch", {"log_level": "warning", "broker": house.table(HEMATOLOGIST)})
    house.start("watch", "watch", ["-m", "hemowire", "watch", "--plain", "--config", str(path)])
    wanted = scenario.worker.count
    await _online(site, "records", 1, _START_S, tell)
    await _online(site, "worker", wanted, _START_S, tell)
    files = [
        house.write(device, _device(scenario, site, device, cameras / device))
        for device in site.devices
    ]
    size = scenario.devices.per_process
    for first in range(0, len(files), size):
        together = [str(file) for file in files[first : first + size]]
        name = f"edge-{first // size + 1}"
        arguments = (
            ["-m", "hemowire", "edge", "--config", *together]
            if size == 1
            else ["-m", "benchmarks.load.devices", *together]
        )
        house.start(name, "edge", arguments, link=site.device_link)
    count = len(site.devices)
    await _online(site, "edge", count, _START_S + count * _START_DEVICE_S, tell)


async def _online(site: Site, program: str, wanted: int, limit_s: float, tell: Tell) -> None:
    def online() -> bool:
        found = len(site.listener.online(program))
        tell(f"starting {program}", found, wanted)
        return found >= wanted

    await _until(site, online, limit_s, f"{wanted} x {program}")


async def _until(site: Site, reached: Callable[[], bool], limit_s: float, what: str) -> None:
    """Waits, looking now and then whether a program ended instead."""
    for _ in range(max(1, round(limit_s / 0.5))):
        site.house.check()
        if await site.listener.until(reached, 0.5):
            return
    raise StartError(f"{what}: not there after {limit_s:.0f} s")


def _worker(scenario: Scenario, site: Site) -> dict[str, Value]:
    wanted = scenario.worker
    return {
        "archive_url": str(site.archive),
        "log_level": "warning",
        "broker": site.house.table(WORKER, site.worker_link),
        "model": {
            "bundle": wanted.bundle,
            "engine": wanted.engine,
            "device": wanted.device,
            "precision": wanted.precision,
            "threads": wanted.threads,
        },
        "batch": {"size": wanted.batch_size},
        "limits": {"decoded_images": wanted.decoded_images},
        "transfer": {"pool_bytes": wanted.pool_bytes},
    }


def _device(scenario: Scenario, site: Site, device: str, folder: Path) -> dict[str, Value]:
    images = scenario.images
    return {
        "site": SITE,
        "device": device,
        "data_dir": site.house.folder / device,
        "um_per_px": images.um_per_px if images.classified else None,
        "log_level": "warning",
        "camera": {
            "kind": "folder",
            "folder": folder,
            "settle_s": 0,
            "planned": site.plans.file(device),
        },
        "gate": {"enabled": scenario.devices.gate, "duplicates": "off"},
        "broker": site.house.table(edge_username(device), site.device_link),
    }


def _for_load(broker: LocalBroker, image_bytes: int) -> None:
    """Counters every second, and room for a baseline's image in one packet; hemowire needs neither."""
    rendered = broker.process.rendered
    allow_large_packets(rendered, max(4_000_000, round(image_bytes * _PACKET_ROOM) + 65_536))
    config = rendered.config_file
    others = [
        line
        for line in config.read_text(encoding="utf-8").splitlines()
        if not line.startswith("sys_interval")
    ]
    config.write_text("\n".join([*others, "sys_interval 1"]) + "\n", encoding="utf-8")
