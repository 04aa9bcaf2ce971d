"""Finds other people's programs that check reports, or fetches them into a cache: Orthanc, dciodvfy, npm's `fhir`.

    python -m tests.dashboard.exchange.outside_tools

Debian's packages are unpacked, not installed; nothing of the system is changed. What cannot be had
is named, and its tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from service_runtime.debian_packages import last_line, unpack_package

#: Program to its Debian package.
PACKAGES: Final[Mapping[str, str]] = {"Orthanc": "orthanc", "dciodvfy": "dicom3tools"}
_DICTIONARY: Final = "usr/share/libdcmtk*/dicom.dic"


@dataclass(frozen=True, slots=True)
class OutsideTool:
    """A program, and what it needs in its environment where it is only unpacked."""

    program: str
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def whole_environ(self) -> dict[str, str]:
        """For subprocess."""
        return {**os.environ, **self.environ}

    @property
    def runs(self) -> bool:
        """Whether it starts at all: dciodvfy says nothing but its usage."""
        try:
            done = subprocess.run(
                [self.program, "--version"],
                env=self.whole_environ,
                capture_output=True,
                check=False,
                timeout=30,
            )
        except (OSError, subprocess.SubprocessError):
            return False
        return b"error while loading shared libraries" not in done.stderr


def find_tool(name: str) -> OutsideTool | None:
    """The program of PACKAGES on this machine, or the unpacked one."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    installed = shutil.which(name, path=path)
    if installed is not None:
        return OutsideTool(installed)
    unpacked = _unpacked(name, _folder(PACKAGES[name]))
    return unpacked if unpacked is not None and unpacked.runs else None


def find_fhir_package(*needed: str) -> Path | None:
    """The folder where these npm packages were installed, by HEMOWIRE_FHIR_VALIDATOR or by us."""
    given = os.environ.get("HEMOWIRE_FHIR_VALIDATOR")
    folder = Path(given) if given else _folder("npm-fhir")
    are_there = all((folder / "node_modules" / name).is_dir() for name in needed)
    return folder if are_there and shutil.which("node") is not None else None


def main() -> int:
    """Fetches what is not there; 1 with the reasons where something cannot be had."""
    missing = []
    for name, package in PACKAGES.items():
        if find_tool(name) is None and (why := _unpack(name, package)):
            missing.append(f"{package}: {why}")
    if find_fhir_package("fhir") is None and (why := _install_fhir()):
        missing.append(f"npm's fhir: {why}")
    for line in missing:
        sys.stderr.write(f"{line}\n")
    return 1 if missing else 0


def _unpack(name: str, package: str) -> str:
    if shutil.which("apt-get") is None:
        return "apt-get is not here"

    def runs(folder: Path) -> bool:
        tool = _unpacked(name, folder)
        return tool is not None and tool.runs

    try:
        unpack_package(package, _folder(package), runs)
    except (OSError, subprocess.SubprocessError) as error:
        return last_line(error)
    return ""


def _install_fhir() -> str:
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return "node and npm are not here"
    folder = _folder("npm-fhir")
    folder.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "fhir@4"]
    try:
        subprocess.run(command, capture_output=True, check=True, text=True, timeout=300)
    except (OSError, subprocess.SubprocessError) as error:
        return last_line(error)
    return ""


def _unpacked(name: str, folder: Path) -> OutsideTool | None:
    found = next((one for one in folder.glob(f"usr/*bin/{name}")), None)
    if found is None:
        return None
    libraries = sorted({str(one.parent) for one in folder.glob("usr/lib/**/*.so*")})
    dictionaries = [str(one) for one in folder.glob(_DICTIONARY)]
    environ = {"LD_LIBRARY_PATH": ":".join(libraries), "DCMDICTPATH": ":".join(dictionaries)}
    return OutsideTool(str(found), {name: value for name, value in environ.items() if value})


def _folder(name: str) -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "hemowire" / name


if __name__ == "__main__":
    raise SystemExit(main())
