"""Operators' commands to this device: every one is answered, a repeat gets the stored answer, none is run twice.

Who sent a command cannot be told from MQTT: where it matters the argument `operator` says it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from edge_device.actions import Actions
from edge_device.outbox.memory import remember_reply, stored_reply
from edge_device.outbox_thread import DISK_REFUSES, OutboxThread
from service_runtime.log import get_log
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import Message
from wire_protocol.codec import PeerError
from wire_protocol.json_messages import MAX_JSON_BYTES, Command, Reply, parse_json

#: Commands that wait; more are answered with an error at once.
_WAITING = 16
#: Replies that a full disk would not take are remembered in memory, so many.
_UNKEPT = 256


@dataclass(frozen=True, slots=True)
class _Asked:
    command: Command
    #: MQTT's correlation data, echoed with the reply; its response topic is not honoured.
    correlation: bytes | None


class Commands:
    """Answers what arrives on the device's command topic."""

    def __init__(
        self, session: MqttSession, disk: OutboxThread, reply_topic: str, actions: Actions
    ) -> None:
        self._session = session
        self._disk = disk
        self._topic = reply_topic
        self._actions = actions
        self._queue: asyncio.Queue[_Asked] = asyncio.Queue(_WAITING)
        self._unkept: dict[str, bytes] = {}
        self._log = get_log("edge")

    def receive(self, message: Message) -> None:
        """One message; what cannot be parsed has no command_id to answer, and is logged."""
        try:
            command = parse_json(Command, message.payload)
        except PeerError as error:
            self._log.warning("command_malformed", reason=str(error))
            return
        asked = _Asked(command, message.correlation)
        if message.retain:
            self._reply(asked, "a retained command is refused: it would be run again")
            return
        try:
            self._queue.put_nowait(asked)
        except asyncio.QueueFull:
            self._reply(asked, f"busy: {_WAITING} commands wait")

    async def run(self) -> None:
        """Answers one command after the other, for ever."""
        while True:
            asked = await self._queue.get()
            command = asked.command
            try:
                known = await self._known(command.command_id)
            except DISK_REFUSES as error:  # it may have been run: it is not run now
                self._reply(asked, f"the outbox cannot be read: {error}")
                continue
            if known is not None:
                self._log.info("command_repeated", name=command.name)
                self._send(known, asked)
                continue
            reply = await self._run(command)
            payload = _within_limit(reply)
            await self._remember(command.command_id, payload)
            self._send(payload, asked)
            self._log.info("command", name=command.name, ok=reply.ok)

    async def _known(self, command_id: str) -> bytes | None:
        unkept = self._unkept.get(command_id)
        if unkept is not None:
            return unkept
        return await self._disk.call(lambda outbox: stored_reply(outbox, command_id))

    async def _remember(self, command_id: str, payload: bytes) -> None:
        """On disk, else in memory: an operator of a full device gets an answer all the same."""
        try:
            await self._disk.call(lambda outbox: remember_reply(outbox, command_id, payload))
        except DISK_REFUSES as error:
            self._log.error("reply_not_kept", reason=str(error))
            self._unkept[command_id] = payload
            if len(self._unkept) > _UNKEPT:
                del self._unkept[next(iter(self._unkept))]

    async def _run(self, command: Command) -> Reply:
        given = dict(command.arguments)
        operator = str(given.pop("operator", ""))
        answer = await self._actions.run(command.name, given, operator=operator)
        return Reply(
            command_id=command.command_id,
            name=command.name,
            ok=answer.ok,
            result=answer.result,
            error=answer.error,
        )

    def _reply(self, asked: _Asked, error: str) -> None:
        command = asked.command
        reply = Reply(command_id=command.command_id, name=command.name, ok=False, error=error)
        self._send(reply.to_bytes(), asked)

    def _send(self, payload: bytes, asked: _Asked) -> None:
        self._session.send(self._topic, payload, correlation=asked.correlation)


def _within_limit(reply: Reply) -> bytes:
    """The reply, or one that says that it is too long for the wire: the action was done."""
    payload = reply.to_bytes()
    if len(payload) <= MAX_JSON_BYTES:
        return payload
    error = f"done, but the answer has {len(payload)} bytes, at most {MAX_JSON_BYTES}: ask for less"
    return reply.model_copy(update={"result": {}, "error": error}).to_bytes()
