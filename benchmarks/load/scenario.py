"""What a scenario file says: load, images, link, worker, baselines and targets; a wrong file is refused as a whole.

All times are seconds from the first moment of load. Latency is counted for images whose capture
was scheduled between the end of the warm-up and the start of the cool-down; load goes on in both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from benchmarks.links.profile import profile_names
from benchmarks.load.arrival_settings import (
    Arrivals,
    BurstArrivals,
    ClosedArrivals,
    EngineShareArrivals,
    FixedArrivals,
    PoissonArrivals,
)
from benchmarks.load.measure_names import check_name
from cloud_worker.engines.engine import Device, EngineKind, Precision
from service_runtime.settings import Problem, Settings, SettingsError, load_settings

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,47}$")]
#: More captures than this in one repetition would not end in a sitting.
MAX_CAPTURES = 200_000
_SHIPPED = Path(__file__).resolve().parents[1] / "scenarios"
#: Their files lie on the disk twice, in the camera's folder and in outbox and archive.
MAX_BYTES = 8 * 1024**3
BaselineName = Literal["single", "base64", "http", "segments", "handoff"]


class PhaseSettings(Settings):
    """How long load is offered, and which part of it counts."""

    warm_up_s: float = Field(default=2.0, ge=0, le=600)
    measured_s: float = Field(default=10.0, gt=0, le=3600)
    cool_down_s: float = Field(default=1.0, ge=0, le=600)
    #: What is still on its way after the last capture is waited for this long, then it is late.
    drain_s: float = Field(default=30.0, gt=0, le=3600)

    @property
    def load_s(self) -> float:
        """From the first capture to the last."""
        return self.warm_up_s + self.measured_s + self.cool_down_s

    @property
    def measured_until_s(self) -> float:
        """Where the cool-down starts."""
        return self.warm_up_s + self.measured_s


class DeviceSettings(Settings):
    """How many microscopes."""

    count: int = Field(default=1, ge=1, le=200)
    #: Agents that share a process; each is the real agent with an outbox of its own.
    per_process: int = Field(default=1, ge=1, le=50)
    gate: bool = True


class ImageSettings(Settings):
    """What is captured: rendered fields, each of its own bytes."""

    size_bytes: int = Field(default=850_000, ge=8_000, le=48 * 1024**2)
    #: Different fields to take in turn; every capture still has bytes of its own.
    distinct: int = Field(default=4, ge=1, le=64)
    #: Of the rendered pixels.
    um_per_px: float = Field(default=0.2, gt=0.02, le=2)
    #: false: the scale is withheld, so that the worker refuses each image when it has decoded it
    #: and no engine runs: what the path costs by itself.
    classified: bool = True


class LinkSettings(Settings):
    """Profiles of benchmarks/links by name; "loopback" is no link at all."""

    #: One link that all devices share.
    device: str = Field(default="loopback", min_length=1)
    #: One link that all workers share.
    worker: str = Field(default="loopback", min_length=1)

    @field_validator("device", "worker")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in profile_names():
            raise ValueError(f"no link profile {name!r}; known are {', '.join(profile_names())}")
        return name


class WorkerSettings(Settings):
    """The workers and their engine."""

    count: int = Field(default=1, ge=1, le=8)
    bundle: str | None = Field(default=None, min_length=1)
    engine: EngineKind = "auto"
    device: Device = "auto"
    precision: Precision = "auto"
    threads: int | None = Field(default=None, ge=1, le=1024)
    batch_size: int | None = Field(default=None, ge=1, le=1024)
    pool_bytes: int | None = Field(default=None, ge=1024**2)
    decoded_images: int | None = Field(default=None, ge=1, le=1024)


class StoreSettings(Settings):
    """Where archive, outbox and records store lie: on this machine's disk, or in its memory."""

    on: Literal["disk", "tmpfs"] = "disk"


class SweepSettings(Settings):
    """The same load at these rates (of all devices together), one after the other, once."""

    rates_per_s: tuple[Annotated[float, Field(gt=0, le=10_000)], ...] = Field(
        min_length=2, max_length=24
    )
    measured_s: float = Field(default=6.0, gt=0, le=600)


