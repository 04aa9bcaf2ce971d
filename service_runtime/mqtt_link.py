"""One connection to the broker, from CONNECT to its end; it never reconnects and resends nothing.

Packets are cut from what one read brought and acknowledged with one write; what a program sends in
one turn of the event loop leaves together (docs/latency.md says what that saves). Everything runs
on the loop's thread. The window of unacknowledged publishes is `publish_window`'s. (Just over 250
lines: the whole life of a connection in one place.)
"""

from __future__ import annotations

import asyncio
import os
import socket as sockets
import ssl
from asyncio.trsock import TransportSocket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from service_runtime import mqtt_packets as packets
from service_runtime.boot import monotonic_ns, monotonic_s
from service_runtime.broker_settings import BrokerSettings
from service_runtime.known_time import check_against
from service_runtime.mqtt_frames import Frames
from service_runtime.mqtt_packets import MalformedPacketError, Will
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
from service_runtime.publish_window import Outgoing, PublishWindow

#: The largest packet we take; the broker is told.
LARGEST_PACKET_BYTES = 16 * 1024 * 1024
#: Small packets leave together up to this size; a chunk leaves by itself.
_JOINED_BYTES = 64 * 1024
_TAKEN_OVER = 0x8E
#: CONNACK codes that another attempt cannot mend: account, client id, banned, method, protocol.
_HOPELESS = frozenset((0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C))
_MIDS = 65_535


class LinkClosedError(Exception):
    """The connection ended or was never made; the message is the reason."""


