"""What `hemowire worker` is told: broker, archive, model and bounds; it opens nothing."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from cloud_worker.engines.engine import Device, EngineKind, Precision
from service_runtime.broker_settings import BrokerSettings
from service_runtime.settings import Settings
from wire_protocol.machine_settings import ReceiverSettings
from wire_protocol.manifest import MAX_PIXELS

#: Room for "-" and 8 random characters within one level of a topic.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,48}$")]


class ModelSettings(Settings):
    """Which bundle runs on what."""

    #: A bundle's name (`task-architecture`, or with `@digest`) or the path of its folder; the
    #: default bundle where it is not given.
    bundle: str | None = Field(default=None, min_length=1)
    engine: EngineKind = "auto"
    device: Device = "auto"
    precision: Precision = "auto"
    #: CPU threads; all that the process may use where it is not given.
    threads: int | None = Field(default=None, ge=1, le=1024)


class BatchSettings(Settings):
    """When a batch of tiles closes, and how many tiles may wait."""

    #: The engine's own where it is not given.
    size: int | None = Field(default=None, ge=1, le=1024)
    max_wait_s: float = Field(default=0.005, ge=0, le=10)
    waiting_tiles: int = Field(default=1024, ge=1)


class LimitSettings(Settings):
    """Bounds on what is in hand at once; what is over them waits, and devices slow down."""

    #: Threads that decode and prepare, and decoded images that may wait for the engine.
    decode_threads: int = Field(default=2, ge=1, le=256)
    decoded_images: int = Field(default=8, ge=1, le=1024)
    #: Threads that write to and read from the archive.
    archive_threads: int = Field(default=4, ge=1, le=256)
    #: A put or read that takes longer says that the archive is away.
    archive_s: float = Field(default=30.0, gt=0)
    #: Images between decode and the PUBACK of their diagnosis.
    unpublished_images: int = Field(default=256, ge=1)
    #: Previews in hand at most; more are left, as while whole images wait. 0: none is looked at.
    previews: int = Field(default=8, ge=0, le=256)
    #: Largest picture that is decoded, and how long and how much memory a suspect one may take.
    max_pixels: int = Field(default=MAX_PIXELS, ge=1)
    suspect_s: float = Field(default=30.0, gt=0)
    suspect_bytes: int = Field(default=4 * 1024**3, ge=64 * 1024**2)
    #: Count the white cells of each field and refuse one without any. Turn it off for a stain that
    #: they are not found on; `white_cells` is then null in every message.
    count_white_cells: bool = True
    #: A stop finishes what is here for this long, then releases the rest.
    drain_s: float = Field(default=10.0, ge=0)


class WorkerSettings(Settings):
    """The whole file."""

    #: The worker's id is this and 8 random characters, new per process.
    name: Name = "worker"
    #: A folder or any fsspec URL; one for all workers.
    archive_url: str = Field(min_length=1)
    broker: BrokerSettings
    model: ModelSettings = ModelSettings()
    batch: BatchSettings = BatchSettings()
    limits: LimitSettings = LimitSettings()
    transfer: ReceiverSettings = ReceiverSettings()
    log_level: Annotated[str, StringConstraints(pattern="^(debug|info|warning|error)$")] = "info"
