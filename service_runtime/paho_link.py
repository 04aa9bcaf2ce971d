"""One connection to the broker, on paho; it never reconnects.

paho is driven by the event loop's own reader and writer, so there is no second thread and no
locking: its callbacks only note what happened, and the program's callbacks run after paho has
returned. paho's own limits are off: `publish_window` keeps to the broker's. Longer than most files,
so that nothing else has to know paho.
"""

from __future__ import annotations

import asyncio
import socket as sockets
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from service_runtime.broker_settings import BrokerSettings
from service_runtime.congestion import BY_LOSS, CongestionByLoss, set_congestion
from service_runtime.joined_socket import JoinedSocket
from service_runtime.known_time import check_against
from service_runtime.mqtt_types import (
    LOST,
    Connected,
    ConnectionLostError,
    LinkLimits,
    Message,
    NotAuthorisedError,
    SessionOptions,
    Subscription,
    TakenOverError,
)
from service_runtime.paho_client import PahoClient, Publish
from service_runtime.publish_window import Outgoing, PublishWindow

if TYPE_CHECKING:
    from paho.mqtt.client import SocketLike

_TAKEN_OVER = 0x8E
#: CONNACK codes that another attempt cannot mend: account, client id, banned, method, protocol.
_HOPELESS = frozenset((0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C))


class LinkClosedError(Exception):
    """The connection ended or was never made; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes for us when we vanish."""

    topic: str
    payload: bytes
    expiry_s: int


