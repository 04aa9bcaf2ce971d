"""The contract of the ways to carry images that hemowire is compared with; each runs as two programs.

A way is carried out by a sending and a receiving program, each started behind its end's link, so
that the kernel's own TCP is in between; both stamp with this machine's one monotonic clock. All
store durably by the same code: temporary file, fsync, rename, fsync of the folder.

    async with open_baseline("single", site) as running:
        done = await running.send(images)        # one after another
        one = await running.offer(image)         # or as many at once as arrive
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from benchmarks.links.link import Link
from cloud_worker.engines.engine import Device, EngineKind, Precision
from service_runtime.broker_settings import BrokerSettings


class Method(StrEnum):
    """The ways, hemowire's own among them for measuring links without the rest of the pipeline."""

    SINGLE = "single"
    BASE64 = "base64"
    HTTP = "http"
    SEGMENTS = "segments"
    HEMOWIRE = "hemowire"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a way does, and what it leaves undone, for the report."""

    method: Method
    title: str
    does: str
    does_not: str


@dataclass(frozen=True, slots=True)
class Engine:
    """The network that the receiver runs on what it stored, as the worker's settings name it."""

    bundle: str | None = None
    engine: EngineKind = "auto"
    device: Device = "auto"
    precision: Precision = "auto"
    threads: int | None = None
    #: The scale of the images, without which the network has nothing to say.
    um_per_px: float = 0.25


@dataclass(frozen=True, slots=True)
class Site:
    """Where a baseline runs: accounts of one broker, the two ends' links to it, and its archive.

    Both links lead to the broker; the accounts' host and port are not used. The broker must take
    the largest image as one packet, see `allow_large_packets`.
    """

    edge: BrokerSettings
    worker: BrokerSettings
    device_link: Link
    worker_link: Link
    folder: Path
    site: str = "lab"
    device: str = "scope-1"
    #: None: stored and no more.
    engine: Engine | None = None
    #: TCP's congestion control on the sender's socket, where the kernel has it; None: the way's usual.
    congestion: str | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """What became of one image. Times are `time.monotonic_ns` of this machine."""

    sha256: str
    size_bytes: int
    #: When `offer` was called.
    offered_ns: int
    #: When the sending program had the bytes and began.
    started_ns: int = 0
    #: When the receiver had the last byte, before it was stored.
    received_ns: int = 0
    #: When it lay in the archive, durably.
    stored_ns: int = 0
    #: When the engine had answered, 0 where there is none.
    classified_ns: int = 0
    #: Payloads of messages or requests handed to the network for it, whole attempts included.
    sent_bytes: int = 0
    attempts: int = 0
    #: Why it did not get there; empty: it did.
    failure: str = ""

    @property
    def to_stored_s(self) -> float:
        """From the sender's start to the archive, of a completed image."""
        return (self.stored_ns - self.started_ns) / 1e9


class Baseline(Protocol):
    """One way, running between two programs."""

    @property
    def facts(self) -> Facts:
        """What it does and does not."""

    @property
    def pids(self) -> dict[str, int]:
        """Its processes: "sender" and "receiver"."""

    async def offer(self, image: bytes, patience_s: float = 60.0) -> Completion:
        """Sends one image, beside others under way; ends when it is complete, failed or late."""

    async def send(
        self, images: Iterable[bytes], patience_s: float = 60.0
    ) -> tuple[Completion, ...]:
        """Sends images one after another, each when the one before is complete."""
