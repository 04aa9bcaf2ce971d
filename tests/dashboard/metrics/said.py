"""What the programs of a lab would say on the wire about an image, and of themselves."""

from __future__ import annotations

from tests.dashboard.reports_for_tests import hex_id
from wire_protocol.json_messages import Health, Presence, Status, TraceFragment, WorkerHealth
from wire_protocol.trace import Stage

BOOT = hex_id("boot", 1)
WORKER_ID = "worker-0a1b2c3d"
BUNDLE = "ball4-densenet121@1f2e3d4c"
#: Milliseconds after the capture was due; all on one machine.
AT_MS = {
    "edge": {
        Stage.SCHEDULED: 0,
        Stage.CAPTURED: 2,
        Stage.GATED: 5,
        Stage.ENCODED: 9,
        Stage.QUEUED: 11,
        Stage.OFFERED: 12,
        Stage.CLAIMED: 13,
        Stage.FIRST_SENT: 14,
        Stage.LAST_SENT: 20,
    },
    "worker": {
        Stage.FIRST_RECEIVED: 15,
        Stage.COMPLETED: 21,
        Stage.ARCHIVED: 26,
        Stage.DECODED: 25,
        Stage.BATCHED: 27,
        Stage.INFERRED: 57,
        Stage.EXPLAINED: 58,
        Stage.PUBLISHED: 60,
    },
    "records": {Stage.RECORDED: 66},
}
IDS = {"edge": "scope-1", "worker": WORKER_ID, "records": "records"}


def fragment(program: str, number: int) -> TraceFragment:
    """One program's stamps of image `number`."""
    start_ns = 1_000_000_000_000 + number * 1_000_000_000
    stamps = {s.value: start_ns + ms * 1_000_000 for s, ms in AT_MS[program].items()}
    return TraceFragment.model_validate(
        {
            "program": program,
            "id": IDS[program],
            "image_id": hex_id("image", number),
            "attempt": "" if program == "records" else "00000000000000aa",
            "boot_id": BOOT,
            "stamps_ns": stamps,
            "size_bytes": 22_000,
        }
    )


def health(**more: object) -> Health:
    """A microscope's account."""
    return Health.model_validate(
        {
            "site": "lab",
            "device": "scope-1",
            "outbox_id": hex_id("outbox", 1),
            "next_seq": 8,
            "oldest_unrecorded_seq": 5,
            "counts": {"waiting": 2, "sending": 1, "recorded": 4},
            "queue_bytes": 66_000,
            "disk_free_bytes": 10**10,
            "boot_id": BOOT,
            "uptime_s": 61.5,
            "last_scores": {"focus": 0.8, "white_cells": 3.0},
            "clock_error_ns": 250_000,
            **more,
        }
    )


def worker_health(**more: object) -> WorkerHealth:
    """A worker's counters."""
    said = {"worker": WORKER_ID, "bundle": BUNDLE, "engine": "openvino-bf16", "uptime_s": 20.0}
    counts = {"diagnosed": 7, "dropped_malformed": 1}
    return WorkerHealth.model_validate({**said, "in_hand": 2, "counts": counts, **more})


def worker_status(state: Presence = Presence.ONLINE) -> Status:
    """A worker that is there, or is not."""
    return Status(
        state=state,
        incarnation=hex_id("life", 1),
        program="worker",
        id=WORKER_ID,
        bundle=BUNDLE,
        engine="openvino-bf16",
        images_per_s=31.0,
        reason="" if state is Presence.ONLINE else "connection lost",
    )
