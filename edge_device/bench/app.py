"""The bench's few addresses: state, events, pictures, actions and the page itself; what they do is the agent's.

GET  /state                    the state as JSON
GET  /events                   the same as server-sent events
GET  /preview.jpg              the live picture; 204 where there is none now
GET  /captures/{image_id}.jpg  a small picture of a capture
POST /actions/{name}           {"operator": "...", "arguments": {...}} -> {"ok", "result", "error"}
GET  /                         the page
POST /login                    {"token": "..."} where a token is asked for
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from edge_device.bench.event_stream import state_events
from edge_device.bench.guard import Guard
from edge_device.bench.preview import SharedPreview
from edge_device.bench.protocol import Bench
from service_runtime.house_style.sheets import page_sheet
from wire_protocol.ids import HEX128_PATTERN

MAX_BODY_BYTES: Final = 64 * 1024
#: Pages and terminals that look at once; each holds a connection.
MAX_STREAMS: Final = 16
#: How long the answer to a wrong token is held back, one after the other.
WRONG_TOKEN_S: Final = 1.0
_STATIC: Final = Path(__file__).parent / "static"
_HTML: Final = "text/html; charset=utf-8"
_CSS: Final = "text/css; charset=utf-8"
_SCRIPT: Final = "text/javascript; charset=utf-8"
_FILES: Final[Mapping[str, tuple[str, str]]] = {
    "/": ("index.html", _HTML),
    "/login": ("login.html", _HTML),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_PICTURE: Final = re.compile(HEX128_PATTERN[:-1] + r"\.jpg$")

Operator = Annotated[
    str, StringConstraints(strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f]{1,64}$")
]
Plain = str | int | float | bool
BodyT = TypeVar("BodyT", bound=BaseModel)


class Wish(BaseModel):
    """Body of an action; its arguments are plain values or lists of them, which the action checks."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    operator: Operator
    arguments: dict[str, Plain | list[Plain] | None] = {}


class Login(BaseModel):
    """Body of a login."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(max_length=1024)


class BenchApp:
    """An ASGI application for both listeners; a `token` is asked of TCP only."""

    def __init__(self, bench: Bench, *, token: str = "", hostname: str | None = None) -> None:
        self._bench = bench
        self._preview = SharedPreview(bench.preview_jpeg)
        self._stopping = asyncio.Event()
        self._streams = 0
        self._wrong_token = asyncio.Lock()
        files = dict(_FILES) | {
            f"/{script.name}": (script.name, _SCRIPT) for script in _STATIC.glob("*.js")
        }
        routes = [
            Route("/state", self._state),
            Route("/events", self._events),
            Route("/preview.jpg", self._preview_jpeg),
            Route("/captures/{name}", self._capture_jpeg),
            Route("/actions/{name}", self._action, methods=["POST"]),
            Route("/login", self._login, methods=["POST"]),
            *(
                Route(path, _file((_STATIC / name).read_bytes(), media_type))
                for path, (name, media_type) in files.items()
            ),
            Route("/bench.css", _file(page_sheet(_STATIC / "bench.css"), _CSS)),
        ]
        inner = Starlette(routes=routes, exception_handlers={HTTPException: _refused})
        self._guard = Guard(inner, token=token, hostname=hostname)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        await self._guard(scope, receive, send)

    def end_streams(self) -> None:
        """Ends the event streams, so that the server can stop."""
        self._stopping.set()

    async def _state(self, _request: Request) -> Response:
        return Response(self._bench.state().model_dump_json(), media_type="application/json")

    async def _events(self, _request: Request) -> Response:
        if self._streams >= MAX_STREAMS:
            raise HTTPException(503, f"{MAX_STREAMS} pages are open already: close one")
        return StreamingResponse(self._counted_events(), media_type="text/event-stream")

    async def _counted_events(self) -> AsyncIterator[bytes]:
        self._streams += 1
        try:
            async for event in state_events(self._bench, self._stopping):
                yield event
        finally:
            self._streams -= 1

    async def _preview_jpeg(self, _request: Request) -> Response:
        jpeg = await self._preview.jpeg()
        return Response(status_code=204) if jpeg is None else _picture(jpeg)

    async def _capture_jpeg(self, request: Request) -> Response:
        name = str(request.path_params["name"])
        if not _PICTURE.fullmatch(name):
            raise HTTPException(404, "a picture is called by its image id: 32 hexadecimal digits")
        jpeg = await self._bench.capture_jpeg(name.removesuffix(".jpg"))
        if jpeg is None:
            raise HTTPException(404, "there is no picture of this image here any more")
        # The bytes of an image id never change.
        return _picture(jpeg, {"cache-control": "private, max-age=3600, immutable"})

    async def _action(self, request: Request) -> Response:
        name = str(request.path_params["name"])
        known = self._bench.state().actions
        if name not in known:
            raise HTTPException(404, f"unknown action; known: {', '.join(sorted(known))}")
        wish = await _body(request, Wish)
        answer = await self._bench.run(name, wish.arguments, operator=wish.operator)
        told = {"ok": answer.ok, "result": dict(answer.result), "error": answer.error}
        return JSONResponse(told, 200 if answer.ok else 409)

    async def _login(self, request: Request) -> Response:
        login = await _body(request, Login)
        if not self._guard.is_token(login.token):
            async with self._wrong_token:
                await asyncio.sleep(WRONG_TOKEN_S)
            raise HTTPException(403, "this is not the token of this device")
        response = JSONResponse({"ok": True, "result": {}, "error": ""})
        self._guard.set_cookie(response)
        return response


def _file(content: bytes, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    """A route to a file of the page, read once; a browser asks each time whether it is still this one."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    headers = {"etag": tag, "cache-control": "no-cache"}

    async def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=media_type, headers=headers)

    return answer


def _picture(jpeg: bytes, headers: Mapping[str, str] | None = None) -> Response:
    return Response(jpeg, media_type="image/jpeg", headers=headers)


async def _body(request: Request, kind: type[BodyT]) -> BodyT:
    """The checked body; raises HTTPException before more than MAX_BODY_BYTES are held."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, f"a body has at most {MAX_BODY_BYTES} bytes")
    try:
        return kind.model_validate_json(bytes(body))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise HTTPException(400, f"{where}: {first['msg']}") from error


async def _refused(_request: Request, error: Exception) -> Response:
    """Every refusal has the form of an action's answer."""
    assert isinstance(error, HTTPException)
    told = {"ok": False, "result": {}, "error": error.detail}
    return JSONResponse(told, error.status_code, headers=error.headers)
