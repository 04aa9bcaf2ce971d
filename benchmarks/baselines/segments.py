"""File transfer in the shape of EMQX's: init, segments by offset, fin; any failure sends the file again.

EMQX names the steps in topics and answers fin with its PUBACK; here they are in a line before the
bytes, because the access rules know our topics only, and the receiving end answers by a message.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from benchmarks.baselines.baseline import Facts, Method
from benchmarks.baselines.mqtt_end import MqttEnd, answer_topic, image_topic
from benchmarks.baselines.storing import Keeper
from benchmarks.baselines.way import EndSettings, Sent
from service_runtime.mqtt_types import Message, MqttError, QueueFullError
from service_runtime.session_roles import worker_session

FACTS = Facts(
    Method.SEGMENTS,
    "segments with init and fin (EMQX's file transfer)",
    "sends 64 KB segments at QoS 1, then fin with the size and digest; answered when stored",
    "asks for no single segment: after a failure or a lost connection all are sent again",
)
SEGMENT_BYTES = 64 * 1024
#: After fin, before everything is sent again.
ANSWER_WAIT_S = 60.0
_ATTEMPTS = 20
_MOST_UNFINISHED = 64
_PAUSE_S = 0.02
_OK = "ok"


class SegmentsSending:
    """The device's end."""

    def __init__(self, settings: EndSettings) -> None:
        root = settings.broker.root
        self._topic = image_topic(root, settings.device)
        self._answers: dict[str, asyncio.Future[str]] = {}
        self._end = MqttEnd(
            settings.broker,
            settings.device_session(),
            [answer_topic(root, settings.device)],
            self._hear,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Connected within this block."""
        async with self._end.running():
            yield

    async def send(self, image: bytes) -> Sent:
        """Sends the file as often as it takes."""
        sent, failure = 0, ""
        for attempt in range(1, _ATTEMPTS + 1):
            await self._end.ready()
            sent += len(image)
            try:
                failure = await self._attempt(image)
            except (MqttError, TimeoutError) as error:
                failure = str(error) or "no answer to fin"
                await asyncio.sleep(_PAUSE_S)
            if not failure:
                return Sent(sent, attempt)
        return Sent(sent, _ATTEMPTS, failure)

    async def _attempt(self, image: bytes) -> str:
        name = secrets.token_hex(8)
        answer = self._answers[name] = asyncio.get_running_loop().create_future()
        head: dict[str, str | int] = {"file": name, "step": "init", "size": len(image)}
        puts = [self._publish(head)]
        for offset in range(0, len(image), SEGMENT_BYTES):
            head = {"file": name, "step": "segment", "offset": offset}
            puts.append(self._publish(head, image[offset : offset + SEGMENT_BYTES]))
        digest = hashlib.sha256(image).hexdigest()
        puts.append(self._publish({"file": name, "step": "fin", "sha256": digest}))
        try:
            await _all(puts)
            said = await asyncio.wait_for(answer, ANSWER_WAIT_S)
        finally:
            del self._answers[name]
        return "" if said == _OK else said

    def _publish(self, head: dict[str, str | int], data: bytes = b"") -> asyncio.Task[int]:
        return asyncio.ensure_future(self._put(json.dumps(head).encode() + b"\n" + data))

    async def _put(self, payload: bytes) -> int:
        while True:
            try:
                return await self._end.session.publish(self._topic, payload)
            except QueueFullError:
                await asyncio.sleep(_PAUSE_S)

    async def _hear(self, message: Message) -> None:
        told = json.loads(message.payload)
        answer = self._answers.get(told["file"])
        if answer is not None and not answer.done():
            answer.set_result(told["result"])


@dataclass(slots=True)
class _File:
    data: bytearray
    arrived: int = 0


class SegmentsReceiving:
    """The other end."""

    def __init__(self, settings: EndSettings, keeper: Keeper) -> None:
        root = settings.broker.root
        self._keeper = keeper
        self._answer_topic = answer_topic(root, settings.device)
        self._files: dict[str, _File] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._end = MqttEnd(
            settings.broker,
            worker_session(f"segments-{settings.device}"),
            [image_topic(root, settings.device)],
            self._take,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        """Subscribed within this block."""
        async with asyncio.TaskGroup() as self._tasks, self._end.running():
            yield 0

    async def _take(self, message: Message) -> None:
        line, _, data = message.payload.partition(b"\n")
        head = json.loads(line)
        name = head["file"]
        if head["step"] == "init":
            self._files[name] = _File(bytearray(head["size"]))
            if len(self._files) > _MOST_UNFINISHED:
                del self._files[next(iter(self._files))]
            return
        file = self._files.get(name)
        if head["step"] == "segment":
            if file is not None:
                offset = head["offset"]
                file.data[offset : offset + len(data)] = data
                file.arrived += len(data)
            return
        assert self._tasks is not None
        self._tasks.create_task(self._finish(name, head["sha256"], message.received_at_ns))

    async def _finish(self, name: str, sha256: str, received_ns: int) -> None:
        file = self._files.pop(name, None)
        if file is None or file.arrived != len(file.data):
            self._answer(name, "segments are missing")
        elif hashlib.sha256(file.data).hexdigest() != sha256:
            self._answer(name, "the digest differs")
        else:
            await self._keeper.keep(
                file.data, received_ns, lambda: self._answer(name, _OK), checked_sha256=sha256
            )

    def _answer(self, name: str, result: str) -> None:
        payload = json.dumps({"file": name, "result": result}).encode()
        self._end.session.send(self._answer_topic, payload)


async def _all(puts: list[asyncio.Task[int]]) -> None:
    try:
        codes = await asyncio.gather(*puts)
    except BaseException:
        for put in puts:
            put.cancel()
        await asyncio.gather(*puts, return_exceptions=True)
        raise
    if any(codes):
        raise MqttError(f"the broker answered 0x{max(codes):02x}")


def sending(settings: EndSettings) -> SegmentsSending:
    """The device's end."""
    return SegmentsSending(settings)


def receiving(settings: EndSettings, keeper: Keeper) -> SegmentsReceiving:
    """The other end."""
    return SegmentsReceiving(settings, keeper)
