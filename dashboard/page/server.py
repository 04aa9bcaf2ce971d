"""Serves the page over one socket, with TLS where there is a certificate; it knows no case.

server = PageServer(settings.page)      # the socket is open, or PageError
await server.run(app)                   # serves until cancelled
"""

from __future__ import annotations

import ssl
from typing import Final

from dashboard.page.settings import PageSettings
from service_runtime.log import get_log
from service_runtime.web_server import (
    CannotListenError,
    Streaming,
    WebServer,
    host_in_url,
    listen,
)

_BACKLOG: Final = 128
#: Connections at once; more are told 503.
_CONNECTIONS: Final = 512


class PageError(Exception):
    """The page cannot be served as it is configured; exit code 2."""


class PageServer:
    """The open socket and the server over it."""

    def __init__(self, settings: PageSettings) -> None:
        self._settings = settings
        try:
            self._socket = listen(settings.host, settings.port, backlog=_BACKLOG)
        except CannotListenError as error:
            raise PageError(f"page: {error}") from error
        # The first name of the settings stands for the address.
        shown = settings.names[0] if settings.names else host_in_url(settings.host)
        scheme = "https" if settings.is_tls else "http"
        #: Where the page is.
        self.url = f"{scheme}://{shown}:{self._socket.getsockname()[1]}/"

    async def run(self, app: Streaming) -> None:
        """Serves until cancelled; open event streams are ended, not waited for."""
        try:
            server = WebServer(
                app,
                [self._socket],
                program="dashboard",
                connections=_CONNECTIONS,
                backlog=_BACKLOG,
                cert_file=self._settings.cert_file,
                key_file=self._settings.key_file,
            )
        except (OSError, ssl.SSLError) as error:
            self._socket.close()
            raise PageError(f"page.cert_file, page.key_file: {error}") from error
        get_log("dashboard").info("page_open", page=self.url)
        await server.run()

    def close(self) -> None:
        """Closes the socket of a server that does not run."""
        self._socket.close()
