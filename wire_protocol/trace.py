"""The stages of an image's trace, in order, and which one each is counted from; it reads no clock."""

from __future__ import annotations

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
    OPENED = "opened"
    SIGNED = "signed"


#: What people do with a result: minutes, not milliseconds, and not of every image.
READING_STAGES: tuple[Stage, ...] = (Stage.OPENED, Stage.SIGNED)
#: The way from the camera to the screen.
STAGES: tuple[Stage, ...] = tuple(stage for stage in Stage if stage not in READING_STAGES)
EDGE_STAGES = STAGES[: STAGES.index(Stage.FIRST_RECEIVED)]
WORKER_STAGES = STAGES[STAGES.index(Stage.FIRST_RECEIVED) : STAGES.index(Stage.RECORDED)]


#: The stage that each one is counted from: the nearest of these that has a stamp. Archiving runs
#: beside decoding, and bytes arrive while later ones are still being sent, so the chain branches.
PREDECESSORS: dict[Stage, tuple[Stage, ...]] = {
    Stage.CAPTURED: (Stage.SCHEDULED,),
    Stage.GATED: (Stage.CAPTURED,),
    Stage.ENCODED: (Stage.GATED, Stage.CAPTURED),
    Stage.QUEUED: (Stage.ENCODED, Stage.GATED, Stage.CAPTURED),
    Stage.OFFERED: (Stage.QUEUED,),
    Stage.CLAIMED: (Stage.OFFERED,),
    Stage.FIRST_SENT: (Stage.CLAIMED, Stage.OFFERED),
    Stage.LAST_SENT: (Stage.FIRST_SENT,),
    Stage.FIRST_RECEIVED: (Stage.FIRST_SENT, Stage.OFFERED),
    Stage.COMPLETED: (Stage.FIRST_RECEIVED,),
    Stage.ARCHIVED: (Stage.COMPLETED,),
    Stage.DECODED: (Stage.COMPLETED,),
    Stage.BATCHED: (Stage.DECODED,),
    Stage.INFERRED: (Stage.BATCHED,),
    Stage.EXPLAINED: (Stage.INFERRED,),
    Stage.PUBLISHED: (Stage.EXPLAINED, Stage.INFERRED, Stage.DECODED),
    Stage.RECORDED: (Stage.PUBLISHED,),
    Stage.SHOWN: (Stage.PUBLISHED,),
    Stage.OPENED: (Stage.SHOWN, Stage.RECORDED),
    Stage.SIGNED: (Stage.OPENED,),
}
