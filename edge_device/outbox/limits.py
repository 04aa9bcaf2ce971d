"""Whether the outbox has room for one more image, and what to say where it has not; pure, it drops nothing."""

from __future__ import annotations

from dataclasses import dataclass

from edge_device.outbox.rows import OutboxTotals
from edge_device.outbox.settings import OutboxSettings


def room(limits: OutboxSettings, held_bytes: int, count: int, free_bytes: int) -> str:
    """Why no further image is taken in, in words; "" where there is room."""
    if count >= limits.max_images:
        return f"outbox full: {count} images wait, at most {limits.max_images}"
    if held_bytes >= limits.max_bytes:
        return f"outbox full: {held_bytes} bytes wait, at most {limits.max_bytes}"
    if free_bytes < limits.min_free_bytes:
        return (
            f"disk full: {free_bytes} bytes free, at least {limits.min_free_bytes} are left alone"
        )
    return ""


@dataclass(frozen=True, slots=True)
class Excess:
    """What must go before one more image fits."""

    images: int = 0
    size_bytes: int = 0

    def __bool__(self) -> bool:
        return self.images > 0 or self.size_bytes > 0


def excess(limits: OutboxSettings, held_bytes: int, count: int, free_bytes: int) -> Excess:
    """How much has to be dropped until `room` finds nothing to say; nothing under the rule `refuse`."""
    if limits.on_full == "refuse":
        return Excess()
    over = max(held_bytes - limits.max_bytes + 1, limits.min_free_bytes - free_bytes, 0)
    return Excess(max(count - limits.max_images + 1, 0), over)


def age_alarm(limits: OutboxSettings, totals: OutboxTotals) -> str:
    """Says so where the oldest image has waited too long for the records store; else ""."""
    waited = totals.oldest_unrecorded_s
    if waited is None or waited < limits.alarm_age_s:
        return ""
    return f"oldest waiting {waited / 3600:.0f} h: image number {totals.oldest_unrecorded_seq}"
