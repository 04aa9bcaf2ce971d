"""Finds the compose programs of this machine, or unpacks Debian's docker-compose; it starts no container.

    python -m tests.deploy.compose_tools

`docker-compose config` needs no engine. Nothing of the system is changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service_runtime.debian_packages import last_line, unpack_package

PACKAGE: Final = "docker-compose"
#: What Debian 12's needs beside a system's Python, where apt cannot say it itself.
LIBRARIES: Final = tuple(
    f"python3-{name}"
    for name in (
        "attr", "certifi", "chardet", "charset-normalizer", "distro", "docker", "dockerpty", "docopt",
        "dotenv", "idna", "jsonschema", "pyrsistent", "requests", "six", "texttable", "urllib3",
        "websocket", "yaml",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ComposeTool:
    """A command, and the folder of Python packages that an unpacked one needs."""

    command: tuple[str, ...]
    packages: Path | None = None

    def run(self, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """What it says and how it ends."""
        environ = dict(os.environ)
        if self.packages is not None:
            environ["PYTHONPATH"] = str(self.packages)
        return subprocess.run(
            [*self.command, *arguments],
            cwd=cwd,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def runs(self) -> bool:
        """Whether it is a compose at all: `docker` may be there without the plugin."""
        if shutil.which(self.command[0]) is None:
            return False
        return self.run("version", cwd=Path.cwd()).returncode == 0


def find_compose_tools() -> list[ComposeTool]:
    """Docker's plugin and a docker-compose on PATH, else the unpacked one; any of them, or none."""
    installed = [ComposeTool(("docker", "compose")), ComposeTool(("docker-compose",))]
    found = [tool for tool in installed if tool.runs]
    unpacked = _unpacked(_folder())
    return found or ([unpacked] if unpacked.runs else [])


def _folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "hemowire" / PACKAGE


def _unpacked(folder: Path) -> ComposeTool:
    """Debian 12's is a Python script, later ones are programs that need no packages."""
    return ComposeTool(
        (str(folder / "usr/bin/docker-compose"),), folder / "usr/lib/python3/dist-packages"
    )


def main() -> int:
    """Unpacks it where none is there; 1 with the reason where it cannot be had."""
    if find_compose_tools():
        return 0
    if shutil.which("apt-get") is None:
        sys.stderr.write("neither docker compose nor apt-get is here\n")
        return 1
    try:
        unpack_package(
            PACKAGE, _folder(), lambda part: _unpacked(part).runs, with_libraries=LIBRARIES
        )
    except (OSError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"{PACKAGE} could not be unpacked ({last_line(error)})\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
