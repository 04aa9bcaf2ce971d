"""How long images took from the camera's folder to the records store, in a history; pure.

The stores are looked at a few times a second, so a figure is that much too long at most; what a
restored backup took back counts when it was recorded first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hemowire.chaos.history import Capture, Event, Kind, Record


@dataclass(frozen=True, slots=True)
class Delays:
    """Seconds, of the images that were recorded."""

    images: int
    p50_s: float
    p95_s: float
    max_s: float


def delays(events: Iterable[Event]) -> Delays | None:
    """None where no image was recorded."""
    given: dict[tuple[str, str], float] = {}
    source: dict[tuple[str, str], str] = {}
    recorded: dict[tuple[str, str], float] = {}
    for event in events:
        match event:
            case Capture(kind=Kind.INVOKE):
                given[event.device, event.source] = event.at_s
            case Capture(kind=Kind.OK):
                source[event.device, event.image_id] = event.source
            case Record(kind=Kind.OK):
                recorded.setdefault((event.device, event.image_id), event.at_s)
            case _:
                pass
    waits = sorted(
        at_s - given[device, source[device, image_id]]
        for (device, image_id), at_s in recorded.items()
        if (device, source.get((device, image_id), "")) in given
    )
    if not waits:
        return None

    def rank(share: float) -> float:
        return round(waits[min(len(waits) - 1, int(share * len(waits)))], 2)

    return Delays(len(waits), rank(0.5), rank(0.95), rank(1.0))
