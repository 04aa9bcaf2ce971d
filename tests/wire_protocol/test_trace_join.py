"""Fragments become traces whatever comes first, twice or never, and each figure says how sure it is.

Longer than most: every order of arrival is a short test.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire_protocol.fragments import (
    AHEAD_NS,
    ALL,
    ATTEMPT,
    BROWSER,
    CAPTURE,
    EDGE,
    EDGE_BOOT,
    IMAGE,
    MS,
    OTHER_BOOT,
    PAGE,
    RECORDS,
    TRUE_NS,
    WATCH,
    WORKER,
    WORKER_BOOT,
    Teller,
)
from wire_protocol.clock_legs import DRIFT_NS_PER_S
from wire_protocol.gathered_trace import MOST_SOURCES
from wire_protocol.joined_trace import JoinedTrace
from wire_protocol.json_messages import TraceFragment
from wire_protocol.trace import EDGE_STAGES, STAGES, Stage
from wire_protocol.trace_join import AWAITED, TraceJoiner

EVERY = [CAPTURE.fragment(attempt=""), *(teller.fragment() for teller in ALL)]


def joined(*fragments: TraceFragment) -> JoinedTrace:
    joiner = TraceJoiner()
    for fragment in fragments:
        joiner.add(fragment, 0)
    trace = joiner.take(IMAGE)
    assert trace is not None
    return trace


def test_all_fragments_join_into_every_stage_and_total() -> None:
    trace = joined(*EVERY)
    assert [one.stage for one in trace.stages] == list(STAGES[1:])
    assert (trace.device, trace.worker, trace.attempt) == ("scope-1", "w1", ATTEMPT)
    assert trace.size_bytes == 22_000
    whole = trace.total(Stage.SCHEDULED, Stage.SHOWN)
    assert whole is not None and whole.duration_ms == pytest.approx(18)
    assert whole.error_ms == pytest.approx(2, abs=0.01)
    assert len(trace.totals) == 6 and trace.is_complete


@given(st.integers(0, 2**32))
def test_order_and_repeats_change_nothing(seed: int) -> None:
    draw = random.Random(seed)
    twice = Teller("worker", "w2", OTHER_BOOT, ())
    other = twice.fragment(attempt="b" * 16, stamps_ns={"decoded": 5, "published": 9})
    kept = [one for one in [*EVERY, other] if draw.random() < 0.8] or EVERY
    shuffled = [draw.choice(kept) for _ in range(draw.randint(0, 6))] + kept
    draw.shuffle(shuffled)
    assert joined(*shuffled) == joined(*kept)


@given(st.integers(0, 2**32))
def test_what_is_missing_leaves_out_only_what_needs_it(seed: int) -> None:
    draw = random.Random(seed)
    kept = [one for one in EVERY if draw.random() < 0.6] or EVERY[:1]
    told = {stage for one in kept for stage in one.stamps_ns}
    trace = joined(*kept)
    assert {moment.stage.value for moment in trace.moments} == told
    for one in trace.stages:
        true_ms = (TRUE_NS[one.stage] - TRUE_NS[one.start]) / MS
        assert {one.stage.value, one.start.value} <= told
        assert abs(one.duration_ms - true_ms) <= one.error_ms + 1e-9
    assert trace.is_complete == (told >= {stage.value for stage in AWAITED})


@given(st.integers(0, 2**32))
def test_the_truth_lies_within_the_error_of_both_legs_also_hours_later(seed: int) -> None:
    draw = random.Random(seed)

    def leg(teller: Teller) -> TraceFragment:
        error_ns = draw.randint(0, 50 * MS)
        wrong_ns = draw.randint(-error_ns, error_ns)
        age_s = draw.randint(-3600, 86_400)
        drifted_ns = draw.randint(-1, 1) * abs(age_s) * DRIFT_NS_PER_S
        plain = teller.fragment()
        assert plain.clock_offset_ns is not None and plain.clock_at_ns is not None
        # What was exact at the capture has drifted by the time that the clocks are compared; the
        # stamps of one fragment lie at most 20 ms apart.
        first_ns = min(plain.stamps_ns.values())
        return plain.model_copy(
            update={
                "clock_offset_ns": plain.clock_offset_ns + wrong_ns + drifted_ns,
                "clock_error_ns": error_ns,
                "clock_at_ns": first_ns + age_s * 1_000_000_000,
            }
        )

    trace = joined(leg(EDGE), leg(WORKER), RECORDS.fragment(), leg(WATCH))
    assert len(trace.totals) == 6
    for one in (*trace.stages, *trace.totals):
        true_ms = (TRUE_NS[one.stage] - TRUE_NS[one.start]) / MS
        assert abs(one.duration_ms - true_ms) <= one.error_ms + 0.000_002 + 0.000_002


def test_one_machine_needs_no_comparison_and_has_no_error() -> None:
    bare = {"records_boot_id": None, "clock_offset_ns": None, "boot_id": EDGE_BOOT}
    trace = joined(*(one.model_copy(update=bare) for one in EVERY))
    assert len(trace.stages) == len(STAGES) - 1
    assert all(one.error_ms == 0 for one in (*trace.stages, *trace.totals))


def test_machines_that_were_never_compared_are_not_compared() -> None:
    blind = WORKER.fragment(records_boot_id=None)
    trace = joined(EDGE.fragment(), blind, RECORDS.fragment())
    found = {one.stage for one in trace.stages}
    assert Stage.FIRST_RECEIVED not in found and Stage.RECORDED not in found
    assert Stage.DECODED in found and Stage.LAST_SENT in found
    assert trace.total(Stage.CAPTURED, Stage.PUBLISHED) is None
    assert trace.total(Stage.CAPTURED, Stage.RECORDED) is not None


def test_comparisons_with_two_boots_of_the_records_store_do_not_meet() -> None:
    trace = joined(EDGE.fragment(), WORKER.fragment(records_boot_id=OTHER_BOOT))
    assert trace.total(Stage.CAPTURED, Stage.PUBLISHED) is None


def test_an_earlier_fragment_of_the_same_boot_lends_its_comparison() -> None:
    """The store rebooted between the worker's fragment and the device's last."""
    late = EDGE.fragment(records_boot_id=OTHER_BOOT, clock_offset_ns=1)
    total = joined(CAPTURE.fragment(attempt=""), late, WORKER.fragment()).total(
        Stage.CAPTURED, Stage.PUBLISHED
    )
    assert total is not None and total.duration_ms == pytest.approx(15)


def test_a_device_that_boots_in_between_leaves_out_the_stage_across() -> None:
    after = Teller("edge", "scope-1", WORKER_BOOT, EDGE_STAGES[5:])
    trace = joined(CAPTURE.fragment(attempt=""), after.fragment(), WORKER.fragment())
    found = {one.stage for one in trace.stages}
    assert Stage.OFFERED not in found, "queued to offered spans the reboot"
    assert {Stage.QUEUED, Stage.CLAIMED, Stage.FIRST_RECEIVED} <= found
    assert trace.between(Stage.CAPTURED, Stage.LAST_SENT) is None


def test_the_attempt_that_was_recorded_is_the_one_that_is_told_of() -> None:
    """Two workers had the image; the first one's diagnosis came late and was recorded."""
    second = Teller("worker", "w2", OTHER_BOOT, WORKER.stages)
    trace = joined(
        EDGE.fragment(),
        WORKER.fragment(),
        second.fragment(attempt="b" * 16),
        RECORDS.fragment(attempt="b" * 16),
    )
    assert (trace.worker, trace.attempt) == ("w2", "b" * 16)
    assert not trace.has(Stage.OFFERED), "the device told of the other attempt's"
    assert trace.has(Stage.CAPTURED) and trace.has(Stage.DECODED)


