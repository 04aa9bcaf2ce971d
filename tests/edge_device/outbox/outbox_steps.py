"""A small life of an outbox that a test kills at a named step; run as a child process."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from edge_device.outbox import NewCapture, Outbox, Refusal, desk
from edge_device.outbox.retention import RECORDED_KEPT_S, keep_house
from wire_protocol.json_messages import Reason
from wire_protocol.machine_io import OutboxState, Persist
from wire_protocol.manifest import ContentType, OverrideReason
from wire_protocol.messages import Outcome

#: Every place where the child may die.
STEPS = (
    "temporary_written",
    "temporary_synced",
    "renamed",
    "folder_synced",
    "rows_inserted",
    "capture_committed",
    "states_updated",
    "states_committed",
    "quarantine_updated",
    "quarantine_committed",
    "freed_updated",
    "freed_committed",
    "file_removed",
    "tombstones_deleted",
    "schema_statement",
    "schema_version",
    "schema_committed",
    "linked",
    "copy_inserted",
    "copy_committed",
    "retry_updated",
    "retry_committed",
    "purge_updated",
    "purge_committed",
    "purged_file_removed",
    "case_updated",
    "case_committed",
    "restamp_updated",
    "restamp_committed",
    "audit_written",
    "end",
)
SOURCES = tuple(f"frame-{n}" for n in range(6))
REFUSED = "refused"


def new_capture(source: str) -> NewCapture:
    """A capture whose bytes follow from its name."""
    return NewCapture(
        source=source,
        source_key=source,
        content=source.encode() * 1000,
        captured_at="2026-01-01T00:00:00.000Z",
        captured_ns=1,
        boot_id="0" * 32,
        clock_synced=True,
        width_px=10,
        height_px=10,
    )


def live(folder: Path, step: object) -> None:
    """Captures all sources that are not there yet, one by one and in pairs, and moves them on."""
    assert callable(step)
    outbox = Outbox(folder, step)
    outbox.add([new_capture(SOURCES[0])])
    outbox.add([new_capture(SOURCES[1]), new_capture(SOURCES[2])])
    for row in outbox.unfinished()[:2]:
        outbox.apply([Persist(row.image_id, OutboxState.SENDING)])
        outbox.apply([Persist(row.image_id, OutboxState.STORED)])
        outbox.apply([Persist(row.image_id, OutboxState.RECORDED, outcome=Outcome.DIAGNOSED)])
    for row in outbox.unfinished()[:1]:
        outbox.quarantine(row.image_id, Refusal(Reason.DAMAGED_ON_DEVICE, "damaged"))
    keep_house(outbox, elapsed_s=RECORDED_KEPT_S, min_free_bytes=0, max_held_bytes=10**9)
    outbox.add([new_capture(source) for source in SOURCES])
    serve_people(outbox)
    outbox.close()
    step("end")


def serve_people(outbox: Outbox) -> None:
    """Every deed of the desk, each where it is not done yet."""
    done = {line.action for line in desk.read_audit(outbox.db)}
    refused = replace(
        new_capture(REFUSED),
        content_type=ContentType.JPEG,
        refusal=Refusal(Reason.FOCUS, "Out of focus."),
        clock_synced=False,
    )
    outbox.add([refused])
    (row,) = [row for row in outbox.refused() if row.source == REFUSED]
    copy = desk.send_anyway(outbox, row.image_id, "kim", OverrideReason.URGENT)
    waiting = [row for row in outbox.unfinished() if row.state is OutboxState.WAITING]
    if "outbox_retry" not in done:
        desk.retry(outbox, [copy.image_id], "kim")
    if "move_field" not in done:
        desk.set_case(outbox, copy.image_id, "CASE-7", "kim")
    desk.restamp(outbox, "0" * 32, 1.0)
    if "outbox_drop" not in done:
        desk.drop_oldest(outbox, "kim", images=1, size_bytes=0, in_flight={copy.image_id})
    if "outbox_purge" not in done:
        desk.purge(outbox, "kim", image_ids=[waiting[-2].image_id])


def main() -> None:
    """Dies by SIGKILL the n-th time that the named step is reached; prints seqs as they commit."""
    folder, name, times = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    left = times

    def step(reached: str) -> None:
        nonlocal left
        if reached == name:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    live(folder, step)


if __name__ == "__main__":
    main()
