"""`hemowire edge status` as a process: beside a running agent, beside a dead one, and beside nothing."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from edge_device.bench.state import BenchState, CameraShown, CaseShown, FocusShown, LinkShown
from edge_device.bench.status_screen import status_screen
from edge_device.outbox import Outbox
from tests.edge_device.bench.bench_for_tests import BenchForTests, served
from tests.edge_device.bench.pretend_bench import pretended
from tests.edge_device.in_loop import in_loop
from tests.edge_device.outbox.outbox_steps import new_capture
from wire_protocol.words import RESEARCH_USE_ONLY

COMMAND = (sys.executable, "-m", "hemowire", "edge", "status", "--data-dir")


async def status(
    data_dir: Path, *more: str, columns: int = 120
) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [*COMMAND, str(data_dir), *more],
        capture_output=True,
        text=True,
        check=False,
        timeout=40,
        env=os.environ | {"COLUMNS": str(columns)},
    )


@in_loop
async def test_a_pipe_gets_the_state_once(tmp_path: Path) -> None:
    async with served(BenchForTests(shown=pretended()), tmp_path):
        told = await status(tmp_path)
    assert told.returncode == 0, told.stderr
    for words in (
        RESEARCH_USE_ONLY, "CASE H26-0413", "12 fields", "of 16 needed", "Refocus and take again",
        "STAT recorded", "1 waiting", "● online",
    ):  # fmt: skip
        assert words in told.stdout


@in_loop
async def test_json_is_the_state_itself(tmp_path: Path) -> None:
    async with served(BenchForTests(shown=pretended()), tmp_path):
        told = await status(tmp_path, "--json")
    assert BenchState.model_validate_json(told.stdout) == pretended()


@in_loop
async def test_without_an_agent_the_outbox_on_disk_is_told(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox")
    outbox.add([new_capture(str(n)) for n in range(3)])
    outbox.close()
    told = await status(tmp_path)
    as_json = await status(tmp_path, "--json")
    assert (told.returncode, as_json.returncode) == (1, 1)
    assert "NO AGENT" in told.stdout
    assert "queued 3" in told.stdout
    assert json.loads(as_json.stdout)["outbox"] == {"waiting": 3}


@in_loop
async def test_where_there_is_nothing_it_says_so(tmp_path: Path) -> None:
    told = await status(tmp_path / "absent")
    wrong = await asyncio.to_thread(
        subprocess.run,
        [*COMMAND[:-1], "--config", str(tmp_path / "no.toml")],
        capture_output=True, text=True, check=False, timeout=40,
    )  # fmt: skip
    assert told.returncode == 1
    assert "no outbox here" in told.stdout
    assert "Traceback" not in told.stderr
    assert wrong.returncode == 2
    assert "no.toml" in wrong.stderr


@in_loop
async def test_a_terminal_follows_until_the_agent_stops(tmp_path: Path) -> None:
    bench = BenchForTests(shown=pretended())
    ours, theirs = pty.openpty()
    seen = b""

    def read_until(words: bytes) -> None:
        nonlocal seen
        while words not in seen:
            try:
                seen += os.read(ours, 65_536)
            except OSError:  # the other end is closed
                return

    async with served(bench, tmp_path):
        shown = await asyncio.create_subprocess_exec(
            *COMMAND, str(tmp_path), stdout=theirs, stdin=theirs, stderr=theirs,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "30"},
        )  # fmt: skip
        os.close(theirs)
        async with asyncio.timeout(40):
            await asyncio.to_thread(read_until, b"H26-0413")
            bench.show(case=CaseShown(case_id="H26-0777", opened_s_ago=0))
            await asyncio.to_thread(read_until, b"H26-0777")
    async with asyncio.timeout(20):
        await asyncio.to_thread(read_until, b"NO AGENT")
        assert await shown.wait() == 1
    os.close(ours)
    assert b"NO AGENT" in seen


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"case": CaseShown()}, "UNFILED"),
        ({"case": CaseShown(case_id="H26-1")}, "as the settings say"),
        ({"case": CaseShown(notice="Slide label cannot be read")}, "▲ Slide label cannot be read"),
        ({"halted": "disk full: 3 bytes free"}, "✕ No captures: disk full: 3 bytes free"),
        ({"paused": True, "halted": "paused by an operator"}, "▲ Paused"),
        ({"camera": CameraShown(kind="v4l2", trouble="unplugged")}, "✕ Camera: unplugged"),
        ({"link": LinkShown(state="offline", words="no route")}, "▲ Offline: no route"),
        ({"link": LinkShown(state="online", clock_synced=False)}, "clock is not set"),
        ({"focus": FocusShown(history=(3.0, 9.0, 6.0))}, "6.00 · best 9.00"),
        ({"focus": FocusShown()}, "not measured"),
        ({"captures": ()}, "Nothing taken yet"),
    ],
)
def test_what_is_wrong_is_said_in_words(changes: dict[str, object], words: str) -> None:
    out = StringIO()
    screen = status_screen(pretended().model_copy(update=changes), captures=3)
    Console(file=out, width=120).print(screen)
    assert words in out.getvalue()
