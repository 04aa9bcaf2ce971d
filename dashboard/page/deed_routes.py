"""What a person does to a case: signs, amends, withdraws, takes back, refers, asks for a retake; the desk decides."""

from __future__ import annotations

from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dashboard.cases.keys import parse_case_key
from dashboard.page.answers import read_body
from dashboard.page.asking import actor_of, in_thread, key_of
from dashboard.page.bodies import Answer, Deed, Refer, Retake
from dashboard.page.retake import Retakes
from dashboard.page.watching import ChangeWatch
from dashboard.review.desk import Desk
from dashboard.review.machine import Opinion
from dashboard.review.views import Done
from service_runtime.boot import new_id


class DeedRoutes:
    """Over one desk; every open page is told at once."""

    def __init__(self, desk: Desk, watch: ChangeWatch, retakes: Retakes | None) -> None:
        self._desk = desk
        self._watch = watch
        self._retakes = retakes

    def routes(self) -> list[Route]:
        """What they answer to, below /api/cases/."""
        deeds = {
            "sign": self._sign,
            "amend": self._amend,
            "withdraw": self._withdraw,
            "undo": self._undo,
            "refer": self._refer,
            "retake": self._retake,
        }
        return [
            Route(f"/api/cases/{{key}}/{name}", deed, methods=["POST"])
            for name, deed in deeds.items()
        ]

    async def _sign(self, request: Request) -> Response:
        return await self._answer(request, self._desk.sign)

    async def _amend(self, request: Request) -> Response:
        return await self._answer(request, self._desk.amend)

    async def _answer(self, request: Request, deed: Callable[..., Done]) -> Response:
        actor, key, body = actor_of(request), key_of(request), await read_body(request, Answer)
        opinion = Opinion(body.finding, body.fab, body.comment)
        return await self._do(lambda: deed(key, opinion, by=actor, expected_version=body.version))

    async def _withdraw(self, request: Request) -> Response:
        actor, key, body = actor_of(request), key_of(request), await read_body(request, Deed)
        return await self._do(
            lambda: self._desk.enter_in_error(
                key, body.comment, by=actor, expected_version=body.version
            )
        )

    async def _undo(self, request: Request) -> Response:
        actor, key, body = actor_of(request), key_of(request), await read_body(request, Deed)
        return await self._do(lambda: self._desk.undo(key, by=actor, expected_version=body.version))

    async def _refer(self, request: Request) -> Response:
        actor, key, body = actor_of(request), key_of(request), await read_body(request, Refer)
        return await self._do(
            lambda: self._desk.refer(
                key, to=body.to, comment=body.comment, by=actor, expected_version=body.version
            )
        )

    async def _retake(self, request: Request) -> Response:
        actor, key, body = actor_of(request), key_of(request), await read_body(request, Retake)
        retakes, parsed, command_id = self._retakes, parse_case_key(key), new_id()
        if retakes is None or parsed is None:
            raise HTTPException(501, "this page has no account on the broker: it cannot ask")
        done = await in_thread(
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
        await in_thread(
            lambda: self._desk.answer_retake(key, command_id, ok=answer.ok, text=answer.words)
        )
        await self._watch.look()
        return JSONResponse({"ok": answer.ok, "words": answer.words})

    async def _do(self, act: Callable[[], Done]) -> Response:
        """Does it, and tells every open page at once."""
        done = await in_thread(act)
        await self._watch.look()
        return JSONResponse({"version": done.review.version})
