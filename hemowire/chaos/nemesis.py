"""Does the planned faults to the running programs and writes each into the history; it chooses none.

Faults of different targets overlap; those of one target wait for each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from benchmarks.links.link import Way
from hemowire.chaos.history import Fault, History, Kind
from hemowire.chaos.plant import Plant
from hemowire.chaos.schedule import FaultKind, PlannedFault
from service_runtime.boot import monotonic_s

_CUTS = {FaultKind.CUT: Way.BOTH, FaultKind.CUT_UP: Way.UP, FaultKind.CUT_DOWN: Way.DOWN}


class Nemesis:
    """Follows one plan; `done` counts the faults that are over."""

    def __init__(self, plant: Plant, plan: Sequence[PlannedFault], history: History) -> None:
        self.done = 0
        self.running: dict[int, PlannedFault] = {}
        self._plant = plant
        self._plan = plan
        self._history = history
        self._locks = {planned.target: asyncio.Lock() for planned in plan}

    async def run(self) -> None:
        """Until the last fault is over and healed."""
        begun_s = monotonic_s()
        async with asyncio.TaskGroup() as faults:
            for planned in self._plan:
                await asyncio.sleep(max(0.0, begun_s + planned.at_s - monotonic_s()))
                faults.create_task(self._do(planned), name=f"fault {planned.number}")

    async def _do(self, planned: PlannedFault) -> None:
        async with self._locks[planned.target]:
            self.running[planned.number] = planned
            self._write(planned, Kind.INVOKE, f"{planned.lasts_s:g} s")
            try:
                detail = await self._strike(planned)
            except (OSError, TimeoutError) as error:
                self._write(planned, Kind.FAIL, f"{type(error).__name__}: {error}")
            else:
                self._write(planned, Kind.OK, detail)
            del self.running[planned.number]
            self.done += 1

    async def _strike(self, planned: PlannedFault) -> str:
        plant, target, lasts_s = self._plant, planned.target, planned.lasts_s
        match planned.kind:
            case FaultKind.KILL:
                await plant.kill(target)
            case FaultKind.AWAY:
                await plant.kill(target, lasts_s)
            case FaultKind.FORGET:
                await plant.kill(target, forget=True)
            case FaultKind.RESTART:
                return f"exit code {await plant.restart(target)}"
            case FaultKind.FREEZE:
                await plant.freeze(target, lasts_s)
            case FaultKind.CUT | FaultKind.CUT_UP | FaultKind.CUT_DOWN:
                link = plant.links[target]
                await asyncio.to_thread(link.cut, _CUTS[planned.kind])
                try:
                    await asyncio.sleep(lasts_s)
                finally:
                    await asyncio.to_thread(link.restore)
        return ""

    def _write(self, planned: PlannedFault, kind: Kind, detail: str) -> None:
        self._history.add(
            Fault(
                kind=kind,
                number=planned.number,
                fault=planned.kind.value,
                target=planned.target,
                detail=detail,
            )
        )