def test_the_first_of_several_terminals_counts() -> None:
    slow = Teller("watch", "desk-2", EDGE_BOOT, (Stage.SHOWN,))
    late = slow.fragment().model_copy(
        update={"stamps_ns": {"shown": slow.fragment().stamps_ns["shown"] + 50 * MS}}
    )
    for order in ((WATCH.fragment(), late), (late, WATCH.fragment())):
        shown = joined(WORKER.fragment(), *order).stage(Stage.SHOWN)
        assert shown is not None and shown.duration_ms == pytest.approx(2)


def test_a_program_is_believed_only_about_its_own_stages() -> None:
    liar = EDGE.fragment(stamps_ns={"captured": 5, "published": 6, "recorded": 7, "nonsense": 8})
    assert [moment.stage for moment in joined(liar).moments] == [Stage.CAPTURED]


def test_the_capture_has_the_wall_time_of_its_device() -> None:
    trace = joined(EDGE.fragment())
    told = EDGE_STAGES.index(Stage.LAST_SENT) - EDGE_STAGES.index(Stage.CAPTURED)
    assert trace.captured_unix_ns == 1_795_252_443_120 * MS - told * MS
    assert trace.clock_synced
    assert joined(EDGE.fragment(told_unix_ns=None)).captured_unix_ns is None


