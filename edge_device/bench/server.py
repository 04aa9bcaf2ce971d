"""Serves the page and the socket inside the agent's event loop; it takes no signals, writes no log of its own lines.

    server = BenchServer(bench, settings.bench, settings.data_dir)   # sockets are open, or BenchError
    task = tasks.create_task(server.run(), name="bench")             # serves until cancelled

starlette and uvicorn are imported by `run`: a job that only needs the socket's name does not pay.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge_device.bench.protocol import Bench
from edge_device.bench.settings import BenchSettings
from edge_device.bench.socket_file import BenchError, SocketFile
from service_runtime.log import get_log

if TYPE_CHECKING:
    import uvicorn

_BACKLOG: Final = 16
#: Connections at once over both listeners; more are told 503.
_CONNECTIONS: Final = 64
#: What a request may take to end when the agent stops, whole seconds.
_STOP_S: Final = 1
_SHORTEST_TOKEN: Final = 16


class BenchServer:
    """The open sockets and the server over them."""

    def __init__(self, bench: Bench, settings: BenchSettings, data_dir: Path) -> None:
        self._bench = bench
        self._token = "" if settings.token_file is None else _read_token(settings.token_file)
        self._file = SocketFile(data_dir)
        self._sockets = [self._file.socket]
        #: Where the page is, "" without TCP.
        self.url = ""
        if settings.port is not None:
            try:
                tcp = _listen(settings.host, settings.port)
            except BenchError:
                self._file.close()
                raise
            self._sockets.append(tcp)
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            self.url = f"http://{host}:{tcp.getsockname()[1]}/"

    async def run(self) -> None:
        """Serves until cancelled; open event streams are ended, not waited for."""
        from uvicorn import Config

        from edge_device.bench.app import BenchApp

        log = get_log("edge")
        app = BenchApp(self._bench, token=self._token)
        config = Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            limit_concurrency=_CONNECTIONS,
            backlog=_BACKLOG,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=_STOP_S,
        )
        server = _server(config)
        with _log_to_ours():
            serving = asyncio.create_task(server.serve(sockets=self._sockets), name="bench server")
            log.info("bench_open", socket=str(self._file.path), page=self.url)
            try:
                await asyncio.shield(serving)
            finally:
                app.end_streams()
                server.should_exit = True
                with suppress(asyncio.CancelledError):
                    await serving
                for connection in list(server.server_state.connections):
                    transport = getattr(connection, "transport", None)
                    if transport is not None:  # a reader that takes nothing
                        transport.abort()
                self.close()

    def close(self) -> None:
        """Closes the sockets of a server that does not run."""
        for opened in self._sockets:
            opened.close()
        self._file.close()


def _server(config: uvicorn.Config) -> uvicorn.Server:
    import uvicorn

    class WithoutSignals(uvicorn.Server):
        """The agent's own handlers stay: it is the agent who stops, not its page."""

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    return WithoutSignals(config)


class _ToOurLog(logging.Handler):
    """What uvicorn finds worth a warning, as events of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        told: dict[str, str] = {"message": record.getMessage().strip()}
        if record.exc_info and record.exc_info[0]:
            # As lines: a log that also prints variables would print what a person typed.
            told["exception"] = "".join(traceback.format_exception(*record.exc_info))
        get_log("edge").error("bench_server", **told)


@contextmanager
def _log_to_ours() -> Iterator[None]:
    theirs, ours = logging.getLogger("uvicorn.error"), _ToOurLog(logging.WARNING)
    before = theirs.propagate
    theirs.propagate = False
    theirs.addHandler(ours)
    try:
        yield
    finally:
        theirs.removeHandler(ours)
        theirs.propagate = before


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise BenchError(f"bench: {host} port {port}: {error.strerror or error}") from error
    return listener


def _read_token(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise BenchError(f"bench.token_file: {path}: cannot be read ({reason})") from error
    if mode & (stat.S_IRWXO | stat.S_IWGRP) and os.name == "posix":
        raise BenchError(f"bench.token_file: {path}: others may read it; run: chmod 600 {path}")
    if len(token) < _SHORTEST_TOKEN or not token.isprintable():
        raise BenchError(
            f"bench.token_file: {path}: one line of {_SHORTEST_TOKEN} characters or more is needed"
        )
    return token
