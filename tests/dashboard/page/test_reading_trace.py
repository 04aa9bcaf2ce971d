"""What readers were shown, opened and signed reaches the trace, with errors that cover the truth."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from broker_config.local import METRICS, OPERATOR, LocalBroker
from dashboard.metrics import points
from dashboard.metrics.places import Places
from dashboard.page.bodies import Shown
from dashboard.page.reading_trace import MOST_ROUND_TRIP_NS, ReadingTrace
from dashboard.review.desk import Desk
from dashboard.review.machine import Opinion
from dashboard.review.views import NewestField
from service_runtime.boot import boot_id
from tests.chromium import chromium
from tests.dashboard.clients import TOPICS, Client, client
from tests.dashboard.page.page_house import KIM, PHONE, PageHouse, Reader, page_house
from wire_protocol.clock_legs import ClockLeg
from wire_protocol.json_messages import TraceFragment
from wire_protocol.topics import Kind
from wire_protocol.trace import Stage
from wire_protocol.trace_join import TraceJoiner

MS = 1_000_000
PAGE_ID = "ab" * 16
FIELD = NewestField("lab.C7F3K2", "c" * 32, "00000000000000aa")
LEG = ClockLeg(boot_id(), "d" * 32, 7_000 * MS, 2 * MS, 0)


@dataclass
class Told:
    """Keeps the fragments, as a broker would pass them on."""

    own: ClockLeg | None = LEG
    name: str = "operator"
    fragments: list[TraceFragment] = field(default_factory=list)

    def trace(self, fragment: TraceFragment) -> None:
        self.fragments.append(fragment)

    def leg(self) -> ClockLeg | None:
        return self.own


def reading_trace(told: Told, now_ns: Callable[[], int]) -> ReadingTrace:
    made = ReadingTrace(cast(Desk, None), told, now_ns=now_ns)  # `shown` asks no desk
    made.note(5, [FIELD])
    return made


@given(
    there_ms=st.floats(0, 900),
    back_ms=st.floats(0, 900),
    drew_ms=st.floats(0, 300),
    rested_ms=st.floats(0, 300),
    browser_ahead_ms=st.floats(-5e6, 5e6),
)
def test_a_browsers_stamp_lies_within_its_error_whatever_link_and_clock(
    there_ms: float, back_ms: float, drew_ms: float, rested_ms: float, browser_ahead_ms: float
) -> None:
    sent_ms = 6e6
    came, drawn = sent_ms + there_ms, sent_ms + there_ms + drew_ms
    told_at = drawn + rested_ms
    told = Told()
    here = reading_trace(told, lambda: round((told_at + back_ms) * MS))
    body = Shown(
        page_id=PAGE_ID,
        upto=5,
        sent_ns=str(round(sent_ms * MS)),
        came_ms=came + browser_ahead_ms,
        drawn_ms=drawn + browser_ahead_ms,
        told_ms=told_at + browser_ahead_ms,
        keys=(FIELD.case_key, "lab.UNKN0WN"),
    )
    assert here.shown(body) == 1
    (fragment,) = told.fragments
    assert (fragment.image_id, fragment.attempt) == (FIELD.image_id, FIELD.attempt)
    assert fragment.records_boot_id == LEG.records_boot_id
    assert fragment.clock_offset_ns is not None and fragment.clock_error_ns is not None
    said_ns = fragment.stamps_ns["shown"] + fragment.clock_offset_ns
    true_ns = round(drawn * MS) + LEG.offset_ns
    drift_ns = (drew_ms + rested_ms + back_ms) * MS / 1000  # far more than quartz
    assert abs(said_ns - true_ns) <= fragment.clock_error_ns + drift_ns + 10
    assert fragment.clock_error_ns >= (there_ms + back_ms) / 2 * MS - 10


def test_a_browser_that_cannot_have_been_so_fast_or_is_too_slow_tells_nothing() -> None:
    told = Told()
    here = reading_trace(told, lambda: 100 * MS)
    body = Shown(
        page_id=PAGE_ID, upto=5, sent_ns=str(90 * MS), came_ms=0, drawn_ms=5, told_ms=11,
        keys=(FIELD.case_key,),
    )  # fmt: skip
    assert here.shown(body) == 0  # 11 ms within a round trip of 10
    slow = reading_trace(told, lambda: 200 * MS + MOST_ROUND_TRIP_NS)
    assert slow.shown(body) == 0
    assert told.fragments == []


def stamped(onlooker: Client, stage: Stage) -> list[TraceFragment]:
    found = [TraceFragment.from_bytes(message.payload) for message in onlooker.received]
    return [one for one in found if stage.value in one.stamps_ns]


def look_open_and_sign(house: PageHouse, browser: Any, is_shown: threading.Event) -> None:
    """A reader on a phone: sees a case come, opens it; it is signed."""
    reader = Reader(browser, house)
    reader.come_in(PHONE)
    house.image_id = house.field("N1EW", "aml")
    assert is_shown.wait(30)
    reader.open("N1EW")
    version = house.desk.case("lab.N1EW", KIM).summary.version
    house.desk.sign("lab.N1EW", Opinion(), by=KIM, expected_version=version)


def test_what_a_reader_was_shown_opened_and_signed_is_told_on_the_broker(
    broker: LocalBroker, tmp_path: Path
) -> None:
    is_shown = threading.Event()

    async def watch() -> None:
        async with client(broker, METRICS, TOPICS.every(Kind.TRACE)) as onlooker:
            reading = asyncio.create_task(
                asyncio.to_thread(look_open_and_sign, house, browser, is_shown)
            )
            await onlooker.until(lambda _: bool(stamped(onlooker, Stage.SHOWN)))
            is_shown.set()
            await onlooker.until(lambda _: bool(stamped(onlooker, Stage.SIGNED)))
            await reading
            for message in onlooker.received:
                assert message.topic == TOPICS.build(Kind.TRACE, program=OPERATOR)
            told = [
                stamped(onlooker, stage)[0] for stage in (Stage.SHOWN, Stage.OPENED, Stage.SIGNED)
            ]
            assert {one.image_id for one in told} == {house.image_id}
            joiner = TraceJoiner(awaited=(Stage.SIGNED,), patience_s=86_400)
            for fragment in told:
                joiner.add(fragment, 0.0)
            (trace,) = joiner.rest()
            signed = trace.between(Stage.OPENED, Stage.SIGNED)
            assert signed is not None and signed.error_ms == 0
            assert 0 <= signed.duration_ms < 60_000
            stages = [point.tags["stage"] for point in points.reading_points(trace, Places())]
            assert "signed" in stages

    with (
        page_house(tmp_path, broker=broker.settings(OPERATOR), undo_s=0) as house,
        chromium(tmp_path / "profile") as browser,
    ):
        asyncio.run(asyncio.wait_for(watch(), 55))
