"""A small HTTP client on asyncio for the tests: it can say what no browser would."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEADLINE_S = 20.0


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def fields(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed


@dataclass(frozen=True)
class Place:
    """A Unix socket, or a TCP port of this machine."""

    socket: Path | None = None
    port: int = 0

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.socket is not None:
            return await asyncio.open_unix_connection(str(self.socket))
        return await asyncio.open_connection("127.0.0.1", self.port)

    @property
    def host(self) -> str:
        return "localhost" if self.socket is not None else f"127.0.0.1:{self.port}"


async def ask(
    place: Place,
    path: str,
    *,
    method: str = "GET",
    body: bytes = b"",
    headers: dict[str, str] | None = None,
) -> Answer:
    """One request on a connection of its own; a header with the value "" is left out."""
    async with asyncio.timeout(DEADLINE_S):
        reader, writer = await place.open()
        try:
            writer.write(request(place, path, method=method, body=body, headers=headers))
            raw = await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()
    head, _, rest = raw.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    pairs = (line.split(": ", 1) for line in lines[1:])
    return Answer(int(lines[0].split()[1]), {name.lower(): value for name, value in pairs}, rest)


def request(
    place: Place,
    path: str,
    *,
    method: str = "GET",
    body: bytes = b"",
    headers: dict[str, str] | None = None,
) -> bytes:
    """The bytes of a request as the page would make it, but for `headers`."""
    sent = {"Host": place.host, "Connection": "close"}
    if method == "POST":
        sent |= {
            "Origin": f"http://{place.host}",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
        }
    sent |= headers or {}
    lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in sent.items() if v)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


async def act(place: Place, name: str, wish: object, **headers: str) -> Answer:
    """An action as the page asks for it."""
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return await ask(
        place, f"/actions/{name}", method="POST", body=json.dumps(wish).encode(), headers=named
    )


class Events:
    """An open event stream."""

    def __init__(self, place: Place) -> None:
        self._place = place

    async def __aenter__(self) -> Events:
        self._reader, self.writer = await self._place.open()
        self.writer.write(request(self._place, "/events"))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def next(self) -> dict[str, Any] | None:
        """The next state, None at the end."""
        async with asyncio.timeout(DEADLINE_S):
            while line := await self._reader.readline():
                if line.startswith(b"data: "):
                    state: dict[str, Any] = json.loads(line[6:])
                    return state
        return None
