"""One QoS 1 message per image: the simplest way that may be called sound, and the one to beat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.baselines.baseline import Facts, Method
from benchmarks.baselines.mqtt_end import MqttEnd, ignore, image_topic
from benchmarks.baselines.storing import Keeper
from benchmarks.baselines.way import EndSettings, Sent
from service_runtime.mqtt_types import ConnectionLostError, Message, MqttError, QueueFullError
from service_runtime.session_roles import worker_session

FACTS = Facts(
    Method.SINGLE,
    "one QoS 1 message per image",
    "sends the image's bytes as one message, and the whole again after a lost connection",
    "does not know whether anybody stored it: PUBACK is the broker's; nothing is kept over restarts",
)
#: While the window's queue is full.
_PAUSE_S = 0.02


class SingleSending:
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
        """Publishes until a PUBACK comes."""
        attempts = 0
        while True:
            await self._end.ready()
            try:
                attempts += 1
                code = await self._end.session.publish(self._topic, image)
            except QueueFullError:
                attempts -= 1
                await asyncio.sleep(_PAUSE_S)
                continue
            except ConnectionLostError:
                # Its publishes fail before the session tells that the connection is gone.
                await asyncio.sleep(_PAUSE_S)
                continue
            except MqttError as error:
                return Sent(0, attempts, str(error))
            failure = "" if code == 0 else f"the broker answered 0x{code:02x}"
            return Sent(attempts * len(image), attempts, failure)


class SingleReceiving:
    """The other end."""

    def __init__(self, settings: EndSettings, keeper: Keeper) -> None:
        self._keeper = keeper
        self._tasks: asyncio.TaskGroup | None = None
        self._end = MqttEnd(
            settings.broker,
            worker_session(f"single-{settings.device}"),
            [image_topic(settings.broker.root, settings.device)],
            self._take,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        """Subscribed within this block."""
        async with asyncio.TaskGroup() as self._tasks, self._end.running():
            yield 0

    async def _take(self, message: Message) -> None:
        assert self._tasks is not None
        self._tasks.create_task(self._keep(message.payload, message.received_at_ns))

    async def _keep(self, data: bytes, received_ns: int) -> None:
        await self._keeper.keep(data, received_ns)


def sending(settings: EndSettings) -> SingleSending:
    """The device's end."""
    return SingleSending(settings)


def receiving(settings: EndSettings, keeper: Keeper) -> SingleReceiving:
    """The other end."""
    return SingleReceiving(settings, keeper)
