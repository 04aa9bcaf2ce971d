"""The result document of a benchmark, version 1: what ran where, what was measured, what it means; frozen data.

Names: a `Latency` is a stage of the trace ("inferred": from its predecessor to it) or, among
`totals`, a span of two stages ("scheduled_to_published"). Percentiles are of HDR histograms
(microseconds, 3 significant digits) and are never averaged; where repetitions are put together,
their histograms are added. A newer version is refused by name. (Over 250 lines: the whole document
in one place.)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks.load.scenario import Scenario

SCHEMA: Final = "hemowire.bench"
VERSION: Final = 1
ProgramKind = Literal["broker", "records", "worker", "edge", "watch", "bench", "baseline"]


class Part(BaseModel):
    """What every part of the document derives from."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Machine(Part):
    """Where it ran; `fingerprint` is equal for two runs that may be compared by their times."""

    cpu: str
    cores: int
    memory_bytes: int
    kernel: str
    python: str
    mosquitto: str
    gpu: str = ""
    #: Short digest of cpu, cores, memory (in GiB), kernel's release, python's version.
    fingerprint: str
    #: 1-minute load average before the first repetition: other people's work on this machine.
    load_before: float = 0.0


class Engine(Part):
    """What classified, as the worker said."""

    bundle: str
    engine: str
    precision: str = ""
    batch_size: int | None = None
    #: Pieces of a field that the network sees; None where nothing is classified.
    tiles_per_image: int | None = None
    #: Its own speed: measured alone around the repetition, else by the worker at its start.
    images_per_s: float | None = None


class Link(Part):
    """One leg's shaping: how it was done, and what it does in words."""

    leg: Literal["device", "worker"]
    profile: str
    #: "none", "namespaces" or "proxy".
    implementation: str
    description: str
    rate_bit_per_s: float | None = None
    one_way_delay_ms: float | None = None
    loss_percent: float | None = None


class CurvePoint(Part):
    """A point of a percentile curve."""

    percentile: float
    ms: float


class Latency(Part):
    """A distribution of milliseconds."""

    name: str
    count: int
    min_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    #: The largest error of the clocks among the samples, 0 within one machine and boot.
    error_ms: float = 0.0
    #: Bounded, from 0 to 100, denser to the right; for drawing without decoding.
    curve: tuple[CurvePoint, ...] = ()
    #: HdrHistogram V2, zlib, base64, as HdrHistogram.decode reads it; values in microseconds.
    hdr: str = ""


class Moment(Part):
    """A slice of time: images by their scheduled capture."""

    at_s: float
    offered: int
    completed: int
    p50_ms: float | None = None
    max_ms: float | None = None
    #: warm-up and cool-down are drawn, and do not count.
    phase: Literal["warm_up", "measured", "cool_down"] = "measured"


