"""The stages of an image's trace, in order, and the rule for turning stamps into durations; it reads no clock."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Stage(StrEnum):
    """One moment in an image's life; the value is its name on the wire and on screen."""

    SCHEDULED = "scheduled"
    CAPTURED = "captured"
    GATED = "gated"
    ENCODED = "encoded"
    QUEUED = "queued"
    OFFERED = "offered"
    CLAIMED = "claimed"
    FIRST_SENT = "first_sent"
    LAST_SENT = "last_sent"
    FIRST_RECEIVED = "first_received"
    COMPLETED = "completed"
    ARCHIVED = "archived"
    DECODED = "decoded"
    BATCHED = "batched"
    INFERRED = "inferred"
    EXPLAINED = "explained"
    PUBLISHED = "published"
    RECORDED = "recorded"
    SHOWN = "shown"


STAGES: tuple[Stage, ...] = tuple(Stage)
EDGE_STAGES = STAGES[: STAGES.index(Stage.FIRST_RECEIVED)]
WORKER_STAGES = STAGES[STAGES.index(Stage.FIRST_RECEIVED) : STAGES.index(Stage.RECORDED)]


def durations_ms(stamps_ns: Mapping[str, int]) -> dict[str, float]:
    """Milliseconds each stage took since the latest earlier stage present, on ONE monotonic clock.

    `stamps_ns` maps stage names to nanoseconds of the same boot; a stage that is missing is left
    out, and the stage after it counts from the one before (its time is then the sum of both).
    """
    present = [stage for stage in STAGES if stage in stamps_ns]
    return {
        stage.value: (stamps_ns[stage] - stamps_ns[before]) / 1e6
        for before, stage in zip(present, present[1:], strict=False)
    }
