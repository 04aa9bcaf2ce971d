"""Asks a microscope to take a slide again and waits for its answer, with an operator's account; it sends nothing else.

The reason is one of a closed list: free text would name patients and travels nowhere. What the
device answers is shown in its own words; no answer is told as none, since the command may have come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from service_runtime.log import get_log
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import MqttError
from wire_protocol.codec import PeerError
from wire_protocol.json_messages import Command, Reply, parse_json
from wire_protocol.topics import Kind, Topics

ANSWER_S: Final = 10.0
#: A broker that is away is waited for so long.
CONNECT_S: Final = 3.0
_NOT_DELIVERED: Final = 0x10


class RetakeReason(StrEnum):
    """Why the slide should be taken again."""

    FOCUS = "focus"
    EXPOSURE = "exposure"
    STAIN = "stain"
    MORE_FIELDS = "more_fields"
    OTHER_AREA = "other_area"


@dataclass(frozen=True, slots=True)
class RetakeAnswer:
    """What the microscope said."""

    ok: bool
    words: str


class Retakes:
    """Over the page's session on the broker; all methods belong to the event loop's thread."""

    def __init__(self, session: MqttSession, topics: Topics) -> None:
        self._topics = topics
        self._session = session
        self._online = asyncio.Event()
        self._waiting: dict[str, asyncio.Future[Reply]] = {}

    async def ask(
        self,
        site: str,
        device: str,
        case_id: str,
        reason: RetakeReason,
        *,
        command_id: str,
        operator: str,
    ) -> RetakeAnswer:
        """The microscope's answer; never raises."""
        arguments: dict[str, str | int | float | bool] = {
            "case_id": case_id,
            "reason": reason.value,
            "operator": operator,
        }
        command = Command(command_id=command_id, name="retake", arguments=arguments)
        topic = self._topics.build(Kind.COMMAND, site=site, device=device)
        with self._awaiting(command.command_id) as answer:
            try:
                async with asyncio.timeout(CONNECT_S):
                    await self._online.wait()
            except TimeoutError:
                return RetakeAnswer(False, "The broker cannot be reached: nothing was asked.")
            try:
                async with asyncio.timeout(ANSWER_S):
                    code = await self._session.publish(topic, command.to_bytes(), expiry_s=10)
                    if code == _NOT_DELIVERED:
                        return RetakeAnswer(False, f"{device} is not connected: nothing was asked.")
                    reply = await answer
            except TimeoutError:
                return RetakeAnswer(
                    False, f"{device} did not answer within {ANSWER_S:.0f} s: it may know or not."
                )
            except MqttError:
                return RetakeAnswer(False, "The broker was lost while asking: it may know or not.")
        if not reply.ok:
            return RetakeAnswer(False, f"{device}: {reply.error[:200]}")
        return RetakeAnswer(True, f"{device}: {str(reply.result.get('words', 'done'))[:200]}")

    @contextmanager
    def _awaiting(self, command_id: str) -> Iterator[asyncio.Future[Reply]]:
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[command_id] = answer
        try:
            yield answer
        finally:
            del self._waiting[command_id]

    def connected(self) -> None:
        """Answers can be heard."""
        self._online.set()

    def disconnected(self) -> None:
        """Nothing can be asked until the next connection."""
        self._online.clear()

    def hear(self, payload: bytes) -> None:
        """An answer of some microscope."""
        try:
            reply = parse_json(Reply, payload)
        except PeerError as error:
            get_log("dashboard").warning("reply_malformed", problem=str(error))
            return
        answer = self._waiting.get(reply.command_id)
        if answer is not None and not answer.done():
            answer.set_result(reply)