class TargetSettings(Settings):
    """A sentence that must hold: a measure of the result against a limit."""

    text: str = Field(min_length=1, max_length=200)
    #: "total.captured_to_published.p50_ms"; the names stand in benchmarks/load/measure_names.py.
    measure: str = Field(min_length=1, max_length=120)
    at_most: float | None = None
    at_least: float | None = None

    @field_validator("measure")
    @classmethod
    def _is_known(cls, measure: str) -> str:
        problem = check_name(measure)
        if problem:
            raise ValueError(problem)
        return measure

    @model_validator(mode="after")
    def _one_limit(self) -> TargetSettings:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError("one of at_most and at_least is needed")
        return self


class Scenario(Settings):
    """The whole file."""

    name: Name
    title: str = Field(min_length=1, max_length=80)
    #: What a reader learns from it, in a sentence or two.
    question: str = Field(default="", max_length=400)
    seed: int = Field(default=1, ge=0)
    repetitions: int = Field(default=3, ge=1, le=50)
    arrivals: Arrivals
    phases: PhaseSettings = PhaseSettings()
    devices: DeviceSettings = DeviceSettings()
    images: ImageSettings = ImageSettings()
    link: LinkSettings = LinkSettings()
    worker: WorkerSettings = WorkerSettings()
    store: StoreSettings = StoreSettings()
    baselines: tuple[BaselineName, ...] = ()
    sweep: SweepSettings | None = None
    targets: tuple[TargetSettings, ...] = ()

    @model_validator(mode="after")
    def _ends_in_a_sitting(self) -> Scenario:
        if self.most_captures > MAX_CAPTURES:
            raise ValueError(
                f"arrivals, devices and phases make {self.most_captures} captures a repetition, "
                f"at most {MAX_CAPTURES} allowed"
            )
        if self.most_captures * self.images.size_bytes > MAX_BYTES:
            raise ValueError(
                f"{self.most_captures} captures of {self.images.size_bytes} bytes are "
                f"{self.most_captures * self.images.size_bytes} bytes a repetition, "
                f"at most {MAX_BYTES} allowed"
            )
        missing = {
            target.measure.split(".")[1]
            for target in self.targets
            if target.measure.startswith(("baseline.", "over.", "faster.", "ratio."))
        } - set(self.baselines)
        if missing:
            raise ValueError(
                f"targets name baselines that do not run: {', '.join(sorted(missing))}"
            )
        if self.sweep is None and any(t.measure.startswith("sweep.") for t in self.targets):
            raise ValueError("a target names the sweep, and there is no table [sweep]")
        if isinstance(self.arrivals, EngineShareArrivals) and not self.images.classified:
            raise ValueError("arrivals of kind engine_share need images that are classified")
        if self.sweep is not None and self.arrivals.kind not in ("fixed", "poisson"):
            raise ValueError("sweep needs arrivals of kind fixed or poisson: those have a rate")
        return self

    @property
    def most_captures(self) -> int:
        """Captures of one repetition, near enough for bounds and for making images."""
        match self.arrivals:
            case FixedArrivals(rate_per_s=rate) | PoissonArrivals(rate_per_s=rate):
                return round(rate * self.phases.load_s)
            case BurstArrivals(size=size, every_s=every_s):
                return self.devices.count * size * max(1, int(self.phases.load_s / every_s))
            case EngineShareArrivals():
                return 0  # counted when it has become a rate
            case ClosedArrivals(images=images):
                return self.devices.count * images


def load_scenario(path: Path) -> Scenario:
    """The scenario of a TOML file, or one that comes with hemowire by its name.

    Raises SettingsError with every problem, its line and limit.
    """
    shipped = {file.stem: file for file in sorted(_SHIPPED.glob("*.toml"))}
    if not path.exists():
        if str(path) not in shipped:
            names = ", ".join(shipped)
            raise SettingsError(
                [Problem(str(path), "", f"no such file; by name there are {names}")]
            )
        path = shipped[str(path)]
    return load_settings(Scenario, path, environ={})
