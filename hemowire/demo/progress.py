"""What the wire has said of each image so far, for the screen; it is never the proof that nothing was lost.

Traces are joined as anywhere else (`wire_protocol.trace_join`); the screen is one more terminal
that shows diagnoses, so it adds a fragment of its own.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from hemowire.demo.histogram import Histogram
from wire_protocol.joined_trace import JoinedTrace
from wire_protocol.json_messages import (
    Diagnosis,
    DiagnosisStatus,
    Health,
    Rejection,
    Status,
    TraceFragment,
)
from wire_protocol.messages import Outcome
from wire_protocol.trace import STAGES, Stage
from wire_protocol.trace_join import TraceJoiner

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
    trace: JoinedTrace | None = None
    #: What the histograms count of it.
    durations_ms: dict[str, float] = field(default_factory=dict)
    diagnosis: Diagnosis | None = None
    rejection: Rejection | None = None
    is_settled: bool = False

    @property
    def stage(self) -> Stage | None:
        """The furthest stage with a stamp; recorded is the last, whoever was shown it before."""
        if self.trace is None or not self.trace.moments:
            return None
        return Stage.RECORDED if self.trace.has(Stage.RECORDED) else self.trace.moments[-1].stage

    @property
    def total_ms(self) -> float | None:
        """Scheduled capture to publication, where both are known."""
        if self.trace is None:
            return None
        start = Stage.SCHEDULED if self.trace.has(Stage.SCHEDULED) else Stage.CAPTURED
        took = self.trace.total(start, Stage.PUBLISHED)
        return None if took is None else took.duration_ms


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
        #: Images leave it when they leave `images`, so that a late stamp still corrects a figure.
        self._joiner = TraceJoiner(most_images=2 * KEPT_IMAGES)
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
                self._joiner.take(self.images.popitem(last=False)[0])
        return found

    def on_fragment(self, fragment: TraceFragment) -> None:
        """Adds a program's stamps."""
        image = self.image(fragment.image_id)
        self._join(image, fragment)
        if fragment.program == "edge":
            image.device = fragment.id
        self._touch(image)

    def on_diagnosis(self, diagnosis: Diagnosis, shown_ns: int) -> bool:
        """Adds a diagnosis; False for a preview, and for a repeat of one that was shown already."""
        if diagnosis.status is DiagnosisStatus.PREVIEW:
            return False
        image = self.image(diagnosis.image_id)
        if image.diagnosis is not None or image.rejection is not None:
            return False
        image.device = diagnosis.device
        image.diagnosis = diagnosis
        shown = TraceFragment(
            program="watch",
            id="demo",
            image_id=diagnosis.image_id,
            attempt=diagnosis.attempt,
            boot_id=self.boot_id,
            stamps_ns={Stage.SHOWN.value: shown_ns},
        )
        self._join(image, shown)
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

    def _join(self, image: ImageProgress, fragment: TraceFragment) -> None:
        self._joiner.add(fragment, 0)  # nothing is finished by time here
        image.trace = self._joiner.look(image.image_id)

    def _own_ns(self, image: ImageProgress, stage: Stage) -> int | None:
        """When it reached the stage, on this machine's clock; None where another one stamped it."""
        moments = () if image.trace is None else image.trace.moments
        own = (m.at.ns for m in moments if (m.stage, m.at.boot_id) == (stage, self.boot_id))
        return next(own, None)

    def _touch(self, image: ImageProgress) -> None:
        if image.image_id not in self.recent:
            self.recent.append(image.image_id)
        self._measure(image)
        captured_ns = self._own_ns(image, Stage.CAPTURED)
        if captured_ns is not None:
            self.first_captured_ns = min(captured_ns, self.first_captured_ns or captured_ns)
        if image.is_settled or image.trace is None or not image.trace.has(Stage.RECORDED):
            return
        if image.diagnosis is None and image.rejection is None:
            return
        image.is_settled = True
        recorded_ns = self._own_ns(image, Stage.RECORDED)
        if recorded_ns is not None:
            self.last_recorded_ns = max(recorded_ns, self.last_recorded_ns or recorded_ns)
        if image.diagnosis is not None and image.diagnosis.outcome is Outcome.DIAGNOSED:
            self.recorded += 1
        else:
            self.rejected += 1

    def _measure(self, image: ImageProgress) -> None:
        """Counts the image's stage times, and counts anew those that a late stamp changed."""
        stages = () if image.trace is None else image.trace.stages
        now = {one.stage.value: one.duration_ms for one in stages}
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
