"""What is measured: the bad links by their letters, the image sizes, the ways, and the physical limit of each case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from benchmarks.baselines.baseline import Method
from benchmarks.baselines.way import usual_congestion
from benchmarks.link_limit import CHUNK_BYTES
from benchmarks.links import LinkProfile
from service_runtime.congestion import BBR, BY_LOSS
from wire_protocol.machine_settings import SenderSettings

#: The letters of the table, the profiles of benchmarks/links/profiles.toml, and how many connections
#: each way makes unless told otherwise.
PROFILES: Final = {
    "a": ("2mbit_lossy", 5),
    "b": ("10mbit", 5),
    "c": ("256kbit", 2),
    "d": ("20mbit_outages", 2),
    "e": ("lan", 6),
}
#: Fields of the literature's cameras: one that rides in its offer, a compressed one, a large one.
SIZES: Final = (22_000, 850_000, 4 * 1024 * 1024)
INLINE_BYTES: Final = SenderSettings().inline_bytes
#: On each connection so many images of a size as take about so long, within bounds.
_CONNECTION_S: Final = 12.0
_MOST_IMAGES: Final = 8
#: Where in an image an outage begins, in turn.
STRIKES: Final = (0.5, 0.25, 0.75)
#: Images that are faster than this are struck before they begin.
_STRIKE_LEAST_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Way:
    """A way to carry images, and the congestion control of its sender's socket."""

    method: Method
    congestion: str = BBR

    @property
    def label(self) -> str:
        """For the table."""
        is_usual = self.congestion == usual_congestion(self.method)
        return str(self.method) if is_usual else f"{self.method}, {self.congestion}"


WAYS: Final = (
    Way(Method.HEMOWIRE, BY_LOSS),
    Way(Method.SINGLE),
    Way(Method.SEGMENTS),
    Way(Method.HTTP),
)
OURS: Final = WAYS[0]
#: What the choice of congestion control does, on the links that are slow.
BESIDE: Final = (
    Way(Method.HEMOWIRE, BBR),
    Way(Method.HEMOWIRE, "cubic"),
    Way(Method.SINGLE, "cubic"),
)


@dataclass(frozen=True, slots=True)
class Case:
    """Images of one size over one link."""

    letter: str
    profile: LinkProfile
    size_bytes: int
    both_ends: bool = False
    most_images: int = _MOST_IMAGES

    @property
    def ends(self) -> str:
        """Which ends are shaped, in words."""
        return "device and worker" if self.both_ends else "device"

    @property
    def limit_s(self) -> float:
        """Wire bytes at the rate, a round trip where the image does not ride in its offer, and the way.

        Where packets get lost, so many more have to be sent; the wait for those that are sent again
        is not in it. With both ends shaped, one chunk and its way on the second hop.
        """
        profile, up = self.profile, self.profile.up
        way_s = up.delay_ms / 1000
        sending_s = profile.transfer_s(self.size_bytes, up) - way_s
        sending_s /= 1 - up.loss_percent / 100
        question_s = 0.0 if self.size_bytes <= INLINE_BYTES else profile.round_trip_s
        hop_s = 0.0
        if self.both_ends:
            hop_s = profile.transfer_s(min(CHUNK_BYTES, self.size_bytes), profile.down)
            question_s *= 2
        return sending_s + question_s + way_s + hop_s

    @property
    def images(self) -> int:
        """On one connection."""
        return min(max(round(_CONNECTION_S / self.limit_s), 1), self.most_images)

    @property
    def outage_s(self) -> float:
        """How long the link goes away in the middle of one image of each connection; 0: never."""
        return 0.0 if self.profile.outages is None else self.profile.outages.lasts_s

    def strike_after_s(self, repeat: int) -> float:
        """From an image's beginning to the outage."""
        share = STRIKES[repeat % len(STRIKES)]
        return 0.0 if self.limit_s < _STRIKE_LEAST_S else share * self.limit_s
