"""A run folder with the real programs of the path in it, each a process; one that ends by itself is an error.

Nothing is restarted: a benchmark of programs that had to be started again measures something else.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.links.link import Link
from benchmarks.load.result import ProgramKind
from broker_config.local import LocalBroker
from hemowire.demo.toml_text import Value, toml_text

SITE = "lab"
_TAIL_LINES = 12


class ProgramEndedError(RuntimeError):
    """A program ended that should not have; the message has the end of its log."""

    def __init__(self, name: str, code: int, log: Path) -> None:
        super().__init__(f"{name} ended with exit code {code}; its log ends:\n{_tail(log)}")
        self.name = name


@dataclass(slots=True)
class Program:
    """A started process."""

    name: str
    kind: ProgramKind
    log: Path
    process: subprocess.Popen[bytes]
    #: It may end with 0 when its work is done.
    may_end: bool = False


@dataclass(slots=True)
class House:
    """A running broker, and the programs that were started beside it."""

    folder: Path
    broker: LocalBroker
    programs: dict[str, Program] = field(default_factory=dict)

    def write(self, name: str, settings: dict[str, Value]) -> Path:
        """A settings file of this folder."""
        path = self.folder / f"{name}.toml"
        path.write_text(toml_text(settings), encoding="utf-8")
        return path

    def table(self, username: str, link: Link | None = None) -> dict[str, Value]:
        """The [broker] table of an account, straight or through a link."""
        return {
            "host": "127.0.0.1" if link is None else link.host,
            "port": self.broker.port if link is None else link.port,
            "username": username,
            "password_file": self.broker.password_file(username),
            "root": self.broker.root,
        }

    def start(
        self,
        name: str,
        kind: ProgramKind,
        arguments: Sequence[str],
        *,
        link: Link | None = None,
        may_end: bool = False,
    ) -> Program:
        """Starts `python <arguments>`, behind the link where one is given."""
        prefix = [] if link is None else link.command_prefix()
        log = self.folder / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*ends_with_us(), *prefix, sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                # Ctrl-C is the bench's to handle: it ends its programs in order.
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        program = Program(name, kind, log, process, may_end)
        self.programs[name] = program
        return program

    def check(self) -> None:
        """Raises ProgramEndedError where one ended that should not have."""
        code = self.broker.process.poll()
        if code is not None:
            raise ProgramEndedError("broker", code, self.broker.process.rendered.log_file)
        for program in self.programs.values():
            code = program.process.poll()
            if code is not None and not (program.may_end and code == 0):
                raise ProgramEndedError(program.name, code, program.log)

    def have_ended(self, kind: ProgramKind) -> bool:
        """Whether all programs of a kind have ended."""
        return all(p.process.poll() is not None for p in self.programs.values() if p.kind == kind)

    def stop(self, *kinds: ProgramKind, grace_s: float = 20.0) -> None:
        """Ends the programs of these kinds, kind by kind: SIGTERM, then SIGKILL after the grace."""
        for kind in kinds:
            ending = [program for program in self.programs.values() if program.kind == kind]
            for program in ending:
                if program.process.poll() is None:
                    program.process.terminate()
            until_s = time.monotonic() + grace_s
            for program in ending:
                try:
                    program.process.wait(max(0.0, until_s - time.monotonic()))
                except subprocess.TimeoutExpired:
                    program.process.kill()
                    program.process.wait()
                del self.programs[program.name]


def ends_with_us() -> list[str]:
    """A prefix (util-linux) that ends a program when this process is killed; nothing elsewhere."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


def _tail(log: Path) -> str:
    try:
        text = log.read_text(errors="replace")
    except OSError as error:
        return f"(cannot be read: {error})"
    return "\n".join(f"    {line}" for line in text.splitlines()[-_TAIL_LINES:])
