"""What a device tells of each image's way: twice at most, and what an earlier life stamped where that compares."""

from __future__ import annotations

import pytest

from edge_device.stamps import Stamps
from service_runtime.boot import boot_id
from service_runtime.clock import ClockExchange
from wire_protocol.json_messages import TraceFragment
from wire_protocol.trace import Stage

IMAGE = "1" * 32


@pytest.fixture
def told() -> list[TraceFragment]:
    return []


@pytest.fixture
def stamps(told: list[TraceFragment]) -> Stamps:
    return Stamps("scope-1", ClockExchange("scope-1", lambda _: None), told.append)


def test_an_image_is_told_of_when_queued_and_when_uploaded(
    stamps: Stamps, told: list[TraceFragment]
) -> None:
    stamps.queued(IMAGE, {Stage.SCHEDULED: 1, Stage.CAPTURED: 2}, ends_here=False)
    stamps.mark(IMAGE, 7, Stage.OFFERED)
    stamps.mark(IMAGE, 7, Stage.LAST_SENT)
    stamps.uploaded(IMAGE)
    stamps.uploaded(IMAGE)
    first, last = told
    assert (first.attempt, list(first.stamps_ns)) == ("", ["scheduled", "captured", "queued"])
    assert (last.attempt, len(last.stamps_ns)) == ("0000000000000007", 5)
    assert first.records_boot_id is None, "the clocks were not compared yet"
    assert last.told_ns is not None and last.told_ns >= last.stamps_ns["last_sent"]


def test_another_attempt_starts_its_stages_afresh(
    stamps: Stamps, told: list[TraceFragment]
) -> None:
    stamps.queued(IMAGE, {Stage.CAPTURED: 2}, ends_here=False)
    stamps.mark(IMAGE, 7, Stage.OFFERED)
    stamps.mark(IMAGE, 7, Stage.CLAIMED)
    stamps.mark(IMAGE, 8, Stage.OFFERED)
    stamps.uploaded(IMAGE)
    assert set(told[1].stamps_ns) == {"captured", "queued", "offered"}


@pytest.mark.parametrize("is_same_boot", [True, False])
def test_what_an_earlier_life_captured_has_its_stamp_in_the_same_boot(
    stamps: Stamps, told: list[TraceFragment], is_same_boot: bool
) -> None:
    stamps.taken_up(IMAGE, 1234, boot_id() if is_same_boot else "e" * 32)
    stamps.mark(IMAGE, 7, Stage.OFFERED)
    stamps.uploaded(IMAGE)
    [fragment] = told
    assert fragment.stamps_ns.get("captured") == (1234 if is_same_boot else None)


def test_what_is_rejected_on_the_device_is_told_of_once(
    stamps: Stamps, told: list[TraceFragment]
) -> None:
    stamps.queued(IMAGE, {Stage.CAPTURED: 2}, ends_here=True)
    stamps.uploaded(IMAGE)
    assert len(told) == 1
