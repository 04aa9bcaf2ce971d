"""Starts Mosquitto as a child process and waits until it accepts; restarting it is the caller's choice."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from types import TracebackType
from typing import Self

from broker_config.locate import Mosquitto, require_mosquitto
from broker_config.render import RenderedBroker

_LOG_TAIL_LINES = 12


class BrokerStartError(Exception):
    """Mosquitto ended, or did not accept in time; the message has the end of its log."""


class BrokerProcess:
    """A running Mosquitto. It is in a process group of its own: Ctrl-C reaches it only through us."""

    def __init__(self, rendered: RenderedBroker, mosquitto: Mosquitto | None = None) -> None:
        self.rendered = rendered
        self._mosquitto = mosquitto or require_mosquitto()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """The port of its listener."""
        return self.rendered.listener.port

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return None if self._process is None else self._process.pid

    def start(self, *, timeout_s: float = 10.0) -> None:
        """Starts it and returns once it accepts connections; raises BrokerStartError."""
        if self._connects():
            raise BrokerStartError(f"{self._where} is in use by another program")
        with self.rendered.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._mosquitto.program), "-c", str(self.rendered.config_file)],
                env=self._mosquitto.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout_s
        while not self._accepts():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise BrokerStartError(
                    f"Mosquitto did not start on {self._where}:\n{self._log_tail()}"
                )
            time.sleep(0.01)

    def stop(self, *, timeout_s: float = 5.0) -> None:
        """SIGTERM, so that it saves its data; SIGKILL after `timeout_s`. Harmless when stopped."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """SIGKILL: what a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """SIGSTOP: connected, and silent."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT, after `freeze`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def poll(self) -> int | None:
        """The exit code if it has ended by itself, else None."""
        return None if self._process is None else self._process.poll()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def _where(self) -> str:
        return f"{self.rendered.listener.bind}:{self.port}"

    def _accepts(self) -> bool:
        return self._connects() and self.poll() is None

    def _connects(self) -> bool:
        host = self.rendered.listener.bind
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        try:
            with socket.create_connection((host, self.port), timeout=0.5):
                return True
        except OSError:
            return False

    def _log_tail(self) -> str:
        text = self.rendered.log_file.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-_LOG_TAIL_LINES:])


def free_port() -> int:
    """A TCP port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
