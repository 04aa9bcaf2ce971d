"""Finds Mosquitto on this machine; it installs nothing (see `install`)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_SYSTEM_FOLDERS = (
    "/usr/sbin",
    "/usr/local/sbin",
    "/opt/homebrew/sbin",
    "/opt/homebrew/opt/mosquitto/sbin",
)
_VERSION = re.compile(r"mosquitto version (\d+(?:\.\d+)+)")


@dataclass(frozen=True, slots=True)
class Mosquitto:
    """A broker's program, the folders of its libraries where it was unpacked, and its version."""

    program: Path
    library_folders: tuple[Path, ...]
    version: str

    def environment(self) -> dict[str, str]:
        """The environment to run it in."""
        return _environment(self.library_folders)


class MosquittoMissingError(Exception):
    """Mosquitto is nowhere; the message says how to get it."""


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the Debian packages are unpacked without root."""
    base = environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "hemowire" / "mosquitto"


def find_mosquitto(environ: Mapping[str, str] = os.environ) -> Mosquitto | None:
    """HEMOWIRE_MOSQUITTO, else PATH and the system's folders, else the cache folder; None if absent."""
    named = environ.get("HEMOWIRE_MOSQUITTO")
    if named:
        return probe(Path(named))
    search = os.pathsep.join([environ.get("PATH", ""), *_SYSTEM_FOLDERS])
    found = shutil.which("mosquitto", path=search)
    if found is not None and (installed := probe(Path(found))) is not None:
        return installed
    return probe_unpacked(cache_folder(environ))


def require_mosquitto() -> Mosquitto:
    """The broker's program; raises MosquittoMissingError with the command that mends it."""
    found = find_mosquitto()
    if found is None:
        named = os.environ.get("HEMOWIRE_MOSQUITTO")
        where = f"HEMOWIRE_MOSQUITTO={named} does not run" if named else "Mosquitto was not found"
        raise MosquittoMissingError(f"{where}. Install it: python -m broker_config.install")
    return found


def probe_unpacked(folder: Path) -> Mosquitto | None:
    """The broker in a folder of unpacked Debian packages."""
    program = folder / "usr/sbin/mosquitto"
    if not program.is_file():
        return None
    libraries = sorted({path.parent for path in folder.glob("**/lib*.so*")})
    return probe(program, tuple(libraries))


def probe(program: Path, library_folders: tuple[Path, ...] = ()) -> Mosquitto | None:
    """Runs `mosquitto -h` to see that it starts and which version it is."""
    try:
        done = subprocess.run(
            [str(program), "-h"],
            env=_environment(library_folders),
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(done.stdout + done.stderr)
    return Mosquitto(program, library_folders, match[1]) if match else None


def _environment(library_folders: tuple[Path, ...]) -> dict[str, str]:
    environment = dict(os.environ)
    if library_folders:
        before = [environment["LD_LIBRARY_PATH"]] if environment.get("LD_LIBRARY_PATH") else []
        environment["LD_LIBRARY_PATH"] = os.pathsep.join([*map(str, library_folders), *before])
    return environment
