"""What a link is like: rates, one-way delays, loss and outages; read from TOML, it shapes nothing.

"up" is from the client's end to the server's, "down" the way back. A profile describes one access
link: where device and worker are both behind such links, two are opened.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, StringConstraints, ValidationError

from service_runtime.settings import Settings

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,47}$")]
#: TCP and IPv4 headers with timestamps: what a segment carries beside its payload.
HEADER_BYTES: Final = 52
_SHIPPED: Final = Path(__file__).with_name("profiles.toml")


class Direction(Settings):
    """One way through the link."""

    rate_bit_per_s: float | None = Field(default=None, ge=8_000, le=10e9)
    delay_ms: float = Field(default=0.0, ge=0, le=10_000)
    loss_percent: float = Field(default=0.0, ge=0, le=50)


class Outages(Settings):
    """Regular times at which nothing passes either way, from the moment the link is open."""

    first_after_s: float = Field(ge=0, le=3600)
    every_s: float = Field(gt=0, le=3600)
    lasts_s: float = Field(gt=0, le=3600)


class LinkProfile(Settings):
    """One link."""

    name: Name
    title: str = Field(min_length=1, max_length=80)
    up: Direction = Direction()
    down: Direction = Direction()
    #: How much of the link may wait in front of it, in time at its rate, before packets are dropped.
    queue_ms: float = Field(default=250.0, ge=1, le=10_000)
    mtu_bytes: int = Field(default=1500, ge=576, le=65_000)
    outages: Outages | None = None

    @property
    def is_shaped(self) -> bool:
        """Whether it does anything at all."""
        return self.outages is not None or any(
            way.rate_bit_per_s is not None or way.delay_ms or way.loss_percent
            for way in (self.up, self.down)
        )

    @property
    def loses(self) -> bool:
        """Whether packets get lost at random."""
        return bool(self.up.loss_percent or self.down.loss_percent)

    @property
    def round_trip_s(self) -> float:
        """Both delays, of an idle link."""
        return (self.up.delay_ms + self.down.delay_ms) / 1000

    def wire_bytes(self, payload_bytes: int) -> int:
        """What this many bytes of a TCP stream weigh on the link."""
        segment = self.mtu_bytes - HEADER_BYTES
        return payload_bytes + HEADER_BYTES * -(-payload_bytes // segment)

    def transfer_s(self, payload_bytes: int, way: Direction) -> float:
        """From the first bit in to the last bit out of an idle link: nothing can be faster.

        A token bucket that was idle lets one packet through at once.
        """
        rate = way.rate_bit_per_s
        waiting = max(0, self.wire_bytes(payload_bytes) - self.mtu_bytes)
        sending = 0.0 if rate is None else waiting * 8 / rate
        return sending + way.delay_ms / 1000


#: No link at all: straight to the server.
LOOPBACK: Final = LinkProfile(name="loopback", title="this machine's loopback, not shaped")


class UnknownProfileError(ValueError):
    """No such profile, or its table is wrong; the message lists the names or the problems."""


def profile_names(file: Path = _SHIPPED) -> tuple[str, ...]:
    """The names in a file of profiles, "loopback" first."""
    return (LOOPBACK.name, *_tables(file))


def find_profile(name: str, file: Path = _SHIPPED) -> LinkProfile:
    """The profile with this name; raises UnknownProfileError."""
    if name == LOOPBACK.name:
        return LOOPBACK
    tables = _tables(file)
    if name not in tables:
        raise UnknownProfileError(
            f"no link profile {name!r}; known are {', '.join(profile_names(file))}"
        )
    try:
        return LinkProfile.model_validate({"name": name, **tables[name]})
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
            for item in error.errors()
        )
        raise UnknownProfileError(f"{file}: [{name}]: {problems}") from error


def _tables(file: Path) -> dict[str, dict[str, object]]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnknownProfileError(f"{file}: {error}") from error
