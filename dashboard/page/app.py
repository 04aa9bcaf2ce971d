"""The page's few addresses; what is signed, who may come in and where pictures lie is settled behind them.

GET  /  /case/{key}                     the page (one document); /login, /enter the ways in
GET  /api/me                            who is signed in, and the token for what changes something
GET  /api/worklist?offset=&limit=       the list, most urgent first
GET  /api/events?after=                 changes as server-sent events
GET  /api/cases/{key}[?blind=1]         a case
GET  /api/fields/{image_id}/picture     the archived bytes; /small a small JPEG
GET  /api/fields/{image_id}/cell?x=&y=&side=  a white cell in the picture's own pixels
GET  /api/fields/{image_id}/map/{class}       where the model's score comes from
GET  /api/model?name=                   a model's card
POST /api/cases/{key}/sign|amend|withdraw|undo|refer|retake|reveal
POST /api/push/subscribe|unsubscribe
POST /login  /enter  /logout
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from dashboard.accounts.roles import Actor, May, NotAllowedError
from dashboard.blobs import ArchiveAway, BlobArchive
from dashboard.cases.keys import parse_case_key
from dashboard.page.answers import (
    file_answer,
    json_answer,
    picture_answer,
    read_body,
    refused,
    worker_answer,
)
from dashboard.page.cells import MOST_PX
from dashboard.page.door import Door, DoorRefusedError, Person
from dashboard.page.event_stream import change_events
from dashboard.page.guard import Guard, client_address
from dashboard.page.models import Models, NoMapError, class_names
from dashboard.page.pictures import NoPictureError, Pictures
from dashboard.page.retake import RetakeReason, Retakes
from dashboard.page.seen_fields import SeenFields
from dashboard.page.views import WorklistView, case_view, lines_view, model_of
from dashboard.page.watching import ChangeWatch
from dashboard.push.notifier import Push
from dashboard.push.subscriptions import SubscriptionRefusedError
from dashboard.review.desk import Desk, NoSuchCaseError
from dashboard.review.findings import FAB_OF, FINDING_WORDS, Fab
from dashboard.review.machine import Opinion, ReviewRefusedError
from dashboard.review.views import CaseDetail, Done, FieldDetail
from dashboard.store import StoreAway
from service_runtime.boot import new_id, wall_time
from service_runtime.log import get_log
from wire_protocol.case_messages import Finding
from wire_protocol.json_messages import Urgency
from wire_protocol.manifest import MAX_SIDE_PX
from wire_protocol.words import RESEARCH_USE_ONLY

#: Pages that listen at once; each holds a connection.
MAX_STREAMS: Final = 64
MOST_LINES: Final = 500
#: Longer ones do not get as far as the desk, which has a limit of its own.
MAX_COMMENT: Final = 4000

STATIC: Final = Path(__file__).parent / "static"
_HTML: Final = "text/html; charset=utf-8"
_KINDS: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}
#: What a browser may have without a session: the ways in and what they are drawn with.
OPEN_FILES: Final = (
    "page.css", "login.js", "enter.js", "icon.svg", "icon-180.png", "icon-192.png",
    "icon-512.png", "manifest.webmanifest", "sw.js",
)  # fmt: skip

Version = Annotated[int, Field(ge=0, lt=2**53)]
T = TypeVar("T")


class Body(BaseModel):
    """Base of what the page sends; what is not known is refused."""

    model_config = ConfigDict(extra="forbid")


class SignIn(Body):
    """An account and its password."""

    name: str = Field(min_length=1, max_length=64)
    password: str = Field(min_length=1, max_length=256)


class Enter(Body):
    """A one-time link's secret."""

    link: str = Field(min_length=1, max_length=256)


class Subscribe(Body):
    """A browser that wishes to be notified."""

    endpoint: str = Field(min_length=1, max_length=2000)
    p256dh: str = Field(min_length=1, max_length=128)
    auth: str = Field(min_length=1, max_length=64)


class Unsubscribe(Body):
    """A browser that wishes no more."""

    endpoint: str = Field(min_length=1, max_length=2000)


