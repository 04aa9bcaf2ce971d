"""Operators' commands to this device: every one is answered, a repeat gets the stored answer, none is run twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from edge_device.outbox.memory import remember_reply, stored_reply
from edge_device.outbox_thread import OutboxThread
from service_runtime.log import get_log
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import Message
from wire_protocol.codec import PeerError
from wire_protocol.json_messages import Command, Reply, parse_json

#: Commands that wait; more are answered with an error at once.
_WAITING = 16

Action = Callable[[], Awaitable[dict[str, Any]]]


class Commands:
    """Answers what arrives on the device's command topic; `actions` are the commands by name."""

    def __init__(
        self,
        session: MqttSession,
        disk: OutboxThread,
        reply_topic: str,
        actions: dict[str, Action],
    ) -> None:
        self._session = session
        self._disk = disk
        self._topic = reply_topic
        self._actions = actions
        self._queue: asyncio.Queue[Command] = asyncio.Queue(_WAITING)
        self._log = get_log("edge")

    def receive(self, message: Message) -> None:
        """One message; what cannot be parsed has no command_id to answer, and is logged."""
        try:
            command = parse_json(Command, message.payload)
        except PeerError as error:
            self._log.warning("command_malformed", reason=str(error))
            return
        if message.retain:
            self._reply(_error(command, "a retained command is refused: it would be run again"))
            return
        try:
            self._queue.put_nowait(command)
        except asyncio.QueueFull:
            self._reply(_error(command, f"busy: {_WAITING} commands wait"))

    async def run(self) -> None:
        """Answers one command after the other, for ever."""
        while True:
            command = await self._queue.get()
            known = await self._disk.call(lambda o, c=command: stored_reply(o, c.command_id))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            if known is not None:
                self._log.info("command_repeated", name=command.name)
                self._session.send(self._topic, known)
                continue
            reply = await self._run(command)
            payload = reply.to_bytes()
            await self._disk.call(
                lambda o, c=command, p=payload: remember_reply(o, c.command_id, p)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            )
            self._session.send(self._topic, payload)
            self._log.info("command", name=command.name, ok=reply.ok)

    async def _run(self, command: Command) -> Reply:
        action = self._actions.get(command.name)
        if action is None:
            return _error(command, f"unknown command; known: {', '.join(sorted(self._actions))}")
        if command.arguments:
            return _error(command, f"{command.name} takes no arguments")
        result = await action()
        return Reply(command_id=command.command_id, name=command.name, ok=True, result=result)

    def _reply(self, reply: Reply) -> None:
        self._session.send(self._topic, reply.to_bytes())


def _error(command: Command, error: str) -> Reply:
    return Reply(command_id=command.command_id, name=command.name, ok=False, error=error)
