"""Small disks in memory that can be filled, and rot in an outbox's files; needs root for the disks."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

_FILLER = "filler"
_BLOCK = bytes(64 * 1024)


def why_no_disk(folder: Path) -> str:
    """What is missing for small disks here; empty where they can be made."""
    if os.geteuid() != 0:
        return "mounting a small disk needs root"
    probe = folder / "probe-disk"
    probe.mkdir()
    try:
        with small_disk(probe, 1):
            return ""
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no small disk can be mounted ({error})"
    finally:
        with suppress(OSError):
            shutil.rmtree(probe)


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """A disk of that size at an empty folder; what is on it at the end stays there as plain files."""
    options = f"size={megabytes}m,mode=0755"
    command = ["mount", "-t", "tmpfs", "-o", options, "hemowire-chaos", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    try:
        yield
    finally:
        kept = folder.with_name(f"{folder.name}.kept")
        shutil.copytree(folder, kept, ignore=shutil.ignore_patterns("*.sock", _FILLER))
        subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True)
        folder.rmdir()
        kept.rename(folder)


def fill(folder: Path) -> int:
    """Takes every free byte of the disk; returns how many."""
    taken = 0
    with (folder / _FILLER).open("ab", buffering=0) as file, suppress(OSError):
        while written := file.write(_BLOCK):
            taken += written
    return taken


def empty(folder: Path) -> None:
    """Gives them back."""
    (folder / _FILLER).unlink(missing_ok=True)


def waiting(outbox: Path) -> list[str]:
    """The images that no worker has yet; none where the outbox cannot be read just now."""
    uri = f"{(outbox / 'outbox.sqlite').resolve().as_uri()}?mode=ro"
    query = "SELECT image_id FROM images WHERE bytes_held AND state IN ('waiting', 'sending')"
    try:
        connection = sqlite3.connect(uri, uri=True, timeout=1)
        try:
            return [name for (name,) in connection.execute(query)]
        finally:
            connection.close()
    except sqlite3.Error:
        return []


def rot(outbox: Path, names: Sequence[str], random: Random) -> str:
    """Turns one bit of one of these files; "" where it cannot be done."""
    try:
        for name in random.sample(names, len(names)):
            with (outbox / "images" / name).open("r+b", buffering=0) as file:
                size = file.seek(0, os.SEEK_END)
                at = random.randrange(size)
                file.seek(at)
                byte = file.read(1)[0]
                file.seek(at)
                file.write(bytes([byte ^ (1 << random.randrange(8))]))
            return str(name)
    except OSError:
        return ""
    return ""


def is_locked(file: Path, locks: Path = Path("/proc/locks")) -> bool:
    """Whether a process holds a lock on the file, without trying to take it from a process that is
    about to; True where the system does not list locks."""
    if not locks.is_file():
        return True
    try:
        found = file.stat()
    except FileNotFoundError:
        return False
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    held = (line.split() for line in locks.read_text(encoding="ascii").splitlines())
    return any(words[1] != "->" and words[5] == f"{device}:{found.st_ino}" for words in held)
