"""paho's client with a short way for the packets that are nearly all of the traffic: PUBLISH and PUBACK.

paho makes a dozen objects for each of them, among them tables of all properties that exist, and
writes and reads them piece by piece: a third of what a chunk cost (docs/latency.md). Here they are
packed and read at once, and whatever is not the plain case goes paho's own way, as everything else
does: connecting, TLS, subscribing, keepalive, leaving.

This is the one place that uses what paho does not publish (`_create_socket`, `_packet_queue`,
`_mid_generate`, `_in_packet`, `_handle_publish`, `_handle_pubackcomp`): the tests of this package
hold it against paho's own packets and against the real broker.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from service_runtime.joined_socket import JoinedSocket

_PUBLISH: Final = 0x30
#: The two properties that our messages carry (MQTT 5, 3.3.2.3).
_EXPIRY, _CORRELATION = 0x02, 0x09


class Publish(NamedTuple):
    """An incoming PUBLISH as far as we use it; `mid` is 0 with QoS 0."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    mid: int
    correlation: bytes | None


class _Written:
    """Stands where paho keeps a MQTTMessageInfo: told when the packet was taken by the socket."""

    __slots__ = ("_then",)

    def __init__(self, then: Callable[[], None] | None) -> None:
        self._then = then

    def _set_as_published(self) -> None:
        if self._then is not None:
            self._then()


_NOTHING = _Written(None)


class PahoClient(paho.Client):
    """MQTT 5, acknowledged by hand, never reconnecting; `take` and `acknowledged` get what is plain."""

    def __init__(
        self,
        client_id: str,
        *,
        take: Callable[[Publish], None],
        acknowledged: Callable[[int, int], None],
        written_qos0: Callable[[], None],
    ) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self._take = take
        self._acknowledged = acknowledged
        self._written: Any = _Written(written_qos0)
        self._nothing: Any = _NOTHING

    def send_publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool,
        expiry_s: int | None,
        correlation: bytes | None,
    ) -> int | None:
        """Packs a PUBLISH and gives it to the socket; its packet id, None without a connection."""
        if self.socket() is None:
            return None
        mid = self._mid_generate()
        packet = publish_packet(
            topic,
            payload,
            qos=qos,
            retain=retain,
            mid=mid,
            expiry_s=expiry_s,
            correlation=correlation,
        )
        # Of QoS 0 paho tells `_Written` when the socket has taken it: without that the window would
        # count it as unwritten for ever. `on_publish` is never set here, so it is not called.
        self._packet_queue(_PUBLISH, packet, mid, qos, self._nothing if qos else self._written)
        return mid

    def _create_socket(self) -> JoinedSocket:
        sock = super()._create_socket()
        assert isinstance(sock, socket.socket)  # never paho's websocket wrapper
        return JoinedSocket(sock)

    def _handle_publish(self) -> MQTTErrorCode:
        read = read_publish(self._in_packet["command"], self._in_packet["packet"])
        if read is None:
            return super()._handle_publish()
        self._take(read)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_pubackcomp(self, cmd: Any) -> MQTTErrorCode:
        packet = self._in_packet["packet"]
        if cmd != "PUBACK" or len(packet) not in (2, 3):
            return super()._handle_pubackcomp(cmd)
        self._acknowledged(packet[0] << 8 | packet[1], packet[2] if len(packet) == 3 else 0)
        return MQTTErrorCode.MQTT_ERR_SUCCESS


def publish_packet(
    topic: str,
    payload: bytes,
    *,
    qos: int,
    retain: bool,
    mid: int,
    expiry_s: int | None,
    correlation: bytes | None,
) -> bytearray:
    """A PUBLISH (MQTT 5, 3.3), byte for byte what paho makes of the same message."""
    properties = b""
    if expiry_s is not None:
        properties = bytes((_EXPIRY,)) + expiry_s.to_bytes(4, "big")
    if correlation is not None:
        properties += bytes((_CORRELATION,)) + len(correlation).to_bytes(2, "big") + correlation
    name = topic.encode()
    size = 2 + len(name) + (2 if qos else 0) + len(properties) + len(payload)
    size += 1 if len(properties) < 128 else 2 if len(properties) < 16_384 else 3
    packet = bytearray((_PUBLISH | qos << 1 | (1 if retain else 0),))
    _add_length(packet, size)
    packet += len(name).to_bytes(2, "big")
    packet += name
    if qos:
        packet += mid.to_bytes(2, "big")
    _add_length(packet, len(properties))
    packet += properties
    packet += payload
    return packet


def read_publish(first: int, packet: bytes | bytearray) -> Publish | None:
    """A PUBLISH after its fixed header; None for one that is not plain or not in order."""
    qos = first >> 1 & 3
    if qos > 1 or len(packet) < 2:
        return None
    at = 2 + (packet[0] << 8 | packet[1])
    end_of_topic = at
    mid = 0
    if at + (3 if qos else 1) > len(packet):
        return None
    if qos:
        mid = packet[at] << 8 | packet[at + 1]
        at += 2
    end = at + 1 + packet[at]
    if packet[at] >= 128 or end > len(packet):
        return None
    at += 1
    correlation = None
    while at < end:
        if packet[at] == _EXPIRY:
            at += 5
        elif packet[at] == _CORRELATION and correlation is None and at + 3 <= end:
            start = at + 3
            at = start + (packet[at + 1] << 8 | packet[at + 2])
            correlation = bytes(packet[start:at])
        else:
            return None
    if at != end:
        return None
    try:
        topic = packet[2:end_of_topic].decode()
    except UnicodeDecodeError:
        return None
    payload = bytes(memoryview(packet)[end:])
    return Publish(topic, payload, qos, bool(first & 1), mid, correlation)


def _add_length(packet: bytearray, value: int) -> None:
    """A variable byte integer (1.5.5)."""
    while value >= 128:
        packet.append(value & 0x7F | 0x80)
        value >>= 7
    packet.append(value)
