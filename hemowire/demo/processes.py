"""Starts the demo's programs as processes of their own and restarts one that dies; it never hides that it did."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: A program that ends with one of these was told what is wrong with it: restarting cannot help.
FATAL_EXITS = frozenset({2, 3})
MAX_RESTARTS = 20
RESTART_AFTER_S = 0.3


class ProgramFailedError(RuntimeError):
    """A program of the demo ended and will not be restarted, or is not there in time."""

    def __init__(self, name: str, what: str, log: Path) -> None:
        super().__init__(f"{name} {what}; its log {log} ends:\n{_tail(log)}")
        self.name = name


@dataclass(slots=True)
class Program:
    """One supervised process."""

    name: str
    command: list[str]
    log: Path
    environment: Mapping[str, str] | None = None
    restarts: int = 0
    stopping: bool = False
    finished: bool = False
    process: Process | None = None
    supervisor: asyncio.Task[None] | None = field(default=None, repr=False)
    #: Cleared while it is to stay down after its end.
    may_start: asyncio.Event = field(default_factory=asyncio.Event, repr=False)


class Programs:
    """All processes of one demo; `folder/pids` holds one file per program with its process id.

    `on_end` hears the name and the exit code of each program that ends while nobody stops it, and
    says whether that was wanted: then it is started again whatever the code.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_restarts: int = MAX_RESTARTS,
        on_end: Callable[[str, int], bool] = lambda name, code: False,
    ) -> None:
        self._max_restarts = max_restarts
        self._on_end = on_end
        self._logs = folder / "logs"
        self._pids = folder / "pids"
        self._logs.mkdir(parents=True, exist_ok=True)
        self._pids.mkdir(parents=True, exist_ok=True)
        self.programs: dict[str, Program] = {}
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self, name: str, *arguments: str) -> Program:
        """Starts `hemowire <arguments>` and keeps it running until it is stopped or ends with 0."""
        return await self.start_command(name, [sys.executable, "-m", "hemowire", *arguments])

    async def start_command(
        self, name: str, command: list[str], environment: Mapping[str, str] | None = None
    ) -> Program:
        """The same for any command; `environment` is all it gets, this process's own if None."""
        program = Program(name, command, self._logs / f"{name}.log", environment)
        program.may_start.set()
        self.programs[name] = program
        await self._spawn(program)
        program.supervisor = asyncio.create_task(self._supervise(program), name=f"watch {name}")
        return program

    async def stop(self, name: str, grace_s: float = 15.0) -> None:
        """SIGTERM, then SIGKILL after the grace; harmless for one that has ended."""
        program = self.programs.get(name)
        if program is None or program.process is None:
            return
        program.stopping = True
        program.may_start.set()
        if program.process.returncode is None:
            program.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(program.process.wait(), grace_s)
            except TimeoutError:
                program.process.kill()
                await program.process.wait()
        if program.supervisor is not None:
            await asyncio.gather(program.supervisor, return_exceptions=True)

    async def stop_all(self, order: list[str]) -> None:
        """Stops the programs whose names start with each prefix in turn, those of a prefix together."""
        for prefix in order:
            names = [name for name in self.programs if name.startswith(prefix)]
            await asyncio.gather(*(self.stop(name) for name in names))

    def late(self, name: str, limit_s: float) -> ProgramFailedError:
        """The error for a program that is not online in time."""
        return ProgramFailedError(
            name, f"was not online after {limit_s:.0f} s", self.programs[name].log
        )

    @property
    def restarts(self) -> int:
        """How often any program had to be started again."""
        return sum(program.restarts for program in self.programs.values())

    async def _spawn(self, program: Program) -> None:
        with program.log.open("ab") as log:
            program.process = await asyncio.create_subprocess_exec(
                *ends_with_us(),
                *program.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                # Ctrl-C in the terminal is the demo's to handle: it stops its programs in order.
                start_new_session=True,
                env=os.environ if program.environment is None else program.environment,
            )
        temporary = self._pids / f".{program.name}"
        temporary.write_text(str(program.process.pid))
        temporary.rename(self._pids / program.name)

    async def _supervise(self, program: Program) -> None:
        while True:
            assert program.process is not None
            code = await program.process.wait()
            if program.stopping:
                return
            is_wanted = self._on_end(program.name, code)
            if code == 0 and not is_wanted:
                program.finished = True
                return
            if (code in FATAL_EXITS and not is_wanted) or program.restarts >= self._max_restarts:
                if not self.failed.done():
                    self.failed.set_exception(
                        ProgramFailedError(
                            program.name, f"ended with exit code {code}", program.log
                        )
                    )
                return
            await asyncio.sleep(RESTART_AFTER_S)
            await program.may_start.wait()
            if program.stopping:
                return
            program.restarts += 1
            await self._spawn(program)


def ends_with_us() -> list[str]:
    """A prefix (util-linux) that ends the program when this process is killed; nothing elsewhere."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


def _tail(log: Path, lines: int = 12) -> str:
    try:
        text = log.read_text(errors="replace")
    except OSError as error:
        return f"(cannot be read: {error})"
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])
