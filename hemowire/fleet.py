"""Starts the processes of a fleet, adds up what they say and ends them together; the devices: `edge_device.fleet`."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from rich.console import Console

from edge_device.fleet import FleetReport, FleetSettings
from hemowire.demo.processes import ends_with_us
from wire_protocol.words import RESEARCH_USE_ONLY

_LOOK_S: Final = 0.2
_TELL_EVERY_S: Final = 5.0


class Fleet:
    """The processes, and the last word of each."""

    def __init__(self, settings: FleetSettings, config: Path) -> None:
        count = min(settings.processes, settings.devices)
        self._settings = settings
        self._reports: dict[int, FleetReport] = {}
        self._lock = threading.Lock()
        self.processes = [self._start(config, number, count) for number in range(count)]
        self._readers = [self._read(process.stdout) for process in self.processes]

    def _start(self, config: Path, number: int, count: int) -> subprocess.Popen[str]:
        arguments = ["fleet", "--config", str(config), "--process", str(number)]
        arguments += ["--devices", str(self._settings.devices), "--processes", str(count)]
        if self._settings.captures is not None:
            arguments += ["--captures", str(self._settings.captures)]
        return subprocess.Popen(
            [*ends_with_us(), sys.executable, "-m", "hemowire", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is ours to pass on
        )

    def _read(self, lines: IO[str] | None) -> threading.Thread:
        assert lines is not None

        def read() -> None:
            for line in lines:
                report = FleetReport.model_validate_json(line)
                with self._lock:
                    self._reports[report.process] = report

        thread = threading.Thread(target=read, name="fleet reports", daemon=True)
        thread.start()
        return thread

    def total(self) -> FleetReport:
        """All processes together."""
        with self._lock:
            found = [self._reports[number] for number in sorted(self._reports)]
        return FleetReport(
            process=-1,
            devices=sum(one.devices for one in found),
            connected=sum(one.connected for one in found),
            captured=sum(one.captured for one in found),
            recorded=sum(one.recorded for one in found),
            left_out=sum(one.left_out for one in found),
            sent_bytes=sum(one.sent_bytes for one in found),
            busy=sum(one.busy for one in found),
            recorded_each=tuple(each for one in found for each in one.recorded_each),
            is_last=len(found) == len(self.processes) and all(one.is_last for one in found),
        )

    def stop(self) -> None:
        """Asks every process to put its work away and end."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)

    def wait(self, tell: Callable[[FleetReport], None]) -> int:
        """Until all have ended; one that ends with an error ends the others. The highest code."""
        told_s = time.monotonic()
        while any(process.poll() is None for process in self.processes):
            if any(process.poll() for process in self.processes):
                self.stop()
            time.sleep(_LOOK_S)
            if time.monotonic() - told_s >= _TELL_EVERY_S:
                told_s = time.monotonic()
                tell(self.total())
        for reader in self._readers:
            reader.join()
        return max(process.returncode for process in self.processes)


def run_processes(settings: FleetSettings, config: Path, *, as_json: bool) -> int:
    """The whole fleet, to its end; prints an account now and then and at the end."""
    console = Console(stderr=True, soft_wrap=True)
    console.print(
        f"{settings.devices} light devices in {min(settings.processes, settings.devices)} processes, "
        f"synthetic images. {RESEARCH_USE_ONLY}"
    )
    fleet = Fleet(settings, config)
    signal.signal(signal.SIGTERM, lambda *_: fleet.stop())
    signal.signal(signal.SIGINT, lambda *_: fleet.stop())
    code = fleet.wait(lambda report: console.print(account(report)))
    report = fleet.total()
    if as_json:
        sys.stdout.write(report.model_dump_json() + "\n")
    console.print(account(report))
    if code:
        return code
    return 0 if report.is_last and report.recorded == report.captured else 1


def account(report: FleetReport) -> str:
    """One line for people."""
    connected = "" if report.is_last else f"{report.connected} of {report.devices} connected; "
    waiting = report.captured - report.recorded
    left_out = f", {report.left_out} left out" if report.left_out else ""
    return (
        f"{connected}{report.captured} captured, "
        f"{report.recorded} recorded, {waiting} on their way{left_out}; "
        f"{report.busy} times told to wait"
    )