class Deed(Body):
    """Base of deeds on a case; `version` is what the person saw."""

    version: Version
    comment: str = Field(default="", max_length=MAX_COMMENT)


class Answer(Deed):
    """Without a finding it confirms what the AI says."""

    finding: Finding | None = None
    fab: Fab | None = None


class Refer(Deed):
    """To an account, or "" to whoever comes first."""

    to: str = Field(default="", max_length=32)


class Retake(Deed):
    """The reason travels to the microscope, the comment does not."""

    reason: RetakeReason


class PageApp:
    """An ASGI application over one desk, one archive and one door."""

    def __init__(
        self,
        desk: Desk,
        archive: BlobArchive,
        door: Door,
        watch: ChangeWatch,
        *,
        models: Models,
        retakes: Retakes | None = None,
        push: Push | None = None,
        is_tls: bool = False,
        ca_file: Path | None = None,
        names: tuple[str, ...] = (),
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._desk = desk
        self._store_id = desk.store_id()
        self._pictures = Pictures(archive)
        self._seen = SeenFields(desk)
        self._door = door
        self._watch = watch
        self._models = models
        self._retakes = retakes
        self._push = push
        self._now_ms = now_ms
        self._streams: set[asyncio.Task[object]] = set()
        self._stopping = asyncio.Event()
        self._log = get_log("dashboard")
        page = file_answer(STATIC / "index.html", _HTML)
        files = [
            Route(f"/{file.name}", file_answer(file, _KINDS[file.suffix]))
            for file in sorted(STATIC.iterdir())
            if file.suffix in _KINDS and file.name != "sw.js"
        ]
        routes = [
            Route("/", page),
            Route("/case/{key}", page),
            Route("/login", file_answer(STATIC / "login.html", _HTML)),
            Route("/login", self._sign_in, methods=["POST"]),
            Route("/enter", file_answer(STATIC / "enter.html", _HTML)),
            Route("/enter", self._enter, methods=["POST"]),
            Route("/logout", self._leave, methods=["POST"]),
            Route("/api/me", self._me),
            Route("/api/worklist", self._worklist),
            Route("/api/events", self._events),
            Route("/api/model", self._model),
            Route("/api/cases/{key}", self._case),
            Route("/api/cases/{key}/reveal", self._reveal, methods=["POST"]),
            Route("/api/cases/{key}/sign", self._sign, methods=["POST"]),
            Route("/api/cases/{key}/amend", self._amend, methods=["POST"]),
            Route("/api/cases/{key}/withdraw", self._withdraw, methods=["POST"]),
            Route("/api/cases/{key}/undo", self._undo, methods=["POST"]),
            Route("/api/cases/{key}/refer", self._refer, methods=["POST"]),
            Route("/api/cases/{key}/retake", self._retake, methods=["POST"]),
            Route("/api/push/subscribe", self._subscribe, methods=["POST"]),
            Route("/api/push/unsubscribe", self._unsubscribe, methods=["POST"]),
            Route("/api/fields/{image_id}/picture", self._picture),
            Route("/api/fields/{image_id}/small", self._small),
            Route("/api/fields/{image_id}/cell", self._cell),
            Route("/api/fields/{image_id}/map/{class_key}", self._map),
            Route("/sw.js", worker_answer(STATIC)),
            *files,
        ]
        if ca_file is not None:
            routes.append(Route("/ca.crt", file_answer(ca_file, "application/x-x509-ca-cert")))
        inner = Starlette(routes=routes, exception_handlers={HTTPException: refused})
        self._guard = Guard(
            inner,
            door,
            is_tls=is_tls,
            names=names,
            open_paths={"/login", "/enter", "/ca.crt", *(f"/{name}" for name in OPEN_FILES)},
            way_in={"/login", "/enter"},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        await self._guard(scope, receive, send)

    def end_streams(self) -> None:
        """Ends the event streams, so that the server can stop."""
        self._stopping.set()

    # --- who ------------------------------------------------------------------------------------

    async def _sign_in(self, request: Request) -> Response:
        body = await read_body(request, SignIn)
        return await self._let_in(
            request, lambda at: self._door.sign_in(body.name, body.password, at)
        )

    async def _enter(self, request: Request) -> Response:
        body = await read_body(request, Enter)
        return await self._let_in(request, lambda at: self._door.enter(body.link, at))

    async def _let_in(self, request: Request, way: Callable[[str], str]) -> Response:
        address = client_address(request.scope)
        try:
            session = await run_in_threadpool(way, address)
        except DoorRefusedError as error:
            self._log.warning("sign_in_refused", address=address)
            wait_s = error.retry_after_s
            headers = {"retry-after": f"{max(1.0, wait_s):.0f}"} if wait_s else None
            raise HTTPException(429 if headers else 403, str(error), headers) from error
        response = JSONResponse({})
        self._guard.set_cookie(response, session)
        return response

    async def _leave(self, request: Request) -> Response:
        session, address = str(request.scope["session"]), client_address(request.scope)
        await run_in_threadpool(self._door.leave, session, address)
        response = JSONResponse({}, headers={"clear-site-data": '"cache", "storage"'})
        self._guard.clear_cookie(response)
        return response

    async def _me(self, request: Request) -> Response:
        person = _person(request)
        actor = person.actor
        told = {
            "name": actor.account,
            "role": (actor.role or "nobody").replace("_", " "),
            "token": person.csrf,
            "may_see": actor.may(May.SEE_CASES),
            "may_sign": actor.may(May.REVIEW),
            "may_retake": self._retakes is not None and actor.may(May.ASK_RETAKE),
            "push_key": "" if self._push is None else self._push.key.public,
            "reads_before_ai": actor.reads_before_ai,
            "store_id": self._store_id,
            "findings": [
                {"key": key.value, "words": words, "fab": sorted(FAB_OF.get(key, ()))}
                for key, words in FINDING_WORDS.items()
            ],
            "research_use_only": RESEARCH_USE_ONLY,
            "now": wall_time(),
        }
        return JSONResponse(told)

    async def _subscribe(self, request: Request) -> Response:
        actor, body = _actor(request), await read_body(request, Subscribe)
        push = self._push
        if not actor.may(May.REVIEW):
            raise HTTPException(403, f"the role {actor.role} is not notified")
        if push is None:
            raise HTTPException(501, "this page sends no notifications")
        try:
            await self._blocking(
                lambda: push.subscriptions.add(actor.account, body.endpoint, body.p256dh, body.auth)
            )
        except SubscriptionRefusedError as error:
            raise HTTPException(400, str(error)) from error
        return JSONResponse({})

    async def _unsubscribe(self, request: Request) -> Response:
        actor, body = _actor(request), await read_body(request, Unsubscribe)
        push = self._push
        if push is not None:
            await self._blocking(lambda: push.subscriptions.remove(body.endpoint, actor.account))
        return JSONResponse({})

    # --- the list -------------------------------------------------------------------------------

    async def _worklist(self, request: Request) -> Response:
        offset = _number(request, "offset", 0, 10**7)
        limit = _number(request, "limit", 200, MOST_LINES)
        actor = _actor(request)
        found = await self._blocking(
            lambda: self._desk.worklist(actor, offset=offset, limit=limit, signed=True)
        )
        cases = found.cases
        if not actor.may(May.SEE_CASES):  # what is in this list is there to be taken again
            cases = tuple(replace(case, urgency=Urgency.RETAKE.value) for case in cases)
        view = WorklistView(
            store_id=self._store_id,
            event_id=found.change_id,
            total=found.total,
            now=wall_time(),
            lines=lines_view(cases, found.change_id),
        )
        return json_answer(request, view)

    async def _events(self, request: Request) -> Response:
        actor = _actor(request)
        if not actor.may(May.SEE_CASES):
            raise HTTPException(403, f"the role {actor.role} sees no cases")
        if len(self._streams) >= MAX_STREAMS:
            raise HTTPException(503, f"{MAX_STREAMS} pages are open already: close one")
        last_id = request.headers.get("last-event-id", "") or request.query_params.get("after", "")
        session, address = str(request.scope["session"]), client_address(request.scope)
        events = change_events(
            self._desk,
            self._watch,
            actor,
            self._store_id,
            last_id[:64],
            is_known=lambda: self._door.person(session, address) is not None,
        )
        return StreamingResponse(self._until_stop(events), media_type="text/event-stream")

    async def _until_stop(self, events: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
        stop = asyncio.create_task(self._stopping.wait())
        step: asyncio.Task[bytes | None] | None = None
        self._streams.add(stop)
        try:
            while not stop.done():
                step = asyncio.create_task(_next_of(events))
                await asyncio.wait({step, stop}, return_when=asyncio.FIRST_COMPLETED)
                if not step.done() or (event := step.result()) is None:
                    return
                yield event
        finally:
            self._streams.discard(stop)
            stop.cancel()
            if step is not None:
                step.cancel()
                await asyncio.gather(step, return_exceptions=True)
            await events.aclose()

    # --- a case ---------------------------------------------------------------------------------

    async def _case(self, request: Request) -> Response:
        actor, key = _actor(request), _key(request)
        return await self._show(request, await self._blocking(lambda: self._desk.case(key, actor)))

    async def _reveal(self, request: Request) -> Response:
        actor, key = _actor(request), _key(request)
        case = await self._blocking(lambda: self._desk.case(key, actor, reveal=True))
        return await self._show(request, case)

    async def _show(self, request: Request, case: CaseDetail) -> Response:
        actor = _person(request).actor
        self._seen.note(actor, case.fields)
        names = await self._blocking(lambda: class_names(self._models, model_of(case)))
        view = case_view(
            case,
            store_id=self._store_id,
            account=actor.account,
            now_ms=self._now_ms(),
            names=names,
        )
        return json_answer(request, view)

    async def _model(self, request: Request) -> Response:
        name = request.query_params.get("name", "")[:200]
        return json_answer(request, await self._blocking(lambda: self._models.card(name)))

    async def _sign(self, request: Request) -> Response:
        return await self._answer(request, self._desk.sign)

    async def _amend(self, request: Request) -> Response:
        return await self._answer(request, self._desk.amend)

    async def _answer(self, request: Request, deed: Callable[..., Done]) -> Response:
        actor, key, body = _actor(request), _key(request), await read_body(request, Answer)
        opinion = Opinion(body.finding, body.fab, body.comment)
        return await self._do(lambda: deed(key, opinion, by=actor, expected_version=body.version))

    async def _withdraw(self, request: Request) -> Response:
        actor, key, body = _actor(request), _key(request), await read_body(request, Deed)
        return await self._do(
            lambda: self._desk.enter_in_error(
                key, body.comment, by=actor, expected_version=body.version
            )
        )

    async def _undo(self, request: Request) -> Response:
        actor, key, body = _actor(request), _key(request), await read_body(request, Deed)
        return await self._do(lambda: self._desk.undo(key, by=actor, expected_version=body.version))

    async def _refer(self, request: Request) -> Response:
        actor, key, body = _actor(request), _key(request), await read_body(request, Refer)
        return await self._do(
            lambda: self._desk.refer(
                key, to=body.to, comment=body.comment, by=actor, expected_version=body.version
            )
        )

    async def _retake(self, request: Request) -> Response:
        actor, key, body = _actor(request), _key(request), await read_body(request, Retake)
        retakes, parsed, command_id = self._retakes, parse_case_key(key), new_id()
        if retakes is None or parsed is None:
            raise HTTPException(501, "this page has no account on the broker: it cannot ask")
        done = await self._blocking(
            lambda: self._desk.ask_retake(
                key,
                comment=body.comment,
                by=actor,
                expected_version=body.version,
                command_id=command_id,
            )
        )
        assert done.review.retake is not None
        answer = await retakes.ask(
            parsed.site,
            done.review.retake.device,
            parsed.case_id,
            body.reason,
            command_id=command_id,
            operator=actor.account,
        )
        await self._blocking(
            lambda: self._desk.answer_retake(key, command_id, ok=answer.ok, text=answer.words)
        )
        await self._watch.look()
        return JSONResponse({"ok": answer.ok, "words": answer.words})

    async def _do(self, act: Callable[[], Done]) -> Response:
        """Does it, and tells every open page at once."""
        done = await self._blocking(act)
        await self._watch.look()
        return JSONResponse({"version": done.review.version})

    # --- pictures -------------------------------------------------------------------------------

    async def _picture(self, request: Request) -> Response:
        field = await self._field(request)
        data = await self._blocking(lambda: self._pictures.original(field.sha256))
        return picture_answer(data, _media_type(data), field.sha256)

    async def _small(self, request: Request) -> Response:
        field = await self._field(request)
        data = await self._blocking(lambda: self._pictures.small(field.sha256))
        return picture_answer(data, "image/jpeg")

    async def _cell(self, request: Request) -> Response:
        field = await self._field(request)
        x, y = (_number(request, name, 0, MAX_SIDE_PX) for name in ("x", "y"))
        side_px = _number(request, "side", 128, MOST_PX)
        data = await self._blocking(lambda: self._pictures.crop(field.sha256, x, y, side_px))
        return picture_answer(data, "image/webp")

    async def _map(self, request: Request) -> Response:
        field, class_key = await self._field(request), str(request.path_params["class_key"])
        if class_key not in field.probabilities:
            raise HTTPException(404, "the model gave no such class an answer on this field")
        data = await self._blocking(
            lambda: self._models.map_png(
                field.model, self._pictures.original(field.sha256), field.um_per_px, class_key
            )
        )
        return picture_answer(data, "image/png")

    async def _field(self, request: Request) -> FieldDetail:
        image_id, actor = str(request.path_params["image_id"]), _actor(request)
        if not is_image_id(image_id):
            raise HTTPException(404, "a field is called by its image id: 32 hexadecimal digits")
        field = await self._blocking(lambda: self._seen.field(actor, image_id))
        if not field.has_image:
            raise HTTPException(404, "there is no picture of this field")
        return field

    async def _blocking(self, act: Callable[[], T]) -> T:
        """Runs it in a worker thread; what is refused there becomes an answer."""
        try:
            return await run_in_threadpool(act)
        except NoSuchCaseError as error:
            raise HTTPException(404, "there is no such case or field") from error
        except NotAllowedError as error:
            self._log.warning("not_allowed", problem=str(error))
            raise HTTPException(403, str(error)) from error
        except ReviewRefusedError as error:
            self._log.warning("review_refused", code=error.code)
            raise HTTPException(409, str(error)) from error
        except (NoPictureError, NoMapError) as error:
            raise HTTPException(404, str(error)) from error
        except ArchiveAway as error:
            self._log.error("archive_away", problem=str(error))
            raise HTTPException(503, "the archive cannot be read now") from error
        except StoreAway as error:
            self._log.error("store_away", problem=str(error))
            raise HTTPException(503, "the store cannot be asked now: nothing was done") from error


async def _next_of(events: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(events, None)


def is_image_id(text: str) -> bool:
    """Nothing else of an address reaches the archive or a query."""
    return len(text) == 32 and all(c in "0123456789abcdef" for c in text)


def _person(request: Request) -> Person:
    person = request.scope["person"]
    assert isinstance(person, Person)
    return person


def _actor(request: Request) -> Actor:
    """Who asks; this browser may wish to read before the AI where the account does not say so."""
    actor = _person(request).actor
    wishes = request.query_params.get("blind") == "1"
    return replace(actor, reads_before_ai=actor.reads_before_ai or wishes)


def _key(request: Request) -> str:
    key = parse_case_key(str(request.path_params["key"])[:200])
    if key is None:
        raise HTTPException(404, "there is no such case or field")
    return key.text


def _number(request: Request, name: str, usual: int, most: int) -> int:
    text = request.query_params.get(name, str(usual))
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or int(text) > most:
        raise HTTPException(400, f"{name}: a whole number, at most {most}")
    return int(text)


def _media_type(data: bytes) -> str:
    """By the first bytes, of the encodings that travel; anything else is only bytes."""
    if data[:3] == b"\xff\xd8\xff":
        return "image/jpeg"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "image/png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return "application/octet-stream"
