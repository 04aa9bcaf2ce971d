"""What the kernel says of a running process: memory, CPU time, bytes written; it measures nothing itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """One look at a process; None where this kernel does not count."""

    rss_mb: float
    peak_rss_mb: float
    cpu_s: float
    written_bytes: int | None


def look_at(pid: int) -> ProcessFacts:
    """Reads /proc/PID; raises OSError where the process is gone."""
    folder = Path("/proc") / str(pid)
    status = dict(
        line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line
    )
    # The name in parentheses may hold anything, so the fields are counted from its end.
    times = (folder / "stat").read_text().rpartition(")")[2].split()
    rss_mb = _kb(status["VmRSS"]) / 1024
    peak = _kb(status["VmHWM"]) / 1024 if "VmHWM" in status else rss_mb
    cpu_s = (int(times[11]) + int(times[12])) / _TICKS_PER_S
    return ProcessFacts(rss_mb, peak, cpu_s, _written(folder))


def _written(folder: Path) -> int | None:
    try:
        lines = (folder / "io").read_text().splitlines()
    except OSError:
        return None
    counts = dict(line.split(": ", 1) for line in lines)
    written = int(counts.get("write_bytes", 0))
    return written or None


def _kb(value: str) -> int:
    return int(value.split(maxsplit=1)[0])
