"""What one program tells of one image's way: its stamps, the boot they belong to and how its clock was compared."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Literal

from service_runtime.boot import boot_id, clock_is_synced, monotonic_ns, wall_time
from wire_protocol.clock_legs import ClockLeg
from wire_protocol.json_messages import TraceFragment
from wire_protocol.trace import Stage

Program = Literal["edge", "worker", "records", "watch", "page"]


def fragment_of(
    program: Program,
    name: str,
    image_id: str,
    attempt: str,
    *,
    stamps_ns: Mapping[Stage, int],
    leg: ClockLeg | None,
    size_bytes: int | None = None,
) -> TraceFragment:
    """The fragment as it is told now; without a leg its stamps compare within this boot only."""
    return TraceFragment(
        program=program,
        id=name,
        image_id=image_id,
        attempt=attempt,
        boot_id=boot_id(),
        stamps_ns={stage.value: at_ns for stage, at_ns in stamps_ns.items()},
        records_boot_id=None if leg is None else leg.records_boot_id,
        clock_offset_ns=None if leg is None else leg.offset_ns,
        clock_error_ns=None if leg is None else leg.error_ns,
        clock_at_ns=None if leg is None else leg.at_ns,
        wall=wall_time(),
        told_ns=monotonic_ns(),
        told_unix_ns=time.time_ns(),
        clock_synced=clock_is_synced(),
        size_bytes=size_bytes,
    )


def own_leg() -> ClockLeg:
    """The records store's clock is the one that all others are compared with."""
    return ClockLeg(boot_id(), boot_id(), 0, 0, monotonic_ns())
