"""The worker's counters on its health topic, now and then; they are measurements, and may be lost."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path
from typing import Final

from cloud_worker.worker import Worker
from service_runtime.boot import monotonic_s
from service_runtime.mqtt_session import MqttSession
from wire_protocol.json_messages import Status, WorkerHealth
from wire_protocol.topics import Kind, Topics

EVERY_S: Final = 10.0
_STATM = Path("/proc/self/statm")


class HealthReport:
    """What one worker tells of itself; a counter that never moved is left out."""

    def __init__(
        self, worker: Worker, session: MqttSession, topics: Topics, status: Status
    ) -> None:
        self._worker = worker
        self._session = session
        self._topic = topics.build(Kind.WORKER_HEALTH, worker=status.id)
        self._status = status
        self._started_s = monotonic_s()

    async def run(self) -> None:
        """Tells for ever; nothing is kept while there is no connection."""
        while True:
            await asyncio.sleep(EVERY_S)
            self.tell()

    def tell(self) -> None:
        """Tells now."""
        self._session.send(self._topic, self._measure().to_bytes(), qos=0)

    def _measure(self) -> WorkerHealth:
        worker = self._worker
        counts = Counter(worker.counts)
        counts.update(worker.publisher.counts)
        counts.update({f"dropped_{_name(k)}": n for k, n in worker.intake.dropped.items()})
        return WorkerHealth(
            worker=self._status.id,
            bundle=self._status.bundle,
            engine=self._status.engine,
            uptime_s=round(monotonic_s() - self._started_s, 3),
            memory_bytes=_memory_bytes(),
            in_hand=worker.in_hand,
            counts={_name(key): count for key, count in sorted(counts.items())[:64]},
        )


def _name(cause: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in cause.lower())


def _memory_bytes() -> int | None:
    """Resident memory; None where the system does not say it this way."""
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
