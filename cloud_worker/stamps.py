"""This worker's moments in each image's trace, on the monotonic clock; bounded, oldest go first."""

from __future__ import annotations

from collections import OrderedDict

from service_runtime.boot import boot_id, clock_is_synced, monotonic_ns, wall_time
from wire_protocol.json_messages import TraceFragment
from wire_protocol.trace import Stage

#: Offers that never become images leave stamps behind; this many are remembered.
REMEMBERED = 4096


class Stamps:
    """Stage times by image, until they are taken as a fragment."""

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._of: OrderedDict[str, dict[str, int]] = OrderedDict()

    def mark(self, image_id: str, stage: Stage, at_ns: int | None = None) -> int:
        """The image reached this stage now (or at `at_ns`), which is returned; a later mark wins."""
        at_ns = monotonic_ns() if at_ns is None else at_ns
        self._of.setdefault(image_id, {})[stage.value] = at_ns
        while len(self._of) > REMEMBERED:
            self._of.popitem(last=False)
        return at_ns

    def take(self, image_id: str, attempt: int, size_bytes: int) -> TraceFragment:
        """The image's fragment, which is forgotten here."""
        return TraceFragment(
            program="worker",
            id=self._worker,
            image_id=image_id,
            attempt=f"{attempt:016x}",
            boot_id=boot_id(),
            stamps_ns=self._of.pop(image_id, {}),
            wall=wall_time(),
            clock_synced=clock_is_synced(),
            size_bytes=size_bytes,
        )

    def forget(self, image_id: str) -> None:
        """The image will not be published from here."""
        self._of.pop(image_id, None)