class PahoLink:
    """A single connection, from CONNECT to its end; not used again afterwards."""

    def __init__(
        self,
        broker: BrokerSettings,
        options: SessionOptions,
        will: Will | None,
        on_message: Callable[[Message], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._broker = broker
        self._options = options
        self._on_message = on_message
        self._opened: asyncio.Future[Connected] = self._loop.create_future()
        self._closed: asyncio.Future[str] = self._loop.create_future()
        self._socket: JoinedSocket | None = None
        self._congestion: CongestionByLoss | None = None
        self._attached = False
        self._waits_for_room = False
        self._is_over = False
        self._fault: Exception | None = None
        self._tick_handle: asyncio.TimerHandle | None = None
        self._limits: LinkLimits | None = None
        self._window: PublishWindow | None = None
        self._answers: dict[int, asyncio.Future[list[int]]] = {}
        self._arrived: deque[Message] = deque()
        self._is_delivering = False
        self._unacked: dict[int, int] = {}
        self._serial = 0
        self._client = self._new_client(will)

    # --- life ---------------------------------------------------------------------------------

    async def open(self) -> Connected:
        """Connects; raises LinkClosedError, OSError or a FatalMqttError. `deliver` is to follow."""
        dial = self._loop.run_in_executor(None, self._dial)
        try:
            await asyncio.shield(dial)
        except asyncio.CancelledError:
            dial.add_done_callback(self._close_late)
            raise
        self._attach()
        try:
            async with asyncio.timeout(self._options.connect_timeout_s):
                return await self._opened
        except TimeoutError:
            raise LinkClosedError("no CONNACK in time") from None

    def _close_late(self, dialled: asyncio.Future[None]) -> None:
        dialled.exception()
        self._close_socket()

    def deliver(self) -> None:
        """The program knows of the connection: messages that came close behind CONNACK go to it."""
        self._is_delivering = True
        self._settle()

    async def wait_closed(self) -> str:
        """The reason why the connection ended; raises TakenOverError or what `fail` was given."""
        return await asyncio.shield(self._closed)

    def fail(self, fault: Exception) -> None:
        """Ends the connection with `fault` for `wait_closed`."""
        self._fault = self._fault or fault
        self.shut(str(fault))

    def end_with(self, fault: Exception) -> None:
        """Whatever ends the connection now, `wait_closed` raises this."""
        self._fault = self._fault or fault

    def shut(self, reason: str = "closed") -> None:
        """Ends the connection at once, without DISCONNECT; harmless twice."""
        self._close_socket()
        self._over(reason)

    async def goodbye(self, patience_s: float) -> None:
        """Sends DISCONNECT, which withdraws the will, and closes when it is written."""
        if not self._is_over:
            self._write()  # what waits first: paho closes right behind DISCONNECT
            self._client.disconnect()
            self._write()
            # Where the socket takes no more bytes, the broker will publish the will.
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await asyncio.shield(self._closed)
        self.shut()

    @property
    def limits(self) -> LinkLimits | None:
        """The broker's limits once connected."""
        return self._limits

    @property
    def in_flight(self) -> int:
        """QoS 1 publishes that were sent and not acknowledged."""
        return 0 if self._window is None else self._window.in_flight

    @property
    def socket(self) -> sockets.socket | None:
        """The live socket, for assertions about its options."""
        return None if self._socket is None else self._socket.raw

    # --- out ----------------------------------------------------------------------------------

    def publish(self, message: Outgoing) -> None:
        """Sends now, or when the window allows; `done` is called exactly once."""
        if self._window is not None:
            self._window.publish(message)
        elif message.done is not None:
            message.done(LOST)

    def subscribe(self, subscriptions: Sequence[Subscription]) -> asyncio.Future[list[int]]:
        """Sends SUBSCRIBE; the SUBACK's reason codes, or ConnectionLostError."""
        filters = [
            (
                item.topic,
                SubscribeOptions(
                    qos=item.qos,
                    noLocal=item.no_local,
                    retainAsPublished=item.retain_as_published,
                    retainHandling=item.retain_handling,
                ),
            )
            for item in subscriptions
        ]
        _, mid = self._client.subscribe(filters)
        return self._answer(mid)

    def unsubscribe(self, topics: Sequence[str]) -> asyncio.Future[list[int]]:
        """Sends UNSUBSCRIBE; the UNSUBACK's reason codes, or ConnectionLostError."""
        _, mid = self._client.unsubscribe(list(topics))
        return self._answer(mid)

    def _answer(self, mid: int | None) -> asyncio.Future[list[int]]:
        answer: asyncio.Future[list[int]] = self._loop.create_future()
        if mid is None or self._is_over:
            answer.set_exception(ConnectionLostError("no connection"))
            answer.exception()  # marks it as seen: the caller may not care
        else:
            self._answers[mid] = answer
        return answer

    def _hand_over(self, message: Outgoing) -> int | None:
        return self._client.send_publish(
            message.topic,
            message.payload,
            qos=message.qos,
            retain=message.retain,
            expiry_s=message.expiry_s,
            correlation=message.correlation,
        )

    def _settle(self) -> None:
        """Tells the program what paho's callbacks noted, and refills the window."""
        try:
            while self._arrived and self._is_delivering:
                self._on_message(self._arrived.popleft())
            if self._window is not None:
                self._window.settle()
        except Exception as error:  # a program's `done` failed: that is its bug and ends the run
            self.fail(error)

    # --- in -----------------------------------------------------------------------------------

    def _acknowledge(self, mid: int, serial: int) -> None:
        # The serial keeps a second or late ack() from acknowledging a later message with this mid.
        if self._unacked.get(mid) == serial:
            del self._unacked[mid]
            if not self._is_over:
                self._client.ack(mid, 1)

    def _received(self, _client: object, _userdata: object, raw: paho.MQTTMessage) -> None:
        """A PUBLISH that went paho's own way."""
        correlation = getattr(raw.properties, "CorrelationData", None)
        self._take(
            Publish(raw.topic, bytes(raw.payload), raw.qos, raw.retain, raw.mid, correlation)
        )

    def _take(self, got: Publish) -> None:
        self._serial += 1
        if got.qos:
            self._unacked[got.mid] = self._serial
        self._arrived.append(
            Message(
                got.topic,
                got.payload,
                got.qos,
                got.retain,
                got.correlation,
                time.monotonic_ns(),
                partial(self._acknowledge, got.mid, self._serial) if got.qos else _nothing,
            )
        )

    # --- paho ---------------------------------------------------------------------------------

    def _new_client(self, will: Will | None) -> PahoClient:
        client = PahoClient(
            self._options.client_id,
            take=self._take,
            acknowledged=self._acknowledged,
            written_qos0=partial(self._acknowledged, 0, 0),
        )
        client.connect_timeout = self._options.connect_timeout_s
        client.username_pw_set(self._broker.username, self._broker.read_password())
        tls = self._broker.tls_context()
        if tls is not None:
            tls.sslsocket_class = _ClosingSocket
            check_against(tls, self._options.known_time_s)
            client.tls_set_context(tls)
        if will is not None:
            properties = _properties(PacketTypes.WILLMESSAGE)
            properties.MessageExpiryInterval = will.expiry_s
            client.will_set(will.topic, will.payload, qos=1, retain=True, properties=properties)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_message = self._received
        client.on_subscribe = self._answered
        client.on_unsubscribe = self._answered
        client.on_socket_open = self._socket_opened
        client.on_socket_close = self._socket_closing
        client.on_socket_register_write = self._wants_write
        return client

    def _dial(self) -> None:
        properties = _properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = self._options.session_expiry_s
        properties.ReceiveMaximum = self._options.receive_maximum
        self._client.connect(
            self._broker.host,
            self._broker.port,
            self._options.keepalive_s,
            clean_start=self._options.clean_start,
            properties=properties,
        )

    def _socket_opened(self, _client: object, _userdata: object, sock: SocketLike) -> None:
        assert isinstance(sock, JoinedSocket)  # see `PahoClient`
        self._socket = sock
        # Without NODELAY at both ends a QoS 1 answer takes 42-88 ms instead of 0.8 ms.
        sock.raw.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
        wanted = self._options.congestion
        if wanted == BY_LOSS:
            self._congestion = CongestionByLoss(sock.raw)
        elif wanted is not None:
            set_congestion(sock.raw, wanted)  # not on every kernel: `hemowire doctor` says so

    def _attach(self) -> None:
        if self._socket is None or self._client.socket() is None or self._is_over:
            raise LinkClosedError("connection closed while connecting")
        self._attached = True
        self._loop.add_reader(self._socket.fileno(), self._read)
        self._write()
        self._tick()

    def _read(self) -> None:
        sock = self._socket
        assert sock is not None, "read only while attached"
        sock.arm()
        try:
            self._client.loop_read()
            while sock.has_more:
                self._client.loop_read()
        except (ValueError, IndexError, KeyError, TypeError, struct.error) as error:
            self.fail(LinkClosedError(f"the broker sent what cannot be read: {error}"))
        self._settle()

    def _write(self) -> None:
        """Gives the socket what paho has for it, and asks to be told when it takes more."""
        sock = self._socket
        if sock is None or not self._attached or self._is_over:
            return
        try:
            sock.flush()
            self._client.loop_write()
            if self._attached:
                sock.flush()
        except OSError:
            self.shut("connection lost")
        if not self._attached:
            return
        wants = sock.is_waiting or self._client.want_write()
        if wants and not self._waits_for_room:
            self._loop.add_writer(sock.fileno(), self._write)
        elif self._waits_for_room and not wants:
            self._loop.remove_writer(sock.fileno())
        self._waits_for_room = wants

    def _tick(self) -> None:
        if not self._is_over:
            self._client.loop_misc()
            if self._congestion is not None:
                self._congestion.look(time.monotonic())
            self._tick_handle = self._loop.call_later(
                min(1.0, self._options.keepalive_s / 4), self._tick
            )

    def _wants_write(self, _client: object, _userdata: object, _sock: SocketLike) -> None:
        if self._attached:
            # What this turn of the loop still brings is written with it.
            self._loop.call_soon(self._write)

    def _socket_closing(self, _client: object, _userdata: object, sock: SocketLike) -> None:
        if self._attached and sock.fileno() >= 0:
            self._loop.remove_reader(sock.fileno())
            self._loop.remove_writer(sock.fileno())
        self._attached = self._waits_for_room = False

    def _close_socket(self) -> None:
        sock = self._client.socket()
        if sock is not None:
            self._socket_closing(None, None, sock)
            sock.close()
            self._client.loop_read()  # paho finds its socket closed and lets go of it

    # --- paho's callbacks: they note, the program's code runs later ---------------------------

    def _connected(
        self,
        _client: object,
        _userdata: object,
        flags: paho.ConnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if code.is_failure:
            text = f"the broker refused {self._broker.username!r}: {code} (0x{code.value:02x})"
            self._fault = (
                NotAuthorisedError(text) if code.value in _HOPELESS else LinkClosedError(text)
            )
            return
        self._limits = _limits(properties, self._options.keepalive_s)
        self._window = PublishWindow(self._options, self._limits, self._hand_over)
        if not self._opened.done():
            self._opened.set_result(Connected(self._limits, flags.session_present))

    def _disconnected(
        self,
        _client: object,
        _userdata: object,
        flags: paho.DisconnectFlags,
        code: ReasonCode,
        _properties: object,
    ) -> None:
        if flags.is_disconnect_packet_from_server and code.value == _TAKEN_OVER:
            name = self._options.client_id
            self._fault = TakenOverError(f"a second client connected as {name!r} (0x8E)")
        reason = "connection lost"  # paho has no more to say of it than "Unspecified error"
        if flags.is_disconnect_packet_from_server:
            reason = f"the broker said: {code}"
        self._loop.call_soon(self._over, reason)

    def _acknowledged(self, mid: int, code: int) -> None:
        """A PUBACK; with mid 0, that the socket took a message of QoS 0."""
        if self._window is not None:
            self._window.published(mid, code)

    def _answered(
        self,
        _client: object,
        _userdata: object,
        mid: int,
        codes: list[ReasonCode],
        _properties: object,
    ) -> None:
        answer = self._answers.pop(mid, None)
        if answer is not None and not answer.done():
            answer.set_result([code.value for code in codes])

    def _over(self, reason: str) -> None:
        if self._is_over:
            return
        self._settle()  # acknowledgements that were read before the end still count
        self._is_over = True
        if self._tick_handle is not None:
            self._tick_handle.cancel()
        fault = self._fault
        if not self._opened.done():
            self._opened.set_exception(fault or LinkClosedError(reason))
            self._opened.exception()
        if fault is None or isinstance(fault, LinkClosedError):
            self._closed.set_result(reason)
        else:
            self._closed.set_exception(fault)
            self._closed.exception()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ConnectionLostError(reason))
                answer.exception()
        self._answers.clear()
        self._unacked.clear()
        if self._window is not None:
            self._window.end()


class _ClosingSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails, which paho leaves to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _properties(packet_type: int) -> Properties:
    return Properties(packet_type)  # type: ignore[no-untyped-call]  # paho does not annotate it


def _nothing() -> None:
    """The acknowledgement of a QoS 0 message."""


def _limits(properties: Properties | None, keepalive_s: int) -> LinkLimits:
    """CONNACK properties; what is absent has the default of MQTT 5 (section 3.2.2.3)."""
    return LinkLimits(
        maximum_packet_size=getattr(properties, "MaximumPacketSize", 268_435_455),
        receive_maximum=getattr(properties, "ReceiveMaximum", 65_535),
        shared_subscriptions=bool(getattr(properties, "SharedSubscriptionAvailable", 1)),
        wildcard_subscriptions=bool(getattr(properties, "WildcardSubscriptionAvailable", 1)),
        maximum_qos=getattr(properties, "MaximumQoS", 2),
        retain_available=bool(getattr(properties, "RetainAvailable", 1)),
        keepalive_s=getattr(properties, "ServerKeepAlive", keepalive_s),
        topic_alias_maximum=getattr(properties, "TopicAliasMaximum", 0),
    )
