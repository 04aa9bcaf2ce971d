"""This worker's moments in each image's trace, on the monotonic clock; bounded, oldest go first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from service_runtime.boot import monotonic_ns
from service_runtime.trace_fragments import fragment_of
from wire_protocol.clock_legs import ClockLeg
from wire_protocol.json_messages import TraceFragment
from wire_protocol.trace import Stage

#: Offers that never become images leave stamps behind; this many are remembered.
REMEMBERED = 4096


class Stamps:
    """Stage times by image, until they are taken as a fragment; `leg` is how our clock was compared."""

    def __init__(self, worker: str, leg: Callable[[], ClockLeg | None] = lambda: None) -> None:
        self._worker = worker
        self._leg = leg
        self._of: OrderedDict[str, dict[Stage, int]] = OrderedDict()

    def mark(self, image_id: str, stage: Stage, at_ns: int | None = None) -> int:
        """The image reached this stage now (or at `at_ns`), which is returned; a later mark wins."""
        at_ns = monotonic_ns() if at_ns is None else at_ns
        self._of.setdefault(image_id, {})[stage] = at_ns
        while len(self._of) > REMEMBERED:
            self._of.popitem(last=False)
        return at_ns

    def take(self, image_id: str, attempt: int, size_bytes: int) -> TraceFragment:
        """The image's fragment, which is forgotten here."""
        return fragment_of(
            "worker",
            self._worker,
            image_id,
            f"{attempt:016x}",
            stamps_ns=self._of.pop(image_id, {}),
            leg=self._leg(),
            size_bytes=size_bytes,
        )

    def forget(self, image_id: str) -> None:
        """The image will not be published from here."""
        self._of.pop(image_id, None)
