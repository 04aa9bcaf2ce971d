"""What a report says in sentences: what was measured, where the milliseconds went, what was faster; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks.load.compare import LEAST_REPETITIONS
from benchmarks.load.figure_text import ms_text, value_text
from benchmarks.load.measure_names import HANDOFF
from benchmarks.load.result import Document, Latency, Link, PathResult
from benchmarks.load.scenario import Scenario
from benchmarks.report.stage_chain import Chain
from wire_protocol.trace import Stage

#: From a stage's predecessor to it.
STAGE_WORDS: Final[dict[Stage, str]] = {
    Stage.CAPTURED: "from the scheduled moment until the camera's image is there",
    Stage.GATED: "the quality gate has judged it",
    Stage.ENCODED: "its bytes are as they will be sent",
    Stage.QUEUED: "committed to the outbox on the disk",
    Stage.OFFERED: "offered to the workers",
    Stage.CLAIMED: "a worker has claimed it",
    Stage.FIRST_SENT: "the first chunk is given to the network",
    Stage.LAST_SENT: "the last chunk is given to the network",
    Stage.FIRST_RECEIVED: "its first bytes are with the worker",
    Stage.COMPLETED: "all bytes are there, digest checked",
    Stage.ARCHIVED: "durable in the archive, beside the way to the answer",
    Stage.DECODED: "decoded into pixels",
    Stage.BATCHED: "waited for its batch",
    Stage.INFERRED: "the network has looked at it",
    Stage.EXPLAINED: "heat map and evidence are made",
    Stage.PUBLISHED: "the answer is sent",
    Stage.RECORDED: "durable in the records store",
    Stage.SHOWN: "on the hematologist's screen",
    Stage.OPENED: "its case was opened",
    Stage.SIGNED: "a person has signed its case",
}
#: The spans by which hemowire and the baselines are compared.
STORED: Final = "offered_to_stored"
PUBLISHED: Final = "offered_to_published"
#: Medians closer than this are called even.
_EVEN: Final = 0.05


def span_words(name: str) -> str:
    """A span as people say it."""
    return name.replace("_", " ").replace(" less", ", less")


def what_was_measured(document: Document) -> str:
    """Load, images, way and engine in two sentences."""
    scenario = document.scenario
    engine = document.repetitions[0].engine
    devices, workers = scenario.devices.count, scenario.worker.count
    speed = f", {engine.images_per_s:.1f} images/s by itself" if engine.images_per_s else ""
    return (
        f"{_many(devices, 'microscope')}, synthetic images of {scenario.images.size_bytes:,} bytes, "
        f"{arrival_words(scenario)}{link_words(document.links)}. "
        f"{_many(workers, 'worker')} with {engine.bundle} on {engine.engine}{speed}; "
        f"{_many(len(document.repetitions), 'repetition')} with {document.together.completed:,} "
        "images in the measured phases."
    )


def arrival_words(scenario: Scenario) -> str:
    """How images arrive."""
    asked = scenario.arrivals.model_dump(mode="json")
    match asked:
        case {"kind": "fixed" | "poisson" as kind, "rate_per_s": rate}:
            how = "at even times" if kind == "fixed" else "at random times (Poisson)"
            return f"{rate:g} a second in all, {how}"
        case {"kind": "bursts", "size": size, "every_s": every_s}:
            return f"bursts of {size} from each device every {every_s:g} s"
        case {"kind": "closed", "in_flight": in_flight, "images": images}:
            return f"{in_flight} on the way from each device at any time, {images} in all from each"
    rest = ", ".join(f"{key} {value}" for key, value in asked.items() if key != "kind")
    return f"arrivals {asked['kind']} ({rest})"


def link_words(links: Sequence[Link]) -> str:
    """What the legs are, without how they were made."""
    by_words: dict[str, list[str]] = {}
    for link in links:
        words = "loopback" if link.profile == "loopback" else link.description.split(": ")[0]
        by_words.setdefault(words, []).append(link.leg)
    if not by_words:
        return ""
    if list(by_words) == ["loopback"]:
        return ", over loopback"
    said = [f"{' and '.join(legs)} behind {words}" for words, legs in by_words.items()]
    return f"; {', '.join(said)}"


def where_the_time_went(document: Document, chain: Chain) -> str:
    """The headline: how long half of the images took, and the three stages that took most of it."""
    path = document.together
    if not path.totals or not path.totals[0].count:
        return "No image of the measured phase came through, so there is no latency to tell."
    total = path.totals[0]
    said = (
        f"From {span_words(total.name)}, half of the images took at most {ms_text(total.p50_ms)} ms, "
        f"{slowest_words(total)} at most {ms_text(slowest_ms(total))} ms."
    )
    longest = sorted((link for link in chain.links if link.is_on_way), key=lambda one: -one.p50_ms)
    named = [
        f"{one.stage.value.replace('_', ' ')} {ms_text(one.p50_ms)} ms"
        for one in longest[:3]
        if one.p50_ms > 0
    ]
    return f"{said} The longest stages: {_listed(named)}." if named else said


@dataclass(frozen=True, slots=True)
class Compared:
    """Hemowire against one baseline."""

    word: Literal["faster", "slower", "even"]
    words: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Was it faster: a sentence, and a line for each baseline."""

    sentence: str
    compared: tuple[Compared, ...]


