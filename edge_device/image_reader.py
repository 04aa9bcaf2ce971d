"""Chunks out of the outbox's files, in the order asked for; no byte leaves before its image is checked.

An image is read whole once, hashed, and kept while it is being sent, within a bound; its chunks are
then slices. A damaged one is answered with no bytes, which makes the sender have the row checked.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from edge_device.outbox import DamagedError
from edge_device.outbox.image_files import ImageFiles
from service_runtime.log import get_log
from wire_protocol.machine_io import ChunkRead, ReadChunk, RowChecked

#: Whole images kept for further chunks; the one being sent is kept whatever its size.
KEPT_BYTES = 64 * 1024 * 1024


class ImageReader:
    """Answers ReadChunk and CheckRow; `sha256_of` is None for an image that is not owed any more."""

    def __init__(
        self,
        files: ImageFiles,
        sha256_of: Callable[[str], str | None],
        tell: Callable[[ChunkRead | RowChecked], None],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._files = files
        self._sha256_of = sha256_of
        self._tell = tell
        self._tasks = tasks
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="read")
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._asked: deque[ReadChunk] = deque()
        self._is_loading = False
        self._log = get_log("edge")

    def read(self, chunk: ReadChunk) -> None:
        """Answers now where the image is in memory, else after it was read and checked."""
        self._asked.append(chunk)
        self._answer()

    def prepare(self, image_id: str) -> None:
        """Its chunks are about to be asked for: it is read and checked while the offer travels."""
        if not self._is_loading and image_id not in self._kept:
            self._is_loading = True
            self._tasks.create_task(self._load(image_id), name="read image")

    async def whole(self, image_id: str) -> bytes | None:
        """All its bytes, checked, and kept for the chunks that follow; None where they are damaged."""
        data = self._kept.get(image_id)
        if data is None:
            data = await self._read(image_id)
            if data is not None:
                self._keep(image_id, data)
        return data

    def check(self, image_id: str) -> None:
        """Hashes the row's bytes on disk afresh and answers RowChecked."""
        self.forget(image_id)
        self._tasks.create_task(self._check(image_id), name="check row")

    def forget(self, image_id: str) -> None:
        """The image needs no more chunks."""
        data = self._kept.pop(image_id, None)
        if data is not None:
            self._kept_bytes -= len(data)

    def close(self) -> None:
        """Ends the reading thread."""
        self._executor.shutdown()

    def _answer(self) -> None:
        while self._asked and not self._is_loading:
            chunk = self._asked[0]
            data = self._kept.get(chunk.image_id)
            if data is None:
                self._is_loading = True
                self._tasks.create_task(self._load(chunk.image_id), name="read image")
                return
            self._asked.popleft()
            self._kept.move_to_end(chunk.image_id)
            piece = data[chunk.offset : chunk.offset + chunk.size]
            self._tell(ChunkRead(chunk.image_id, chunk.offset, piece))

    async def _load(self, image_id: str) -> None:
        data = await self._read(image_id)
        self._is_loading = False
        if data is None:
            # One that was only prepared, and is damaged or gone, is read again when it is asked for.
            if self._asked and self._asked[0].image_id == image_id:
                self._tell(ChunkRead(image_id, self._asked.popleft().offset, b""))
        else:
            self._keep(image_id, data)
        self._answer()

    def _keep(self, image_id: str, data: bytes) -> None:
        if image_id in self._kept:
            return
        self._kept[image_id] = data
        self._kept_bytes += len(data)
        while self._kept_bytes > KEPT_BYTES and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= len(oldest)

    async def _check(self, image_id: str) -> None:
        self._tell(RowChecked(image_id, await self._read(image_id) is not None))

    async def _read(self, image_id: str) -> bytes | None:
        sha256 = self._sha256_of(image_id)
        if sha256 is None:
            return None
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._executor, self._files.read, image_id, sha256)
        except DamagedError as error:
            self._log.error("image_damaged", image_id=image_id, detail=error.detail)
            return None
