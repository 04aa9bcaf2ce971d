"""The archive stage: puts images and reads them back in threads of its own, and tells the intake; it decodes nothing.

Storage that hangs is away, even if its thread comes back; the worker then takes no more offers.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from cloud_worker.admission import Admission
from cloud_worker.archive import Archive, ArchiveAwayError, UnknownBlobError
from cloud_worker.settings import LimitSettings
from service_runtime.log import get_log
from wire_protocol import machine_io as io
from wire_protocol.manifest import Manifest, Priority
from wire_protocol.receiver import UNKNOWN_BLOB

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Image:
    """An image in hand, without its bytes."""

    key: int
    site: str
    device: str
    attempt: int
    manifest: Manifest
    is_suspect: bool

    @property
    def is_urgent(self) -> bool:
        """STAT overtakes routine in every queue."""
        return self.manifest.priority is Priority.STAT


class Archiving:
    """`tell` gets the receiver's events, `on_away` each failure that may pass."""

    def __init__(
        self,
        archive: Archive,
        limits: LimitSettings,
        *,
        tell: Callable[[io.ReceiverEvent], None],
        on_away: Callable[[ArchiveAwayError], None],
        counts: Counter[str],
    ) -> None:
        self._archive = archive
        self._tell = tell
        self._on_away = on_away
        self._counts = counts
        self._longest_s = limits.archive_s
        self._threads = ThreadPoolExecutor(limits.archive_threads, "archive")
        self._places = Admission(limits.archive_threads)
        self._log = get_log("worker")

    async def put(self, image: Image, data: bytes | bytearray) -> bool:
        """Durable in the archive when it returns; False where the archive is away."""
        put = partial(self._archive.put, image.site, image.device, image.manifest, data)
        try:
            result = await self._ask(image, "put", put)
        except ArchiveAwayError as error:
            self._counts["put_failed"] += 1
            self._tell(io.PutFailed(image.key, permanent=False, reason="archive_away"))
            self._on_away(error)
            return False
        if result.is_conflict:
            self._counts["conflicts"] += 1
            self._log.error("image_id_conflict", image_id=image.manifest.image_id)
        self._tell(io.Put(image.key))
        return True

    async def read_back(self, image: Image) -> bytes | None:
        """The bytes of an image that was stored before; None where they cannot be had."""
        read = partial(self._archive.read, image.manifest.sha256)
        try:
            data = await self._ask(image, "read", read)
        except UnknownBlobError as error:
            self._counts["unknown_blobs"] += 1
            failed = io.PutFailed(image.key, True, UNKNOWN_BLOB, str(error))
        except ArchiveAwayError as error:
            failed = io.PutFailed(image.key, False, "archive_away")
            self._on_away(error)
        else:
            self._tell(io.Fetched(image.key, len(data)))
            return data
        self._tell(failed)
        return None

    def close(self) -> None:
        """No more is begun."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, image: Image, doing: str, call: Callable[[], T]) -> T:
        async with self._places.enter(is_urgent=image.is_urgent):
            try:
                return await asyncio.wait_for(
                    asyncio.get_running_loop().run_in_executor(self._threads, call),
                    self._longest_s,
                )
            except TimeoutError as error:
                doing = f"{doing} of image {image.manifest.image_id}"
                raise ArchiveAwayError(self._archive.url, doing, error) from error
