"""The table `[arrivals]` of a scenario: open loops that do not care what became of captures, and a closed one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from service_runtime.settings import Settings


class FixedArrivals(Settings):
    """Open loop: one capture every 1 / rate, whatever becomes of the ones before."""

    kind: Literal["fixed"]
    #: Of all devices together; they take turns.
    rate_per_s: float = Field(gt=0, le=10_000)


class PoissonArrivals(Settings):
    """Open loop: captures come independently of each other, at this mean rate."""

    kind: Literal["poisson"]
    rate_per_s: float = Field(gt=0, le=10_000)


class BurstArrivals(Settings):
    """Open loop: every device captures `size` images at the same moment, every `every_s`."""

    kind: Literal["bursts"]
    size: int = Field(default=1, ge=1, le=1000)
    every_s: float = Field(gt=0, le=3600)


class EngineShareArrivals(Settings):
    """Open loop: Poisson at this share of what the engine does by itself, measured before the run."""

    kind: Literal["engine_share"]
    share: float = Field(gt=0, le=2)


class ClosedArrivals(Settings):
    """Closed loop: a device captures anew as soon as one of its images was recorded."""

    kind: Literal["closed"]
    #: Images of one device that are on their way.
    in_flight: int = Field(default=1, ge=1, le=64)
    #: Captures of one device in all; the load ends with them where they do not last.
    images: int = Field(default=200, ge=1, le=5000)


Arrivals = Annotated[
    FixedArrivals | PoissonArrivals | BurstArrivals | EngineShareArrivals | ClosedArrivals,
    Field(discriminator="kind"),
]
