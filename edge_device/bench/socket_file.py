"""The agent's socket file in its data directory: made for its own user only, found by the jobs of that user.

The path of a Unix socket has at most 107 bytes; a longer one is reached through the open directory
where the system has /proc, and refused by name elsewhere. The directory must not be writable for
everybody, or for a group other than the agent's own: whoever can write there could put a socket of
his own in place of the agent's.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SOCKET_NAME: Final = "agent.sock"
#: sizeof(sun_path) less its closing zero.
LONGEST_PATH_BYTES: Final = 107
_OWN_FOLDERS: Final = Path("/proc/self/fd")
_BACKLOG: Final = 16


class BenchError(Exception):
    """The local socket or the page cannot be opened; says which and why."""


class SocketFile:
    """A listening socket in `data_dir`; whatever a killed agent left there is replaced."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / SOCKET_NAME
        self._is_closed = False
        _check_folder(data_dir)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _address(data_dir) as address:
                _remove_stale(self.path, address)
                self.socket.bind(address)
                # Nobody can connect before listen, so there is no moment with another mode.
                self.path.chmod(0o600)
                self._inode = self.path.stat().st_ino
                self.socket.listen(_BACKLOG)
        except OSError as error:
            self.socket.close()
            raise BenchError(f"{self.path}: cannot be made ({error.strerror or error})") from error
        except BenchError:
            self.socket.close()
            raise

    def close(self) -> None:
        """Closes the socket and removes its file, unless that is another one's by now."""
        if self._is_closed:
            return
        self._is_closed = True
        self.socket.close()
        try:
            if self.path.lstat().st_ino == self._inode:
                self.path.unlink()
        except OSError:
            return  # gone already, or a disk that refuses: the next start replaces it


def connect(data_dir: Path, timeout_s: float) -> socket.socket:
    """A connection to the agent of `data_dir`; raises OSError where there is none."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        with _address(data_dir) as address:
            connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _address(data_dir: Path) -> Iterator[str]:
    """A path to the socket that is short enough, good while the context lasts."""
    path = str(data_dir / SOCKET_NAME)
    size = len(os.fsencode(path))
    if size <= LONGEST_PATH_BYTES:
        yield path
        return
    if not _OWN_FOLDERS.is_dir():
        raise BenchError(
            f"{path}: {size} bytes, the path of a socket has at most {LONGEST_PATH_BYTES};"
            " choose a shorter data_dir"
        )
    folder = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"{_OWN_FOLDERS}/{folder}/{SOCKET_NAME}"
    finally:
        os.close(folder)


def _check_folder(data_dir: Path) -> None:
    try:
        found = data_dir.stat()
    except OSError as error:
        raise BenchError(f"{data_dir}: {error.strerror}") from error
    if found.st_uid not in (0, os.geteuid()):
        raise BenchError(f"{data_dir}: belongs to user {found.st_uid}, not to the agent's own")
    others = found.st_mode & stat.S_IWOTH
    if others or (found.st_mode & stat.S_IWGRP and found.st_gid != os.getegid()):
        raise BenchError(
            f"{data_dir}: mode {stat.S_IMODE(found.st_mode):o} lets other users put a socket of"
            f" theirs in place of the agent's; run: chmod go-w {data_dir}"
        )


def _remove_stale(path: Path, address: str) -> None:
    """Removes the socket of an agent that was killed; refuses where one answers."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise BenchError(f"{path}: is no socket and is left alone; move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(address)
        except ConnectionRefusedError:
            path.unlink()
            return
    raise BenchError(f"{path}: another agent answers there")
