"""Who comes in, who somebody is, and which browser is notified; what is signed in there is elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dashboard.accounts.roles import May
from dashboard.page.answers import read_body
from dashboard.page.asking import actor_of, in_thread, person_of
from dashboard.page.bodies import Enter, SignIn, Subscribe, Unsubscribe
from dashboard.page.door import Door, DoorRefusedError
from dashboard.page.guard import Guard, client_address
from dashboard.push.notifier import Push
from dashboard.push.subscriptions import SubscriptionRefusedError
from dashboard.review.findings import FAB_OF, FINDING_WORDS
from service_runtime.boot import wall_time
from service_runtime.log import get_log
from wire_protocol.words import RESEARCH_USE_ONLY


@dataclass(frozen=True, slots=True)
class Offered:
    """What this server has to offer, whoever asks."""

    store_id: str
    asks_retakes: bool
    is_traced: bool
    has_patient_links: bool


class Entrance:
    """Over one door; `guard` sets and clears the browser's cookie."""

    def __init__(
        self, door: Door, guard: Callable[[], Guard], offered: Offered, push: Push | None
    ) -> None:
        self._door = door
        self._guard = guard
        self._offered = offered
        self._push = push
        self._log = get_log("dashboard")

    def routes(self) -> list[Route]:
        """What they answer to."""
        return [
            Route("/login", self._sign_in, methods=["POST"]),
            Route("/enter", self._enter, methods=["POST"]),
            Route("/logout", self._leave, methods=["POST"]),
            Route("/api/me", self._me),
            Route("/api/push/subscribe", self._subscribe, methods=["POST"]),
            Route("/api/push/unsubscribe", self._unsubscribe, methods=["POST"]),
        ]

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
        self._guard().set_cookie(response, session)
        return response

    async def _leave(self, request: Request) -> Response:
        session, address = str(request.scope["session"]), client_address(request.scope)
        await run_in_threadpool(self._door.leave, session, address)
        response = JSONResponse({}, headers={"clear-site-data": '"cache", "storage"'})
        self._guard().clear_cookie(response)
        return response

    async def _me(self, request: Request) -> Response:
        person = person_of(request)
        actor = person.actor
        told = {
            "name": actor.account,
            "role": (actor.role or "nobody").replace("_", " "),
            "token": person.csrf,
            "may_see": actor.may(May.SEE_CASES),
            "may_sign": actor.may(May.REVIEW),
            "has_patient_links": self._offered.has_patient_links,
            "is_traced": self._offered.is_traced,
            "may_export": actor.may(May.EXPORT),
            "may_see_figures": actor.may(May.SEE_FIGURES),
            "may_see_retakes": actor.may(May.SEE_RETAKES),
            "may_retake": self._offered.asks_retakes and actor.may(May.ASK_RETAKE),
            "push_key": "" if self._push is None else self._push.key.public,
            "reads_before_ai": actor.reads_before_ai,
            "store_id": self._offered.store_id,
            "findings": [
                {"key": key.value, "words": words, "fab": sorted(FAB_OF.get(key, ()))}
                for key, words in FINDING_WORDS.items()
            ],
            "research_use_only": RESEARCH_USE_ONLY,
            "now": wall_time(),
        }
        return JSONResponse(told)

    async def _subscribe(self, request: Request) -> Response:
        actor, body = actor_of(request), await read_body(request, Subscribe)
        push = self._push
        if not actor.may(May.REVIEW):
            raise HTTPException(403, f"the role {actor.role} is not notified")
        if push is None:
            raise HTTPException(501, "this page sends no notifications")
        try:
            await in_thread(
                lambda: push.subscriptions.add(actor.account, body.endpoint, body.p256dh, body.auth)
            )
        except SubscriptionRefusedError as error:
            raise HTTPException(400, str(error)) from error
        return JSONResponse({})

    async def _unsubscribe(self, request: Request) -> Response:
        actor, body = actor_of(request), await read_body(request, Unsubscribe)
        push = self._push
        if push is not None:
            await in_thread(lambda: push.subscriptions.remove(body.endpoint, actor.account))
        return JSONResponse({})
