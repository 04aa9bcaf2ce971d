"""Diagnoses on their way out: each is kept until the broker's PUBACK, and sent again where it is
lost or refused. A worker that dies loses them; then the device's inquiry brings the image back."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

from service_runtime.log import get_log
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import (
    NO_SUBSCRIBERS,
    ConnectionLostError,
    QueueFullError,
)
from wire_protocol.json_messages import TraceFragment
from wire_protocol.topics import Kind, Topics

RETRY_FIRST_S = 0.5
RETRY_MAX_S = 60.0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One image's messages: the picture, where it could be decoded, and the diagnosis JSON."""

    site: str
    device: str
    image_id: str
    thumbnail: bytes | None
    diagnosis: bytes


class Publisher:
    """Publishes thumbnail, then diagnosis; the caller bounds how many wait here."""

    def __init__(self, session: MqttSession, topics: Topics) -> None:
        self.counts: Counter[str] = Counter()
        self._session = session
        self._topics = topics
        self._is_up = False
        self._next_connection = asyncio.Event()
        self._log = get_log("worker")

    def connected(self) -> None:
        """A new connection is up: what was lost or refused is sent again."""
        self._is_up = True
        came, self._next_connection = self._next_connection, asyncio.Event()
        came.set()

    def disconnected(self) -> None:
        """Sending waits for the next connection."""
        self._is_up = False

    async def publish(self, outgoing: Outgoing) -> int:
        """Returns the PUBACK's code, 0 or 0x10 (nobody subscribed); waits and retries until then.

        Raises mqtt_types.TooLargeError, which no retry can help.
        """
        pause_s = RETRY_FIRST_S
        while True:
            while not self._is_up:
                await self._next_connection.wait()
            next_connection = self._next_connection
            try:
                code = await self._send(outgoing)
            except ConnectionLostError:
                self.counts["diagnoses_lost"] += 1
                if not next_connection.is_set():
                    self._is_up = False
                continue
            except QueueFullError:
                self.counts["queue_full"] += 1
            else:
                if code < 0x80:
                    self.counts["no_subscribers"] += code == NO_SUBSCRIBERS
                    self.counts["diagnoses"] += 1
                    return code
                self.counts["diagnoses_refused"] += 1
                self._log.error("diagnosis_refused", image_id=outgoing.image_id, code=code)
            with suppress(TimeoutError):  # a new connection cuts the pause short
                async with asyncio.timeout(pause_s):
                    await next_connection.wait()
            pause_s = min(RETRY_MAX_S, 2 * pause_s)

    def publish_trace(self, program: str, fragment: TraceFragment) -> None:
        """QoS 0 and no retry: a lost fragment is a lost measurement."""
        topic = self._topics.build(Kind.TRACE, program=program)
        self._session.send(topic, fragment.to_bytes(), qos=0)

    async def _send(self, outgoing: Outgoing) -> int:
        ids = {"site": outgoing.site, "device": outgoing.device}
        correlation = outgoing.image_id.encode()
        if outgoing.thumbnail is not None:
            topic = self._topics.build(Kind.THUMBNAIL, **ids, image_id=outgoing.image_id)
            self._session.send(
                topic, outgoing.thumbnail, self._thumbnail_told, correlation=correlation
            )
        topic = self._topics.build(Kind.DIAGNOSIS, **ids)
        return await self._session.publish(topic, outgoing.diagnosis, correlation=correlation)

    def _thumbnail_told(self, code: int) -> None:
        """A thumbnail is a courtesy: it is counted, and a lost one comes with the next sending."""
        self.counts["thumbnails" if 0 <= code < 0x80 else "thumbnails_not_delivered"] += 1
