"""The page's few addresses; what is signed, who may come in and where pictures lie is settled behind them.

(Over 250 lines: one page shows every address with what it does.)

GET  /  /case/{key}  /figures           the page (one document); /login, /enter the ways in
GET  /api/me                            who is signed in, and the token for what changes something
GET  /api/worklist?offset=&limit=       the list, most urgent first
GET  /api/events?after=                 changes as server-sent events
GET  /api/cases/{key}[?blind=1]         a case
GET  /api/fields/{image_id}/picture     the archived bytes; /small a small JPEG
GET  /api/fields/{image_id}/cell?x=&y=&side=  a white cell in the picture's own pixels
GET  /api/fields/{image_id}/map/{class}       where the model's score comes from
GET  /api/figures                       how the AI is doing
GET  /api/retakes                       the lab's queue; /{image_id}/small a small JPEG
GET  /api/model?name=                   a model's card
POST /api/cases/{key}/sign|amend|withdraw|undo|refer|retake|reveal
POST /api/cases/{key}/export            a signed case as PDF, FHIR, DICOM or CSV
POST /api/shown                         when what an event told was on the screen: for the trace
POST /api/push/subscribe|unsubscribe
POST /login  /enter  /logout
GET  /patient                           where a patient's one-time link leads; POST opens it
POST /api/cases/{key}/patient-link      makes one
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from dashboard.accounts.roles import May
from dashboard.blobs import BlobArchive
from dashboard.exchange.patient_links import PatientLinks
from dashboard.page.answers import file_answer, json_answer, read_body, refused, worker_answer
from dashboard.page.asking import actor_of, in_thread, key_of, number_of, person_of
from dashboard.page.bodies import Shown
from dashboard.page.deed_routes import DeedRoutes
from dashboard.page.door import Door
from dashboard.page.entrance import Entrance, Offered
from dashboard.page.event_stream import change_events
from dashboard.page.export_routes import ExportRoutes
from dashboard.page.figure_routes import FigureRoutes
from dashboard.page.guard import Guard, client_address
from dashboard.page.models import Models, class_names
from dashboard.page.patient import FILES as PATIENT_FILES
from dashboard.page.patient import WAY_IN as PATIENT_WAY_IN
from dashboard.page.patient import PatientRoutes
from dashboard.page.picture_routes import PictureRoutes
from dashboard.page.pictures import Pictures
from dashboard.page.reading_trace import ReadingTrace
from dashboard.page.retake import Retakes
from dashboard.page.seen_fields import SeenFields
from dashboard.page.views import WorklistView, case_view, lines_view, model_of
from dashboard.page.watching import ChangeWatch
from dashboard.push.notifier import Push
from dashboard.review.desk import Desk
from dashboard.review.views import CaseDetail
from service_runtime.boot import wall_time
from service_runtime.log import get_log
from wire_protocol.json_messages import Urgency

#: Pages that listen at once; each holds a connection.
MAX_STREAMS: Final = 64
MOST_LINES: Final = 500

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
    "page.css", "boot.js", "login.js", "enter.js", "icon.svg", "icon-180.png", "icon-192.png",
    "icon-512.png", "manifest.webmanifest", "sw.js",
)  # fmt: skip


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
        traces: ReadingTrace | None = None,
        push: Push | None = None,
        patients: PatientLinks | None = None,
        patient_contact: str = "",
        is_tls: bool = False,
        ca_file: Path | None = None,
        names: tuple[str, ...] = (),
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._desk = desk
        self._store_id = desk.store_id()
        self._seen = SeenFields(desk)
        self._door = door
        self._watch = watch
        self._models = models
        self._traces = traces
        self._now_ms = now_ms
        self._streams: set[asyncio.Task[object]] = set()
        self._stopping = asyncio.Event()
        self._log = get_log("dashboard")
        pictures = Pictures(archive)
        offered = Offered(
            self._store_id,
            asks_retakes=retakes is not None,
            is_traced=traces is not None,
            has_patient_links=patients is not None,
        )
        page = file_answer(STATIC / "index.html", _HTML)
        files = [
            Route(f"/{file.name}", file_answer(file, _KINDS[file.suffix]))
            for file in sorted(STATIC.iterdir())
            if file.suffix in _KINDS and file.name != "sw.js"
        ]
        routes = [
            Route("/", page),
            Route("/case/{key}", page),
            Route("/figures", page),
            Route("/login", file_answer(STATIC / "login.html", _HTML)),
            Route("/enter", file_answer(STATIC / "enter.html", _HTML)),
            Route("/api/worklist", self._worklist),
            Route("/api/events", self._events),
            Route("/api/shown", self._shown, methods=["POST"]),
            Route("/api/model", self._model),
            Route("/api/cases/{key}", self._case),
            Route("/api/cases/{key}/reveal", self._reveal, methods=["POST"]),
            *Entrance(door, lambda: self._guard, offered, push).routes(),
            *DeedRoutes(desk, watch, retakes).routes(),
            *PictureRoutes(pictures, self._seen, models).routes(),
            *FigureRoutes(desk, pictures).routes(),
            *ExportRoutes(desk, models, contact=patient_contact).routes(),
            *(PatientRoutes(patients).routes() if patients is not None else ()),
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
            open_paths={
                "/login",
                "/enter",
                PATIENT_WAY_IN,
                "/ca.crt",
                *(f"/{name}" for name in (*OPEN_FILES, *PATIENT_FILES)),
            },
            way_in={"/login", "/enter", PATIENT_WAY_IN},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        await self._guard(scope, receive, send)

    def end_streams(self) -> None:
        """Ends the event streams, so that the server can stop."""
        self._stopping.set()

    async def _shown(self, request: Request) -> Response:
        if not actor_of(request).may(May.SEE_CASES):
            raise HTTPException(403, "nothing is shown to this role")
        body = await read_body(request, Shown)
        told = 0 if self._traces is None else self._traces.shown(body)
        return JSONResponse({"told": told})

    # --- the list -------------------------------------------------------------------------------

    async def _worklist(self, request: Request) -> Response:
        offset = number_of(request, "offset", 0, 10**7)
        limit = number_of(request, "limit", 200, MOST_LINES)
        actor = actor_of(request)
        found = await in_thread(
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
        actor = actor_of(request)
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
            traces=self._traces,
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
        actor, key = actor_of(request), key_of(request)
        case = await in_thread(lambda: self._desk.case(key, actor))
        if self._traces is not None and case.summary.is_unread:  # it was, until now
            await self._traces.opened(key)
        return await self._show(request, case)

    async def _reveal(self, request: Request) -> Response:
        actor, key = actor_of(request), key_of(request)
        case = await in_thread(lambda: self._desk.case(key, actor, reveal=True))
        return await self._show(request, case)

    async def _show(self, request: Request, case: CaseDetail) -> Response:
        actor = person_of(request).actor
        self._seen.note(actor, case.fields)
        names = await in_thread(lambda: class_names(self._models, model_of(case)))
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
        return json_answer(request, await in_thread(lambda: self._models.card(name)))


async def _next_of(events: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(events, None)
