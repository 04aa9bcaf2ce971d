"""A small life of an outbox that a test kills at a named step; run as a child process."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from edge_device.outbox import NewCapture, Outbox, Refusal
from edge_device.outbox.retention import RECORDED_KEPT_S, keep_house
from wire_protocol.json_messages import Reason
from wire_protocol.machine_io import OutboxState, Persist
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
    "end",
)
SOURCES = tuple(f"frame-{n}" for n in range(6))


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
    outbox.close()
    step("end")


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
