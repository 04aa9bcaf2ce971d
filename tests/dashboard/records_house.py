"""A records program in a test: its archive, its settings, in this process or in one that can be killed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from subprocess import PIPE, Popen

from dashboard.outcomes import read_set_aside
from dashboard.records import run_records
from dashboard.settings import RecordsSettings
from service_runtime.boot import monotonic_ns
from service_runtime.mqtt_types import ConnectionLostError
from tests.dashboard.clients import DEADLINE_S, Client, say
from tests.dashboard.reports_for_tests import content, digest
from wire_protocol.archive_layout import blob_key
from wire_protocol.json_messages import (
    Diagnosis,
    Rejection,
)


def put_blob(archive: Path, number: int) -> None:
    path = archive / blob_key(digest(number))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content(number))


def unmount(archive: Path) -> None:
    archive.rename(archive.with_name("unmounted"))


def mount(archive: Path) -> None:
    archive.with_name("unmounted").rename(archive)


@asynccontextmanager
async def running(settings: RecordsSettings) -> AsyncIterator[None]:
    """The records program, in this process."""
    stop = asyncio.Event()
    program = asyncio.create_task(run_records(settings, stop))
    try:
        yield
    finally:
        stop.set()
        await program


@contextmanager
def process(settings: RecordsSettings, folder: Path, *dying: str) -> Iterator[Popen[bytes]]:
    """The records program as a process of its own; `dying` names the moment of its kill -9."""
    path = folder / "records.toml"
    broker = settings.broker
    password = broker.read_password()
    path.write_text(
        f'database_url = "{settings.database_url}"\narchive_url = "{settings.archive_url}"\n'
        f'[broker]\nport = {broker.port}\nusername = "{broker.username}"\npassword = "{password}"\n'
    )
    module = "tests.dashboard.records_that_dies" if dying else "hemowire"
    arguments = [*dying, str(path)] if dying else ["records", "--config", str(path)]
    root = Path(__file__).parents[2]
    started = Popen([sys.executable, "-m", module, *arguments], cwd=root, stderr=PIPE)
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def wait_for_set_aside(url: str) -> None:
    """Looks until a report is set aside; the database tells nobody that it changed."""
    deadline = monotonic_ns() + int(DEADLINE_S * 1e9)
    while not read_set_aside(url):
        assert monotonic_ns() < deadline, "nothing was set aside"


async def ended(started: Popen[bytes]) -> int:
    async with asyncio.timeout(1.8 * DEADLINE_S):
        return await asyncio.to_thread(started.wait)


async def say_when_back(sender: Client, message: Diagnosis | Rejection) -> None:
    """Publishes until the broker has passed it on: the records store may not be back yet."""
    while True:
        try:
            if await say(sender, message) == 0:
                return
        except ConnectionLostError:
            pass
        await sender.pause(0.05)
