"""A small FHIR server over HTTP: stores versions, validates with fhir.resources, honours transactions, PUT, conditional
update and create, and fails on request; it knows nothing of hemowire.

`faults` are used up one a POST: a status (500, "429:1"), "cut before" and "cut after" the commit,
"hang after" it, "short" (an answer that lacks an entry), or an OperationOutcome's words.
Longer than most: it is a whole server.
"""

from __future__ import annotations

import asyncio
import copy
import json
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

Resource = dict[str, Any]
VERSIONS = {"4.3.0": "fhir.resources.R4B", "4.0.1": "fhir.resources.R4B", "5.0.0": "fhir.resources"}


class RefusedError(Exception):
    """An OperationOutcome with this status."""

    def __init__(self, status: int, words: str, where: str = "") -> None:
        super().__init__(words)
        self.status, self.where = status, where


@dataclass(slots=True)
class SmallFhirServer:
    """What it stores and how it behaves."""

    fhir_version: str = "5.0.0"
    #: Header and value without which nothing is done.
    header: tuple[str, str] | None = None
    faults: deque[str] = field(default_factory=deque)
    url: str = ""
    #: "Observation/id" to its versions, the newest last.
    stored: dict[str, list[Resource]] = field(default_factory=dict)
    posts: int = 0
    seen_headers: list[dict[str, str]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    _let_go: threading.Event = field(default_factory=threading.Event)

    # --- what tests ask -------------------------------------------------------------------------

    def of_kind(self, kind: str) -> list[Resource]:
        """The newest version of each resource of a kind."""
        return [v[-1] for name, v in self.stored.items() if name.startswith(f"{kind}/")]

    def until(self, ready: Any, longest_s: float = 25.0) -> None:
        """Waits until something is so."""
        with self.changed:
            assert self.changed.wait_for(ready, longest_s), "the server never got there"

    # --- HTTP -----------------------------------------------------------------------------------

    def app(self) -> Starlette:
        """Below /fhir."""
        return Starlette(
            routes=[
                Route("/fhir/metadata", self._metadata),
                Route("/fhir", self._transaction, methods=["POST"]),
                Route("/moved", self._moved, methods=["GET", "POST"]),
                Route("/moved/metadata", self._moved),
                Route("/fhir/{kind}/{id}", self._read),
            ]
        )

    async def _metadata(self, request: Request) -> Response:
        self.seen_headers.append(dict(request.headers))
        try:
            self._check_right(request)
        except RefusedError as error:
            return _outcome(error)
        return JSONResponse(
            {"resourceType": "CapabilityStatement", "fhirVersion": self.fhir_version}
        )

    async def _moved(self, _request: Request) -> Response:
        return Response(status_code=307, headers={"location": f"{self.url}/metadata"})

    async def _read(self, request: Request) -> Response:
        name = f"{request.path_params['kind']}/{request.path_params['id']}"
        versions = self.stored.get(name)
        if versions is None:
            return _outcome(RefusedError(404, f"no {name}"))
        return JSONResponse(versions[-1])

    async def _transaction(self, request: Request) -> Response:
        self.seen_headers.append(dict(request.headers))
        body = await request.body()
        self.posts += 1
        fault = self.faults.popleft() if self.faults else ""
        if fault == "cut before":
            return _cut()
        try:
            self._check_right(request)
            if fault and fault.split(":")[0].isdecimal():
                status, _, wait = fault.partition(":")
                headers = {"retry-after": wait} if wait else None
                return Response("<html>no JSON</html>", int(status), headers)
            if fault and not fault.startswith(("cut", "hang", "short")):
                raise RefusedError(422, fault, "DiagnosticReport.status")
            if request.headers["content-type"].split(";")[0] != "application/fhir+json":
                raise RefusedError(415, "application/fhir+json is needed")
            answer = self._store(json.loads(body))
        except RefusedError as error:
            return _outcome(error)
        with self.changed:
            self.changed.notify_all()
        if fault == "cut after":
            return _cut()
        if fault == "hang after":
            await asyncio.to_thread(self._let_go.wait, 50)
        if fault == "short":
            answer["entry"].pop()
        return JSONResponse(answer)

    def _check_right(self, request: Request) -> None:
        if self.header is not None and request.headers.get(self.header[0]) != self.header[1]:
            raise RefusedError(401, "the token is not known here")

    # --- FHIR -----------------------------------------------------------------------------------

    def _store(self, bundle: Resource) -> Resource:
        """All entries or none."""
        self._validate(bundle)
        if bundle.get("type") != "transaction":
            raise RefusedError(400, "only transactions are taken here", "Bundle.type")
        after = copy.deepcopy(self.stored)
        places: dict[str, tuple[str, bool]] = {}
        for entry in bundle["entry"]:
            places[entry["fullUrl"]] = self._place(entry, after)
        if len({name for name, _ in places.values()}) != len(places):
            raise RefusedError(400, "two entries for one resource")
        entries = []
        for entry in bundle["entry"]:
            name, is_new = places[entry["fullUrl"]]
            ignored = entry["request"]["method"] == "POST" and not is_new
            if not ignored:
                text = json.dumps(entry["resource"])
                for url, (target, _) in places.items():
                    text = text.replace(f'"reference": "{url}"', f'"reference": "{target}"')
                resource = json.loads(text) | {"id": name.split("/")[1]}
                after.setdefault(name, []).append(resource)
            entries.append({"response": {"status": "201 Created" if is_new else "200 OK"}})
        for versions in after.values():
            _check_references(versions[-1], after)
        self.stored = after
        return {"resourceType": "Bundle", "type": "transaction-response", "entry": entries}

    def _place(self, entry: Resource, stored: dict[str, list[Resource]]) -> tuple[str, bool]:
        """Where an entry goes, and whether it is new there."""
        request, resource = entry["request"], entry["resource"]
        kind, criteria = resource["resourceType"], request.get("ifNoneExist", "")
        url = request["url"]
        if request["method"] == "PUT" and "?" in url:
            criteria = url.split("?")[1]
        elif request["method"] == "PUT":
            if url != f"{kind}/{resource.get('id')}":
                raise RefusedError(400, f"{url} is not the resource's own id")
            return url, url not in stored
        found = _search(kind, criteria, stored) if criteria else []
        if len(found) > 1:
            raise RefusedError(412, f"{len(found)} resources match {criteria}")
        if found:
            return found[0], False
        name = f"{kind}/s{len(stored) + 1}"
        stored[name] = []
        return name, True

    def _validate(self, bundle: Resource) -> None:
        module = import_module(f"{VERSIONS[self.fhir_version]}.bundle")
        try:
            module.Bundle.model_validate(bundle)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise RefusedError(400, first["msg"], where) from error


def _search(kind: str, criteria: str, stored: dict[str, list[Resource]]) -> list[str]:
    system, _, value = parse_qs(criteria)["identifier"][0].partition("|")
    wanted = {"system": system, "value": value}
    return [
        name
        for name, versions in stored.items()
        if name.startswith(f"{kind}/") and versions
        if wanted in [dict(one) for one in _listed(versions[-1].get("identifier"))]
    ]


def _check_references(value: Any, stored: dict[str, list[Resource]]) -> None:
    """What a resource links to is there."""
    for part in _listed(value):
        if not isinstance(part, dict):
            continue
        link = part.get("reference")
        if isinstance(link, str) and link not in stored:
            raise RefusedError(400, f"{link} is not stored here")
        for inner in part.values():
            _check_references(inner, stored)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _outcome(error: RefusedError) -> Response:
    issue: Resource = {"severity": "error", "code": "invalid", "diagnostics": str(error)}
    if error.where:
        issue["expression"] = [error.where]
    return JSONResponse({"resourceType": "OperationOutcome", "issue": [issue]}, error.status)


def _cut() -> Response:
    """Begins an answer and closes the connection in the middle of it."""

    async def part() -> Any:
        yield b'{"resour'

    return StreamingResponse(part(), headers={"content-length": "5000"})


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def small_fhir_server(
    *, cert_file: Path | None = None, key_file: Path | None = None, **options: Any
) -> Iterator[SmallFhirServer]:
    """Serves on a free port of loopback until the end of the block."""
    server = SmallFhirServer(**options)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    scheme = "https" if cert_file is not None else "http"
    server.url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/fhir"
    config = uvicorn.Config(
        server.app(),
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
        ssl_certfile=cert_file,
        ssl_keyfile=key_file,
    )
    serving = _Server(config)
    thread = threading.Thread(target=serving.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield server
    finally:
        server._let_go.set()
        serving.should_exit = True
        thread.join(20)
        listener.close()
        assert not thread.is_alive()
