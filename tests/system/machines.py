"""Programs as if on machines of their own: a boot id, a monotonic clock and a wall clock that are not this one's.

A time namespace shifts the monotonic clock and a mount namespace hides the boot id; both need root.
The wall clock is stepped for all at once, by `hemowire.chaos.wall_clock`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from broker_config.local import LocalBroker
from hemowire.demo.toml_text import Value, toml_text

ROOT = Path(__file__).resolve().parents[2]
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_ENTER = f'mount --bind "$0" {_BOOT_ID} && exec "$@"'


@dataclass(frozen=True)
class Machine:
    """Where a program runs: so many seconds its monotonic clock is ahead of this machine's."""

    boot_id: str
    ahead_s: int = 0

    def command(self, folder: Path, command: list[str]) -> list[str]:
        """The command as it runs there."""
        if self.ahead_s == 0:
            return command
        boot = folder / f"boot-{self.ahead_s}"
        boot.write_text(f"{uuid.UUID(self.boot_id)}\n", encoding="ascii")
        ahead = str(self.ahead_s)
        namespace = ["unshare", "--mount", "--time", "--monotonic", ahead, "--boottime", ahead]
        return [*namespace, "--fork", "sh", "-c", _ENTER, str(boot), *command]


def here() -> Machine:
    """This machine as it is."""
    return Machine(uuid.UUID(Path(_BOOT_ID).read_text(encoding="ascii").strip()).hex)


def elsewhere(ahead_s: int) -> Machine:
    """Another one."""
    return Machine(f"{ahead_s:032x}", ahead_s)


def can_be_elsewhere(folder: Path) -> bool:
    """Whether this user and this kernel can make machines."""
    command = elsewhere(77).command(folder, ["true"])
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


class Lab:
    """Settings and processes of one whole path in `folder`."""

    def __init__(self, folder: Path, broker: LocalBroker) -> None:
        self.folder = folder
        self._broker = broker
        self.environment: dict[str, str] = {}
        self.archive = folder / "archive"
        self.database = folder / "records.sqlite"

    def account(self, username: str, port: int) -> Mapping[str, Value]:
        """The broker table of its settings; `port` may be a proxy's."""
        return {
            "host": "127.0.0.1",
            "port": port,
            "username": username,
            "password_file": self._broker.password_file(username),
        }

    @contextmanager
    def running(
        self, program: str, settings: Mapping[str, Value], machine: Machine, *arguments: str
    ) -> Iterator[subprocess.Popen[bytes]]:
        """The program there; ended as with Ctrl-C, and then it must end cleanly."""
        config = self.folder / f"{program}.toml"
        config.write_text(toml_text(settings), encoding="utf-8")
        command = [sys.executable, "-m", "hemowire", program, "--config", str(config), *arguments]
        log = self.folder / f"{program}.log"
        with (
            log.open("wb") as out,
            subprocess.Popen(
                machine.command(self.folder, command),
                cwd=ROOT,
                env=os.environ | self.environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
            ) as process,
        ):
            try:
                yield process
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGINT)
                assert process.wait(30) == 0, log.read_text()[-4000:]
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
