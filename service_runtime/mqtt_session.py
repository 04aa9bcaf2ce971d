"""The asyncio MQTT 5 session of a program; it reconnects, and resends nothing by itself.

    session = MqttSession(settings.broker, device_session(site, device), presence)
    async with asyncio.TaskGroup() as group:
        group.create_task(session.run())
        async for event in session.events():
            match event:
                case Connected():
                    with suppress(ConnectionLostError):
                        await session.subscribe([Subscription(topic)])
                        await session.announce()
                case Disconnected(): ...
                case Message(topic=topic, payload=payload): ...

Every connection is a new `PahoLink`. What was outstanding when it ended fails with `LOST` or
ConnectionLostError: the programs' own machines decide what to send again. Messages are acknowledged
when the program takes them (or with `manual_ack` when it says so), so our Receive Maximum bounds
the inbox and reading never stops: a program may await a publish while its inbox is full.
(Mosquitto 2.0.11 exceeds the Receive Maximum once acknowledgements flow, 2.1 keeps to it; an inbox
over `inbox_bytes` ends the connection, and what was not acknowledged comes again to a kept session.)

One concept, and a third of it is the contract in its docstrings: so it is longer than most files.
"""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from service_runtime.backoff import Backoff
from service_runtime.broker_settings import BrokerSettings
from service_runtime.inbox import Inbox
from service_runtime.log import get_log
from service_runtime.mqtt_types import (
    LOST,
    NOT_AUTHORISED,
    QUEUE_FULL,
    TOO_LARGE,
    BrokerUnsuitableError,
    ConnectionLostError,
    Disconnected,
    Done,
    Event,
    LinkLimits,
    Message,
    MqttError,
    NotAuthorisedError,
    Presence,
    QueueFullError,
    SessionOptions,
    SubscribeRefusedError,
    Subscription,
    TakenOverError,
    TooLargeError,
)
from service_runtime.paho_link import LinkClosedError, PahoLink, Will
from service_runtime.publish_window import Outgoing
from wire_protocol.codec import PeerError
from wire_protocol.json_messages import GAVE_WAY, STOPPED, Status

#: How long a clean stop waits for the broker to have the offline status.
GOODBYE_S = 2.0
#: Connections in a row, none of them stable, on which our status was found to be another's, until
#: one of two programs gives way. Each bears a different number of them, or both might end: the one
#: that goes may cost the other one or two more, for the broker sends its will when it is cut.
_STRIKES = 3
_MORE_IF_FIRST_BY_NAME = 3
_MORE_IF_SETTLED = 6
_ERRORS = {LOST: ConnectionLostError, QUEUE_FULL: QueueFullError, TOO_LARGE: TooLargeError}


@dataclass(slots=True)
class SessionCounters:
    """Totals since the start of the program."""

    connections: int = 0
    lost: int = 0
    received: int = 0
    dropped_qos0: int = 0
    inbox_overflows: int = 0


