"""HTTP upload to a service that stores, then classifies: the shape of object store and function."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.baselines.baseline import Facts, Method
from benchmarks.baselines.storing import Keeper
from benchmarks.baselines.way import EndSettings, Sent
from service_runtime.boot import monotonic_ns

FACTS = Facts(
    Method.HTTP,
    "HTTP upload to a FastAPI service",
    "posts the bytes on a connection that is kept; the answer comes after storing and classifying",
    "a failed request is sent again whole; no broker, so device and service must reach each other",
)
_ATTEMPTS = 20
_PAUSE_S = 0.05
#: Without a byte in either direction for so long, a request has failed.
_SILENCE_S = 60.0
_PIECE_BYTES = 64 * 1024


class HttpSending:
    """The device's end."""

    def __init__(self, settings: EndSettings) -> None:
        import httpx

        options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
        congestion: list[tuple[int, int, bytes]] = []
        if _kernel_has(settings.congestion):
            wanted = settings.congestion.encode()
            congestion = [(socket.IPPROTO_TCP, socket.TCP_CONGESTION, wanted)]
        # One connection for each image under way, as browsers and SDKs do, and kept for the next.
        self._client = httpx.AsyncClient(
            base_url=f"http://{settings.server_host}:{settings.server_port}",
            timeout=httpx.Timeout(_SILENCE_S),
            transport=httpx.AsyncHTTPTransport(
                limits=httpx.Limits(max_connections=8, max_keepalive_connections=8),
                socket_options=[*options, *congestion],
                trust_env=False,
            ),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Connected within this block."""
        async with self._client:
            await self._client.get("/")
            yield

    async def send(self, image: bytes) -> Sent:
        """Posts until the service has answered."""
        import httpx

        failure, attempts = "", 0
        while attempts < _ATTEMPTS:
            attempts += 1
            try:
                answer = await self._client.post(
                    "/images", content=_pieces(image), headers={"Content-Length": str(len(image))}
                )
            except httpx.HTTPError as error:
                failure = f"{type(error).__name__}: {error}"
                await asyncio.sleep(_PAUSE_S)
                continue
            failure = "" if answer.status_code == 200 else f"status {answer.status_code}"
            break
        return Sent(attempts * len(image), attempts, failure)


async def _pieces(image: bytes) -> AsyncIterator[bytes]:
    """As one piece it would have to leave within the limit of a silence, minutes on a slow link."""
    for offset in range(0, len(image), _PIECE_BYTES):
        yield image[offset : offset + _PIECE_BYTES]


def _kernel_has(congestion: str) -> bool:
    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
        except (OSError, AttributeError):
            return False
    return True


class HttpReceiving:
    """The service."""

    def __init__(self, settings: EndSettings, keeper: Keeper) -> None:
        self._keeper = keeper
        self._host = settings.listen_host

    @asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        """Serves within this block, on the port that it is given."""
        import uvicorn
        from fastapi import FastAPI, Request

        service = FastAPI(openapi_url=None)

        async def hello() -> dict[str, str]:
            return {}

        async def upload(request: Request) -> dict[str, str]:
            data = await request.body()
            kept = await self._keeper.keep(data, monotonic_ns())
            return {"sha256": kept.sha256, "outcome": kept.answer}

        # FastAPI finds the parameter's type by its name in the module, where Request is not.
        upload.__annotations__["request"] = Request
        service.get("/")(hello)
        service.post("/images")(upload)
        listener = socket.create_server((self._host, 0))
        listener.setblocking(False)
        server = uvicorn.Server(
            uvicorn.Config(service, log_level="error", access_log=False, lifespan="off")
        )
        serving = asyncio.create_task(server.serve([listener]))
        try:
            port: int = listener.getsockname()[1]
            yield port
        finally:
            server.should_exit = True
            await serving


def sending(settings: EndSettings) -> HttpSending:
    """The device's end."""
    return HttpSending(settings)


def receiving(settings: EndSettings, keeper: Keeper) -> HttpReceiving:
    """The other end."""
    return HttpReceiving(settings, keeper)