class MqttLink(asyncio.BufferedProtocol):
    """A single connection; not used again afterwards."""

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
        self._will = will
        self._on_message = on_message
        self._opened: asyncio.Future[Connected] = self._loop.create_future()
        self._closed: asyncio.Future[str] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._is_over = False
        self._fault: Exception | None = None
        self._tick_handle: asyncio.TimerHandle | None = None
        self._limits: LinkLimits | None = None
        self._window: PublishWindow | None = None
        self._answers: dict[int, asyncio.Future[list[int]]] = {}
        self._frames = Frames(LARGEST_PACKET_BYTES)
        self._unacked: dict[int, int] = {}
        self._serial = 0
        #: Messages that came before `deliver`, None from then on.
        self._held: list[Message] | None = []
        self._last_mid = 0
        self._mids: set[int] = set()
        #: Packets that wait for the socket, and how many of them are publishes of QoS 0.
        self._out: deque[bytes] = deque()
        self._out_qos0 = 0
        self._is_flush_due = False
        self._is_full = False
        self._is_leaving = False
        self._sent_at = self._heard_at = monotonic_s()
        self._pinged_at: float | None = None

    # --- life ---------------------------------------------------------------------------------

    async def open(self) -> Connected:
        """Connects; raises LinkClosedError, OSError or a FatalMqttError. `deliver` is to follow."""
        tls = self._broker.tls_context()
        if tls is not None:
            check_against(tls, self._options.known_time_s)
        password = self._broker.read_password()
        try:
            async with asyncio.timeout(self._options.connect_timeout_s):
                await self._dial(tls)
                self._write(self._connect_packet(password))
                return await self._opened
        except TimeoutError:
            reason = "no connection in time" if self._transport is None else "no CONNACK in time"
            raise LinkClosedError(reason) from None

    async def _dial(self, tls: ssl.SSLContext | None) -> None:
        try:
            await self._loop.create_connection(
                lambda: self,
                self._broker.host,
                self._broker.port,
                ssl=tls,
                server_hostname=None if tls is None else self._broker.host,
            )
        except ssl.SSLError:
            raise
        except OSError as error:
            if error.errno is None:
                raise
            # asyncio says which address; the words of the system are what people know.
            raise OSError(error.errno, os.strerror(error.errno)) from error

    def _connect_packet(self, password: str | None) -> bytes:
        return packets.connect(
            client_id=self._options.client_id,
            username=self._broker.username,
            password=password,
            keepalive_s=self._options.keepalive_s,
            clean_start=self._options.clean_start,
            session_expiry_s=self._options.session_expiry_s,
            receive_maximum=self._options.receive_maximum,
            maximum_packet_size=LARGEST_PACKET_BYTES,
            will=self._will,
        )

    def deliver(self) -> None:
        """The program knows of the connection: messages that came close behind CONNACK go to it."""
        held, self._held = self._held or [], None
        for message in held:
            self._on_message(message)

    async def wait_closed(self) -> str:
        """The reason why the connection ended; raises TakenOverError or what `fail` was given."""
        return await asyncio.shield(self._closed)

    def fail(self, fault: Exception) -> None:
        """Ends the connection with `fault` for `wait_closed`."""
        self._fault = self._fault or fault
        self.shut(str(fault))

    def shut(self, reason: str = "closed") -> None:
        """Ends the connection at once, without DISCONNECT; harmless twice."""
        if self._transport is not None:
            self._transport.abort()
        self._over(reason)

    async def goodbye(self, patience_s: float) -> None:
        """Sends DISCONNECT, which withdraws the will, and closes when it is written."""
        if not self._is_over:
            self._write(packets.GOODBYE)
            self._is_leaving = True
            self._flush()
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
    def socket(self) -> TransportSocket | None:
        """The live socket, for assertions about its options."""
        return None if self._transport is None else self._transport.get_extra_info("socket")

    # --- out ----------------------------------------------------------------------------------

    def publish(self, message: Outgoing) -> None:
        """Sends now, or when the window allows; `done` is called exactly once."""
        if self._window is not None:
            self._window.publish(message)
        elif message.done is not None:
            message.done(LOST)

    def subscribe(self, subscriptions: Sequence[Subscription]) -> asyncio.Future[list[int]]:
        """Sends SUBSCRIBE; the SUBACK's reason codes, or ConnectionLostError."""
        return self._ask(partial(packets.subscribe, subscriptions=subscriptions))

    def unsubscribe(self, topics: Sequence[str]) -> asyncio.Future[list[int]]:
        """Sends UNSUBSCRIBE; the UNSUBACK's reason codes, or ConnectionLostError."""
        return self._ask(partial(packets.unsubscribe, topics=topics))

    def _ask(self, packet: Callable[[int], bytes]) -> asyncio.Future[list[int]]:
        answer: asyncio.Future[list[int]] = self._loop.create_future()
        if self._is_over:
            answer.set_exception(ConnectionLostError("no connection"))
            answer.exception()  # marks it as seen: the caller may not care
        else:
            mid = self._new_mid()
            self._answers[mid] = answer
            self._write(packet(mid))
        return answer

    def _hand_over(self, message: Outgoing) -> int | None:
        if self._is_over:
            return None
        mid = self._new_mid() if message.qos else 0
        head = packets.publish_head(
            message.topic,
            len(message.payload),
            qos=message.qos,
            retain=message.retain,
            mid=mid,
            expiry_s=message.expiry_s,
            correlation=message.correlation,
        )
        self._out_qos0 += not message.qos
        self._write(head)
        self._out.append(message.payload)
        return mid

    def _new_mid(self) -> int:
        mid = self._last_mid % _MIDS + 1
        while mid in self._mids:
            mid = mid % _MIDS + 1
        self._last_mid = mid
        self._mids.add(mid)
        return mid

    def _write(self, packet: bytes) -> None:
        self._out.append(packet)
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Gives the socket what waits, in as few writes as are worth joining."""
        self._is_flush_due = False
        transport, out = self._transport, self._out
        if transport is None or self._is_over:
            return
        while out and not self._is_full:
            joined = [out.popleft()]
            size = len(joined[0])
            while out and size < _JOINED_BYTES:
                joined.append(out.popleft())
                size += len(joined[-1])
            transport.write(joined[0] if len(joined) == 1 else b"".join(joined))
            self._sent_at = monotonic_s()
        if out:
            return
        if self._window is not None:
            for _ in range(self._out_qos0):
                self._window.published(0, 0)
        self._out_qos0 = 0
        if self._is_leaving:
            transport.close()

    # --- asyncio's side -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected, and TLS is up where it is wanted."""
        assert isinstance(transport, asyncio.Transport)
        if self._is_over:
            transport.abort()
            return
        self._transport = transport
        transport.set_write_buffer_limits(high=1)  # told at once when the socket takes no more
        sock = transport.get_extra_info("socket")
        # Without NODELAY at both ends a QoS 1 answer takes 42-88 ms instead of 0.8 ms.
        sock.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
        option = getattr(sockets, "TCP_CONGESTION", None)
        if self._options.congestion is not None and option is not None:
            with suppress(OSError):  # this kernel has no such algorithm: `hemowire doctor` says so
                sock.setsockopt(sockets.IPPROTO_TCP, option, self._options.congestion.encode())

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Where asyncio reads to."""
        return self._frames.room()

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes were read: takes all packets that are whole."""
        self._heard_at = monotonic_s()
        self._frames.filled(nbytes)
        try:
            for first, body in self._frames.packets():
                self._take(first, body)
                if self._is_over:
                    return
        except MalformedPacketError as error:
            self.fail(LinkClosedError(f"the broker sent what cannot be read: {error}"))
        self._settle()

    def pause_writing(self) -> None:
        """The socket takes no more for now."""
        self._is_full = True

    def resume_writing(self) -> None:
        """The socket has taken everything."""
        self._is_full = False
        self._flush()

    def connection_lost(self, _error: Exception | None) -> None:
        """The socket is closed, by whomever."""
        self._over("connection lost")  # what the system says of it is rarely more

    # --- in -----------------------------------------------------------------------------------

    def _take(self, first: int, body: memoryview) -> None:
        kind = first & 0xF0
        if kind == packets.PUBLISH:
            self._received(packets.read_publish(first, body))
        elif kind == packets.PUBACK:
            mid, code = packets.read_puback(body)
            if mid not in self._mids:
                raise MalformedPacketError(f"PUBACK of packet {mid}, which is not out")
            self._mids.discard(mid)
            if self._window is not None:
                self._window.published(mid, code)
        elif kind in (packets.SUBACK, packets.UNSUBACK):
            mid, codes = packets.read_suback(body)
            self._mids.discard(mid)
            answer = self._answers.pop(mid, None)
            if answer is not None and not answer.done():
                answer.set_result(codes)
        elif kind == packets.CONNACK and self._limits is None:
            self._connected(packets.read_connack(body))
        elif kind == packets.DISCONNECT:
            self._told_to_leave(packets.read_disconnect(body))
        elif kind != packets.PINGRESP:
            raise MalformedPacketError(f"a packet of type 0x{first:02x}")

    def _received(self, publish: packets.Published) -> None:
        self._serial += 1
        mid, serial = publish.mid, self._serial
        if publish.qos:
            self._unacked[mid] = serial
        message = Message(
            publish.topic,
            publish.payload,
            publish.qos,
            publish.retain,
            publish.correlation,
            monotonic_ns(),
            partial(self._acknowledge, mid, serial) if publish.qos else _nothing,
        )
        if self._held is None:
            self._on_message(message)
        else:
            self._held.append(message)

    def _acknowledge(self, mid: int, serial: int) -> None:
        # The serial keeps a second or late ack() from acknowledging a later message with this mid.
        if self._unacked.get(mid) == serial:
            del self._unacked[mid]
            if not self._is_over:
                self._write(packets.puback(mid))

    def _settle(self) -> None:
        """Tells the program of its acknowledged publishes, and refills the window."""
        try:
            if self._window is not None:
                self._window.settle()
        except Exception as error:  # a program's `done` failed: that is its bug and ends the run
            self.fail(error)

    def _connected(self, connack: packets.Connack) -> None:
        if connack.code >= 0x80:
            words = packets.REASONS.get(connack.code, "an unknown reason")
            text = f"the broker refused {self._broker.username!r}: {words} (0x{connack.code:02x})"
            hopeless = connack.code in _HOPELESS
            self.fail(NotAuthorisedError(text) if hopeless else LinkClosedError(text))
            return
        self._limits = _limits(connack.properties, self._options.keepalive_s)
        self._window = PublishWindow(self._options, self._limits, self._hand_over)
        self._tick()
        if not self._opened.done():
            self._opened.set_result(Connected(self._limits, connack.session_present))

    def _told_to_leave(self, code: int) -> None:
        if code == _TAKEN_OVER:
            name = self._options.client_id
            self._fault = TakenOverError(f"a second client connected as {name!r} (0x8E)")
        self.shut(f"the broker said: {packets.REASONS.get(code, f'0x{code:02x}')}")

    # --- keepalive and end ----------------------------------------------------------------------

    def _tick(self) -> None:
        """Keepalive (3.1.2.10): says that we are there, and notices a broker that is not."""
        if self._is_over or self._limits is None:
            return
        now, keepalive_s = monotonic_s(), self._limits.keepalive_s
        pause_s = min(1.0, keepalive_s / 4) if keepalive_s else 1.0
        if self._pinged_at is not None and self._heard_at > self._pinged_at:
            self._pinged_at = None
        if self._pinged_at is not None and now - self._pinged_at >= keepalive_s:
            self.shut(f"no word from the broker in {keepalive_s} s")
            return
        quiet_s = now - min(self._sent_at, self._heard_at)
        if keepalive_s and self._pinged_at is None and quiet_s >= keepalive_s - pause_s:
            self._pinged_at = now
            self._write(packets.PING)
        self._tick_handle = self._loop.call_later(pause_s, self._tick)

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
        self._out.clear()
        if self._window is not None:
            self._window.end()


def _nothing() -> None:
    """The acknowledgement of a QoS 0 message."""


def _limits(properties: dict[int, int], keepalive_s: int) -> LinkLimits:
    """CONNACK properties; what is absent has the default of MQTT 5 (section 3.2.2.3)."""
    return LinkLimits(
        maximum_packet_size=properties.get(packets.MAXIMUM_PACKET_SIZE, 268_435_455),
        receive_maximum=properties.get(packets.RECEIVE_MAXIMUM, 65_535),
        shared_subscriptions=bool(properties.get(packets.SHARED_AVAILABLE, 1)),
        wildcard_subscriptions=bool(properties.get(packets.WILDCARDS_AVAILABLE, 1)),
        maximum_qos=properties.get(packets.MAXIMUM_QOS, 2),
        retain_available=bool(properties.get(packets.RETAIN_AVAILABLE, 1)),
        keepalive_s=properties.get(packets.SERVER_KEEP_ALIVE, keepalive_s),
        topic_alias_maximum=properties.get(packets.TOPIC_ALIAS_MAXIMUM, 0),
    )
