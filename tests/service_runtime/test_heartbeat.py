"""Signs of life in a container: a loop that turns and a connection to the broker are well, all else is not."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service_runtime import heartbeat
from service_runtime.heartbeat import STALE_S, heart_beats, illness
from service_runtime.program import run_program

ROOT = Path(__file__).parents[2]
NOBODY = 1

pytestmark = pytest.mark.skipif(
    not Path("/proc/net/tcp").exists(), reason="no /proc/net/tcp: containers are Linux"
)


def alive(path: Path, age_s: float = 0.0) -> Path:
    path.write_text(f"{time.monotonic() - age_s}\n")
    return path


def test_a_fresh_file_and_a_connection_are_well(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as broker:
        port = broker.getsockname()[1]
        assert illness(alive(tmp_path / "beat"), port) is not None
        with socket.create_connection(("127.0.0.1", port)):
            assert illness(alive(tmp_path / "beat"), port) is None
        assert "no connection" in (illness(alive(tmp_path / "beat"), NOBODY) or "")


def test_a_connection_over_ipv6_counts(tmp_path: Path) -> None:
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 on this machine")
    with server, socket.create_connection(("::1", server.getsockname()[1])):
        assert illness(alive(tmp_path / "beat"), server.getsockname()[1]) is None


@pytest.mark.parametrize("age_s", [STALE_S + 1, -5.0])
def test_an_old_file_or_one_of_another_boot_is_ill(tmp_path: Path, age_s: float) -> None:
    assert "last sign of life" in (illness(alive(tmp_path / "beat", age_s), NOBODY) or "")


@pytest.mark.parametrize("text", [None, "", "well"])
def test_a_missing_or_damaged_file_is_ill(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "beat").write_text(text)
    assert "no sign of life" in (illness(tmp_path / "beat", NOBODY) or "")


def test_a_program_beats_while_it_runs_and_takes_the_file_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "beat"
    monkeypatch.setenv(heartbeat.VARIABLE, str(path))
    monkeypatch.setattr(heartbeat, "EVERY_S", 0.01)
    seen: list[str] = []

    async def main(_stop: asyncio.Event) -> None:
        async with asyncio.timeout(10):
            while len(seen) < 3:
                await asyncio.sleep(0)
                if path.exists() and path.read_text() not in seen:
                    seen.append(path.read_text())

    assert run_program(main) == 0
    assert sorted(seen, key=float) == seen
    assert not path.exists()


def test_a_loop_that_is_held_up_does_not_beat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "beat"
    monkeypatch.setattr(heartbeat, "EVERY_S", 0.001)

    async def main() -> None:
        with heart_beats({heartbeat.VARIABLE: str(path)}):
            await asyncio.sleep(0)
            before = path.read_text()
            time.sleep(0.05)  # noqa: ASYNC251  # what is tested
            assert path.read_text() == before

    asyncio.run(main())


def test_without_the_variable_nothing_is_written_and_a_missing_folder_ends_nothing(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        with heart_beats({}):
            await asyncio.sleep(0)
        with heart_beats({heartbeat.VARIABLE: str(tmp_path / "nowhere" / "beat")}):
            await asyncio.sleep(0)

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == []


def test_the_check_ends_with_a_sentence_and_a_code(tmp_path: Path) -> None:
    def check(*arguments: str, **environ: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "service_runtime.heartbeat", *arguments],
            cwd=ROOT,
            env=os.environ | environ,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr

    path = alive(tmp_path / "beat")
    code, said = check("--port", str(NOBODY), HEMOWIRE_HEARTBEAT=str(path))
    assert (code, said) == (1, f"no connection to the broker's port {NOBODY}\n")
    assert check(HEMOWIRE_HEARTBEAT="")[0] == 2
    with socket.create_server(("127.0.0.1", 0)) as broker:
        port = broker.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            assert check("--port", str(port), HEMOWIRE_HEARTBEAT=str(path)) == (0, "")
