"""An InfluxDB 2 write endpoint that answers as it is told and keeps what it took; it knows no query."""

from __future__ import annotations

import gzip
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, and headers and a body to go with it."""

    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    #: InfluxDB writes the good points of a batch whose bad ones it refuses.
    takes: Callable[[bytes], bool] = lambda _line: False


@dataclass(slots=True)
class PretendInflux:
    """What came, in order; `next_answers` are given first, then `always` decides."""

    url: str = ""
    next_answers: deque[Answer] = field(default_factory=deque)
    always: Callable[[bytes], Answer] = lambda _body: Answer(204)
    taken: list[bytes] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition, repr=False)

    def answer(self, body: bytes) -> Answer:
        """What is said to this body; its lines are kept where they are taken."""
        said = self.next_answers.popleft() if self.next_answers else self.always(body)
        lines = body.splitlines()
        with self.changed:
            taken = lines if said.status == 204 else [line for line in lines if said.takes(line)]
            self.taken += taken
            self.changed.notify_all()
        return said

    def until(self, count: int, longest_s: float = 20.0) -> None:
        """Waits until so many lines were taken."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.taken) >= count, longest_s)


@contextmanager
def pretend_influx() -> Iterator[PretendInflux]:
    """Serves on a free port of loopback."""
    pretended = PretendInflux()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            asked = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(asked.query).items()}
            headers = {name.lower(): text for name, text in self.headers.items()}
            pretended.requests.append({"path": asked.path, **query, **headers})
            said = pretended.answer(body)
            self.send_response(said.status)
            for name, text in said.headers.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(said.body)))
            self.end_headers()
            self.wfile.write(said.body.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    pretended.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield pretended
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
