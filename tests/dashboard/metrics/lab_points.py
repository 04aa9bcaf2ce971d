"""An hour of a small lab as points with known values, for queries."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from dashboard.metrics import schema
from dashboard.metrics.lines import FieldValue, Point, line_of

DEVICES = ("scope-1", "scope-2")
IMAGES_EACH = 300
PERIOD_MS = 10_000


@dataclass(slots=True)
class LabPoints:
    """The lines, and the values by stage and device that they were made from."""

    end_ms: int
    lines: list[str] = field(default_factory=list)
    durations: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    totals: list[float] = field(default_factory=list)

    def data(self) -> bytes:
        """All lines."""
        return ("\n".join(self.lines) + "\n").encode()

    def pooled(self, stage: str) -> list[float]:
        """Every duration of a stage."""
        return [ms for (name, _), found in self.durations.items() if name == stage for ms in found]

    def put(self, point: Point, at_ms: int) -> None:
        """One more point."""
        line = line_of(point, at_ms * 1_000_000)
        assert line is not None
        self.lines.append(line)


def lab_points(end_ms: int) -> LabPoints:
    """The hour before `end_ms`; everything that could alarm does."""
    made = LabPoints(end_ms)
    chance = random.Random(7)
    for number in range(IMAGES_EACH):
        for device in DEVICES:
            at_ms = end_ms - 1000 - number * PERIOD_MS + DEVICES.index(device)
            where = {"site": "lab", "device": device, "worker": "worker", "bundle": "b@1"}
            for stage, about_ms in (("gated", 3), ("last_sent", 40), ("inferred", 90)):
                ms = round(chance.lognormvariate(0, 0.3) * about_ms, 6)
                made.durations.setdefault((stage, device), []).append(ms)
                values = {"duration_ms": ms, "error_ms": 0.25}
                made.put(Point(schema.STAGE, {**where, "stage": stage}, values), at_ms)
            total = round(chance.lognormvariate(0, 0.3) * 150, 6)
            made.totals.append(total)
            ways: dict[str, FieldValue] = {
                "scheduled_to_published_ms": total,
                "scheduled_to_published_error_ms": 0.5 if device == "scope-1" else 1.5,
                "captured_to_recorded_ms": total + 5,
                "image_id": f"{number:032x}",
            }
            made.put(Point(schema.IMAGE, where, ways), at_ms)
    for number, device in enumerate(DEVICES):
        health = {"images_waiting": 3 + number, "is_halted": device == "scope-2"}
        made.put(Point(schema.DEVICE, {"site": "lab", "device": device}, health), end_ms - 500)
    for minutes in range(50, -1, -10):
        at_ms = end_ms - 2000 - minutes * 60_000
        dropped = 0 if minutes > 20 else 4
        made.put(Point(schema.BROKER, {}, {"publishes_dropped": dropped}), at_ms)
        made.put(Point(schema.METRICS, {}, {"points_dropped": 0, "points_refused": 2}), at_ms)
    return made
