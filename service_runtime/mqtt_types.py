"""What an MQTT session says to its program: events, limits, options, errors; no I/O here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from wire_protocol.json_messages import Presence as PresenceState
from wire_protocol.json_messages import Status

#: What `done` and `publish` report: the PUBACK's reason code, or one of the three below zero.
DELIVERED: Final = 0x00
NO_SUBSCRIBERS: Final = 0x10
NOT_AUTHORISED: Final = 0x87
#: The connection ended first: it is unknown whether the broker got it.
LOST: Final = -1
#: Nothing was sent: our own queue is full, or the payload is over the broker's packet limit.
QUEUE_FULL: Final = -2
TOO_LARGE: Final = -3

Done = Callable[[int], None]


class MqttError(Exception):
    """Base of everything that a session raises."""


class ConnectionLostError(MqttError):
    """No connection, or it ended before the answer: the outcome is unknown, try again later."""


class QueueFullError(MqttError):
    """The session's own queue is at its bound; nothing was sent."""


class TooLargeError(MqttError):
    """The payload exceeds the broker's Maximum Packet Size; nothing was sent."""


class SubscribeRefusedError(MqttError):
    """The broker refused a filter with this reason code."""

    def __init__(self, topic: str, code: int) -> None:
        super().__init__(f"subscription to {topic} refused with 0x{code:02x}")
        self.topic = topic
        self.code = code


class FatalMqttError(MqttError):
    """Trying again cannot help; `run()` ends with it and the program exits with `exit_code`."""

    exit_code = 2


class NotAuthorisedError(FatalMqttError):
    """The broker refuses this account: wrong credentials, or no right to its own status topic."""


class BrokerUnsuitableError(FatalMqttError):
    """The broker lacks something that this program needs, such as shared subscriptions."""


class TakenOverError(FatalMqttError):
    """A second client connected with our client id (0x8E)."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """What the broker's CONNACK allows on this connection."""

    maximum_packet_size: int
    receive_maximum: int
    shared_subscriptions: bool
    wildcard_subscriptions: bool
    maximum_qos: int
    retain_available: bool
    keepalive_s: int
    topic_alias_maximum: int


@dataclass(frozen=True, slots=True)
class Connected:
    """A new connection: subscribe again (even where the session was present), then announce."""

    limits: LinkLimits
    session_present: bool


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection ended; every outstanding publish has failed. A new one is being made."""

    reason: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `correlation` is MQTT's correlation data; `received_at_ns` is monotonic."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    correlation: bytes | None
    received_at_ns: int
    _acknowledge: Callable[[], None] = field(repr=False, compare=False)

    def ack(self) -> None:
        """Acknowledges a QoS 1 message; for `manual_ack`, harmless twice or too late."""
        self._acknowledge()


Event = Connected | Disconnected | Message


@dataclass(frozen=True, slots=True)
class Subscription:
    """One topic filter and its MQTT 5 options."""

    topic: str
    qos: int = 1
    no_local: bool = False
    retain_as_published: bool = True
    #: 0 retained messages on subscribing, 1 only for a new subscription, 2 never.
    retain_handling: int = 0


@dataclass(frozen=True, slots=True)
class Presence:
    """A retained status: online after the subscriptions, offline at a stop or as last will."""

    topic: str
    status: Status
    #: An offline status is forgotten by the broker after this long.
    offline_expiry_s: int = 7 * 24 * 3600

    def offline(self, reason: str) -> bytes:
        """The status that says we are gone, and why."""
        change = {"state": PresenceState.OFFLINE, "reason": reason}
        return self.status.model_copy(update=change).to_bytes()


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How to connect and how much may wait; `session_roles` has the choices of each role."""

    client_id: str
    clean_start: bool = True
    session_expiry_s: int = 0
    keepalive_s: int = 10
    #: The program calls `Message.ack()`; else a message counts as taken when the program gets it.
    manual_ack: bool = False
    needs_shared_subscriptions: bool = False
    #: QoS 1 messages unacknowledged at once: this, or the broker's Receive Maximum if smaller.
    window: int = 20
    #: Publishes waiting for the window (QoS 1) or for the socket (QoS 0); more are refused.
    queue_messages: int = 1000
    queue_bytes: int = 32 * 1024 * 1024
    #: QoS 1 messages the broker may send ahead of our acknowledgements (our Receive Maximum).
    receive_maximum: int = 100
    #: QoS 0 messages that wait for the program; newer ones are dropped and counted.
    inbox_qos0: int = 1000
    #: Payloads that wait for the program; above it the connection is ended and made anew.
    inbox_bytes: int = 320 * 1024 * 1024
    #: TCP congestion control where the kernel has it: its name, or `congestion.BY_LOSS`.
    congestion: str | None = None
    connect_timeout_s: float = 10.0
    #: Seconds since 1970 that have passed for certain: TLS goes by it where the clock is behind.
    known_time_s: float = 0.0
    #: The first pause between attempts to connect, which doubles, and the longest.
    backoff_s: tuple[float, float] = (0.1, 10.0)
    #: While a connection has not been gone for so long, no pause is longer than this: a broker that
    #: is only started again is found within a second, and one that stays away is not hammered.
    eager_for_s: float = 90.0
    eager_pause_s: float = 0.6
