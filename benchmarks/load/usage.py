"""What each process used during a load: CPU time, the most memory, bytes to and from the disk, by psutil."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]

from benchmarks.load.network_bytes import SocketBytes, socket_bytes
from benchmarks.load.result import ProcessUse, ProgramKind
from service_runtime.boot import monotonic_s

_LOOK_EVERY_S = 0.2
#: Time in guests is counted as the user's already.
_BUSY = ("user", "nice", "system", "irq", "softirq", "steal")


@dataclass(slots=True)
class _Watched:
    """A process, what it had used before the load, and its last and largest figures."""

    name: str
    program: ProgramKind
    process: psutil.Process
    cpu_before_s: float
    rss_before_bytes: int
    io_before: tuple[int, int] | None
    cpu_s: float = 0.0
    peak_rss_bytes: int = 0
    io: tuple[int, int] | None = None
    sockets_before: SocketBytes | None = None
    sockets: SocketBytes | None = None


class Usage:
    """Looks at processes now and then from the moment it is made; what ended keeps its last figures."""

    def __init__(self, processes: Mapping[str, tuple[ProgramKind, int]]) -> None:
        self._watched = []
        for name, (program, pid) in processes.items():
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                rss_bytes = process.memory_info().rss
                one = _Watched(name, program, process, _cpu_s(process), rss_bytes, _io(process))
                self._watched.append(one)
        before = self._sockets()
        for one in self._watched:
            one.sockets_before = before.get(one.process.pid)
        self._busy_before_s = self._busy_s = _machine_busy_s()
        self._since_s = self._until_s = monotonic_s()
        self.look()

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            self.look()

    def look(self) -> None:
        """Takes the figures of all that still run."""
        self._until_s = monotonic_s()
        self._busy_s = _machine_busy_s()
        for one in self._watched:
            with suppress(psutil.NoSuchProcess), one.process.oneshot():
                one.cpu_s = _cpu_s(one.process) - one.cpu_before_s
                one.peak_rss_bytes = max(one.peak_rss_bytes, one.process.memory_info().rss)
                one.io = _io(one.process)

    @property
    def others_cpu_percent(self) -> float:
        """What this machine did beside these processes, in percent of one core."""
        own_s = sum(one.cpu_s for one in self._watched)
        others_s = self._busy_s - self._busy_before_s - own_s
        return max(0.0, 100 * others_s / max(self._until_s - self._since_s, 1e-9))

    def finish(self) -> None:
        """The last look, while connections are still open."""
        self.look()
        found = self._sockets()
        for one in self._watched:
            one.sockets = found.get(one.process.pid)

    def _sockets(self) -> dict[int, SocketBytes]:
        return socket_bytes([one.process.pid for one in self._watched])

    def figures(self) -> tuple[ProcessUse, ...]:
        """What each used since the start."""
        took_s = max(self._until_s - self._since_s, 1e-9)
        return tuple(
            ProcessUse(
                name=one.name,
                program=one.program,
                cpu_s=one.cpu_s,
                cpu_percent=100 * one.cpu_s / took_s,
                peak_rss_bytes=one.peak_rss_bytes,
                rss_before_bytes=one.rss_before_bytes,
                sent_bytes=_less(one.sockets, one.sockets_before, 0),
                received_bytes=_less(one.sockets, one.sockets_before, 1),
                read_bytes=_less(one.io, one.io_before, 0),
                written_bytes=_less(one.io, one.io_before, 1),
            )
            for one in self._watched
        )


def _machine_busy_s() -> float:
    """CPU time of all programs since the machine started."""
    times = psutil.cpu_times()
    return float(sum(getattr(times, name, 0.0) for name in _BUSY))


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _io(process: psutil.Process) -> tuple[int, int] | None:
    try:
        counts = process.io_counters()
    except (psutil.AccessDenied, psutil.NoSuchProcess, AttributeError, NotImplementedError):
        return None
    return int(counts.read_bytes), int(counts.write_bytes)


def _less(after: tuple[int, int] | None, before: tuple[int, int] | None, place: int) -> int | None:
    """What was added between two looks, where both know."""
    return None if after is None or before is None else after[place] - before[place]
