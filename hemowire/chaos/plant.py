"""The real programs of a run behind cuttable links, each a process that is started again when it dies."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Final, Self

from benchmarks.links.profile import Direction, LinkProfile
from benchmarks.links.proxy import ProxyLink, open_proxy
from broker_config.local import RECORDS, WORKER, LocalBroker, edge_username
from broker_config.locate import require_mosquitto
from cloud_worker.models.bundle import default_bundle
from hemowire.chaos.disks import empty, fill, rot, small_disk
from hemowire.chaos.pictures import UM_PER_PX
from hemowire.chaos.schedule import BROKER, Targets
from hemowire.chaos.wall_clock import WallClock
from hemowire.chaos.wire import Wire
from hemowire.demo.processes import Program, Programs, ends_with_us
from hemowire.demo.toml_text import Value, toml_text
from service_runtime.boot import monotonic_s

SITE: Final = "lab"
RECORDS_PROGRAM: Final = "records"
#: Slow enough that faults find images under way, fast enough for the rate of a run.
_LINK = LinkProfile(
    name="chaos",
    title="16 Mbit/s, 5 ms each way",
    up=Direction(rate_bit_per_s=16e6, delay_ms=5),
    down=Direction(rate_bit_per_s=16e6, delay_ms=5),
)
#: Of the device's timers, for runs of a minute: what takes half a minute takes seconds.
_BRISK: Final[dict[str, Value]] = {
    "stored_wait_s": 3.0,
    "reoffer_after_s": 3.0,
    "inquire_after_s": 1.0,
    "inquiry_first_s": 1.0,
    "inquiry_max_s": 4.0,
    "answer_wait_s": 2.0,
    "retry_max_s": 3.0,
    "backoff_first_s": 1.0,
    "backoff_max_s": 5.0,
}
#: So slow that a field takes seconds, and the worst that a device's timers are made for.
_SLOW_LINK = LinkProfile(
    name="chaos-slow",
    title="256 kbit/s, 150 ms each way",
    up=Direction(rate_bit_per_s=256e3, delay_ms=150),
    down=Direction(rate_bit_per_s=256e3, delay_ms=150),
)
#: Room for what is captured while nothing can be recorded, and for the day's recorded bytes.
_DEVICE_DISK_MB: Final = 64
_ARCHIVE_DISK_MB: Final = 384
_ARCHIVE: Final = "archive"
_NO_LIMIT: Final = 1 << 30
_START_S: Final = 30.0
_TWIN_S: Final = 40.0
_ROT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Size:
    """How many there are of what."""

    devices: int
    workers: int
    #: Shorter timers on the devices, for short runs.
    is_brisk: bool
    #: Small disks that can be filled, and wall clocks that can be stepped.
    has_disks: bool
    has_clocks: bool


class Plant:
    """Made, then `async with`; its methods belong to the event loop's thread."""

    def __init__(self, folder: Path, size: Size, on_death: Callable[[str, int], None]) -> None:
        self.folder = folder
        self.size = size
        self.devices = [f"scope-{number}" for number in range(1, size.devices + 1)]
        self.workers = [f"worker-{number}" for number in range(1, size.workers + 1)]
        self.archive = folder / "archive"
        self.database = folder / "records.sqlite"
        self.links: dict[str, ProxyLink] = {}
        self._on_death = on_death
        self._expected: dict[str, int] = {}
        self._stack = ExitStack()
        self._broker = LocalBroker(folder / "broker", site=SITE, devices=self.devices)
        self.wire = Wire(self._broker, self.devices)
        self._tolerated: set[str] = set()
        self._backup = folder / "records.backup"
        self._clocks: dict[str, WallClock] = {}
        self._programs = Programs(folder, max_restarts=_NO_LIMIT, on_end=self._ended)

    @property
    def targets(self) -> Targets:
        """Everything that can be struck."""
        links = ["records", "workers", *self.devices]
        return Targets(self.program_names, links, [_ARCHIVE, *self.devices])

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

    @property
    def records_config(self) -> Path:
        """records.toml, for the operator's commands."""
        return self.folder / f"{RECORDS_PROGRAM}.toml"

    @property
    def failed(self) -> asyncio.Future[None]:
        """Ends with the error of a program that cannot be started again."""
        return self._programs.failed

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
        await self._programs.stop_all(order)
        if not prefixes:
            await asyncio.to_thread(self._stack.close)

    async def _start(self) -> None:
        for name in [*self.devices, _ARCHIVE] if self.size.has_disks else ():
            self.disk(name).mkdir()
            megabytes = _ARCHIVE_DISK_MB if name == _ARCHIVE else _DEVICE_DISK_MB
            self._stack.enter_context(small_disk(self.disk(name), megabytes))
        for name in ("records", "workers", *self.devices):
            link = open_proxy(_LINK, "127.0.0.1", self._broker.port, check=False)
            self.links[name] = await asyncio.to_thread(self._stack.enter_context, link)
        mosquitto = require_mosquitto()
        config = self._broker.process.rendered.config_file
        command = [str(mosquitto.program), "-c", str(config)]
        await self._programs.start_command(BROKER, command, mosquitto.environment())
        await self._launch(RECORDS_PROGRAM, "records", self._write_records())
        for name in self.workers:
            await self._launch(name, "worker", self._write_worker(name))
        for device in self.devices:
            self.camera_folder(device).mkdir(parents=True)
            await self._launch(edge_program(device), "edge", self._write_edge(device))

    async def _launch(self, name: str, command: str, config: str) -> None:
        environment: Mapping[str, str] | None = None
        if self.size.has_clocks:
            self._clocks[name] = WallClock(self.folder, f"clock-{name}")
            environment = os.environ | self._clocks[name].environment
        await self._programs.start_command(name, _command(command, config), environment)

    # --- settings ---------------------------------------------------------------------------------

    def _write_records(self) -> str:
        return self._write(
            RECORDS_PROGRAM,
            {
                "database_url": f"sqlite:///{self.database}",
                "archive_url": str(self.archive),
                "broker": self._table(RECORDS, "records"),
            },
        )

    def _write_worker(self, name: str) -> str:
        return self._write(
            name,
            {
                "name": name,
                "archive_url": str(self.archive),
                "broker": self._table(WORKER, "workers"),
                "model": {
                    "bundle": str(default_bundle().folder),
                    "engine": "openvino",
                    "threads": 1,
                },
            },
        )

    def _write_edge(
        self, device: str, *, data_dir: Path | None = None, camera_folder: Path | None = None
    ) -> str:
        return self._write(
            edge_program(device) if data_dir is None else f"{edge_program(device)}-twin",
            {
                "site": SITE,
                "device": device,
                "data_dir": data_dir or self.folder / device,
                "um_per_px": UM_PER_PX,
                "health_every_s": 2.0,
                "camera": {
                    "kind": "folder",
                    "folder": camera_folder or self.camera_folder(device),
                    "mode": "watch",
                    "settle_s": 0,  # files are renamed into place
                },
                "outbox": {"min_free_bytes": 0},
                "transfer": _BRISK if self.size.is_brisk else {},
                "broker": self._table(edge_username(device), device),
            },
        )

    def _table(self, username: str, link: str) -> dict[str, Value]:
        return {
            "host": self.links[link].host,
            "port": self.links[link].port,
            "username": username,
            "password_file": self._broker.password_file(username),
            "root": self._broker.root,
        }

    def _write(self, name: str, values: dict[str, Value]) -> str:
        path = self.folder / f"{name}.toml"
        path.write_text(toml_text(values), encoding="utf-8")
        return str(path)

    # --- what the nemesis may do --------------------------------------------------------------------

    async def kill(self, name: str, away_s: float = 0.0, *, forget: bool = False) -> None:
        """SIGKILL; started again after a while, the broker without its memory where wanted."""
        program = self._program(name)
        process = await self._running(program)
        program.may_start.clear()
        try:
            self._expected[name] = self._expected.get(name, 0) + 1
            process.kill()
            await process.wait()
            if forget:
                await asyncio.to_thread(self._forget)
            await asyncio.sleep(away_s)
        finally:
            program.may_start.set()
        await self._started_again(program, process)

    async def restart(self, name: str, grace_s: float = 20.0) -> int:
        """SIGTERM, waited for, started again; returns the exit code."""
        program = self._program(name)
        process = await self._running(program)
        await self._programs.stop(name, grace_s)
        await self._programs.start_command(name, program.command, program.environment)
        assert process.returncode is not None
        return process.returncode

    async def wrong_clock(self, name: str, ahead_s: int, lasts_s: float) -> None:
        """Its wall clock is so far ahead for a while."""
        clock = self._clocks[name]
        clock.step_to(ahead_s)
        try:
            await asyncio.sleep(lasts_s)
        finally:
            clock.step_to(0)

    async def slow(self, link: str, lasts_s: float) -> None:
        """The link is a bad one for a while."""
        await asyncio.to_thread(self.links[link].reshape, _SLOW_LINK)
        try:
            await asyncio.sleep(lasts_s)
        finally:
            await asyncio.to_thread(self.links[link].reshape, _LINK)

    def disk(self, name: str) -> Path:
        """The folder of a device, or the archive's."""
        return self.archive if name == _ARCHIVE else self.folder / name

    async def fill(self, name: str, lasts_s: float) -> int:
        """Its disk is full for a while; returns the bytes that were taken."""
        try:
            taken = await asyncio.to_thread(fill, self.disk(name))
            await asyncio.sleep(lasts_s)
            return taken
        finally:
            await asyncio.to_thread(empty, self.disk(name))

    async def rot(self, program: str, random: Random) -> str:
        """One bit of a file that waits in its outbox; "" where none waited for a while."""
        until_s = monotonic_s() + _ROT_S
        while monotonic_s() < until_s:
            found = await asyncio.to_thread(rot, self.outbox(_device_of(program)), random)
            if found:
                return found
            await asyncio.sleep(0.01)
        return ""

    async def twin(self, name: str) -> str:
        """A second agent with its name on an outbox of its own: one of the two must go, and say why.

        Returns what it said. The name's own agent runs again at the end; the second captures nothing.
        """
        device = _device_of(name)
        program = self._program(name)
        process = await self._running(program)
        folder = self.folder / f"{device}-twin"
        (folder / "camera").mkdir(parents=True, exist_ok=True)
        config = self._write_edge(device, data_dir=folder, camera_folder=folder / "camera")
        program.may_start.clear()
        self._tolerated.add(name)
        second = await self._second(config, folder / "twin.log")
        try:
            ended = {asyncio.ensure_future(process.wait()), asyncio.ensure_future(second.wait())}
            done, left = await asyncio.wait(
                ended, timeout=_TWIN_S, return_when=asyncio.FIRST_COMPLETED
            )
            for task in left:
                task.cancel()
            if not done:
                raise TimeoutError(f"two agents named {device} ran for {_TWIN_S:g} s")
        finally:
            if second.returncode is None:
                second.terminate()
            await second.wait()
            program.may_start.set()
            self._tolerated.discard(name)
        if process.returncode is None:
            return f"the second ended with {second.returncode}: {_last_line(folder / 'twin.log')}"
        await self._started_again(program, process)
        return f"the first ended with {process.returncode}: {_last_line(program.log)}"

    async def second_on_outbox(self, name: str) -> str:
        """A second agent with its settings; raises OSError where it is not refused. Returns its words."""
        await self._running(self._program(name))
        log = self.folder / f"{name}-second.log"
        second = await self._second(str(self.folder / f"{name}.toml"), log)
        try:
            async with asyncio.timeout(_TWIN_S):
                code = await second.wait()
        finally:
            if second.returncode is None:
                second.kill()
        if code == 0 or "another agent has this outbox open" not in log.read_text():
            raise OSError(f"ended with {code}: {_last_line(log)}")
        return f"refused with {code}: {_last_line(log)}"

    async def _second(self, config: str, log: Path) -> Process:
        with log.open("ab") as out:
            return await asyncio.create_subprocess_exec(
                *ends_with_us(),
                *_command("edge", config),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def back_up(self) -> None:
        """Copies the records store while it is in use, as a lab's backup does."""
        fresh = self._backup.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        source = sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True, timeout=10)
        target = sqlite3.connect(fresh)
        try:
            source.backup(target)
        finally:
            target.close()
            source.close()
        fresh.replace(self._backup)

    async def restore(self) -> None:
        """The records store comes back as it was at the last backup, and is told so."""
        program = self._program(RECORDS_PROGRAM)
        await self._running(program)
        await self._programs.stop(RECORDS_PROGRAM)
        try:
            for ending in ("", "-wal", "-shm"):
                self.database.with_name(f"{self.database.name}{ending}").unlink(missing_ok=True)
            shutil.copyfile(self._backup, self.database)
            command = [sys.executable, "-m", "hemowire", "records", "new-store-id"]
            said = await asyncio.to_thread(
                subprocess.run,
                [*command, "--config", str(self.records_config)],
                capture_output=True,
                text=True,
                check=False,
            )
            if said.returncode != 0:
                raise OSError(said.stderr.strip())
        finally:
            await self._programs.start_command(
                RECORDS_PROGRAM, program.command, program.environment
            )

    async def freeze(self, name: str, lasts_s: float) -> None:
        """SIGSTOP, and SIGCONT after a while."""
        process = await self._running(self._program(name))
        process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(lasts_s)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)

    def _program(self, name: str) -> Program:
        return self._programs.programs[name]

    def _forget(self) -> None:
        shutil.rmtree(self._broker.process.rendered.data_folder)
        self._broker.process.rendered.data_folder.mkdir()

    async def _started_again(self, program: Program, before: Process) -> None:
        async with asyncio.timeout(_START_S):
            while program.process is before:  # noqa: ASYNC110 - the supervisor has no event for it
                await asyncio.sleep(0.02)

    async def _running(self, program: Program) -> Process:
        """Its process, once it has one: it may be about to start after the last fault."""
        async with asyncio.timeout(_START_S):
            while True:
                process = program.process
                if process is not None and process.returncode is None:
                    return process
                await asyncio.sleep(0.02)

    def _ended(self, name: str, code: int) -> bool:
        if name in self._tolerated:
            return True
        if self._expected.get(name, 0) > 0:
            self._expected[name] -= 1
        else:
            self._on_death(name, code)
        return False


def edge_program(device: str) -> str:
    """The program's name of a device."""
    return f"edge-{device}"


def _device_of(program: str) -> str:
    return program.removeprefix("edge-")


def _command(program: str, config: str) -> list[str]:
    return [sys.executable, "-m", "hemowire", program, "--config", config]


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
