"""The plan files that devices capture by: written at once for an open loop, line by line for a closed one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.load.arrival_settings import ClosedArrivals
from benchmarks.load.arrivals import Plan
from service_runtime.boot import monotonic_ns


class Plans:
    """One file per device; `offered` counts the captures that were asked for."""

    def __init__(self, folder: Path, devices: Sequence[str]) -> None:
        folder.mkdir()
        self._files = {device: folder / device for device in devices}
        self._asked: dict[str, list[int]] = {device: [] for device in devices}
        self._closed: ClosedArrivals | None = None
        self._end_ns = 0

    def file(self, device: str) -> Path:
        """Where this device finds its plan."""
        return self._files[device]

    @property
    def offered(self) -> int:
        """Captures asked for so far."""
        return sum(len(times) for times in self._asked.values())

    def asked(self, device: str) -> Sequence[int]:
        """The times that this device was asked for, monotonic ns."""
        return self._asked[device]

    @property
    def is_exhausted(self) -> bool:
        """A closed loop has asked for all of its images."""
        most = None if self._closed is None else self._closed.images
        return most is not None and all(len(times) >= most for times in self._asked.values())

    def write(self, start_ns: int, plan: Plan) -> None:
        """An open loop's times, after what was planned before."""
        for device, times in zip(self._files, plan, strict=True):
            self._ask(device, [start_ns + round(at_s * 1e9) for at_s in times])

    def start_closed(self, start_ns: int, load_s: float, arrivals: ClosedArrivals) -> None:
        """The first captures of a closed loop; the others follow as images are recorded."""
        self._closed = arrivals
        self._end_ns = start_ns + round(load_s * 1e9)
        for device in self._files:
            self._ask(device, [start_ns] * min(arrivals.in_flight, arrivals.images))

    def recorded(self, device: str) -> None:
        """An image of this device is done: in a closed loop the next is captured now."""
        now_ns = monotonic_ns()
        closed = self._closed
        if closed is None or now_ns >= self._end_ns or device not in self._asked:
            return
        if len(self._asked[device]) < closed.images:
            self._ask(device, [now_ns])

    def _ask(self, device: str, times_ns: Sequence[int]) -> None:
        self._asked[device] += times_ns
        with self._files[device].open("a", encoding="ascii") as file:
            file.write("".join(f"{at}\n" for at in times_ns))
