"""The gate bounds how many are inside, lets urgent ones overtake, and survives cancellation."""

from __future__ import annotations

import asyncio

import pytest

from cloud_worker.admission import Admission


def test_urgent_ones_overtake_and_no_more_than_the_places_are_inside() -> None:
    order: list[str] = []
    inside = most = 0

    async def visit(gate: Admission, name: str, is_urgent: bool) -> None:
        nonlocal inside, most
        async with gate.enter(is_urgent=is_urgent):
            inside += 1
            most = max(most, inside)
            order.append(name)
            await asyncio.sleep(0)
            inside -= 1

    async def run() -> None:
        gate = Admission(2)
        async with asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(visit(gate, f"routine{number}", False))
            group.create_task(visit(gate, "stat", True))
        assert gate.waiting == 0

    asyncio.run(run())
    assert most == 2
    assert order == ["routine0", "routine1", "stat", "routine2", "routine3"]


def test_a_place_comes_back_from_errors_and_cancellations() -> None:
    async def run() -> None:
        gate = Admission(1)
        with pytest.raises(ZeroDivisionError):
            async with gate.enter(is_urgent=False):
                raise ZeroDivisionError
        entered = asyncio.Event()

        async def stay() -> None:
            async with gate.enter(is_urgent=False):
                entered.set()
                await asyncio.Event().wait()

        first, second = asyncio.create_task(stay()), asyncio.create_task(stay())
        await entered.wait()
        second.cancel()  # while it waits
        first.cancel()  # while it is inside
        await asyncio.gather(first, second, return_exceptions=True)
        third = asyncio.create_task(stay())
        entered.clear()
        await entered.wait()
        fourth = asyncio.create_task(stay())
        await asyncio.sleep(0)
        third.cancel()
        await asyncio.sleep(0)  # the fourth is admitted now, and cancelled before it runs
        fourth.cancel()
        await asyncio.gather(third, fourth, return_exceptions=True)
        async with asyncio.timeout(5), gate.enter(is_urgent=False):
            pass

    asyncio.run(run())


def test_a_gate_without_places_is_refused() -> None:
    with pytest.raises(ValueError, match="places"):
        Admission(0)
