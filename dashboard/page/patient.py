"""The patient's side of the page: a one-time link opens the copy of a signed result, and a reader makes such links.

The way in needs no session and shows nothing but that copy; the link's secret stands behind the "#"
and is posted only when somebody presses the button, so no preview of a messenger uses it up.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dashboard.cases.keys import parse_case_key
from dashboard.exchange.patient_links import LinkRefusedError, PatientLinks
from dashboard.exchange.patient_words import NotSignedError
from dashboard.exchange.read_facts import NoSuchReportError
from dashboard.page.answers import file_answer, read_body
from dashboard.page.asking import actor_of, in_thread, key_of
from dashboard.page.bodies import Body, Enter
from dashboard.page.guard import client_address
from service_runtime.log import get_log

WAY_IN: Final = "/patient"
#: What the way in is drawn with, to be had without a session.
FILES: Final = ("patient.js", "patient.css")
_PAGE: Final = Path(__file__).parent / "static" / "patient.html"


class PatientRoutes:
    """Over the links of one database."""

    def __init__(self, links: PatientLinks) -> None:
        self._links = links

    def routes(self) -> list[Route]:
        """The way in, and the making of links."""
        return [
            Route(WAY_IN, file_answer(_PAGE, "text/html; charset=utf-8")),
            Route(WAY_IN, self._open, methods=["POST"]),
            Route("/api/cases/{key}/patient-link", self._make, methods=["POST"]),
        ]

    async def _open(self, request: Request) -> Response:
        body, address = await read_body(request, Enter), client_address(request.scope)
        try:
            opened = await in_thread(lambda: self._links.open(body.link, address))
        except LinkRefusedError as error:
            get_log("dashboard").warning("patient_link_refused", address=address)
            raise HTTPException(410, str(error)) from error
        copy = opened.copy
        return JSONResponse(
            {
                "title": copy.title,
                "parts": [{"heading": heading, "words": words} for heading, words in copy.parts],
                "questions": copy.questions,
                "signed": copy.signed,
                "foot": copy.foot,
                "pdf": base64.b64encode(opened.pdf).decode(),
            }
        )

    async def _make(self, request: Request) -> Response:
        await read_body(request, Body)
        actor, key = actor_of(request), parse_case_key(key_of(request))
        assert key is not None  # key_of has looked
        try:
            made = await in_thread(lambda: self._links.make_by_reader(key, actor))
        except NoSuchReportError as error:
            raise HTTPException(404, "there is no such case or field") from error
        except NotSignedError as error:
            raise HTTPException(409, str(error)) from error
        return JSONResponse({"link": f"{WAY_IN}#{made.token}", "ends_at": made.ends_at})
