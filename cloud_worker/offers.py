"""Whether this worker asks for offers: only connected, with a healthy archive, and not draining.

Start: `ingest` and the devices' statuses are SUBACKed, our own status is online, then `$share`.
An archive that is away ends the subscription until a probe of it succeeds again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from cloud_worker.archive import ArchiveAwayError
from cloud_worker.intake import Intake
from service_runtime.log import get_log
from service_runtime.mqtt_session import MqttSession
from service_runtime.mqtt_types import ConnectionLostError, LinkLimits, Subscription
from wire_protocol import machine_io as io
from wire_protocol.json_messages import Status
from wire_protocol.topics import Kind, Topics

PROBE_FIRST_S = 0.5
PROBE_MAX_S = 15.0


class Offers:
    """The subscriptions of one worker."""

    def __init__(
        self,
        worker: str,
        session: MqttSession,
        topics: Topics,
        intake: Intake,
        probe: Callable[[], Awaitable[None]],
    ) -> None:
        self._session = session
        self._intake = intake
        self._probe = probe
        self._shared = topics.shared_offers()
        self._own = [
            Subscription(topics.build(Kind.INGEST, worker=worker, device="+")),
            Subscription(topics.every(Kind.DEVICE_STATUS)),
        ]
        self._is_draining = False
        self._archive_away = asyncio.Event()
        #: Subscribing and unsubscribing never overlap.
        self._turn = asyncio.Lock()
        self._log = get_log("worker").bind(worker=worker)

    async def connected(self, limits: LinkLimits, status: Status) -> None:
        """A new connection: everything is subscribed anew, in order."""
        with suppress(ConnectionLostError):
            async with self._turn:
                await self._session.subscribe(self._own)
                self._intake.tell(
                    io.Connected(io.LinkLimits(limits.maximum_packet_size, limits.receive_maximum))
                )
                await self._session.announce(status)
                await self._ask()

    def archive_failed(self, error: ArchiveAwayError) -> None:
        """A put or read failed for a reason that may pass."""
        if not self._archive_away.is_set():
            self._log.error("archive_away", problem=str(error))
            self._intake.tell(io.Readiness(False, "archive_away"))
            self._archive_away.set()

    async def watch_archive(self) -> None:
        """Stops asking for offers while the archive is away; runs until cancelled."""
        while True:
            await self._archive_away.wait()
            await self._stop_asking()
            await self._until_archive_answers()
            self._archive_away.clear()
            self._intake.tell(io.Readiness(True))
            self._log.info("archive_back")
            with suppress(ConnectionLostError):
                async with self._turn:
                    await self._ask()

    async def drain(self, until: float) -> None:
        """No more offers; what is here is finished until `until`, then released."""
        self._is_draining = True
        await self._stop_asking()
        self._intake.tell(io.Drain(until))

    async def _ask(self) -> None:
        if self._session.is_connected and not (self._is_draining or self._archive_away.is_set()):
            await self._session.subscribe([Subscription(self._shared)])
            self._log.info("asking_for_offers")

    async def _stop_asking(self) -> None:
        with suppress(ConnectionLostError):
            async with self._turn:
                await self._session.unsubscribe([self._shared])

    async def _until_archive_answers(self) -> None:
        pause_s = PROBE_FIRST_S
        while True:
            try:
                await self._probe()
            except ArchiveAwayError as error:
                self._log.warning("archive_still_away", problem=str(error), pause_s=pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(PROBE_MAX_S, 2 * pause_s)
            else:
                return
