"""Serves an ASGI application inside somebody else's event loop; it takes no signals and writes no lines of its own.

    opened = listen("127.0.0.1", 8080, backlog=128)          # or CannotListenError
    server = WebServer(app, [opened], program="dashboard")   # reads the certificate: OSError, ssl.SSLError
    await server.run()                                       # until cancelled

uvicorn is imported by `WebServer`: a job that only needs to know an address does not pay for it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from service_runtime.log import get_log

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import Receive, Scope, Send

#: What a request may take to end when the program stops, whole seconds.
_STOP_S: Final = 1


class CannotListenError(Exception):
    """The address cannot be had; the message names it and why."""


class Streaming(Protocol):
    """An application whose endless answers can be ended."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    def end_streams(self) -> None: ...


class WebServer:
    """A server over open sockets, which it closes; `connections` beyond are told 503."""

    def __init__(
        self,
        app: Streaming,
        sockets: Sequence[socket.socket],
        *,
        program: str,
        connections: int,
        backlog: int,
        keep_alive_s: int = 30,
        says_date: bool = True,
        cert_file: Path | None = None,
        key_file: Path | None = None,
    ) -> None:
        from uvicorn import Config

        self._app = app
        self._sockets = list(sockets)
        self._program = program
        config = Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=says_date,
            limit_concurrency=connections,
            backlog=backlog,
            timeout_keep_alive=keep_alive_s,
            timeout_graceful_shutdown=_STOP_S,
            ssl_certfile=cert_file,
            ssl_keyfile=key_file,
        )
        config.load()
        self._server = _without_signals(config)

    async def run(self) -> None:
        """Serves until cancelled; open event streams are ended, not waited for."""
        server = self._server
        with _told_to_our_log(self._program):
            serving = asyncio.create_task(server.serve(sockets=self._sockets), name="web server")
            try:
                await asyncio.shield(serving)
            finally:
                self._app.end_streams()
                server.should_exit = True
                with suppress(asyncio.CancelledError):
                    await serving
                for connection in list(server.server_state.connections):
                    transport = getattr(connection, "transport", None)
                    if transport is not None:  # a reader that takes nothing
                        transport.abort()
                for opened in self._sockets:
                    opened.close()


def listen(host: str, port: int, *, backlog: int) -> socket.socket:
    """A listening socket; raises CannotListenError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise CannotListenError(f"{host} port {port}: {error.strerror or error}") from error
    return listener


def host_in_url(host: str) -> str:
    """The host as an address of a page names it."""
    return f"[{host}]" if ":" in host else host


def _without_signals(config: uvicorn.Config) -> uvicorn.Server:
    import uvicorn

    class WithoutSignals(uvicorn.Server):
        """The program's own handlers stay: it is the program who stops, not its server."""

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    return WithoutSignals(config)


class _ToOurLog(logging.Handler):
    """What uvicorn finds worth a warning, as events of ours."""

    def __init__(self, program: str) -> None:
        super().__init__(logging.WARNING)
        self._program = program

    def emit(self, record: logging.LogRecord) -> None:
        told: dict[str, str] = {"message": record.getMessage().strip()}
        if record.exc_info and record.exc_info[0]:
            # As lines: a log that also prints variables would print what a person typed.
            told["exception"] = "".join(traceback.format_exception(*record.exc_info))
        get_log(self._program).error("web_server", **told)


@contextmanager
def _told_to_our_log(program: str) -> Iterator[None]:
    theirs, ours = logging.getLogger("uvicorn.error"), _ToOurLog(program)
    before = theirs.propagate
    theirs.propagate = False
    theirs.addHandler(ours)
    try:
        yield
    finally:
        theirs.removeHandler(ours)
        theirs.propagate = before
