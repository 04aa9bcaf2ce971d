"""The names by which a target points at a figure of a result; pure, it holds no figure.

Ours is the baseline "handoff" where the scenario runs it: hemowire's hand-off alone, without what
the other ways lack as well (gate, outbox, records store); else it is hemowire's whole path.

    total.captured_to_published.p50_ms        a span of hemowire's path
    stage.inferred.p95_ms                     a stage of it
    baseline.single.offered_to_stored.p50_ms  a span of a baseline's
    over.single.offered_to_stored.p50_ms      ours less the baseline's
    faster.single.offered_to_stored.p50_ms    the baseline's divided by ours
    ratio.single.bytes_per_s                  ours divided by the baseline's
    times_limit.offered_to_stored.p50_ms      hemowire's divided by the physical limit
    program.worker.growth_bytes               the largest of that program's processes
    images_per_s, bytes_per_s, engine_share, lost, duplicates, sweep.knee_per_s
"""

from __future__ import annotations

from typing import Final

from wire_protocol.trace import STAGES, Stage

#: Name to its two stages; the first is the headline. "stored" is the archive's durable put.
SPANS: Final[dict[str, tuple[Stage, Stage]]] = {
    "scheduled_to_published": (Stage.SCHEDULED, Stage.PUBLISHED),
    "scheduled_to_stored": (Stage.SCHEDULED, Stage.ARCHIVED),
    "scheduled_to_recorded": (Stage.SCHEDULED, Stage.RECORDED),
    "captured_to_stored": (Stage.CAPTURED, Stage.ARCHIVED),
    "captured_to_published": (Stage.CAPTURED, Stage.PUBLISHED),
    "captured_to_recorded": (Stage.CAPTURED, Stage.RECORDED),
    "captured_to_shown": (Stage.CAPTURED, Stage.SHOWN),
    "offered_to_stored": (Stage.OFFERED, Stage.ARCHIVED),
    "offered_to_published": (Stage.OFFERED, Stage.PUBLISHED),
    "published_to_recorded": (Stage.PUBLISHED, Stage.RECORDED),
    "published_to_shown": (Stage.PUBLISHED, Stage.SHOWN),
}
LESS_INFERENCE: Final = "captured_to_published_less_inference"
LESS_INFERENCE_AND_DISK: Final = "captured_to_published_less_inference_and_disk"
SPAN_NAMES: Final = (*SPANS, LESS_INFERENCE, LESS_INFERENCE_AND_DISK)
STAGE_NAMES: Final = tuple(stage.value for stage in STAGES[1:])
POINTS: Final = ("min_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms", "max_ms")
HANDOFF: Final = "handoff"
BASELINES: Final = ("single", "base64", "http", "segments", HANDOFF)
PROGRAMS: Final = ("broker", "records", "worker", "edge", "watch", "bench")
USES: Final = (
    "cpu_s",
    "cpu_percent",
    "peak_rss_bytes",
    "growth_bytes",
    "sent_bytes",
    "received_bytes",
    "written_bytes",
)
RATES: Final = ("images_per_s", "bytes_per_s")

_LATENCY: Final = (SPAN_NAMES, POINTS)
_FORMS: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "total": _LATENCY,
    "stage": (STAGE_NAMES, POINTS),
    "baseline": (BASELINES, *_LATENCY),
    "over": (BASELINES, *_LATENCY),
    "faster": (BASELINES, *_LATENCY),
    "ratio": (BASELINES, RATES),
    "times_limit": _LATENCY,
    "program": (PROGRAMS, USES),
    "sweep": (("knee_per_s",),),
    "images_per_s": (),
    "bytes_per_s": (),
    "engine_share": (),
    "lost": (),
    "duplicates": (),
}
_UNITS: Final = (
    ("_ms", "ms"), ("images_per_s", "images/s"), ("bytes_per_s", "B/s"), ("knee_per_s", "images/s"),
    ("_bytes", "B"), ("cpu_s", "s"), ("_percent", "%"),
    ("lost", "images"), ("duplicates", "images"),
)  # fmt: skip


def check_name(name: str) -> str:
    """What is wrong with a measure's name and what would be allowed; "" where it is one."""
    parts = name.split(".")
    form = _FORMS.get(parts[0])
    if form is None:
        return f"no measure begins with {parts[0]!r}; known are {', '.join(_FORMS)}"
    if len(parts) != len(form) + 1:
        return f"{parts[0]} has {len(form)} parts behind it, each after a dot"
    for part, allowed in zip(parts[1:], form, strict=True):
        if part not in allowed:
            return f"{part!r} is none of {', '.join(allowed)}"
    return ""


def unit_of(name: str) -> str:
    """The unit of a measure; "x" for a ratio."""
    if name.startswith(("ratio.", "faster.", "times_limit.", "engine_share")):
        return "x"
    return next((unit for end, unit in _UNITS if name.endswith(end)), "")
