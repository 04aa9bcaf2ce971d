"""What the wire has said of each image so far, joined for the screen; it is never the proof that nothing was lost.

Everything in one demo runs on one machine, so the stamps of all programs are of one monotonic
clock; fragments of another boot are left out.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from hemowire.demo.histogram import Histogram
from wire_protocol.json_messages import Diagnosis, Health, Rejection, Status, TraceFragment
from wire_protocol.messages import Outcome
from wire_protocol.trace import STAGES, Stage, durations_ms

#: Images that are remembered; older ones leave, the counts and histograms stay.
KEPT_IMAGES = 20_000
#: The whole way, beside the stages. It counts from the scheduled capture, so that a camera or an
#: encoder that falls behind is not hidden (coordinated omission).
TOTAL = "scheduled_to_published"


@dataclass(slots=True)
class ImageProgress:
    """One image on its way."""

    image_id: str
    device: str = ""
    stamps_ns: dict[str, int] = field(default_factory=dict)
    durations_ms: dict[str, float] = field(default_factory=dict)
    diagnosis: Diagnosis | None = None
    rejection: Rejection | None = None
    is_settled: bool = False

    @property
    def stage(self) -> Stage | None:
        """The furthest stage with a stamp; recorded is the last, whoever was shown it before."""
        if Stage.RECORDED in self.stamps_ns:
            return Stage.RECORDED
        return next((s for s in reversed(STAGES) if s in self.stamps_ns), None)

    @property
    def total_ms(self) -> float | None:
        """Scheduled capture to publication, where both are known."""
        start = self.stamps_ns.get(Stage.SCHEDULED, self.stamps_ns.get(Stage.CAPTURED))
        end = self.stamps_ns.get(Stage.PUBLISHED)
        return None if start is None or end is None else (end - start) / 1e6


@dataclass(frozen=True, slots=True)
class StageFigures:
    """Percentiles of one stage over the images seen."""

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
        self.histograms: dict[str, Histogram] = {}
        self.captured = 0
        #: Images with a committed outcome, by which one.
        self.recorded = 0
        self.rejected = 0
        self.first_captured_ns: int | None = None
        self.last_recorded_ns: int | None = None

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
        settled = {s for s in (Stage.RECORDED, Stage.SHOWN) if s in image.stamps_ns}
        image.stamps_ns.update(
            {name: ns for name, ns in fragment.stamps_ns.items() if name not in settled}
        )
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
        self._touch(image)
        return True

    def on_rejection(self, rejection: Rejection) -> bool:
        """Adds a device's rejection; False for a repeat."""
        image = self.image(rejection.image_id)
        if image.diagnosis is not None or image.rejection is not None:
            return False
        image.device = rejection.device
        image.rejection = rejection
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
        order = [*(stage.value for stage in STAGES), TOTAL]
        return {
            name: StageFigures(
                self.histograms[name].count, *self.histograms[name].percentiles(0.5, 0.95, 0.99)
            )
            for name in order
            if name in self.histograms
        }

    def recorded_per_s(self) -> float:
        """Images a second, from the first capture to the last record seen on the wire."""
        first, last = self.first_captured_ns, self.last_recorded_ns
        if first is None or last is None or last <= first:
            return 0.0
        return (self.recorded + self.rejected) / ((last - first) / 1e9)

    def latest(self, count: int) -> Iterable[ImageProgress]:
        """The images that moved last, newest last."""
        ids = list(self.recent)[-count:]
        return [self.images[image_id] for image_id in ids if image_id in self.images]

    def _touch(self, image: ImageProgress) -> None:
        if image.image_id not in self.recent:
            self.recent.append(image.image_id)
        self._measure(image)
        captured = image.stamps_ns.get(Stage.CAPTURED)
        recorded = image.stamps_ns.get(Stage.RECORDED)
        if captured is not None:
            self.first_captured_ns = min(captured, self.first_captured_ns or captured)
        if recorded is None or image.is_settled:
            return
        if image.diagnosis is None and image.rejection is None:
            return
        image.is_settled = True
        self.last_recorded_ns = max(recorded, self.last_recorded_ns or recorded)
        if image.diagnosis is not None and image.diagnosis.outcome is Outcome.DIAGNOSED:
            self.recorded += 1
        else:
            self.rejected += 1

    def _measure(self, image: ImageProgress) -> None:
        """Counts the image's stage times, and counts anew those that a late stamp changed."""
        now = durations_ms(image.stamps_ns)
        if image.total_ms is not None:
            now[TOTAL] = image.total_ms
        for name, milliseconds in now.items():
            before = image.durations_ms.get(name)
            if before == milliseconds:
                continue
            histogram = self.histograms.setdefault(name, Histogram())
            if before is not None:
                histogram.take_back(before)
            histogram.add(milliseconds)
        image.durations_ms = now
