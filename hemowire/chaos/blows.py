"""What can be done to a running plant, one method each; which and when is the nemesis's to choose.

Each returns when it is over and healed, and leaves the program running that it struck. (Over 250
lines: a method is a fault, and they are easier to compare in one place.)
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

from benchmarks.links.link import Way
from benchmarks.links.proxy import ProxyLink
from hemowire.chaos import readings
from hemowire.chaos.disks import empty, fill, is_locked, rot, waiting
from hemowire.chaos.plant import RECORDS_PROGRAM, Plant, command_of, device_of
from hemowire.chaos.plant_settings import LINK, SLOW_LINK
from hemowire.demo.processes import Program, ends_with_us
from service_runtime.boot import monotonic_s

_START_S: Final = 30.0
#: Two agents with one name must not run side by side for longer.
_TWIN_S: Final = 40.0
#: The one that is left must still be there after so long.
_STAYS_S: Final = 3.0
#: How long a device that is to be flashed anew may owe images.
_REFLASH_S: Final = 20.0
#: How long an agent takes at most from its start to its outbox.
_LOCK_S: Final = 10.0
#: How long an image that waits is waited for.
_ROT_S: Final = 10.0


class Blows:
    """To one plant; its methods belong to the event loop's thread."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._backup = plant.folder / "records.backup"

    # --- programs ---------------------------------------------------------------------------------

    async def kill(self, name: str, away_s: float = 0.0, *, forget: bool = False) -> None:
        """SIGKILL; started again after a while, the broker without its memory where wanted."""
        program = self._program(name)
        process = await self._running(program)
        program.may_start.clear()
        try:
            self._plant.expect_end(name)
            process.kill()
            await process.wait()
            if forget:
                await asyncio.to_thread(self._forget)
            await asyncio.sleep(away_s)
        finally:
            program.may_start.set()
        await self._started_again(program, process)

    async def restart(self, name: str, grace_s: float = 20.0) -> int:
        """SIGTERM, waited for, started again; returns the exit code."""
        program = self._program(name)
        process = await self._running(program)
        await self._plant.programs.stop(name, grace_s)
        await self._plant.programs.start_command(name, program.command, program.environment)
        assert process.returncode is not None
        return process.returncode

    async def wrong_clock(self, name: str, ahead_s: int, lasts_s: float) -> None:
        """Its wall clock is so far ahead for a while."""
        clock = self._plant.clocks[name]
        clock.step_to(ahead_s)
        try:
            await asyncio.sleep(lasts_s)
        finally:
            clock.step_to(0)

    async def slow(self, name: str, lasts_s: float) -> None:
        """The link is a bad one for a while."""
        link = self._plant.links[name]
        assert isinstance(link, ProxyLink), "a link that loses packets keeps its shape"
        await asyncio.to_thread(link.reshape, SLOW_LINK)
        try:
            await asyncio.sleep(lasts_s)
        finally:
            await asyncio.to_thread(link.reshape, LINK)

    async def archive_away(self, lasts_s: float) -> None:
        """Nobody can read or write there for a while."""
        await asyncio.to_thread(self._plant.hide_archive)
        try:
            await asyncio.sleep(lasts_s)
        finally:
            await asyncio.to_thread(self._plant.show_archive)

    async def copy_card(self, name: str) -> str:
        """Another device begins with a copy of this one's outbox; "" where there is no device left.

        Both run on: what they capture from now on has the same places in the same outbox.
        """
        plant, device = self._plant, device_of(name)
        copy = plant.next_copy()
        if copy is None:
            return ""
        program = self._program(name)
        await self._running(program)
        await plant.programs.stop(name)
        try:
            await asyncio.to_thread(_copy_card, plant.outbox(device), plant.outbox(copy))
            await plant.start_copy(copy, device)
        finally:
            await plant.programs.start_command(name, program.command, program.environment)
        return copy

    async def fill(self, name: str, lasts_s: float) -> int:
        """Its disk is full for a while; returns the bytes that were taken."""
        try:
            taken = await asyncio.to_thread(fill, self._plant.disk(name))
            await asyncio.sleep(lasts_s)
            return taken
        finally:
            await asyncio.to_thread(empty, self._plant.disk(name))

    async def rot(self, name: str, random: Random) -> str:
        """One bit of a file that waits in its outbox turns; "" where none waited for a while.

        Of an image that came while nothing could leave the device: of others a worker may have every
        byte already, or the network may, so the agent begins anew behind a link that is cut. It is
        dead when the bit turns: a living one may have read the file before.
        """
        device = device_of(name)
        outbox, link = self._plant.outbox(device), self._plant.links[device]
        program = self._program(name)
        await asyncio.to_thread(link.cut, Way.BOTH)
        try:
            begun: set[str] = set()

            async def note() -> None:
                begun.update(await asyncio.to_thread(waiting, outbox))

            await self._while_dead(program, note)
            until_s = monotonic_s() + _ROT_S
            while not (fresh := set(await asyncio.to_thread(waiting, outbox)) - begun):
                if monotonic_s() > until_s:
                    return ""
                await asyncio.sleep(0.01)
            found = ""

            async def turn() -> None:
                nonlocal found
                found = await asyncio.to_thread(rot, outbox, sorted(fresh), random)
                await asyncio.to_thread(link.restore)

            await self._while_dead(program, turn)
            return found
        finally:
            await asyncio.to_thread(link.restore)

    async def _while_dead(self, program: Program, do: Callable[[], Awaitable[None]]) -> None:
        process = await self._running(program)
        program.may_start.clear()
        try:
            self._plant.expect_end(program.name)
            process.kill()
            await process.wait()
            await do()
        finally:
            program.may_start.set()
        await self._started_again(program, process)

    async def twin(self, name: str) -> str:
        """A second agent with its name on an outbox of its own: one of the two must go, and say why.

        Returns what it said. The name's own agent runs again at the end; the second captures nothing.
        """
        device = device_of(name)
        program = self._program(name)
        process = await self._running(program)
        folder = self._plant.folder / f"{device}-twin"
        (folder / "camera").mkdir(parents=True, exist_ok=True)
        config = self._plant.write_edge(device, twin=folder)
        program.may_start.clear()
        self._plant.tolerated.add(name)
        second = await self._second(device, config, folder / "twin.log")
        try:
            ended = {asyncio.ensure_future(process.wait()), asyncio.ensure_future(second.wait())}
            done, left = await asyncio.wait(
                ended, timeout=_TWIN_S, return_when=asyncio.FIRST_COMPLETED
            )
            for task in left:
                task.cancel()
            if not done:
                raise TimeoutError(f"two agents named {device} ran for {_TWIN_S:g} s")
            await asyncio.sleep(_STAYS_S)
            if process.returncode is not None and second.returncode is not None:
                raise OSError(f"both agents named {device} ended: none is left")
        finally:
            if second.returncode is None:
                second.terminate()
            await second.wait()
            program.may_start.set()
            self._plant.tolerated.discard(name)
        if process.returncode is None:
            return f"the second ended with {second.returncode}: {_last_line(folder / 'twin.log')}"
        await self._started_again(program, process)
        return f"the first ended with {process.returncode}: {_last_line(program.log)}"

    async def second_on_outbox(self, name: str) -> str:
        """A second agent with its settings; raises OSError where it is not refused. Returns its words."""
        await self._running(self._program(name))
        # It may have been started a moment ago, and the second would be the first.
        lock = self._plant.outbox(device_of(name)) / "outbox.lock"
        with suppress(TimeoutError):  # a layered file system lists locks under another name
            async with asyncio.timeout(_LOCK_S):
                while True:
                    if is_locked(lock):
                        break
                    await asyncio.sleep(0.02)
        log = self._plant.folder / f"{name}-second.log"
        config = str(self._plant.folder / f"{name}.toml")
        second = await self._second(device_of(name), config, log)
        try:
            async with asyncio.timeout(_TWIN_S):
                code = await second.wait()
        finally:
            if second.returncode is None:
                second.kill()
        if code == 0 or "another agent has this outbox open" not in log.read_text():
            raise OSError(f"ended with {code}: {_last_line(log)}")
        return f"refused with {code}: {_last_line(log)}"

    async def _second(self, device: str, config: str, log: Path) -> Process:
        with log.open("ab") as out:
            return await asyncio.create_subprocess_exec(
                *ends_with_us(),
                *self._plant.prefix(device),
                *command_of("edge", config),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def back_up(self) -> None:
        """Copies the records store while it is in use, as a lab's backup does."""
        fresh = self._backup.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        source = sqlite3.connect(f"{self._plant.database.as_uri()}?mode=ro", uri=True, timeout=10)
        target = sqlite3.connect(fresh)
        try:
            source.backup(target)
        finally:
            target.close()
            source.close()
        fresh.replace(self._backup)

    async def restore(self) -> None:
        """The records store comes back as it was at the last backup, and is told so."""
        program = self._program(RECORDS_PROGRAM)
        await self._running(program)
        await self._plant.programs.stop(RECORDS_PROGRAM)
        try:
            for ending in ("", "-wal", "-shm"):
                self._plant.database.with_name(f"{self._plant.database.name}{ending}").unlink(
                    missing_ok=True
                )
            shutil.copyfile(self._backup, self._plant.database)
            command = [sys.executable, "-m", "hemowire", "records", "new-store-id"]
            said = await asyncio.to_thread(
                subprocess.run,
                [*command, "--config", str(self._plant.records_config)],
                capture_output=True,
                text=True,
                check=False,
            )
            if said.returncode != 0:
                raise OSError(said.stderr.strip())
        finally:
            await self._plant.programs.start_command(
                RECORDS_PROGRAM, program.command, program.environment
            )

    async def freeze(self, name: str, lasts_s: float) -> None:
        """SIGSTOP, and SIGCONT after a while."""
        process = await self._running(self._program(name))
        process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(lasts_s)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)

    async def reflash(self, name: str) -> bool:
        """The device begins anew with an empty outbox; False where it owed images for too long.

        What it owes would be lost with the card, which nobody promises to prevent; and as nobody
        remembers its recorded images any more, a backup is made that has them.
        """
        plant, device = self._plant, device_of(name)
        camera = plant.camera_folder(device)
        plant.quiet.add(device)
        try:
            is_done = partial(
                readings.is_done, device, plant.outbox(device), camera, plant.database
            )
            until_s = monotonic_s() + _REFLASH_S
            while not await asyncio.to_thread(is_done):
                if monotonic_s() > until_s:
                    return False
                await asyncio.sleep(0.2)
            await asyncio.to_thread(self.back_up)
            program = self._program(name)
            await self._running(program)
            await plant.programs.stop(name)
            former = plant.folder / f"{device}-former-{len(plant.former) + 1}"
            await asyncio.to_thread(_start_anew, plant.disk(device), former, camera)
            plant.former.append((device, former))
            await plant.programs.start_command(name, program.command, program.environment)
            return True
        finally:
            plant.quiet.discard(device)

    # --- inside -----------------------------------------------------------------------------------

    def _program(self, name: str) -> Program:
        return self._plant.programs.programs[name]

    def _forget(self) -> None:
        shutil.rmtree(self._plant.broker.process.rendered.data_folder)
        self._plant.broker.process.rendered.data_folder.mkdir()

    async def _started_again(self, program: Program, before: Process) -> None:
        async with asyncio.timeout(_START_S):
            while program.process is before:  # noqa: ASYNC110 - the supervisor has no event for it
                await asyncio.sleep(0.02)

    async def _running(self, program: Program) -> Process:
        """Its process, once it has one: it may be about to start after the last fault."""
        async with asyncio.timeout(_START_S):
            while True:
                process = program.process
                if process is not None and process.returncode is None:
                    return process
                await asyncio.sleep(0.02)


def _copy_card(outbox: Path, copy: Path) -> None:
    shutil.copytree(outbox, copy, ignore=shutil.ignore_patterns("filler", "*.lock"))


def _start_anew(data_dir: Path, former: Path, camera: Path) -> None:
    shutil.copytree(data_dir / "outbox", former)
    for place in data_dir.iterdir():
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    for file in camera.iterdir():
        file.unlink()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
