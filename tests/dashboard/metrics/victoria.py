"""A real VictoriaMetrics on loopback that tests may stop, kill and start again on the same data."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from broker_config.serve import free_port
from dashboard.metrics.victoria_metrics import find_victoria_metrics

START_S = 20.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one field, as the server gives it out."""

    series: tuple[tuple[str, str], ...]
    at_ms: int
    value: float


class VictoriaProcess:
    """`-dedup.minScrapeInterval=1ms` makes a point that is written twice one point."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "victoria.log"
        self._command = [
            str(program),
            f"-storageDataPath={folder / 'data'}",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-dedup.minScrapeInterval=1ms",
            "-retentionPeriod=10y",
            "-search.latencyOffset=1ms",
            "-loggerLevel=ERROR",
            "-memory.allowedBytes=100MB",
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_S
        while not self._answers():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.01)

    def stop(self) -> None:
        """SIGTERM: it writes what it holds."""
        self._end(kill=False)

    def kill(self) -> None:
        """SIGKILL: what it has not flushed is gone."""
        self._end(kill=True)

    def flush(self) -> None:
        """What it has taken can be read."""
        self._get("/internal/force_flush")

    def export(self, match: str) -> list[Sample]:
        """Every raw sample of the series that match."""
        self.flush()
        text = self._get(
            "/api/v1/export", **{"match[]": match, "start": "0", "end": str(time.time() + 60)}
        )
        found = []
        for line in text.splitlines():
            read = json.loads(line)
            series = tuple(sorted(read["metric"].items()))
            pairs = zip(read["timestamps"], read["values"], strict=True)
            found += [Sample(series, at, value) for at, value in pairs]
        return found

    def query(self, text: str, at_s: float) -> list[dict[str, Any]]:
        """The result of an instant query in MetricsQL."""
        self.flush()
        asked = {"query": text, "time": f"{at_s:.3f}", "nocache": "1", "latency_offset": "1ms"}
        answer = json.loads(self._get("/api/v1/query", **asked))
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def _get(self, path: str, **query: str) -> str:
        with urlopen(f"{self.url}{path}?{urlencode(query)}", timeout=20) as reply:
            text: str = reply.read().decode()
        return text

    def _answers(self) -> bool:
        try:
            return "OK" in self._get("/health")
        except (URLError, OSError):
            return False

    def _end(self, *, kill: bool) -> None:
        if self._process is not None:
            (self._process.kill if kill else self._process.terminate)()
            self._process.wait(20)
            self._process = None


def running_victoria(folder: Path) -> Iterator[VictoriaProcess]:
    """For a fixture; skips where there is none, and says how to get it."""
    program = find_victoria_metrics()
    if program is None:
        pytest.skip("no VictoriaMetrics here: python -m dashboard.metrics.victoria_metrics")
    process = VictoriaProcess(program, folder)
    process.start()
    try:
        yield process
    finally:
        process.stop()
