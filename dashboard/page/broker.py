"""The page's one session on the broker: retake commands and their answers, the clock, and what readers were shown."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from dashboard.page.retake import Retakes
from service_runtime.boot import new_id
from service_runtime.broker_settings import BrokerSettings
from service_runtime.clock_end import ClockEnd
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import (
    Connected,
    Disconnected,
    Message,
    MqttError,
    Subscription,
)
from service_runtime.session_roles import observer_session
from wire_protocol.clock_legs import ClockLeg
from wire_protocol.json_messages import TraceFragment
from wire_protocol.topics import Kind, Topics


class PageBroker:
    """With an operator's account; all methods belong to the event loop's thread."""

    def __init__(self, settings: BrokerSettings) -> None:
        self._topics = Topics(settings.root)
        self._session = MqttSession(settings, observer_session(f"dashboard-{new_id()[:12]}"))
        #: The access rules pin what is traced, and the clock's topic, to the account's name.
        self.name = settings.username
        self._trace_topic = self._topics.build(Kind.TRACE, program=self.name)
        self._clock = ClockEnd(self.name, self._session, self._topics)
        self.retakes = Retakes(self._session, self._topics)

    async def run(self) -> None:
        """Stays connected until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._session.run(), name="mqtt")
            group.create_task(self._clock.run(), name="clock")
            group.create_task(self._listen(), name="messages")

    def trace(self, fragment: TraceFragment) -> None:
        """Tells of an image; lost while there is no broker: it is a measurement."""
        self._session.send(self._trace_topic, fragment.to_bytes(), qos=0)

    def leg(self) -> ClockLeg | None:
        """How this machine's clock stands to the records store's; None while they were not compared."""
        return self._clock.leg()

    async def _listen(self) -> None:
        async for event in self._session.events():
            match event:
                case Connected():
                    with suppress(MqttError):
                        reply = self._topics.every(Kind.REPLY)
                        await self._session.subscribe([Subscription(reply)])
                        self.retakes.connected()
                        await self._clock.connected()
                case Disconnected():
                    self.retakes.disconnected()
                    self._clock.disconnected()
                case Message():
                    if not self._clock.hear(event):
                        self.retakes.hear(event.payload)
