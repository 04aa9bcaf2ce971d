"""The drive of a pure machine: order of events, ticks when due, and what it is told of a publish."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest

from service_runtime.boot import monotonic_s
from service_runtime.machine_drive import LEAST_PAUSE_S, MachineDrive, published_code
from service_runtime.mqtt_types import LOST, QUEUE_FULL, TOO_LARGE


class Counting:
    """A machine that notes what it is told and wants what `wants` says."""

    def __init__(self, wants: Callable[[str], list[str]] = lambda _: []) -> None:
        self.told: list[tuple[str, float]] = []
        self.next_deadline: float | None = None
        self._wants = wants

    def handle(self, event: str, now: float) -> list[str]:
        self.told.append((event, now))
        return self._wants(event)

    @property
    def deadline(self) -> float | None:
        return self.next_deadline

    @property
    def events(self) -> list[str]:
        return [event for event, _ in self.told]


def test_an_event_told_while_effects_are_done_comes_after_them() -> None:
    async def main() -> None:
        done: list[str] = []
        machine = Counting(lambda event: ["echo", "last"] if event == "first" else [])

        def perform(effect: str) -> None:
            if effect == "echo":
                drive.tell("echoed")
            done.append(effect)

        drive: MachineDrive[str, str] = MachineDrive(machine, perform, lambda: "tick")
        drive.tell("first")
        assert done == ["echo", "last"]
        assert machine.events == ["first", "echoed"]

    asyncio.run(main())


def test_a_tick_comes_at_the_deadline_and_an_earlier_deadline_brings_it_forward() -> None:
    async def main() -> None:
        ticked = asyncio.Event()

        def wants(event: str) -> list[str]:
            if event == "tick":
                machine.next_deadline = None
                ticked.set()
            return []

        machine = Counting(wants)
        drive: MachineDrive[str, str] = MachineDrive(machine, lambda _: None, lambda: "tick")
        start = monotonic_s()
        machine.next_deadline = start + 30
        drive.tell("late")
        machine.next_deadline = start + 0.05
        drive.tell("soon")
        async with asyncio.timeout(5):
            await ticked.wait()
        assert machine.told[-1][1] >= start + 0.05 - 0.001

    asyncio.run(main())


def test_a_deadline_in_the_past_does_not_spin() -> None:
    async def main() -> None:
        enough = asyncio.Event()
        machine = Counting()

        def wants(_event: str) -> list[str]:
            machine.next_deadline = 0.0
            if len(machine.told) >= 20:
                enough.set()
            return []

        machine._wants = wants
        drive: MachineDrive[str, str] = MachineDrive(machine, lambda _: None, lambda: "tick")
        drive.tell("start")
        async with asyncio.timeout(5):
            await enough.wait()
        drive.stop()
        times = [now for _, now in machine.told]
        gaps = [b - a for a, b in pairwise(times)]
        assert min(gaps) >= LEAST_PAUSE_S / 2

    asyncio.run(main())


def test_a_stopped_drive_ticks_no_more_even_when_told_more() -> None:
    async def main() -> None:
        machine = Counting()
        drive: MachineDrive[str, str] = MachineDrive(machine, lambda _: None, lambda: "tick")
        machine.next_deadline = monotonic_s() + 0.01
        drive.tell("start")
        drive.stop()
        drive.tell("after the stop")
        passed = asyncio.Event()
        asyncio.get_running_loop().call_later(0.1, passed.set)
        await passed.wait()
        assert machine.events == ["start", "after the stop"]

    asyncio.run(main())


def test_an_effect_that_fails_leaves_the_drive_usable() -> None:
    async def main() -> None:
        machine = Counting(lambda event: [event])

        def perform(effect: str) -> None:
            if effect == "bad":
                raise ValueError(effect)

        drive: MachineDrive[str, str] = MachineDrive(machine, perform, lambda: "tick")
        with pytest.raises(ValueError, match="bad"):
            drive.tell("bad")
        drive.tell("good")
        assert machine.events == ["bad", "good"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("code", "told"), [(0, 0), (0x10, 0x10), (LOST, None), (QUEUE_FULL, 0x97), (TOO_LARGE, 0x95)]
)
def test_what_a_machine_is_told_of_a_publish(code: int, told: int | None) -> None:
    assert published_code(code) == told
