"""The addresses of what is no case: how the AI is doing, and the lab's queue of fields to take again."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard.cases.keys import case_key
from dashboard.page.answers import json_answer, picture_answer
from dashboard.page.asking import actor_of, in_thread, is_image_id
from dashboard.page.figures import figures_view
from dashboard.page.pictures import Pictures
from dashboard.page.views import View
from dashboard.review.desk import Desk
from dashboard.review.views import RetakeLine
from service_runtime.boot import wall_time


class RetakeView(View):
    """A field to take again, and why."""

    image_id: str
    key: str
    device: str
    text: str
    captured_at: str
    recorded_at: str
    has_image: bool


class RetakesView(View):
    """The lab's queue, the newest field first."""

    now: str
    fields: tuple[RetakeView, ...]


class FigureRoutes:
    """Over one desk and its archive."""

    def __init__(self, desk: Desk, pictures: Pictures) -> None:
        self._desk = desk
        self._pictures = pictures

    def routes(self) -> list[Route]:
        """What they answer to."""
        return [
            Route("/api/figures", self._figures),
            Route("/api/retakes", self._retakes),
            Route("/api/retakes/{image_id}/small", self._small),
        ]

    async def _figures(self, request: Request) -> Response:
        actor = actor_of(request)
        found = await in_thread(lambda: self._desk.figures(actor))
        return json_answer(request, figures_view(found, site=actor.site, now=wall_time()))

    async def _retakes(self, request: Request) -> Response:
        actor = actor_of(request)
        lines = await in_thread(lambda: self._desk.retakes(actor))
        return json_answer(request, RetakesView(now=wall_time(), fields=tuple(map(_view, lines))))

    async def _small(self, request: Request) -> Response:
        image_id, actor = str(request.path_params["image_id"]), actor_of(request)
        if not is_image_id(image_id):
            raise HTTPException(404, "a field is called by its image id: 32 hexadecimal digits")
        sha256, _ = await in_thread(lambda: self._desk.image(image_id, actor))
        return picture_answer(await in_thread(lambda: self._pictures.small(sha256)), "image/jpeg")


def _view(line: RetakeLine) -> RetakeView:
    return RetakeView(
        image_id=line.image_id,
        key=case_key(line.site, line.case_id, line.image_id).text,
        device=line.device,
        text=line.text,
        captured_at=line.captured_at,
        recorded_at=line.recorded_at,
        has_image=line.has_image,
    )
