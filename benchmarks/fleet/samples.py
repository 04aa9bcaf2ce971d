"""Memory and file descriptors of processes over time, from /proc; what ended keeps its last figures."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.process_facts import look_at
from service_runtime.boot import monotonic_s

_EVERY_S: Final = 1.0


@dataclass(slots=True)
class Series:
    """One process, a value per look."""

    pid: int
    at_s: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)
    fds: list[int] = field(default_factory=list)

    @property
    def first_mb(self) -> float:
        """Before the load."""
        return self.rss_mb[0]

    @property
    def peak_mb(self) -> float:
        """At most."""
        return max(self.rss_mb)

    def part(self, values: Sequence[float], begin: float, end: float) -> float:
        """The median of a part of the run, from 0 to 1."""
        first, last = int(begin * len(values)), int(end * len(values))
        return statistics.median(values[first : max(last, first + 1)])


class Samples:
    """Looks every second in a thread of its own, within `with`."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self.series = {name: Series(pid) for name, pid in pids.items()}
        self._since_s = monotonic_s()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="samples")

    def __enter__(self) -> Samples:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_S):
            self._look()

    def _look(self) -> None:
        for one in self.series.values():
            with suppress(OSError, KeyError):  # it has ended, or is ending
                facts, fds = look_at(one.pid), _descriptors(one.pid)
                one.at_s.append(monotonic_s() - self._since_s)
                one.rss_mb.append(facts.rss_mb)
                one.fds.append(fds)


def _descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def jain(values: Sequence[float]) -> float:
    """Jain's index of fairness: 1 where all have the same, 1/n where one has all."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0
