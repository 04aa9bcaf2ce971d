"""The real programs of a run behind cuttable links, each a process that is started again when it dies."""

from __future__ import annotations

import asyncio
import shutil
import signal
from asyncio.subprocess import Process
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from benchmarks.links.profile import Direction, LinkProfile
from benchmarks.links.proxy import ProxyLink, open_proxy
from broker_config.local import RECORDS, WORKER, LocalBroker, edge_username
from broker_config.locate import require_mosquitto
from cloud_worker.models.bundle import default_bundle
from hemowire.chaos.pictures import UM_PER_PX
from hemowire.chaos.schedule import BROKER
from hemowire.demo.processes import Program, Programs
from hemowire.demo.toml_text import Value, toml_text

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
_NO_LIMIT: Final = 1 << 30
_START_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Size:
    """How many there are of what."""

    devices: int
    workers: int
    #: Shorter timers on the devices, for short runs.
    is_brisk: bool


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
        self._programs = Programs(folder, max_restarts=_NO_LIMIT, on_end=self._ended)

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
        for name in ("records", "workers", *self.devices):
            link = open_proxy(_LINK, "127.0.0.1", self._broker.port, check=False)
            self.links[name] = await asyncio.to_thread(self._stack.enter_context, link)
        mosquitto = require_mosquitto()
        config = self._broker.process.rendered.config_file
        command = [str(mosquitto.program), "-c", str(config)]
        await self._programs.start_command(BROKER, command, mosquitto.environment())
        await self._programs.start(RECORDS_PROGRAM, "records", "--config", self._write_records())
        for name in self.workers:
            await self._programs.start(name, "worker", "--config", self._write_worker(name))
        for device in self.devices:
            self.camera_folder(device).mkdir(parents=True)
            config_file = self._write_edge(device)
            await self._programs.start(edge_program(device), "edge", "--config", config_file)

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

    def _write_edge(self, device: str) -> str:
        return self._write(
            edge_program(device),
            {
                "site": SITE,
                "device": device,
                "data_dir": self.folder / device,
                "um_per_px": UM_PER_PX,
                "health_every_s": 2.0,
                "camera": {
                    "kind": "folder",
                    "folder": self.camera_folder(device),
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

    def _ended(self, name: str, code: int) -> None:
        if self._expected.get(name, 0) > 0:
            self._expected[name] -= 1
        else:
            self._on_death(name, code)


def edge_program(device: str) -> str:
    """The program's name of a device."""
    return f"edge-{device}"
