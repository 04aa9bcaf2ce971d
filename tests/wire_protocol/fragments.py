"""A made-up image whose truth is known: three machines with clocks of their own, and the fragments of its programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from wire_protocol.json_messages import TraceFragment
from wire_protocol.trace import EDGE_STAGES, READING_STAGES, WORKER_STAGES, Stage

MS = 1_000_000
IMAGE = "0123456789abcdef" * 2
EDGE_BOOT, WORKER_BOOT, RECORDS_BOOT, WATCH_BOOT, OTHER_BOOT = (c * 32 for c in "abcde")
ATTEMPT = "00000000000000a1"
#: True nanoseconds of each stage, one millisecond apart.
TRUE_NS = {stage: 1_000 * MS + n * MS for n, stage in enumerate(Stage)}
#: What each machine's monotonic clock shows beyond true time.
AHEAD_NS = {
    EDGE_BOOT: 7_000 * MS,
    WORKER_BOOT: -300 * MS,
    RECORDS_BOOT: 55 * MS,
    WATCH_BOOT: 9 * MS,
    OTHER_BOOT: 90_000 * MS,
}


@dataclass(frozen=True)
class Teller:
    """One program: which stages it tells of and how well it knows the records store's clock."""

    program: str
    id: str
    boot: str
    stages: tuple[Stage, ...]
    error_ns: int = MS
    changes: dict[str, Any] = field(default_factory=dict)

    def fragment(
        self, attempt: str = ATTEMPT, image_id: str = IMAGE, **changes: Any
    ) -> TraceFragment:
        """Its fragment, whose clock is compared at the moment that it is told."""
        stamps = {stage.value: TRUE_NS[stage] + AHEAD_NS[self.boot] for stage in self.stages}
        at_ns = max(stamps.values(), default=0)
        offset_ns = AHEAD_NS[RECORDS_BOOT] - AHEAD_NS[self.boot]
        fields = {
            "program": self.program,
            "id": self.id,
            "image_id": image_id,
            "attempt": attempt,
            "boot_id": self.boot,
            "stamps_ns": stamps,
            "records_boot_id": RECORDS_BOOT,
            "clock_offset_ns": offset_ns,
            "clock_error_ns": self.error_ns,
            "clock_at_ns": at_ns,
            "told_ns": at_ns,
            "wall": "2026-11-21T09:14:03.120Z",
            "told_unix_ns": 1_795_252_443_120 * MS,
            "clock_synced": True,
        }
        return TraceFragment.model_validate(fields | self.changes | changes)


EDGE = Teller("edge", "scope-1", EDGE_BOOT, EDGE_STAGES)
CAPTURE = Teller("edge", "scope-1", EDGE_BOOT, EDGE_STAGES[:5])
WORKER = Teller("worker", "w1", WORKER_BOOT, WORKER_STAGES, changes={"size_bytes": 22_000})
RECORDS = Teller("records", "records", RECORDS_BOOT, (Stage.RECORDED,), error_ns=0)
WATCH = Teller("watch", "desk", WATCH_BOOT, (Stage.SHOWN,))
#: A browser, whose clock the page has compared, and the page itself, beside the records store.
BROWSER = Teller("page", "browser-0a1b2c3d", OTHER_BOOT, (Stage.SHOWN,), error_ns=20 * MS)
PAGE = Teller("page", "operator", RECORDS_BOOT, READING_STAGES, error_ns=0)
ALL = (EDGE, WORKER, RECORDS, WATCH)
