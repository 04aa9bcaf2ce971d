"""Unpacks Debian packages into a folder without root; it installs and changes nothing of the system.

Needs nothing but the standard library, so that it runs before there is a Python environment.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

_TIMEOUT_S = 300
_URI = re.compile(r"^'[^']+' ([^_\s]+)_\S+\.deb ", re.MULTILINE)


def unpack_package(
    package: str, folder: Path, runs: Callable[[Path], bool], *, with_libraries: Sequence[str] = ()
) -> None:
    """Downloads `package` and what this system lacks for it, and unpacks them into `folder`.

    `with_libraries` are the packages that it needs where apt cannot say it. Raises SubprocessError
    with the reason, also where the unpacked program does not run; `folder` is replaced as a whole.
    """
    folder = folder.resolve()
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    (part / "debs").mkdir(parents=True)
    wanted = (package, *with_libraries)
    if _download(wanted, part / "debs", ()):
        # A fresh container has no package lists, and only root may fetch the system's: keep our own.
        state = part / "apt"
        for name in ("lists/partial", "cache/archives/partial"):
            (state / name).mkdir(parents=True)
        options = ["-o", f"Dir::State::Lists={state}/lists", "-o", f"Dir::Cache={state}/cache"]
        run(["apt-get", "-q", *options, "update"])
        if failed := _download(wanted, part / "debs", options):
            raise subprocess.SubprocessError(failed)
    for file in sorted((part / "debs").glob("*.deb")):
        run(["dpkg", "-x", str(file), str(part)])
    for name in ("debs", "apt"):
        shutil.rmtree(part / name, ignore_errors=True)
    if not runs(part):
        raise subprocess.SubprocessError(f"the unpacked {package} does not start")
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def run(
    command: Sequence[str], *, check: bool = True, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command without a terminal; raises SubprocessError where it fails and `check` is set."""
    return subprocess.run(
        list(command),
        cwd=cwd,
        check=check,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        stdin=subprocess.DEVNULL,
    )


def last_line(error: object) -> str:
    """The last line of what went wrong, for a person."""
    text = str(getattr(error, "stderr", None) or error).strip()
    return text.splitlines()[-1] if text else "no reason given"


def _download(wanted: Sequence[str], folder: Path, options: Sequence[str]) -> str:
    """Fetches the packages into `folder`; the reason if that failed, else an empty text."""
    package = wanted[0]
    # Files in the system's cache would be left out of the list, which then lacks some of them.
    (folder / "partial").mkdir(exist_ok=True)
    empty = f"Dir::Cache::archives={folder}"
    asked = run(
        [
            "apt-get", "-qq", "-y", *options, "-o", empty, "-o", "Debug::NoLocking=1", "--print-uris",
            "--no-install-recommends", "install", package,
        ],
        check=False,
    )  # fmt: skip
    names = sorted({*_URI.findall(asked.stdout), package})
    if len(names) == 1:
        names = list(wanted)  # already installed here, or apt could not say
    done = run(["apt-get", "-q", *options, "download", *names], check=False, cwd=folder)
    return "" if done.returncode == 0 else last_line(done.stderr or "apt-get download failed")
