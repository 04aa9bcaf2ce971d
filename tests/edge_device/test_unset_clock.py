"""The agent as a process whose wall clock stands in 1970: it captures, keeps, and re-stamps once the clock is set."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from broker_config.local import LocalBroker
from tests.edge_device.conftest import MakeImages
from tests.edge_device.far_side import FarSide
from tests.edge_device.in_loop import in_loop
from tests.edge_device.test_edge_command import ended, write_settings

SOURCE = Path(__file__).with_name("unset_clock.c")
ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler to build the clock with"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="LD_PRELOAD is Linux's"),
]


@pytest.fixture(scope="module")
def unset_clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("clock") / "unset_clock.so"
    command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(SOURCE)]
    subprocess.run(command, check=True)
    return library


def captures(data_dir: Path) -> list[tuple[str, int]]:
    """captured_at and clock_synced of each row; empty while there is no outbox."""
    path = data_dir / "outbox" / "outbox.sqlite"
    if not path.is_file():
        return []
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        return connection.execute(
            "SELECT captured_at, clock_synced FROM images ORDER BY seq"
        ).fetchall()
    except sqlite3.OperationalError:  # its tables are being made
        return []
    finally:
        connection.close()


async def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Looks at another process's files, which tell nobody that they changed."""

    def look() -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "not in time"
            time.sleep(0.05)

    await asyncio.to_thread(look)


@contextmanager
def agent_in_1970(
    config: Path, unset_clock: Path, clock_set: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """The real program; its clock is set when `clock_set` appears."""
    command = [sys.executable, "-m", "hemowire", "edge", "--config", str(config)]
    environ = {"LD_PRELOAD": str(unset_clock), "HEMOWIRE_TEST_CLOCK_SET": str(clock_set)}
    with subprocess.Popen(
        [*command, "--exit-when-done"], cwd=ROOT, env=os.environ | environ
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@in_loop
async def test_images_of_1970_are_kept_and_stamped_anew_once_the_clock_is_set(
    own_broker: LocalBroker, tmp_path: Path, make_images: MakeImages, unset_clock: Path
) -> None:
    own_broker.process.kill()
    make_images(tmp_path / "in", 3)
    config = write_settings(tmp_path, own_broker, tmp_path / "in")
    clock_set, data_dir = tmp_path / "clock-is-set", tmp_path / "scope-1"
    with agent_in_1970(config, unset_clock, clock_set) as process:
        await until(lambda: len(captures(data_dir)) == 3)
        assert all(at.startswith("1970-01-01T") for at, _synced in captures(data_dir))
        assert not any(synced for _at, synced in captures(data_dir))
        clock_set.touch()
        year = time.strftime("%Y-", time.gmtime())
        await until(lambda: all(at.startswith(year) for at, _synced in captures(data_dir)))
        own_broker.process.start()
        async with FarSide(own_broker).running() as far:
            await far.until(lambda: len(far.recorded) == 3)
            assert await ended(process) == 0
            sent = far.manifests.values()
            assert all(one.captured_at.startswith(year) and one.clock_synced for one in sent)


@in_loop
async def test_the_whole_way_works_in_1970(
    broker: LocalBroker, tmp_path: Path, make_images: MakeImages, unset_clock: Path
) -> None:
    """The folder's settle rule, the session, the outbox and the records do not mind the year."""
    make_images(tmp_path / "in", 5)
    config = write_settings(tmp_path, broker, tmp_path / "in")
    config.write_text(config.read_text().replace("settle_s = 0.0", "settle_s = 0.2"))
    async with FarSide(broker).running() as far:
        with agent_in_1970(config, unset_clock, tmp_path / "never") as process:
            assert await ended(process) == 0
        assert len(far.recorded) == 5
        assert {one.captured_at[:4] for one in far.manifests.values()} == {"1970"}
        assert not any(one.clock_synced for one in far.manifests.values())