class MqttSession:
    """One program's session with the broker; all methods belong to the event loop's thread."""

    def __init__(
        self, broker: BrokerSettings, options: SessionOptions, presence: Presence | None = None
    ) -> None:
        self.counters = SessionCounters()
        self._broker = broker
        self._options = options
        self._presence = presence
        self._log = get_log("mqtt").bind(
            client=options.client_id, broker=f"{broker.host}:{broker.port}"
        )
        self._link: PahoLink | None = None
        self._announced = False  # on this connection
        self._has_announced = False  # on any
        self._is_struck = False  # on this connection: see _was_taken_over
        self._strikes = 0
        self._is_settled = False  # has had a stable connection: the newcomer is to give way
        self._giving_way: asyncio.Task[None] | None = None
        self._inbox = Inbox(options)
        self._life: asyncio.Future[None] | None = None
        self._is_closing = False
        self._has_ended = asyncio.Event()

    # --- life ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connects and reconnects until `close()` or cancelled; raises FatalMqttError by name.

        A clean end publishes the offline status and sends DISCONNECT.
        """
        self._life = asyncio.ensure_future(self._stay_connected())
        if self._is_closing:
            self._life.cancel()
        try:
            await self._life
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._is_closing or (task is not None and task.cancelling()):
                raise
        finally:
            self._has_ended.set()
            self._inbox.end()

    async def close(self) -> None:
        """Lets `run()` return and waits for it; events() ends after what is waiting."""
        self._is_closing = True
        if self._life is not None:
            self._life.cancel()
            await self._has_ended.wait()

    @property
    def limits(self) -> LinkLimits | None:
        """The broker's limits while connected, else None."""
        return None if self._link is None else self._link.limits

    @property
    def is_connected(self) -> bool:
        """Whether a publish would be sent now."""
        return self._link is not None

    @property
    def in_flight(self) -> int:
        """QoS 1 publishes that the broker has not acknowledged yet."""
        return 0 if self._link is None else self._link.in_flight

    @property
    def socket(self) -> socket.socket | None:
        """The live socket, to look at its options; it is paho's: do not read or write it."""
        return None if self._link is None else self._link.socket

    # --- in -----------------------------------------------------------------------------------

    def events(self) -> AsyncIterator[Event]:
        """Connections, disconnections and messages in order, to one consumer, until the end."""
        return self._inbox.events()

    def waiting(self) -> int:
        """How many events wait for the program."""
        return len(self._inbox)

    async def subscribe(self, subscriptions: Sequence[Subscription]) -> list[int]:
        """Subscribes and returns the granted reason codes.

        Raises SubscribeRefusedError or ConnectionLostError.
        Mosquitto's access file grants a forbidden filter and then filters its messages: only a
        message that never comes tells. Publishing is refused openly, see `announce`.
        """
        codes = await self._require_link().subscribe(subscriptions)
        for subscription, code in zip(subscriptions, codes, strict=True):
            if code >= 0x80:
                raise SubscribeRefusedError(subscription.topic, code)
        return codes

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        """Unsubscribes and waits for the broker's word; raises ConnectionLostError."""
        await self._require_link().unsubscribe(topics)

    # --- out ----------------------------------------------------------------------------------

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        expiry_s: int | None = None,
        correlation: bytes | None = None,
    ) -> asyncio.Future[int]:
        """Resolves to the PUBACK's reason code (0, 0x10 no subscribers, >= 0x80 refused).

        It fails with ConnectionLostError, QueueFullError or TooLargeError and never waits for a
        connection.
        QoS 0 resolves to 0 once it is handed to the socket. The future may be left alone.
        """
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def done(code: int) -> None:
            if future.done():
                return
            if code >= 0:
                future.set_result(code)
            else:
                future.set_exception(_ERRORS[code](f"publish on {topic}, {len(payload)} bytes"))
                future.exception()  # marks it as seen: the caller may not care

        self.send(
            topic, payload, done, qos=qos, retain=retain, expiry_s=expiry_s, correlation=correlation
        )
        return future

    def send(
        self,
        topic: str,
        payload: bytes,
        done: Done | None = None,
        *,
        qos: int = 1,
        retain: bool = False,
        expiry_s: int | None = None,
        correlation: bytes | None = None,
    ) -> None:
        """The cheap form of `publish`: calls `done(code)` exactly once, perhaps before returning.

        The code is the PUBACK's, or LOST, QUEUE_FULL, TOO_LARGE (below zero).
        """
        if self._link is None or self._giving_way is not None:
            if done is not None:
                done(LOST)
            return
        self._link.publish(Outgoing(topic, payload, done, qos, retain, expiry_s, correlation))

    async def announce(self, status: Status | None = None) -> None:
        """Publishes the retained online status (a new one if given); call it after subscribing.

        It is also the probe of our permissions: a refusal ends `run()` with NotAuthorisedError.
        """
        if self._presence is None:
            raise ValueError("announce() needs a Presence")
        if status is not None:
            self._presence = replace(self._presence, status=status)
        payload = self._presence.status.to_bytes()
        self._announced = True  # from here on the broker may hold it: an end must take it back
        code = await self.publish(self._presence.topic, payload, retain=True)
        if code == NOT_AUTHORISED:
            fault = NotAuthorisedError(f"not allowed to publish on {self._presence.topic}")
            if self._link is not None:
                self._link.fail(fault)
            raise fault
        self._has_announced = True

    # --- connection ---------------------------------------------------------------------------

    async def _stay_connected(self) -> None:
        backoff = Backoff(self._options, time.monotonic())
        while True:
            reason, lived_s = await self._one_connection()
            self.counters.lost += 1
            now = time.monotonic()
            backoff.ended(now, lived_s)
            pause_s = backoff.pause_s(now, random.random())
            if backoff.failures == 0:
                self._strikes = 0
                self._is_settled = True
            if backoff.failures & (backoff.failures - 1) == 0:  # 0, 1, 2, 4, 8, ...
                self._log.warning("broker_away", reason=reason, again_s=round(pause_s, 1))
            await asyncio.sleep(pause_s)

    async def _one_connection(self) -> tuple[str, float]:
        """Why it ended, and how long it lived; 0 seconds where it was never made."""
        link = PahoLink(self._broker, self._options, self._will(), self._on_message)
        try:
            opened = await link.open()
        except (OSError, LinkClosedError) as error:
            link.shut()
            words = error.strerror if isinstance(error, OSError) else None
            return words or str(error) or type(error).__name__, 0.0  # without "[Errno 111]"
        except BaseException:
            link.shut()
            raise
        connected_at = time.monotonic()
        self._link = link
        self._announced = False
        self._is_struck = False
        self.counters.connections += 1
        self._log.info("mqtt_connected", session_present=opened.session_present)
        if self._presence is not None and self._has_announced:
            # See _was_taken_over. QoS 0: a kept session must not queue an earlier life's status.
            link.subscribe([Subscription(self._presence.topic, qos=0)])
        self._inbox.put(opened)
        link.deliver()
        reason = "stopped"
        try:
            self._refuse_unsuitable(opened.limits)
            reason = await link.wait_closed()
        except asyncio.CancelledError:
            await self._say_goodbye(link)
            raise
        finally:
            self._link = None
            link.shut(reason)
            self._inbox.put(Disconnected(reason))
        return reason, time.monotonic() - connected_at

    async def _say_goodbye(self, link: PahoLink) -> None:
        if self._presence is not None and self._announced:
            offline = self._presence.offline(STOPPED if self._is_closing else "failed")
            expiry_s = self._presence.offline_expiry_s
            told = self.publish(self._presence.topic, offline, retain=True, expiry_s=expiry_s)
            with suppress(TimeoutError, MqttError):
                async with asyncio.timeout(GOODBYE_S):
                    await told
        await link.goodbye(GOODBYE_S)

    def _refuse_unsuitable(self, limits: LinkLimits) -> None:
        missing = []
        if self._options.needs_shared_subscriptions and not limits.shared_subscriptions:
            missing.append("shared subscriptions")
        if limits.maximum_qos < 1:
            missing.append("QoS 1")
        if self._presence is not None and not limits.retain_available:
            missing.append("retained messages")
        if missing:
            where = f"{self._broker.host}:{self._broker.port}"
            raise BrokerUnsuitableError(f"the broker at {where} lacks {', '.join(missing)}")

    def _will(self) -> Will | None:
        if self._presence is None:
            return None
        offline = self._presence.offline("connection lost")
        return Will(self._presence.topic, offline, self._presence.offline_expiry_s)

    def _require_link(self) -> PahoLink:
        if self._link is None:
            raise ConnectionLostError("no connection")
        return self._link

    # --- inbox --------------------------------------------------------------------------------

    def _on_message(self, message: Message) -> None:
        self.counters.received += 1
        mine = self._presence is not None and message.topic == self._presence.topic
        if self._presence is not None and mine and self._has_announced:
            message.ack()
            if self._was_taken_over(self._presence, message) and self._link is not None:
                self._give_way(self._link, self._presence)
            return
        if not self._inbox.put(message):
            self.counters.dropped_qos0 += 1
        if self._inbox.is_over and self._link is not None:
            self.counters.inbox_overflows += 1
            self._link.shut(f"our inbox is over {self._options.inbox_bytes} bytes")

    def _give_way(self, link: PahoLink, presence: Presence) -> None:
        """Ends as taken over, and leaves no status or will behind that the other one would take for
        a living program's: it would end too."""
        if self._giving_way is not None:
            return
        name = self._options.client_id
        link.end_with(TakenOverError(f"another program announced itself as {name!r}"))
        if self._announced:
            offline, expiry_s = presence.offline(GAVE_WAY), presence.offline_expiry_s
            link.publish(Outgoing(presence.topic, offline, None, 0, True, expiry_s, None))
        self._giving_way = asyncio.create_task(self._leave(link), name="give way")

    @staticmethod
    async def _leave(link: PahoLink) -> None:
        with suppress(MqttError, LinkClosedError):  # its end is for `wait_closed` to tell
            await link.goodbye(GOODBYE_S)

    def _was_taken_over(self, presence: Presence, message: Message) -> bool:
        """Whether the retained status is another's again and again, though we had announced ourselves.

        Mosquitto 2.0.11 closes a connection that was taken over without saying 0x8E (2.1 says
        it), so two programs with one client id would disconnect each other for ever. Needs the
        right to read one's own status. Once proves nothing: a broker that died before it saved
        comes back with the status of our earlier life, and lets us be.
        """
        try:
            status = Status.from_bytes(message.payload)
        except PeerError:
            return False  # cleared, or not ours to judge
        ours, others = presence.status.incarnation, status.incarnation
        if status.reason == GAVE_WAY or others == ours:
            return False
        if not self._is_struck:
            self._is_struck = True
            self._strikes += 1
            self._log.warning("status_of_another", times=self._strikes)
        patience = _STRIKES + _MORE_IF_SETTLED * self._is_settled
        return self._strikes >= patience + _MORE_IF_FIRST_BY_NAME * (ours < others)
