"""What every receiver does with a whole image: store it durably, then run the engine on it if there is one.

Durable as the worker's archive is: temporary file, fsync, rename, fsync of the folder, named by the
digest. No manifest is written beside it. It refuses nothing: what an engine says is only timed.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.baselines.baseline import Engine
from service_runtime.boot import monotonic_ns

if TYPE_CHECKING:
    from cloud_worker.classify import Classifier

#: Files written at once; fsync waits, so more than there are cores.
_WRITERS = 4


@dataclass(frozen=True, slots=True)
class Kept:
    """One image at its end."""

    sha256: str
    received_ns: int
    stored_ns: int
    classified_ns: int
    #: The finding's outcome in a word, where an engine looked.
    answer: str


class Keeper:
    """Stores and classifies in threads; tells `on_kept` in the event loop."""

    def __init__(
        self, folder: Path, engine: Engine | None, on_kept: Callable[[Kept], None]
    ) -> None:
        self._folder = folder
        self._on_kept = on_kept
        self._um_per_px = None if engine is None else engine.um_per_px
        self._writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="store")
        self._engine_thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._classifier = None if engine is None else _open(engine)

    async def keep(
        self,
        data: bytes | bytearray,
        received_ns: int,
        on_stored: Callable[[], None] = lambda: None,
        *,
        checked_sha256: str = "",
    ) -> Kept:
        """Ends when the image is stored and, where there is an engine, classified.

        `checked_sha256`: of a way that has compared the bytes with their digest already.
        """
        loop = asyncio.get_running_loop()
        sha256, stored_ns = await loop.run_in_executor(
            self._writers, _store, self._folder, data, checked_sha256
        )
        on_stored()
        classified_ns, answer = 0, ""
        if self._classifier is not None:
            classified_ns, answer = await loop.run_in_executor(
                self._engine_thread, self._classify, bytes(data)
            )
        kept = Kept(sha256, received_ns, stored_ns, classified_ns, answer)
        self._on_kept(kept)
        return kept

    def close(self) -> None:
        """Ends the threads when they are done."""
        self._writers.shutdown()
        self._engine_thread.shutdown()

    def _classify(self, data: bytes) -> tuple[int, str]:
        from cloud_worker.classify import Picture

        assert self._classifier is not None
        (finding,) = self._classifier.classify([Picture(data, self._um_per_px)])
        return monotonic_ns(), str(finding.decision.result)


def store_durably(path: Path, data: bytes | bytearray) -> None:
    """The bytes under that name, on the disk when it returns."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with temporary.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _store(folder: Path, data: bytes | bytearray, checked_sha256: str) -> tuple[str, int]:
    sha256 = checked_sha256 or hashlib.sha256(data).hexdigest()
    store_durably(folder / sha256, data)
    return sha256, monotonic_ns()


def _open(engine: Engine) -> Classifier:
    from cloud_worker.classify import Classifier
    from cloud_worker.engines.engine import open_engine
    from cloud_worker.models.bundle import default_bundle, load_bundle

    bundle = default_bundle() if engine.bundle is None else load_bundle(engine.bundle)
    return Classifier(
        bundle,
        open_engine(
            bundle,
            engine.engine,
            device=engine.device,
            threads=engine.threads,
            precision=engine.precision,
        ),
    )
