"""The programs around one agent, real and on this machine, for the benchmarks; and that agent, timed to READY."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.process_facts import ProcessFacts, look_at
from broker_config.local import RECORDS, WORKER, LocalBroker, edge_username
from hemowire.demo.toml_text import Value, toml_text

SITE, DEVICE = "lab", "scope-1"


@dataclass(slots=True)
class House:
    """A running broker, records store and worker, and the settings of the agents that follow."""

    folder: Path
    broker: LocalBroker
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, name: str, settings: dict[str, Value]) -> None:
        """Starts `hemowire NAME` with these settings."""
        path = self.folder / f"{name}.toml"
        path.write_text(toml_text(settings), encoding="utf-8")
        log = (self.folder / f"{name}.log").open("wb")
        command = [sys.executable, "-m", "hemowire", name, "--config", str(path)]
        self.processes.append(subprocess.Popen(command, stdout=log, stderr=log))

    def table(self, username: str) -> dict[str, Value]:
        """The [broker] table of an account."""
        return {
            "port": self.broker.port,
            "username": username,
            "password_file": self.broker.password_file(username),
        }


@contextlib.contextmanager
def house() -> Iterator[House]:
    """Everything but the agent, ended and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="hemowire-footprint-") as name:
        folder = Path(name)
        broker = LocalBroker(folder / "broker", site=SITE, devices=[DEVICE])
        with broker.process:
            built = House(folder, broker)
            archive: Value = str(folder / "archive")
            database: Value = f"sqlite:///{folder / 'records.sqlite'}"
            built.start(
                "records",
                {
                    "database_url": database,
                    "archive_url": archive,
                    "broker": built.table(RECORDS),
                },
            )
            built.start("worker", {"archive_url": archive, "broker": built.table(WORKER)})
            try:
                yield built
            finally:
                for process in built.processes:
                    process.terminate()
                for process in built.processes:
                    process.wait(30)


@dataclass(frozen=True, slots=True)
class Agent:
    """A started agent and how long it took until it said READY to its supervisor."""

    process: subprocess.Popen[bytes]
    data_dir: Path
    ready_after_s: float

    def facts(self) -> ProcessFacts:
        """What the kernel says of it now."""
        return look_at(self.process.pid)


@contextlib.contextmanager
def agent(house: House, name: str, camera: dict[str, Value], **changes: Value) -> Iterator[Agent]:
    """An agent of its own data folder, from its start to its end in order."""
    data_dir = house.folder / name
    settings = house.folder / f"{name}.toml"
    values: dict[str, Value] = {
        "site": SITE, "device": DEVICE, "data_dir": data_dir, "log_level": "warning", **changes,
        "camera": camera, "broker": house.table(edge_username(DEVICE)),
    }  # fmt: skip
    settings.write_text(toml_text(values), encoding="utf-8")
    address = house.folder / f"{name}.notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(address))
        supervisor.settimeout(60)
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "hemowire", "edge", "--config", str(settings)],
            env={**os.environ, "NOTIFY_SOCKET": str(address)},
        )
        try:
            while b"READY=1" not in supervisor.recv(4096):
                pass
            yield Agent(process, data_dir, time.monotonic() - started)
        finally:
            process.terminate()
            process.wait(60)
