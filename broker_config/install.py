"""Gets Mosquitto onto this machine: apt-get with root or password-less sudo, else unpacked without.

    python -m broker_config.install

Needs nothing but the standard library. Without root the Debian packages are unpacked into the
cache folder and run from there; nothing of the system is changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from broker_config.locate import (
    Mosquitto,
    MosquittoMissingError,
    cache_folder,
    find_mosquitto,
    probe_unpacked,
)
from service_runtime.debian_packages import last_line, run, unpack_package

#: What Debian 12 and Ubuntu 22.04 need beside a minimal system, when apt cannot say it itself.
PACKAGES = ("mosquitto", "libmosquitto1", "libwrap0", "libdlt2", "libcjson1")


def install_mosquitto() -> Mosquitto:
    """The broker that is there, or is there now; raises MosquittoMissingError with what to do."""
    found = find_mosquitto()
    if found is not None:
        return found
    if sys.platform == "darwin":
        raise MosquittoMissingError("Mosquitto was not found. Install it: brew install mosquitto")
    if shutil.which("apt-get") is None:
        raise MosquittoMissingError(
            "Mosquitto was not found, and neither was apt-get. Install Mosquitto 2.0.11 or newer "
            "with this system's package manager, or set HEMOWIRE_MOSQUITTO to its program."
        )
    reasons = []
    for way in (install_with_apt, lambda: unpack_packages(cache_folder())):
        try:
            way()
        except (OSError, subprocess.SubprocessError) as error:
            reasons.append(last_line(error))
        found = find_mosquitto()
        if found is not None:
            return found
    tried = "; ".join(reasons) or "it does not start"
    raise MosquittoMissingError(
        f"Mosquitto could not be installed ({tried}). Try: sudo apt-get install mosquitto"
    )


def install_with_apt() -> None:
    """`apt-get install` as root or by password-less sudo; raises OSError where neither is there."""
    prefix: list[str] = []
    if os.geteuid() != 0:
        if shutil.which("sudo") is None or run(["sudo", "-n", "true"], check=False).returncode:
            raise PermissionError("neither root nor password-less sudo")
        prefix = ["sudo", "-n"]
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]
    install = [*apt, "install", "-y", "--no-install-recommends", "mosquitto"]
    if run(install, check=False).returncode:
        run([*apt, "update"])
        run(install)


def unpack_packages(folder: Path) -> Mosquitto:
    """Downloads the packages and unpacks them into `folder`, as anyone; raises SubprocessError."""
    unpack_package(
        PACKAGES[0],
        folder,
        lambda part: probe_unpacked(part) is not None,
        with_libraries=PACKAGES[1:],
    )
    moved = probe_unpacked(folder.resolve())
    assert moved is not None  # it started a moment ago
    return moved


def main() -> int:
    """Prints where Mosquitto is; 1 with the reason where it could not be had."""
    try:
        found = install_mosquitto()
    except MosquittoMissingError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"mosquitto {found.version}: {found.program}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
