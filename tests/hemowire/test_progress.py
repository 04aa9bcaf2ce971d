"""The demo's screen joins what the wire says, once per image."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from hemowire.demo.progress import TOTAL, Progress, StageFigures
from hemowire.demo.view import draw, line
from wire_protocol.json_messages import Diagnosis, Reason, Rejection, TraceFragment, Urgency
from wire_protocol.messages import Outcome


def about(milliseconds: float) -> Any:
    """Histogram buckets are half a percent wide."""
    return pytest.approx(milliseconds, rel=0.005)


BOOT = "b" * 32
IMAGE = "0123456789abcdef" * 2


def fragment(program: str, **stamps_ms: float) -> TraceFragment:
    return TraceFragment.model_validate(
        {
            "program": program,
            "id": "scope-1",
            "image_id": IMAGE,
            "boot_id": BOOT,
            "stamps_ns": {stage: int(ms * 1e6) for stage, ms in stamps_ms.items()},
        }
    )


def diagnosis(**changes: object) -> Diagnosis:
    fields: dict[str, object] = {
        "text": "URGENT: acute leukemia suspected. AI draft, not reviewed. Research use only.",
        "urgency": "suspected_acute",
        "urgency_rank": 1,
        "result": "all",
        "image_id": IMAGE,
        "image_sha256": "c" * 64,
        "p_acute": 0.999,
        "p_all": 0.99,
        "p_healthy": 0.01,
        "model": "m@1/openvino-f32",
        "training_data": "synthetic",
        "captured_at": "2026-11-21T09:14:03.120Z",
        "site": "lab",
        "device": "scope-1",
        "outbox_id": "d" * 32,
        "seq": 1,
        "worker": "w1",
    }
    return Diagnosis.model_validate(fields | changes)


def test_fragments_of_all_programs_join_into_stage_times() -> None:
    progress = Progress(BOOT)
    progress.on_fragment(
        fragment("edge", captured=10, gated=12, queued=15, offered=16, first_sent=16)
    )
    progress.on_fragment(fragment("worker", completed=20, decoded=26, published=60, archived=30))
    progress.on_fragment(fragment("records", recorded=70))
    figures = progress.figures()
    assert figures["gated"].p50_ms == about(2)
    assert figures["decoded"].p50_ms == about(6)
    assert figures["archived"].p50_ms == about(10)
    assert figures["recorded"].p50_ms == about(10)
    assert figures[TOTAL].p50_ms == about(50)
    assert progress.recorded == 0
    progress.on_diagnosis(diagnosis(), int(75e6))
    assert progress.recorded == 1


def test_the_whole_way_counts_from_the_scheduled_capture() -> None:
    progress = Progress(BOOT)
    progress.on_fragment(fragment("edge", scheduled=0, captured=40))
    progress.on_fragment(fragment("worker", published=60))
    assert progress.figures()[TOTAL].p50_ms == about(60)


def test_a_late_stamp_corrects_the_time_that_was_counted_without_it() -> None:
    progress = Progress(BOOT)
    progress.on_fragment(fragment("edge", offered=10))
    progress.on_fragment(fragment("worker", first_received=50))
    assert progress.figures()["first_received"].p50_ms == about(40)
    progress.on_fragment(fragment("edge", first_sent=45))
    assert progress.figures()["first_received"] == StageFigures(1, *[about(5)] * 3)


def test_another_machine_is_compared_where_the_clocks_were_and_else_left_out() -> None:
    progress = Progress("a" * 32)
    progress.on_fragment(fragment("edge", captured=10, queued=12))
    worker = fragment("worker", published=1060).model_copy(update={"boot_id": "e" * 32})
    progress.on_fragment(worker)
    assert TOTAL not in progress.figures() and progress.figures()["queued"].count == 1
    clock = {"records_boot_id": BOOT, "clock_offset_ns": -1_000_000_000, "clock_error_ns": 0}
    progress.on_fragment(worker.model_copy(update=clock | {"clock_at_ns": 0}))
    assert progress.figures()[TOTAL].p50_ms == about(50)
    assert progress.recorded_per_s() == 0, "neither end was stamped by this machine"


def test_percentiles_are_nearest_rank() -> None:
    progress = Progress(BOOT)
    for number in range(1, 101):
        entry = fragment("edge", captured=0, gated=number)
        progress.on_fragment(entry.model_copy(update={"image_id": f"{number:032x}"}))
    figures = progress.figures()["gated"]
    found = (figures.p50_ms, figures.p95_ms, figures.p99_ms)
    assert found == (about(50), about(95), about(99))


def test_a_repeated_diagnosis_is_shown_once() -> None:
    progress = Progress(BOOT)
    assert progress.on_diagnosis(diagnosis(), 5)
    assert not progress.on_diagnosis(diagnosis(), 9)
    assert progress.urgencies[Urgency.SUSPECTED_ACUTE] == 1


def test_refusals_of_worker_and_device_count_as_rejected() -> None:
    progress = Progress(BOOT)
    refused = diagnosis(
        outcome=Outcome.REJECTED,
        result="cannot_say",
        reason=Reason.DECODE,
        urgency="retake",
        urgency_rank=5,
    )
    progress.on_diagnosis(refused, 5)
    progress.on_rejection(
        Rejection.model_validate(
            {
                "text": "Out of focus: score 3, at least 12 needed.",
                "site": "lab",
                "device": "scope-1",
                "image_id": "e" * 32,
                "outbox_id": "d" * 32,
                "seq": 2,
                "image_sha256": "c" * 64,
                "reason": "focus",
                "captured_at": "2026-11-21T09:14:03.120Z",
            }
        )
    )
    for image_id in (IMAGE, "e" * 32):
        record = fragment("records", recorded=90)
        progress.on_fragment(record.model_copy(update={"image_id": image_id}))
    assert (progress.recorded, progress.rejected) == (0, 2)


def test_the_screen_says_research_use_only_and_never_more_than_99_percent() -> None:
    for width in (80, 140):
        progress = Progress(BOOT)
        progress.on_diagnosis(diagnosis(), 5)
        console = Console(width=width, height=40, record=True, file=None, force_terminal=False)
        with console.capture() as capture:
            console.print(
                draw(progress, title="t", subtitle="s", expected=1, width=width, height=40)
            )
        screen = capture.get()
        assert "Research use only" in screen
        assert ">99 %" in screen
        assert "ACUTE SUSPECTED" in screen


def test_a_plain_line_carries_the_text() -> None:
    progress = Progress(BOOT)
    progress.on_diagnosis(diagnosis(), 5)
    assert "acute leukemia suspected" in line(progress.images[IMAGE])


def test_no_forbidden_word_is_on_the_screen() -> None:
    progress = Progress(BOOT)
    progress.on_diagnosis(
        diagnosis(result="healthy", urgency="no_leukemia_pattern", urgency_rank=4, p_healthy=0.999),
        5,
    )
    console = Console(width=140, height=40, force_terminal=False)
    with console.capture() as capture:
        console.print(draw(progress, title="t", subtitle="s", expected=1, width=140, height=40))
    screen = capture.get().lower()
    for word in ("healthy", "diagnosed", "positive", "negative", "100 %"):
        assert word not in screen
    assert "no pattern" in screen
