"""Gets Mosquitto onto this machine: apt-get with root or password-less sudo, else unpacked without.

    python -m broker_config.install

Needs nothing but the standard library. Without root the Debian packages are unpacked into the
cache folder and run from there; nothing of the system is changed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from broker_config.locate import (
    Mosquitto,
    MosquittoMissingError,
    cache_folder,
    find_mosquitto,
    probe_unpacked,
)

#: What Debian 12 and Ubuntu 22.04 need beside a minimal system, when apt cannot say it itself.
PACKAGES = ("mosquitto", "libmosquitto1", "libwrap0", "libdlt2", "libcjson1")
_TIMEOUT_S = 300
_URI = re.compile(r"^'[^']+' ([^_\s]+)_\S+\.deb ", re.MULTILINE)


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
            reasons.append(_last_line(error))
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
        if shutil.which("sudo") is None or _run(["sudo", "-n", "true"], check=False).returncode:
            raise PermissionError("neither root nor password-less sudo")
        prefix = ["sudo", "-n"]
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]
    install = [*apt, "install", "-y", "--no-install-recommends", "mosquitto"]
    if _run(install, check=False).returncode:
        _run([*apt, "update"])
        _run(install)


def unpack_packages(folder: Path) -> Mosquitto:
    """Downloads the packages and unpacks them into `folder`, as anyone; raises SubprocessError."""
    folder = folder.resolve()
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    (part / "debs").mkdir(parents=True)
    options: list[str] = []
    if _download(part / "debs", options):
        # A fresh container has no package lists, and only root may fetch the system's: keep our own.
        state = part / "apt"
        for name in ("lists/partial", "cache/archives/partial"):
            (state / name).mkdir(parents=True)
        options = ["-o", f"Dir::State::Lists={state}/lists", "-o", f"Dir::Cache={state}/cache"]
        _run(["apt-get", "-q", *options, "update"])
        if failed := _download(part / "debs", options):
            raise subprocess.SubprocessError(failed)
    for package in sorted((part / "debs").glob("*.deb")):
        _run(["dpkg", "-x", str(package), str(part)])
    for name in ("debs", "apt"):
        shutil.rmtree(part / name, ignore_errors=True)
    unpacked = probe_unpacked(part)
    if unpacked is None:
        raise subprocess.SubprocessError("the unpacked Mosquitto does not start")
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
    moved = probe_unpacked(folder)
    assert moved is not None  # it started a moment ago
    return moved


def _download(folder: Path, options: Sequence[str]) -> str:
    """Fetches the packages into `folder`; the reason if that failed, else an empty text."""
    asked = _run(
        [
            "apt-get", "-qq", "-y", *options, "-o", "Debug::NoLocking=1", "--print-uris",
            "--no-install-recommends", "install", "mosquitto",
        ],
        check=False,
    )  # fmt: skip
    names = sorted({*_URI.findall(asked.stdout), *PACKAGES[:1]})
    if len(names) == 1:
        names = list(PACKAGES)  # already installed here, or apt could not say
    done = _run(["apt-get", "-q", *options, "download", *names], check=False, cwd=folder)
    return "" if done.returncode == 0 else _last_line(done.stderr or "apt-get download failed")


def _run(
    command: Sequence[str], *, check: bool = True, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(command),
        cwd=cwd,
        check=check,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        stdin=subprocess.DEVNULL,
    )


def _last_line(error: object) -> str:
    text = str(getattr(error, "stderr", None) or error).strip()
    return text.splitlines()[-1] if text else "no reason given"


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
