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
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.house import SITE, House
from benchmarks.process_facts import ProcessFacts, look_at
from broker_config.local import RECORDS, WORKER, LocalBroker, edge_username
from hemowire.demo.toml_text import Value

DEVICE = "scope-1"


@contextlib.contextmanager
def house() -> Iterator[House]:
    """Everything but the agent, ended and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="hemowire-footprint-") as name:
        folder = Path(name)
        broker = LocalBroker(folder / "broker", site=SITE, devices=[DEVICE])
        with broker.process:
            built = House(folder, broker)
            archive = str(folder / "archive")
            records = built.write(
                "records",
                {
                    "database_url": f"sqlite:///{folder / 'records.sqlite'}",
                    "archive_url": archive,
                    "broker": built.table(RECORDS),
                },
            )
            worker = built.write("worker", {"archive_url": archive, "broker": built.table(WORKER)})
            built.start(
                "records", "records", ["-m", "hemowire", "records", "--config", str(records)]
            )
            built.start("worker", "worker", ["-m", "hemowire", "worker", "--config", str(worker)])
            try:
                yield built
            finally:
                built.stop("worker", "records")


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
    values: dict[str, Value] = {
        "site": SITE, "device": DEVICE, "data_dir": data_dir, "log_level": "warning", **changes,
        "camera": camera, "broker": house.table(edge_username(DEVICE)),
    }  # fmt: skip
    settings = house.write(name, values)
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
