"""Each program run by itself from its example configuration: five processes, one path, no demo."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from broker_config.serve import free_port
from tests.system.accounting import account

pytestmark = pytest.mark.timeout(240)

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = (
    "broker_config/broker.example.toml",
    "edge_device/edge.example.toml",
    "cloud_worker/worker.example.toml",
    "dashboard/records.example.toml",
    "dashboard/watch.example.toml",
)


@contextmanager
def program(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A running program, ended with Ctrl-C; it must end cleanly."""
    name = arguments[0]
    with (folder / f"{name}.out").open("w") as out, (folder / f"{name}.err").open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "hemowire", *arguments],
            cwd=folder, stdout=out, stderr=err, text=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
    assert process.returncode == 0, (folder / f"{name}.err").read_text()


def wait_for(path: Path, text: str, limit_s: float = 60) -> None:
    """Waits until a program's log says so."""
    deadline = time.monotonic() + limit_s
    while not (path.is_file() and text in path.read_text()):
        assert time.monotonic() < deadline, f"{path} does not say {text!r}"
        time.sleep(0.05)


def test_the_example_configurations_run_the_whole_path(tmp_path: Path) -> None:
    port = str(free_port())
    for example in EXAMPLES:
        text = (ROOT / example).read_text(encoding="utf-8")
        name = Path(example).name.replace(".example", "")
        (tmp_path / name).write_text(text.replace("1884", port), encoding="utf-8")
    rendered = subprocess.run(
        [sys.executable, "-m", "hemowire", "simulate", "--class", "healthy", "--slides", "1",
         "--fields", "3", "--out", "images"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert rendered.returncode == 0, rendered.stderr
    images = sorted((tmp_path / "images").rglob("*.jpg"))
    assert len(images) == 3
    with ExitStack() as programs:
        programs.enter_context(program(tmp_path, "broker", "--config", "broker.toml"))
        wait_for(tmp_path / "var/broker/secrets/hematologist", "")
        programs.enter_context(program(tmp_path, "records", "--config", "records.toml"))
        programs.enter_context(program(tmp_path, "worker", "--config", "worker.toml"))
        watch = programs.enter_context(
            program(tmp_path, "watch", "--config", "watch.toml", "--json", "--count", "3")
        )
        edge = programs.enter_context(
            program(tmp_path, "edge", "--config", "edge.toml", "--exit-when-done")
        )
        try:
            assert edge.wait(100) == 0
        except subprocess.TimeoutExpired:
            pytest.fail("\n".join(p.read_text()[-3000:] for p in tmp_path.glob("*.err")))
        assert watch.wait(30) == 0
    shown = [json.loads(line) for line in (tmp_path / "watch.out").read_text().splitlines()]
    assert len(shown) == 3
    assert all("Research use only" in line["text"] for line in shown)
    found = account(
        [str(path) for path in images],
        [tmp_path / "scope-1" / "outbox"],
        tmp_path / "archive",
        tmp_path / "var" / "records.sqlite",
    )
    assert (found.lost, found.duplicates) == ([], [])
    assert found.captured == found.diagnosed == 3
    reconcile = subprocess.run(
        [sys.executable, "-m", "hemowire", "records", "reconcile", "--config", "records.toml"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert reconcile.returncode == 0, reconcile.stdout + reconcile.stderr
