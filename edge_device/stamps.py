"""The device's part of each image's trace; two fragments at most per image, at `queued` and when the upload ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from service_runtime.boot import boot_id, monotonic_ns
from service_runtime.clock import ClockExchange
from service_runtime.trace_fragments import fragment_of
from wire_protocol.json_messages import TraceFragment
from wire_protocol.trace import Stage

_CAPTURE_STAGES = (Stage.SCHEDULED, Stage.CAPTURED, Stage.GATED, Stage.ENCODED, Stage.QUEUED)


class Stamps:
    """Stamps of the images that are on their way; `publish` gets each fragment."""

    def __init__(
        self, device: str, clock: ClockExchange, publish: Callable[[TraceFragment], None]
    ) -> None:
        self._device = device
        self._clock = clock
        self._publish = publish
        self._stamps: dict[str, dict[Stage, int]] = {}
        self._attempts: dict[str, int] = {}

    def taken_up(self, image_id: str, captured_ns: int, captured_boot_id: str) -> None:
        """An earlier life of this program captured it; in this boot its stamp still counts."""
        if captured_boot_id == boot_id():
            self._stamps[image_id] = {Stage.CAPTURED: captured_ns}

    def queued(self, image_id: str, stamps_ns: Mapping[Stage, int], *, ends_here: bool) -> None:
        """The outbox holds the image; nothing more follows where it ends on the device."""
        self._stamps[image_id] = {**stamps_ns, Stage.QUEUED: monotonic_ns()}
        self._tell(image_id)
        if ends_here:
            del self._stamps[image_id]

    def mark(self, image_id: str, attempt: int, stage: Stage) -> None:
        """The sender reached this stage now; a new attempt starts its stages afresh."""
        stamps = self._stamps.setdefault(image_id, {})
        if self._attempts.get(image_id) != attempt:
            self._attempts[image_id] = attempt
            for later in [s for s in stamps if s not in _CAPTURE_STAGES]:
                del stamps[later]
        stamps[stage] = monotonic_ns()

    def uploaded(self, image_id: str) -> None:
        """The worker has the image, or its story ended: the whole fragment, once."""
        if image_id in self._stamps:
            if image_id in self._attempts:
                self._tell(image_id)
            del self._stamps[image_id]
            self._attempts.pop(image_id, None)

    def _tell(self, image_id: str) -> None:
        attempt = self._attempts.get(image_id)
        self._publish(
            fragment_of(
                "edge",
                self._device,
                image_id,
                "" if attempt is None else f"{attempt:016x}",
                stamps_ns=self._stamps[image_id],
                leg=self._clock.leg(),
            )
        )
