"""A program's end of the clock exchange on its session: it hears the clock's messages and refuses malformed ones."""

from __future__ import annotations

from service_runtime.clock import ClockExchange
from service_runtime.log import get_log
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import Message, MqttError, Subscription
from wire_protocol.clock_legs import ClockLeg
from wire_protocol.codec import PeerError
from wire_protocol.json_messages import Presence, Status
from wire_protocol.topics import RECORDS, Kind, Topics


class ClockEnd:
    """`peer` is the level of our own clock topic that the access rules allow: a worker's id, a
    device, or an account's name."""

    def __init__(self, peer: str, session: MqttSession, topics: Topics) -> None:
        self._session = session
        self._own = topics.build(Kind.CLOCK, peer=peer)
        self._records_status = topics.build(Kind.RECORDS_STATUS)
        asked = topics.build(Kind.CLOCK, peer=RECORDS)
        self._exchange = ClockExchange(peer, lambda payload: session.send(asked, payload, qos=0))
        self._log = get_log("clock").bind(peer=peer)

    async def connected(self) -> None:
        """A new connection: subscribes and begins to ask."""
        topics = [Subscription(self._own, qos=0), Subscription(self._records_status)]
        try:
            await self._session.subscribe(topics)
        except MqttError as error:
            self._log.warning("clock_not_subscribed", problem=str(error))
        else:
            self._exchange.connected()

    def disconnected(self) -> None:
        """Nothing is asked until the next connection."""
        self._exchange.disconnected()

    def hear(self, message: Message) -> bool:
        """Whether the message was for the clock; it is done with then."""
        if message.topic not in (self._own, self._records_status):
            return False
        try:
            if message.topic == self._own:
                self._exchange.receive(message.payload, message.received_at_ns)
            elif message.payload:
                status = Status.from_bytes(message.payload)
                if status.state is Presence.ONLINE:
                    self._exchange.records_online(status.incarnation)
        except PeerError as error:
            self._log.warning("message_refused", topic=message.topic, problem=str(error))
        message.ack()
        return True

    def leg(self) -> ClockLeg | None:
        """The best comparison with the records store's clock, None while there is none."""
        return self._exchange.leg()

    async def run(self) -> None:
        """Asks while connected, until cancelled."""
        await self._exchange.run()
