"""Serves the page and the socket inside the agent's event loop; it takes no signals, writes no log of its own lines.

    server = BenchServer(bench, settings.bench, settings.data_dir)   # sockets are open, or BenchError
    task = tasks.create_task(server.run(), name="bench")             # serves until cancelled

starlette and uvicorn are imported by `run`: a job that only needs the socket's name does not pay.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from edge_device.bench.protocol import Bench
from edge_device.bench.settings import BenchSettings
from edge_device.bench.socket_file import BenchError, SocketFile
from service_runtime.log import get_log
from service_runtime.web_server import CannotListenError, WebServer, host_in_url, listen

_BACKLOG: Final = 16
#: Connections at once over both listeners; more are told 503.
_CONNECTIONS: Final = 64
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
                tcp = listen(settings.host, settings.port, backlog=_BACKLOG)
            except CannotListenError as error:
                self._file.close()
                raise BenchError(f"bench: {error}") from error
            self._sockets.append(tcp)
            self.url = f"http://{host_in_url(settings.host)}:{tcp.getsockname()[1]}/"

    async def run(self) -> None:
        """Serves until cancelled; open event streams are ended, not waited for."""
        from edge_device.bench.app import BenchApp

        server = WebServer(
            BenchApp(self._bench, token=self._token),
            self._sockets,
            program="edge",
            connections=_CONNECTIONS,
            backlog=_BACKLOG,
            keep_alive_s=15,
            says_date=False,
        )
        get_log("edge").info("bench_open", socket=str(self._file.path), page=self.url)
        try:
            await server.run()
        finally:
            self.close()

    def close(self) -> None:
        """Closes the sockets of a server that does not run."""
        for opened in self._sockets:
            opened.close()
        self._file.close()


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