class Counts(Part):
    """What became of the images of a repetition, all phases; counted from the parties' own files."""

    #: By the schedule (open loop), or as many as were asked for (closed loop).
    offered: int
    captured: int
    recorded: int
    rejected: int = 0
    held: int = 0
    lost: int = 0
    duplicates: int = 0
    #: Within the measured phase: scheduled then, and those of them whose trace is complete.
    measured_offered: int
    measured_completed: int
    problems: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Every image that was offered ended as one recorded outcome."""
        settled = self.recorded + self.rejected == self.offered == self.captured
        return settled and not (self.lost or self.duplicates or self.held or self.problems)


class ProcessUse(Part):
    """One process over the load (from the first capture to the last record)."""

    name: str
    program: ProgramKind
    cpu_s: float
    #: Share of one core over that time.
    cpu_percent: float
    peak_rss_bytes: int
    #: Just before the load.
    rss_before_bytes: int | None = None
    #: Through its TCP sockets, those that were open at the end; None where nothing tells.
    sent_bytes: int | None = None
    received_bytes: int | None = None
    #: Of files, as the kernel counts what reached or left the disk; None where it does not count.
    read_bytes: int | None = None
    written_bytes: int | None = None


class BrokerCounters(Part):
    """Differences of $SYS counters over the load."""

    messages_received: int
    messages_sent: int
    bytes_received: int
    bytes_sent: int
    publish_dropped: int


class PathResult(Part):
    """One way of carrying the images, measured in one repetition: hemowire's, or a baseline's.

    A baseline ends where its receiver holds the bytes or has answered: `totals` says between what.
    """

    path: str
    title: str
    totals: tuple[Latency, ...]
    stages: tuple[Latency, ...] = ()
    over_time: tuple[Moment, ...] = ()
    offered: int
    completed: int
    lost: int
    images_per_s: float
    bytes_per_s: float
    #: Through the device's link, both ways, where it counts.
    link_bytes: int | None = None
    processes: tuple[ProcessUse, ...] = ()
    #: What all other programs of this machine used meanwhile, in percent of one core: noise.
    others_cpu_percent: float | None = None
    broker: BrokerCounters | None = None


class Repetition(Part):
    """One run of the scenario from empty folders."""

    number: int
    seed: int
    started: str
    load_s: float
    engine: Engine
    counts: Counts
    hemowire: PathResult
    baselines: tuple[PathResult, ...] = ()


class SweepPoint(Part):
    """One rate of the sweep."""

    offered_per_s: float
    achieved_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    lost: int = 0
    #: Captures kept to their times and records to the rate.
    is_held: bool


class Sweep(Part):
    """Rates from low to high."""

    #: Whose latency this is, as a span of two stages.
    total: str
    points: tuple[SweepPoint, ...]
    #: The highest rate that was held, and what it is in words.
    knee_per_s: float | None = None
    knee_text: str = ""


class PhysicalLimit(Part):
    """What no software could beat on this link or machine, drawn into the picture of `applies_to`."""

    name: str
    #: A span of totals ("scheduled_to_stored"), or "images_per_s".
    applies_to: str
    value: float
    unit: Literal["ms", "images/s"]
    #: The sum that gave it, with its figures: "4,293,120 bytes / 10 Mbit/s + 20 ms".
    formula: str


class VerdictLine(Part):
    """A target of the scenario, and what was measured: the median over repetitions."""

    text: str
    measure: str
    measured: float | None
    #: Of single repetitions, in their order.
    per_repetition: tuple[float, ...] = ()
    limit: float
    direction: Literal["at_most", "at_least"]
    unit: str = ""
    #: None: it could not be measured, and `note` says why.
    passed: bool | None
    note: str = ""


class Document(Part):
    """A whole run of `hemowire bench`."""

    MAX_BYTES: ClassVar[int] = 64 * 1024**2

    schema_name: Literal["hemowire.bench"] = Field(default=SCHEMA, alias="schema")
    version: Literal[1] = VERSION
    hemowire: str
    #: Wall time of the start, RFC 3339.
    started: str
    duration_s: float
    command: str
    machine: Machine
    scenario: Scenario
    #: Digest of the scenario as run: two documents with the same one asked the same question.
    scenario_digest: str
    links: tuple[Link, ...] = ()
    #: All repetitions' histograms added up; `totals` has the headline first.
    together: PathResult
    baselines_together: tuple[PathResult, ...] = ()
    repetitions: tuple[Repetition, ...]
    sweep: Sweep | None = None
    limits: tuple[PhysicalLimit, ...] = ()
    verdicts: tuple[VerdictLine, ...] = ()

    @property
    def passed(self) -> bool:
        """Nothing lost or double, and no target missed or unmeasured."""
        clean = all(repetition.counts.is_clean for repetition in self.repetitions)
        return clean and all(line.passed for line in self.verdicts)


class ResultRefusedError(ValueError):
    """A file is no result document that this version reads; the message names the file."""


def write_result(document: Document, path: Path) -> None:
    """Writes the document as JSON."""
    path.write_text(document.model_dump_json(indent=1, by_alias=True) + "\n", encoding="utf-8")


def read_result(path: Path) -> Document:
    """A document from its file; raises ResultRefusedError or OSError."""
    if path.stat().st_size > Document.MAX_BYTES:
        raise ResultRefusedError(f"{path}: over {Document.MAX_BYTES} bytes, no result of a bench")
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ResultRefusedError(f"{path}: no JSON: {error}") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise ResultRefusedError(f"{path}: no {SCHEMA} document")
    if content.get("version") != VERSION:
        raise ResultRefusedError(
            f"{path}: version {content.get('version')} of {SCHEMA}; this hemowire reads {VERSION}"
        )
    try:
        return Document.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ResultRefusedError(f"{path}: {place}: {first['msg']}") from error
