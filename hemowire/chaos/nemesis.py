"""Does the planned faults to the running programs and writes each into the history; it chooses none.

Faults of different targets overlap; those of one target wait for each other.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from random import Random
from typing import Final, TypeVar

from benchmarks.links.link import Way
from hemowire.chaos.blows import Blows
from hemowire.chaos.deadly import make_deadly
from hemowire.chaos.history import Fault, History, Kind
from hemowire.chaos.pictures import Look, Picture, draw_pictures
from hemowire.chaos.plant import Plant, device_of, edge_program
from hemowire.chaos.schedule import RECORDS, FaultKind, PlannedFault
from hemowire.chaos.workload import SET_ASIDE, Workload
from service_runtime.boot import monotonic_s

_T = TypeVar("_T")
_CUTS = {FaultKind.CUT: Way.BOTH, FaultKind.CUT_UP: Way.UP, FaultKind.CUT_DOWN: Way.DOWN}
_HOUR_S: Final = 3600
_STEP_S: Final = 15.0
#: Messages are heard for at least this long.
_LISTEN_S: Final = 3.0
#: The records store is backed up after this many faults: a restore takes some of them back.
_BACKUP_EVERY: Final = 8
#: How long a fault waits for the end of an image that kills decoders; the run waits on.
_DEADLY_S: Final = 90.0
#: Of a copied card, and how long it is waited for what they come to.
_COPY_IMAGES: Final = 3
_COPY_S: Final = 30.0


class Nemesis:
    """Follows one plan; `done` counts the faults that are over."""

    def __init__(
        self,
        plant: Plant,
        plan: Sequence[PlannedFault],
        history: History,
        workload: Workload,
        random: Random,
    ) -> None:
        self.done = 0
        self._plant = plant
        self._blows = Blows(plant)
        self._plan = plan
        self._history = history
        self._workload = workload
        self._random = random
        self._drawing = asyncio.Lock()
        self._extra = draw_pictures(random.randrange(1 << 30), 20 * len(plan) + 20)
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
            self._write(planned, Kind.INVOKE, f"{planned.lasts_s:g} s")
            try:
                if planned.kind is FaultKind.ROT:
                    image_id = await self._blows.rot(planned.target, self._random)
                    self._write(planned, Kind.OK, "" if image_id else "none waited", image_id)
                else:
                    self._write(planned, Kind.OK, await self._strike(planned))
            except (OSError, sqlite3.Error) as error:
                self._write(planned, Kind.FAIL, f"{type(error).__name__}: {error}")
            self.done += 1
        if self.done % _BACKUP_EVERY == 0:
            await self.back_up()

    async def back_up(self) -> None:
        """Between two restores, and again later where the store cannot be read just now."""
        async with self._locks.setdefault(RECORDS, asyncio.Lock()):
            with suppress(sqlite3.Error):
                await asyncio.to_thread(self._blows.back_up)

    async def _strike(self, planned: PlannedFault) -> str:
        blows, target, lasts_s = self._blows, planned.target, planned.lasts_s
        match planned.kind:
            case FaultKind.KILL:
                await blows.kill(target)
            case FaultKind.AWAY:
                await blows.kill(target, lasts_s)
            case FaultKind.FORGET:
                await blows.kill(target, forget=True)
            case FaultKind.RESTART:
                return f"exit code {await blows.restart(target)}"
            case FaultKind.FREEZE:
                await blows.freeze(target, lasts_s)
            case FaultKind.KILL_AT_STEP | FaultKind.FREEZE_AT_STEP:
                assert planned.step is not None
                device = await self._plant.wire.step(planned.step, target, _STEP_S)
                if planned.kind is FaultKind.KILL_AT_STEP:
                    await blows.kill(target)
                else:
                    await blows.freeze(target, lasts_s)
                return f"of a transfer of {device}" if device else "no such step came: at any time"
            case FaultKind.CUT | FaultKind.CUT_UP | FaultKind.CUT_DOWN:
                link = self._plant.links[target]
                await asyncio.to_thread(link.cut, _CUTS[planned.kind])
                try:
                    await asyncio.sleep(lasts_s)
                finally:
                    await asyncio.to_thread(link.restore)
            case FaultKind.SLOW:
                await blows.slow(target, lasts_s)
            case FaultKind.DISK_FULL:
                return f"{await blows.fill(target, lasts_s)} bytes taken"
            case FaultKind.CLOCK:
                ahead_s = self._random.choice((-_HOUR_S, _HOUR_S))
                await blows.wrong_clock(target, ahead_s, lasts_s)
                return f"{ahead_s:+d} s"
            case FaultKind.SPOIL:
                assert planned.spoil is not None
                count = await self._plant.wire.spoil(
                    planned.spoil, max(lasts_s, _LISTEN_S), self._random
                )
                return f"{count} messages"
            case FaultKind.TWIN:
                return await blows.twin(target)
            case FaultKind.SAME_OUTBOX:
                return await blows.second_on_outbox(target)
            case FaultKind.BACKUP:
                await blows.restore()
            case FaultKind.REFLASH:
                async with self._locks.setdefault(RECORDS, asyncio.Lock()):
                    is_done = await blows.reflash(target)
                return "" if is_done else "it always owed an image: left as it is"
            case FaultKind.ARCHIVE_AWAY:
                await blows.archive_away(lasts_s)
            case FaultKind.DEADLY:
                return await self._give_deadly(target)
            case FaultKind.CLONE:
                return await self._copy_card(target)
        return ""

    async def _give_deadly(self, target: str) -> str:
        plant, workload = self._plant, self._workload
        device, before = device_of(target), plant.deadly_ends
        plant.expect_deadly_ends()
        fields = await self._fields(1)
        picture = make_deadly(fields[0], plant.folder)
        workload.give_one(picture, device)
        done = await _until(lambda: workload.seen.outcome_of(device, picture.name), _DEADLY_S)
        ends = plant.deadly_ends - before
        return f"{done or 'not at its end yet'}; {ends} workers ended over such images meanwhile"

    async def _copy_card(self, target: str) -> str:
        async with self._locks.setdefault(RECORDS, asyncio.Lock()):
            # A backup from before the copy would take back what only one of the two remembers.
            copy = await self._blows.copy_card(target)
            if not copy:
                return "no device is left for a copy"
            pictures = await self._fields(_COPY_IMAGES)
            for picture in pictures:
                self._workload.give_one(picture, copy)
            names = [picture.name for picture in pictures]
            seen = self._workload.seen
            done = await _until(lambda: all(seen.outcome_of(copy, name) for name in names), _COPY_S)
            if done:  # somebody noticed and switched it off; else it stays
                await self._plant.programs.stop(edge_program(copy))
            await asyncio.to_thread(self._blows.back_up)
        aside = sum(seen.outcome_of(copy, name) == SET_ASIDE for name in names)
        return f"{copy}: {len(names)} images, {aside} of them set aside by now"

    async def _fields(self, count: int) -> list[Picture]:
        """Pictures that no other part of the run has; the first take a second to be drawn."""
        fields = (picture for picture in self._extra if picture.look is Look.FIELD)
        async with self._drawing:
            drawn = await asyncio.to_thread(lambda: list(islice(fields, count)))
        return [replace(picture, name=f"extra-{picture.name}") for picture in drawn]

    def _write(self, planned: PlannedFault, kind: Kind, detail: str, image_id: str = "") -> None:
        self._history.add(
            Fault(
                kind=kind,
                number=planned.number,
                fault=planned.words,
                target=planned.target,
                detail=detail,
                image_id=image_id,
            )
        )


async def _until(found: Callable[[], _T], limit_s: float) -> _T:
    """What is found, or what is there when the time is over."""
    until_s = monotonic_s() + limit_s
    while True:
        what = found()
        if what or monotonic_s() > until_s:
            return what
        await asyncio.sleep(0.2)
