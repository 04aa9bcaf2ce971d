"""The addresses of pictures: a field's own bytes, a small one, crops, maps; only of fields that a person was shown."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard.page.answers import picture_answer
from dashboard.page.asking import actor_of, in_thread, is_image_id, number_of
from dashboard.page.cells import MOST_PX
from dashboard.page.models import Models
from dashboard.page.pictures import Pictures
from dashboard.page.seen_fields import SeenFields
from dashboard.review.views import FieldDetail
from wire_protocol.manifest import MAX_SIDE_PX


class PictureRoutes:
    """Over one archive; `seen` knows which fields a person was shown."""

    def __init__(self, pictures: Pictures, seen: SeenFields, models: Models) -> None:
        self._pictures = pictures
        self._seen = seen
        self._models = models

    def routes(self) -> list[Route]:
        """All below /api/fields/."""
        return [
            Route("/api/fields/{image_id}/picture", self._picture),
            Route("/api/fields/{image_id}/small", self._small),
            Route("/api/fields/{image_id}/cell", self._cell),
            Route("/api/fields/{image_id}/map/{class_key}", self._map),
        ]

    async def _picture(self, request: Request) -> Response:
        field = await self._field(request)
        data = await in_thread(lambda: self._pictures.original(field.sha256))
        return picture_answer(data, _media_type(data), field.sha256)

    async def _small(self, request: Request) -> Response:
        field = await self._field(request)
        data = await in_thread(lambda: self._pictures.small(field.sha256))
        return picture_answer(data, "image/jpeg")

    async def _cell(self, request: Request) -> Response:
        field = await self._field(request)
        x, y = (number_of(request, name, 0, MAX_SIDE_PX) for name in ("x", "y"))
        side_px = number_of(request, "side", 128, MOST_PX)
        data = await in_thread(lambda: self._pictures.crop(field.sha256, x, y, side_px))
        return picture_answer(data, "image/webp")

    async def _map(self, request: Request) -> Response:
        field, class_key = await self._field(request), str(request.path_params["class_key"])
        if class_key not in field.probabilities:
            raise HTTPException(404, "the model gave no such class an answer on this field")
        data = await in_thread(
            lambda: self._models.map_png(
                field.model, self._pictures.original(field.sha256), field.um_per_px, class_key
            )
        )
        return picture_answer(data, "image/png")

    async def _field(self, request: Request) -> FieldDetail:
        image_id, actor = str(request.path_params["image_id"]), actor_of(request)
        if not is_image_id(image_id):
            raise HTTPException(404, "a field is called by its image id: 32 hexadecimal digits")
        field = await in_thread(lambda: self._seen.field(actor, image_id))
        if not field.has_image:
            raise HTTPException(404, "there is no picture of this field")
        return field


def _media_type(data: bytes) -> str:
    """By the first bytes, of the encodings that travel; anything else is only bytes."""
    if data[:3] == b"\xff\xd8\xff":
        return "image/jpeg"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "image/png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return "application/octet-stream"
