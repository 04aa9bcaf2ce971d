"""Checked bodies, files and refusals of the page's addresses; it knows no case."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service_runtime.house_style.sheets import page_sheet

MAX_BODY_BYTES: Final = 16 * 1024
#: Below this a packed answer is hardly smaller.
_PACKED_FROM_BYTES: Final = 1400

BodyT = TypeVar("BodyT", bound=BaseModel)
Answer = Callable[[Request], Awaitable[Response]]


async def read_body(request: Request, kind: type[BodyT]) -> BodyT:
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


def json_answer(request: Request, view: BaseModel) -> Response:
    """A view as JSON, packed for browsers that unpack."""
    body = view.model_dump_json().encode()
    headers = {"vary": "accept-encoding"}
    if len(body) >= _PACKED_FROM_BYTES and "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, 5)
        headers["content-encoding"] = "gzip"
    return Response(body, media_type="application/json", headers=headers)


def file_answer(path: Path, media_type: str, headers: Mapping[str, str] | None = None) -> Answer:
    """A route to a file of the page, read once; a browser asks whether it is still this one. A style
    sheet comes after the house style."""
    content = page_sheet(path) if path.suffix == ".css" else path.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    packed = gzip.compress(content, 9)
    common = {
        "etag": tag,
        "cache-control": "no-cache",
        "vary": "accept-encoding",
        **(headers or {}),
    }

    async def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=common)
        if len(packed) < len(content) and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(
                packed, media_type=media_type, headers={**common, "content-encoding": "gzip"}
            )
        return Response(content, media_type=media_type, headers=common)

    return answer


def worker_answer(folder: Path) -> Answer:
    """The service worker, told which files the page is made of and in which version."""
    files = sorted(file for file in folder.iterdir() if file.suffix in (".js", ".css", ".svg"))
    whole = b"".join(file.read_bytes() for file in sorted(folder.iterdir()))
    digest = hashlib.sha256(whole + page_sheet(folder / "page.css"))
    names = ", ".join(f'"/{file.name}"' for file in files if file.name not in ("sw.js", "page.css"))
    text = (folder / "sw.js").read_text(encoding="utf-8")
    script = text.replace("__VERSION__", digest.hexdigest()[:16]).replace("__FILES__", names)

    async def answer(_request: Request) -> Response:
        headers = {"cache-control": "no-cache"}
        return Response(script, media_type="text/javascript; charset=utf-8", headers=headers)

    return answer


def picture_answer(data: bytes, media_type: str, sha256: str = "") -> Response:
    """Bytes that never change under their address."""
    headers = {"cache-control": "private, max-age=86400, immutable"}
    if sha256:
        headers["etag"] = f'"{sha256}"'
    return Response(data, media_type=media_type, headers=headers)


async def refused(_request: Request, error: Exception) -> Response:
    """Every refusal is JSON with one sentence."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)