# --- when an image is finished --------------------------------------------------------------------


def test_a_complete_image_is_finished_at_once_and_once() -> None:
    joiner = TraceJoiner()
    for fragment in EVERY:
        assert joiner.finished(0) == []
        joiner.add(fragment, 0)
    assert joiner.next_deadline_s() == 0
    assert [trace.is_complete for trace in joiner.finished(0)] == [True]
    joiner.add(EVERY[0], 1)
    assert joiner.finished(10**6) == [] and (joiner.late, len(joiner)) == (1, 0)
    assert joiner.next_deadline_s() is None


def test_an_image_that_ended_waits_for_the_rest_as_long_as_patience() -> None:
    joiner = TraceJoiner(patience_s=10)
    joiner.add(EDGE.fragment(), 0)
    joiner.add(WORKER.fragment(), 100)
    joiner.add(RECORDS.fragment(), 105)
    assert joiner.next_deadline_s() == 110
    assert joiner.finished(109) == []
    (trace,) = joiner.finished(110)
    assert not trace.is_complete and trace.total(Stage.CAPTURED, Stage.RECORDED) is not None


def test_nobody_waits_for_a_terminal_that_does_not_run() -> None:
    joiner = TraceJoiner(awaited=AWAITED[:-1])
    for teller in (EDGE, WORKER, RECORDS):
        joiner.add(teller.fragment(), 0)
    assert [trace.is_complete for trace in joiner.finished(0)] == [True]


def test_an_image_without_an_end_waits_out_an_outage_and_is_told_of_once() -> None:
    joiner = TraceJoiner(patience_s=10, most_age_s=7200)
    joiner.add(CAPTURE.fragment(attempt=""), 0)
    assert joiner.finished(7199) == [] and joiner.next_deadline_s() == 7200
    joiner.add(WORKER.fragment(), 7199)
    (trace,) = joiner.finished(7200)
    assert trace.has(Stage.CAPTURED)


def test_room_is_bounded_and_the_oldest_image_leaves_first() -> None:
    joiner = TraceJoiner(most_images=10)
    ids = [f"{n:032x}" for n in range(100)]
    told = []
    for image_id in ids[:30]:
        joiner.add(CAPTURE.fragment(image_id=image_id), 0)
        told += [trace.image_id for trace in joiner.finished(0)]
    assert told == ids[:20] and len(joiner) == 10
    for image_id in ids[30:]:
        joiner.add(CAPTURE.fragment(image_id=image_id), 0)
    assert len(joiner) <= 20, "nobody asked for the finished ones"


def test_the_rest_is_handed_out_when_a_program_stops() -> None:
    joiner = TraceJoiner()
    joiner.add(EDGE.fragment(), 0)
    assert [trace.image_id for trace in joiner.rest()] == [IMAGE]
    assert len(joiner) == 0 and joiner.look(IMAGE) is None and joiner.take(IMAGE) is None


def test_one_image_cannot_fill_the_memory() -> None:
    joiner = TraceJoiner()
    for number in range(10 * MOST_SOURCES):
        joiner.add(EDGE.fragment(attempt=f"{number:016x}"), 0)
    assert joiner.refused == 9 * MOST_SOURCES


def test_a_browser_shows_it_and_people_open_and_sign_it() -> None:
    trace = joined(*(one.fragment() for one in (EDGE, WORKER, RECORDS, BROWSER, PAGE)))
    shown = trace.total(Stage.CAPTURED, Stage.SHOWN)
    assert shown is not None and shown.error_ms >= 20
    assert abs(shown.duration_ms - 17) <= shown.error_ms
    opened, signed = trace.stage(Stage.OPENED), trace.stage(Stage.SIGNED)
    assert opened is not None and signed is not None
    assert (opened.start, opened.error_ms >= 20) == (Stage.SHOWN, True)
    assert (signed.start, signed.duration_ms, signed.error_ms) == (Stage.OPENED, 1.0, 0.0)


def test_of_a_terminal_and_a_browser_the_first_that_showed_it_counts() -> None:
    others = [one.fragment() for one in (EDGE, WORKER, RECORDS, BROWSER)]
    for later_ms, program in ((5, "page"), (-5, "watch")):
        at_ns = TRUE_NS[Stage.SHOWN] + AHEAD_NS[WATCH.boot] + later_ms * MS
        trace = joined(*others, WATCH.fragment(stamps_ns={"shown": at_ns}))
        (shown,) = [moment for moment in trace.moments if moment.stage is Stage.SHOWN]
        assert shown.program == program
        assert len(trace.stages) == len(STAGES) - 1