def slowest_words(total: Latency) -> str:
    """Which percentile of this distribution may be told: so few images have no 99th."""
    return "99 of 100" if total.count >= 100 else f"the slowest of {total.count}"


def slowest_ms(total: Latency) -> float:
    """The figure for it."""
    return total.p99_ms if total.count >= 100 else total.max_ms


def was_it_faster(document: Document) -> tuple[Answer, ...]:
    """Ours against each baseline: until the bytes are durable, and until the answer is sent."""
    doubt = ""
    if len(document.repetitions) < LEAST_REPETITIONS:
        few = _many(len(document.repetitions), "repetition")
        doubt = f" ({few}: small differences may be chance)"
    ours = our_way(document)
    whose = "hemowire's hand-off alone" if ours.path == HANDOFF else "hemowire"
    asked = (
        (ours, STORED, f"From the offer until the bytes are durably stored, {whose} took"),
        (document.together, PUBLISHED, "From the offer until the answer is sent, hemowire took"),
    )
    answers = []
    for path, name, words in asked:
        own = find(path, name)
        others = [
            (one.title, theirs)
            for one in document.baselines_together
            if one.path != HANDOFF and (theirs := find(one, name)) is not None and theirs.p50_ms
        ]
        if own is not None and own.p50_ms and others:
            sentence = f"{words} {ms_text(own.p50_ms)} ms at the median{doubt}:"
            answers.append(Answer(sentence, tuple(_compared(own, *other) for other in others)))
            doubt = ""
    if ours.path == HANDOFF and ours.bytes_per_s:
        answers.append(_throughput(document, ours))
    return tuple(answers)


def _throughput(document: Document, ours: PathResult) -> Answer:
    """Like with like only: the hand-off alone, as the other ways are."""
    compared = []
    for one in document.baselines_together:
        if one.path != HANDOFF and one.bytes_per_s:
            than = f"{one.title}, {value_text(one.bytes_per_s, 'B/s')}"
            compared.append(_ranked(ours.bytes_per_s / one.bytes_per_s, than, "more", "less"))
    sentence = (
        f"While any image was on its way, the hand-off carried "
        f"{value_text(ours.bytes_per_s, 'B/s')}:"
    )
    return Answer(sentence, tuple(compared))


def _compared(own: Latency, title: str, theirs: Latency) -> Compared:
    than = f"{title}, {ms_text(theirs.p50_ms)} ms"
    return _ranked(theirs.p50_ms / own.p50_ms, than, "faster", "slower")


def _ranked(ratio: float, than: str, above: str, below: str) -> Compared:
    if abs(ratio - 1) <= _EVEN:
        return Compared("even", f"about even with {than}")
    if ratio > 1:
        return Compared("faster", f"{_times(ratio)} {above} than {than}")
    return Compared("slower", f"{_times(1 / ratio)} {below} than {than}")


def _times(ratio: float) -> str:
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:,.0f}x"


def our_way(document: Document) -> PathResult:
    """What is compared with the baselines: the hand-off alone where it ran, else the whole path."""
    paths = (path for path in document.baselines_together if path.path == HANDOFF)
    return next(paths, document.together)


def find(path: PathResult, name: str) -> Latency | None:
    """A span of a path, where any image has it."""
    return next((one for one in path.totals if one.name == name and one.count), None)


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
