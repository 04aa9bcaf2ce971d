"""The real programs of a run behind cuttable links, each a process that is started again when it dies.

(Over 250 lines: what there is in a run, and where, in one place.)
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from benchmarks.links.link import Link
from benchmarks.links.namespace import open_namespace
from benchmarks.links.proxy import open_proxy
from broker_config.local import RECORDS, WORKER, LocalBroker, edge_username
from broker_config.locate import require_mosquitto
from hemowire.chaos.deadly import DEADLY_EXIT, write_decoder
from hemowire.chaos.disks import small_disk
from hemowire.chaos.plant_settings import (
    LINK,
    LOSSY_LINK,
    SITE,
    Size,
    edge_settings,
    records_settings,
    worker_settings,
)
from hemowire.chaos.schedule import ARCHIVE, BROKER, Targets
from hemowire.chaos.wall_clock import WallClock
from hemowire.chaos.wire import Wire
from hemowire.demo.processes import Programs
from hemowire.demo.toml_text import Value, toml_text

RECORDS_PROGRAM: Final = "records"
#: Room for what is captured while nothing can be recorded, and for the day's recorded bytes.
_DEVICE_DISK_MB: Final = 64
_ARCHIVE_DISK_MB: Final = 384
#: Devices that cards may be copied for.
_MOST_COPIES: Final = 12
_NO_LIMIT: Final = 1 << 30


class Plant:
    """Made, then `async with`; its methods belong to the event loop's thread."""

    def __init__(self, folder: Path, size: Size, on_death: Callable[[str, int], None]) -> None:
        self.folder = folder
        self.size = size
        self.devices = [f"scope-{number}" for number in range(1, size.devices + 1)]
        self.workers = [f"worker-{number}" for number in range(1, size.workers + 1)]
        self.archive = folder / "archive"
        #: Where the programs find it; a link, so that it can be away.
        self.archive_url = folder / "archive-url"
        self.database = folder / "records.sqlite"
        self.links: dict[str, Link] = {}
        self._on_death = on_death
        self._expected: dict[str, int] = {}
        self._stack = ExitStack()
        self._copies = [f"copy-{number}" for number in range(1, _MOST_COPIES + 1)]
        accounts = [*self.devices, *self._copies]
        self.broker = LocalBroker(folder / "broker", site=SITE, devices=accounts)
        self.wire = Wire(self.broker, self.devices)
        #: Programs that may end in whatever way: two of them fight for a name.
        self.tolerated: set[str] = set()
        #: Devices that are given nothing just now.
        self.quiet: set[str] = set()
        #: Outboxes of devices that were flashed anew, as they were.
        self.former: list[tuple[str, Path]] = []
        #: Copied cards: the device that was given one, and the device that it is of.
        self.copies: dict[str, str] = {}
        #: Workers that ended over a picture that kills decoders.
        self.deadly_ends = 0
        self._has_deadly_pictures = False
        self.clocks: dict[str, WallClock] = {}
        self.programs = Programs(folder, max_restarts=_NO_LIMIT, on_end=self._ended)

    @property
    def targets(self) -> Targets:
        """Everything that can be struck."""
        links = ["records", "workers", *self.devices]
        lossy = self.devices[-1:] if self.size.has_loss else []
        return Targets(self.program_names, links, [ARCHIVE, *self.devices], lossy)

    # --- names and places -----------------------------------------------------------------------

    @property
    def program_names(self) -> list[str]:
        """Everything that can be killed."""
        edges = [edge_program(device) for device in self.devices]
        return [BROKER, RECORDS_PROGRAM, *self.workers, *edges]

    def camera_folder(self, device: str) -> Path:
        """Where files are put for this device's camera."""
        return self.folder / "cameras" / device

    def outbox(self, device: str) -> Path:
        """A device's outbox folder."""
        return self.folder / device / "outbox"

    def disk(self, name: str) -> Path:
        """The folder of a device, or the archive's."""
        return self.archive if name == ARCHIVE else self.folder / name

    @property
    def outboxes(self) -> list[tuple[str, Path]]:
        """Every outbox that there ever was, with its device."""
        devices = [*self.devices, *self.copies]
        return [*self.former, *((device, self.outbox(device)) for device in devices)]

    @property
    def single_outboxes(self) -> list[tuple[str, Path]]:
        """Those that no second device has too: what is told of the others contradicts itself."""
        twofold = {*self.copies, *self.copies.values()}
        return [(device, path) for device, path in self.outboxes if device not in twofold]

    @property
    def records_config(self) -> Path:
        """records.toml, for the operator's commands."""
        return self.folder / f"{RECORDS_PROGRAM}.toml"

    @property
    def failed(self) -> asyncio.Future[None]:
        """Ends with the error of a program that cannot be started again."""
        return self.programs.failed

    # --- life -------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def stop(self, *prefixes: str) -> None:
        """Ends the programs with these prefixes in order; without any, everything and the links."""
        order = list(prefixes) or ["edge", "worker", RECORDS_PROGRAM, BROKER]
        await self.programs.stop_all(order)
        if not prefixes:
            await asyncio.to_thread(self._stack.close)

    async def _start(self) -> None:
        for name in [*self.devices, ARCHIVE] if self.size.has_disks else ():
            self.disk(name).mkdir()
            megabytes = _ARCHIVE_DISK_MB if name == ARCHIVE else _DEVICE_DISK_MB
            self._stack.enter_context(small_disk(self.disk(name), megabytes))
        self.archive.mkdir(exist_ok=True)
        self.show_archive()
        for name in ("records", "workers", *self.devices):
            await self._open_link(name)
        mosquitto = require_mosquitto()
        config = self.broker.process.rendered.config_file
        command = [str(mosquitto.program), "-c", str(config)]
        await self.programs.start_command(BROKER, command, mosquitto.environment())
        await self._launch(RECORDS_PROGRAM, "records", self._write_records())
        for name in self.workers:
            await self._launch(name, "worker", self._write_worker(name))
        for device in self.devices:
            self.camera_folder(device).mkdir(parents=True)
            await self._launch(edge_program(device), "edge", self.write_edge(device))

    async def _open_link(self, name: str) -> None:
        """As long as the plant; the last device's loses packets where that can be had."""
        if self.size.has_loss and name == self.devices[-1]:
            lossy = open_namespace(LOSSY_LINK, "127.0.0.1", self.broker.port, check=False)
            self.links[name] = await asyncio.to_thread(self._stack.enter_context, lossy)
        else:
            link = open_proxy(LINK, "127.0.0.1", self.broker.port, check=False)
            self.links[name] = await asyncio.to_thread(self._stack.enter_context, link)

    async def _launch(self, name: str, command: str, config: str) -> None:
        environment: dict[str, str] = {}
        if self.size.has_clocks:
            self.clocks[name] = WallClock(self.folder, f"clock-{name}")
            environment |= self.clocks[name].environment
        if self.size.has_deadly and command == "worker":
            environment |= write_decoder(self.folder)
        device = device_of(name) if command == "edge" else ""
        whole = [*self.prefix(device), *command_of(command, config)]
        await self.programs.start_command(name, whole, os.environ | environment)

    def prefix(self, device: str) -> list[str]:
        """What stands before the commands of a device, for the sake of its link."""
        link = self.links.get(device)
        return [] if link is None else link.command_prefix()

    # --- the archive, copied cards, deadly pictures -------------------------------------------------

    def show_archive(self) -> None:
        """It is where the programs look for it."""
        self._point_archive_to(self.archive)

    def hide_archive(self) -> None:
        """Every access fails (ELOOP), as to storage that is away; what is open stays open."""
        self._point_archive_to(self.archive_url)

    def _point_archive_to(self, target: Path) -> None:
        fresh = self.archive_url.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.replace(self.archive_url)

    def next_copy(self) -> str | None:
        """A device that has no card yet; None where all have."""
        return next((name for name in self._copies if name not in self.copies), None)

    async def start_copy(self, copy: str, original: str) -> None:
        """Its agent, straight to the broker; its card is a copy of the original's."""
        self.copies[copy] = original
        self.camera_folder(copy).mkdir(parents=True)
        await self._launch(edge_program(copy), "edge", self.write_edge(copy))

    def expect_deadly_ends(self) -> None:
        """From now on a worker may end as a deadly picture makes it."""
        self._has_deadly_pictures = True

    # --- settings ---------------------------------------------------------------------------------

    def _write_records(self) -> str:
        broker = self._table(RECORDS, "records")
        settings = records_settings(self.database, self.archive_url, broker)
        return self._write(RECORDS_PROGRAM, settings)

    def _write_worker(self, name: str) -> str:
        broker = self._table(WORKER, "workers")
        return self._write(name, worker_settings(name, self.archive_url, broker))

    def write_edge(self, device: str, *, twin: Path | None = None) -> str:
        """A device's settings; those of its twin have a camera and a data folder of their own."""
        settings = edge_settings(
            device,
            data_dir=twin or self.folder / device,
            camera_folder=twin / "camera" if twin else self.camera_folder(device),
            is_brisk=self.size.is_brisk,
            broker=self._table(edge_username(device), device),
        )
        return self._write(f"{edge_program(device)}{'-twin' if twin else ''}", settings)

    def _table(self, username: str, link: str) -> dict[str, Value]:
        through = self.links.get(link)
        return {
            "host": "127.0.0.1" if through is None else through.host,
            "port": self.broker.port if through is None else through.port,
            "username": username,
            "password_file": self.broker.password_file(username),
            "root": self.broker.root,
        }

    def _write(self, name: str, values: dict[str, Value]) -> str:
        path = self.folder / f"{name}.toml"
        path.write_text(toml_text(values), encoding="utf-8")
        return str(path)

    def workers_are_up(self) -> bool:
        """Whether each of them has asked for offers, by its log."""
        logs = (self.programs.programs[name].log for name in self.workers)
        return all("asking_for_offers" in log.read_text(errors="replace") for log in logs)

    def expect_end(self, name: str) -> None:
        """Its next end is somebody's doing."""
        self._expected[name] = self._expected.get(name, 0) + 1

    def _ended(self, name: str, code: int) -> bool:
        if name in self.tolerated:
            return True
        if self._has_deadly_pictures and name in self.workers and code == DEADLY_EXIT:
            self.deadly_ends += 1
            return False
        if self._expected.get(name, 0) > 0:
            self._expected[name] -= 1
        else:
            self._on_death(name, code)
        return False


def edge_program(device: str) -> str:
    """The program's name of a device."""
    return f"edge-{device}"


def device_of(program: str) -> str:
    """The device whose agent it is."""
    return program.removeprefix("edge-")


def command_of(program: str, config: str) -> list[str]:
    """How one of ours is started."""
    return [sys.executable, "-m", "hemowire", program, "--config", config]
