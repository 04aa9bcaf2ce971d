"""Serves the page over one socket, with TLS where there is a certificate; it takes no signals.

server = PageServer(settings.page)      # the socket is open, or PageError
await server.run(app)                   # serves until cancelled
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, Protocol

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config

from dashboard.page.settings import PageSettings
from service_runtime.log import get_log

_BACKLOG: Final = 128
#: Connections at once; more are told 503.
_CONNECTIONS: Final = 512
#: What a request may take to end when the program stops, whole seconds.
_STOP_S: Final = 1


class PageError(Exception):
    """The page cannot be served as it is configured; exit code 2."""


class Streaming(Protocol):
    """An application whose endless answers can be ended."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    def end_streams(self) -> None: ...


class PageServer:
    """The open socket and the server over it."""

    def __init__(self, settings: PageSettings) -> None:
        self._settings = settings
        self._socket = _listen(settings.host, settings.port)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        #: Where the page is; the first name of the settings stands for the address.
        shown = settings.names[0] if settings.names else host
        scheme = "https" if settings.is_tls else "http"
        self.url = f"{scheme}://{shown}:{self._socket.getsockname()[1]}/"

    async def run(self, app: Streaming) -> None:
        """Serves until cancelled; open event streams are ended, not waited for."""
        config = _config(app, self._settings)
        try:
            config.load()
        except (OSError, ssl.SSLError) as error:
            self._socket.close()
            raise PageError(f"page.cert_file, page.key_file: {error}") from error
        server = _WithoutSignals(config)
        with _log_to_ours():
            serving = asyncio.create_task(server.serve(sockets=[self._socket]), name="page server")
            get_log("dashboard").info("page_open", page=self.url)
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
                self._socket.close()

    def close(self) -> None:
        """Closes the socket of a server that does not run."""
        self._socket.close()


class _WithoutSignals(uvicorn.Server):
    """The program's own handlers stay: it is the program who stops, not its server."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _config(app: ASGIApp, settings: PageSettings) -> Config:
    return Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        backlog=_BACKLOG,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_STOP_S,
        ssl_certfile=settings.cert_file,
        ssl_keyfile=settings.key_file,
    )


class _ToOurLog(logging.Handler):
    """What uvicorn finds worth a warning, as events of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        told: dict[str, str] = {"message": record.getMessage().strip()}
        if record.exc_info and record.exc_info[0]:
            # As lines: a log that also prints variables would print what a person typed.
            told["exception"] = "".join(traceback.format_exception(*record.exc_info))
        get_log("dashboard").error("page_server", **told)


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
        raise PageError(f"page: {host} port {port}: {error.strerror or error}") from error
    return listener
