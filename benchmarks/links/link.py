"""What every link offers, and what it says of itself; how it is made stands in the modules beside."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict

from benchmarks.links.profile import LinkProfile


class Address(NamedTuple):
    """Where to connect."""

    host: str
    port: int


class Implementation(StrEnum):
    """How a link is made; the report says which."""

    NONE = "none"
    NAMESPACES = "namespaces"
    PROXY = "proxy"


class Way(StrEnum):
    """A direction through the link, or both."""

    UP = "up"
    DOWN = "down"
    BOTH = "both"


class Measured(BaseModel):
    """What the link's check of itself found when it was opened; None: not measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate_up_bit_per_s: float | None = None
    rate_down_bit_per_s: float | None = None
    #: Least round trip of a small message on the idle link.
    round_trip_ms: float | None = None
    #: None where losses cannot be seen: a TCP proxy has none.
    loss_up_percent: float | None = None
    loss_down_percent: float | None = None
    #: What disagreed with the profile beyond the tolerance; empty is good.
    problems: tuple[str, ...] = ()


class LinkReport(BaseModel):
    """For reports: which link this is, how it is made and what it measured of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: LinkProfile
    implementation: Implementation
    #: How it is made and what it leaves out, in words.
    how: str
    measured: Measured | None = None

    @property
    def is_as_wanted(self) -> bool:
        """Whether the check of itself agreed with the profile."""
        return self.measured is not None and not self.measured.problems

    def text(self) -> str:
        """One line for a report."""
        found = self.measured
        if found is None:
            return f"{self.profile.title}: {self.how}; not measured"
        facts = [
            f"{rate / 1e6:.2f} Mbit/s {way}"
            for way, rate in (("up", found.rate_up_bit_per_s), ("down", found.rate_down_bit_per_s))
            if rate is not None
        ]
        if found.round_trip_ms is not None:
            facts.append(f"round trip {found.round_trip_ms:.1f} ms")
        facts += [
            f"{loss:.1f} % lost {way}"
            for way, loss in (("up", found.loss_up_percent), ("down", found.loss_down_percent))
            if loss is not None
        ]
        verdict = f"; not as wanted: {'; '.join(found.problems)}" if found.problems else ""
        return f"{self.profile.title}: {self.how}; measured {', '.join(facts)}{verdict}"


@dataclass(frozen=True, slots=True)
class LinkCounters:
    """Totals since the link was opened, its check of itself left out.

    IP bytes where packets are seen, else stream bytes with the headers they would have.
    """

    bytes_up: int
    bytes_down: int
    packets_lost: int
    packets_overflowed: int


class Link(Protocol):
    """An open link. The client's programs are started with `command_prefix` and connect to host:port."""

    @property
    def profile(self) -> LinkProfile:
        """What was asked for."""

    @property
    def host(self) -> str:
        """Where a client behind the link finds the target."""

    @property
    def port(self) -> int:
        """Its port there."""

    @property
    def inside_host(self) -> str:
        """Where a server that runs behind the link listens, for `expose`."""

    def forward(self, target_host: str, target_port: int) -> Address:
        """Where a client behind the link finds another server, through the same link."""

    def expose(self, port: int) -> Address:
        """Where others find a server that runs behind the link, on `inside_host` and this port."""

    def command_prefix(self) -> list[str]:
        """What stands before the command of a program behind the link; empty where it needs none."""

    def describe(self) -> LinkReport:
        """Which link this is and what it measured of itself."""

    def counters(self) -> LinkCounters:
        """What has passed so far."""

    def cut(self, way: Way = Way.BOTH) -> None:
        """From now on nothing passes that way; connections stay and do not know."""

    def restore(self) -> None:
        """Everything passes again."""
