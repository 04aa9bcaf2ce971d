"""Base64 in JSON chunks, as hobby projects send pictures over MQTT; a lost chunk loses the image."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from benchmarks.baselines.baseline import Facts, Method
from benchmarks.baselines.mqtt_end import MqttEnd, ignore, image_topic
from benchmarks.baselines.storing import Keeper
from benchmarks.baselines.way import EndSettings, Sent
from service_runtime.mqtt_types import Message, MqttError, QueueFullError
from service_runtime.session_roles import worker_session

FACTS = Facts(
    Method.BASE64,
    "base64 in JSON chunks",
    "sends 64 KB messages of JSON with a part of the image in base64, at QoS 1",
    "a third more bytes; nothing is sent again, so a lost connection loses the image; no digest",
)
#: Of the image in one message; as base64 with its JSON just under 64 KiB.
PART_BYTES = 48_000
#: Pictures half of which never came do not stay for ever.
_MOST_UNFINISHED = 64
_PAUSE_S = 0.02


@dataclass(slots=True)
class _Picture:
    count: int
    parts: dict[int, bytes] = field(default_factory=dict)


class Base64Sending:
    """The device's end."""

    def __init__(self, settings: EndSettings) -> None:
        self._topic = image_topic(settings.broker.root, settings.device)
        self._end = MqttEnd(settings.broker, settings.device_session(), [], ignore)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Connected within this block."""
        async with self._end.running():
            yield

    async def send(self, image: bytes) -> Sent:
        """Publishes all parts, each once."""
        await self._end.ready()
        name = secrets.token_hex(8)
        count = -(-len(image) // PART_BYTES)
        sent, answers = 0, []
        for index in range(count):
            part = image[index * PART_BYTES : (index + 1) * PART_BYTES]
            message = {"id": name, "index": index, "count": count}
            message["data"] = base64.b64encode(part).decode("ascii")
            payload = json.dumps(message).encode()
            sent += len(payload)
            answers.append(asyncio.ensure_future(self._publish(payload)))
        try:
            codes = await asyncio.gather(*answers)
        except MqttError as error:
            return Sent(sent, 1, f"a part was lost and is not sent again: {error}")
        bad = [code for code in codes if code]
        return Sent(sent, 1, f"the broker answered 0x{bad[0]:02x}" if bad else "")

    async def _publish(self, payload: bytes) -> int:
        while True:
            try:
                return await self._end.session.publish(self._topic, payload)
            except QueueFullError:
                await asyncio.sleep(_PAUSE_S)


class Base64Receiving:
    """The other end."""

    def __init__(self, settings: EndSettings, keeper: Keeper) -> None:
        self._keeper = keeper
        self._pictures: dict[str, _Picture] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._end = MqttEnd(
            settings.broker,
            worker_session(f"base64-{settings.device}"),
            [image_topic(settings.broker.root, settings.device)],
            self._take,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        """Subscribed within this block."""
        async with asyncio.TaskGroup() as self._tasks, self._end.running():
            yield 0

    async def _take(self, message: Message) -> None:
        told = json.loads(message.payload)
        picture = self._pictures.setdefault(told["id"], _Picture(told["count"]))
        picture.parts[told["index"]] = base64.b64decode(told["data"])
        if len(picture.parts) == picture.count:
            del self._pictures[told["id"]]
            data = b"".join(picture.parts[index] for index in range(picture.count))
            assert self._tasks is not None
            self._tasks.create_task(self._keep(data, message.received_at_ns))
        elif len(self._pictures) > _MOST_UNFINISHED:
            del self._pictures[next(iter(self._pictures))]

    async def _keep(self, data: bytes, received_ns: int) -> None:
        await self._keeper.keep(data, received_ns)


def sending(settings: EndSettings) -> Base64Sending:
    """The device's end."""
    return Base64Sending(settings)


def receiving(settings: EndSettings, keeper: Keeper) -> Base64Receiving:
    """The other end."""
    return Base64Receiving(settings, keeper)
