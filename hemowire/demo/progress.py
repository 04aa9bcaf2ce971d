"""What the wire has said of each image so far, joined for the screen; it is never the proof that nothing was lost.

Everything in one demo runs on one machine, so the stamps of all programs are of one monotonic
clock; fragments of another boot are left out.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from wire_protocol.json_messages import Diagnosis, Health, Rejection, Status, TraceFragment
from wire_protocol.messages import Outcome
from wire_protocol.trace import STAGES, Stage, durations_ms

#: Images whose stamps are kept for the percentiles; older ones leave, the counters stay.
KEPT_IMAGES = 20_000
#: The whole way, beside the stages: from capture to the published diagnosis.
TOTAL = "captured_to_published"


@dataclass(slots=True)
class ImageProgress:
    """One image on its way."""

    image_id: str
    device: str = ""
    stamps_ns: dict[str, int] = field(default_factory=dict)
    diagnosis: Diagnosis | None = None
    rejection: Rejection | None = None

    @property
    def stage(self) -> Stage | None:
        """The furthest stage with a stamp."""
        return next((s for s in reversed(STAGES) if s in self.stamps_ns), None)

    @property
    def total_ms(self) -> float | None:
        """Capture to publication, where both are known."""
        start = self.stamps_ns.get(Stage.CAPTURED)
        end = self.stamps_ns.get(Stage.PUBLISHED)
        return None if start is None or end is None else (end - start) / 1e6


@dataclass(frozen=True, slots=True)
class StageFigures:
    """Percentiles of one stage over the images seen, by nearest rank."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


class Progress:
    """Joins fragments, diagnoses and rejections by image id."""

    def __init__(self, boot_id: str) -> None:
        self.boot_id = boot_id
        self.images: OrderedDict[str, ImageProgress] = OrderedDict()
        self.recent: deque[str] = deque(maxlen=200)
        self.urgencies: Counter[str] = Counter()
        self.health: dict[str, Health] = {}
        self.statuses: dict[str, Status] = {}
        self.captured = 0
        self.diagnosed = 0
        self.rejected = 0
        self.recorded = 0

    def image(self, image_id: str) -> ImageProgress:
        """The image's entry, made if new."""
        found = self.images.get(image_id)
        if found is None:
            found = self.images[image_id] = ImageProgress(image_id)
            self.captured += 1
            if len(self.images) > KEPT_IMAGES:
                self.images.popitem(last=False)
        return found

    def on_fragment(self, fragment: TraceFragment) -> None:
        """Adds a program's stamps; the first end (recorded, published) of an image stands."""
        if fragment.boot_id != self.boot_id:
            return
        image = self.image(fragment.image_id)
        if fragment.program == "edge":
            image.device = fragment.id
        was_recorded = Stage.RECORDED in image.stamps_ns
        settled = {s for s in (Stage.RECORDED, Stage.SHOWN) if s in image.stamps_ns}
        image.stamps_ns.update(
            {name: ns for name, ns in fragment.stamps_ns.items() if name not in settled}
        )
        if not was_recorded and Stage.RECORDED in image.stamps_ns:
            self.recorded += 1
        self._touch(image)

    def on_diagnosis(self, diagnosis: Diagnosis, shown_ns: int) -> bool:
        """Adds a diagnosis; False for a repeat of one that was shown already."""
        image = self.image(diagnosis.image_id)
        if image.diagnosis is not None or image.rejection is not None:
            return False
        image.device = diagnosis.device
        image.diagnosis = diagnosis
        image.stamps_ns[Stage.SHOWN] = shown_ns
        self.urgencies[diagnosis.urgency] += 1
        if diagnosis.outcome is Outcome.REJECTED:
            self.rejected += 1
        else:
            self.diagnosed += 1
        self._touch(image)
        return True

    def on_rejection(self, rejection: Rejection) -> bool:
        """Adds a device's rejection; False for a repeat."""
        image = self.image(rejection.image_id)
        if image.diagnosis is not None or image.rejection is not None:
            return False
        image.device = rejection.device
        image.rejection = rejection
        self.rejected += 1
        self._touch(image)
        return True

    def on_health(self, health: Health) -> None:
        """Keeps a device's last account of itself."""
        self.health[health.device] = health

    def on_status(self, status: Status) -> None:
        """Keeps a program's last status, by program and id."""
        self.statuses[f"{status.program}/{status.id}"] = status

    def figures(self) -> dict[str, StageFigures]:
        """Percentiles per stage, in the order of the path, and of the whole way."""
        samples: dict[str, list[float]] = {}
        for image in self.images.values():
            for stage, milliseconds in durations_ms(image.stamps_ns).items():
                samples.setdefault(stage, []).append(milliseconds)
            if image.total_ms is not None:
                samples.setdefault(TOTAL, []).append(image.total_ms)
        order = [*(stage.value for stage in STAGES), TOTAL]
        return {name: _figures(samples[name]) for name in order if name in samples}

    def latest(self, count: int) -> Iterable[ImageProgress]:
        """The images that moved last, newest last."""
        ids = list(self.recent)[-count:]
        return [self.images[image_id] for image_id in ids if image_id in self.images]

    def _touch(self, image: ImageProgress) -> None:
        if image.image_id not in self.recent:
            self.recent.append(image.image_id)


def _figures(samples: list[float]) -> StageFigures:
    ordered = sorted(samples)

    def at(share: float) -> float:
        return ordered[max(0, math.ceil(len(ordered) * share) - 1)]

    return StageFigures(len(ordered), at(0.50), at(0.95), at(0.99))
