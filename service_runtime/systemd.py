"""Tells systemd that a service is ready, alive, stopping; silent where no systemd listens, and never fatal."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress


class Systemd:
    """The notification socket of sd_notify(3); `environ` is the process's where nothing is given."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._watchdog_s = _watchdog_s(environ)
        self._status = ""

    @property
    def watchdog_s(self) -> float | None:
        """After so long without a sign of life the service is killed; None without a watchdog."""
        return self._watchdog_s

    def ready(self) -> None:
        """The service does its work from here on."""
        self._tell("READY=1")

    def stopping(self) -> None:
        """The service was told to stop and puts its work away."""
        self._tell("STOPPING=1")

    def status(self, words: str) -> None:
        """One line for `systemctl status`; told when it is another one."""
        if words != self._status:
            self._status = words
            self._tell("STATUS=" + words.replace("\n", " "))

    async def watch(self, is_alive: Callable[[], bool]) -> None:
        """Gives the signs of life for ever, from the loop, while `is_alive` says so."""
        if self._watchdog_s is None:
            return
        while True:
            if is_alive():
                self._tell("WATCHDOG=1")
            await asyncio.sleep(self._watchdog_s / 3)

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.setblocking(False)
            told.sendto(message.encode(), self._address)


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """The unit's WatchdogSec, where it is meant for this process."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    with suppress(ValueError):
        seconds = int(environ.get("WATCHDOG_USEC", "")) / 1e6
        return seconds if seconds > 0 else None
    return None
