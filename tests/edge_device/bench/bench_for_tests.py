"""A bench without an agent: it notes what it is told and shows what a test gives it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_device.bench.local_client import LocalAnswer
from edge_device.bench.protocol import Changes
from edge_device.bench.server import BenchServer
from edge_device.bench.settings import BenchSettings
from edge_device.bench.state import BenchState, CameraShown

JPEG = b"\xff\xd8\xff\xe0 not quite a picture \xff\xd9"
IMAGE_ID = "0123456789abcdef" * 2


@dataclass
class BenchForTests:
    """`shown` is what it says; actions are noted in `done` and answered with `answer`."""

    shown: BenchState = field(
        default_factory=lambda: BenchState(
            device="scope-1",
            site="lab",
            camera=CameraShown(kind="simulated", is_live=True),
            actions=("capture", "pause"),
        )
    )
    answer: LocalAnswer = field(default_factory=lambda: LocalAnswer(True, {"image_id": IMAGE_ID}))
    preview: bytes | None = JPEG
    pictures: dict[str, bytes] = field(default_factory=dict)
    done: list[tuple[str, dict[str, Any], str]] = field(default_factory=list)
    changes: Changes = field(default_factory=Changes)
    previews_taken: int = 0

    def state(self) -> BenchState:
        return self.shown

    async def run(self, name: str, arguments: Mapping[str, Any], *, operator: str) -> LocalAnswer:
        self.done.append((name, dict(arguments), operator))
        return self.answer

    async def preview_jpeg(self) -> bytes | None:
        self.previews_taken += 1
        await asyncio.sleep(0)
        return self.preview

    async def capture_jpeg(self, image_id: str) -> bytes | None:
        return self.pictures.get(image_id)

    async def changed(self, seen: int) -> int:
        return await self.changes.after(seen)

    def show(self, **changes: object) -> None:
        """Another state, and the word that there is one."""
        self.shown = self.shown.model_copy(update=changes)
        self.changes.note()


@asynccontextmanager
async def served(
    bench: BenchForTests, data_dir: Path, settings: BenchSettings | None = None
) -> AsyncIterator[BenchServer]:
    """The real server over the real sockets, answering when this begins."""
    server = BenchServer(bench, settings or BenchSettings(), data_dir)
    task = asyncio.create_task(server.run())
    try:
        yield server
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        server.close()
