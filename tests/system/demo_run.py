"""Runs `hemowire demo` as a user does, as a process of its own, and knows where its files lie."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.system.accounting import Account, account, rows

REAL_DATA = os.environ.get("HEMOWIRE_REAL_DATA")
needs_real_data = pytest.mark.skipif(
    not REAL_DATA, reason="HEMOWIRE_REAL_DATA does not name the folder of real smear images"
)


def real_images(name: str) -> Path:
    """A folder of the real data."""
    assert REAL_DATA is not None
    return Path(REAL_DATA).resolve() / name


class DemoRun:
    """One demo in `folder`."""

    def __init__(self, folder: Path, process: subprocess.Popen[str], log: Path) -> None:
        self.folder = folder
        self.process = process
        self.json_file = folder.parent / "result.json"
        self.log = log

    def pid(self, program: str) -> int | None:
        """The process id of one of its programs, if that was started."""
        path = self.folder / "pids" / program
        return int(path.read_text()) if path.is_file() else None

    def programs(self) -> list[str]:
        """Names of the programs that were started."""
        return sorted(p.name for p in (self.folder / "pids").glob("[!.]*"))

    def recorded(self) -> int:
        """How many images have an outcome now."""
        path = self.folder / "records.sqlite"
        if not path.is_file():
            return 0
        try:
            return int(rows(path, "SELECT count(*) AS n FROM image")[0]["n"])
        except Exception:  # being made, or between two files of its log
            return 0

    def wait_until(self, reached: Callable[[], bool], limit_s: float, what: str) -> None:
        """Waits for a state of the run; fails with the demo's own words."""
        deadline = time.monotonic() + limit_s
        while not reached():
            ended = self.process.poll()
            late = time.monotonic() > deadline
            assert ended is None and not late, f"{what}: not reached\n{self.output()}"
            time.sleep(0.02)

    def finish(self, limit_s: float) -> int:
        """Waits for the end and returns the exit code."""
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the demo did not end in {limit_s} s\n{self.output()}")

    def output(self) -> str:
        """The end of what the demo and its programs said."""
        logs = [self.log, *sorted((self.folder / "logs").glob("*.log"))]
        return "\n".join(
            f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-25:])
            for log in logs
        )

    def result(self) -> dict[str, Any]:
        """What `--json` wrote."""
        found: dict[str, Any] = json.loads(self.json_file.read_text())
        return found

    def account(self) -> Account:
        """The separate count from the files."""
        outboxes = sorted(p.parent for p in self.folder.glob("*/outbox/outbox.sqlite"))
        sources = sorted(str(p) for p in (self.folder / "cameras").rglob("*") if p.is_symlink())
        return account(sources, outboxes, self.folder / "archive", self.folder / "records.sqlite")


@contextmanager
def demo(tmp_path: Path, *arguments: str, env: dict[str, str] | None = None) -> Iterator[DemoRun]:
    """A running demo; whatever is left of it is ended at the end."""
    folder = tmp_path / "run"
    log = tmp_path / "demo.log"
    command = [sys.executable, "-m", "hemowire", "demo", "--folder", str(folder), "--plain"]
    with log.open("w") as out:
        process = subprocess.Popen(
            [*command, "--json", str(tmp_path / "result.json"), *arguments],
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | (env or {}),
        )
    run = DemoRun(folder, process, log)
    try:
        yield run
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
