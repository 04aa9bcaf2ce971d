"""The device's rules one by one: bounds, waits, order, refusals and inquiries.

Longer than most: one short test per rule.
"""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.wire_protocol.bench import LIMITS, STORE, SenderBench, manifest
from wire_protocol import machine_io as io
from wire_protocol import messages as m
from wire_protocol.machine_io import OutboxState
from wire_protocol.manifest import Priority

KIB = 1024
BIG = 300 * KIB


def test_at_most_two_inline_offers_are_unanswered() -> None:
    bench = SenderBench()
    for seq in range(1, 6):
        bench.read(bench.capture(seq, 1000))
    assert [o.inline is not None for o in bench.offers()] == [True, True]
    bench.read(bench.claim(bench.offers()[0].attempt, have=((0, 1000),)))
    assert len(bench.offers()) == 3


def test_at_most_two_transfers_have_bytes_left_to_send() -> None:
    bench = SenderBench()
    for seq in range(1, 6):
        bench.capture(seq, BIG)
    assert [o.manifest.seq for o in bench.offers()] == [1, 2]
    for offer in bench.offers():
        bench.claim(offer.attempt, limit=0)
    bench.pass_time(3)
    assert len(bench.offers()) == 2


def test_the_next_image_is_offered_while_one_uploads() -> None:
    bench = SenderBench()
    bench.capture(1, BIG)
    bench.claim(bench.offers()[0].attempt)
    bench.capture(2, BIG)
    assert [o.manifest.seq for o in bench.offers()] == [1, 2]


def test_stat_is_offered_before_older_routine_images() -> None:
    bench = SenderBench(connect=False)
    bench.capture(1, BIG)
    bench.capture(2, BIG)
    bench.capture(3, BIG, priority=Priority.STAT)
    bench.tell(io.Connected(LIMITS))
    bench.claim(bench.offers()[0].attempt)
    assert [o.manifest.seq for o in bench.offers()] == [3, 1]


def test_no_routine_image_is_offered_while_a_stat_image_waits_for_its_claim() -> None:
    bench = SenderBench()
    bench.capture(1, BIG, priority=Priority.STAT)
    bench.capture(2, BIG)
    bench.read(bench.capture(3, 1000))
    assert [o.manifest.seq for o in bench.offers()] == [1]
    bench.read(bench.claim(bench.offers()[0].attempt))
    assert [o.manifest.seq for o in bench.offers()] == [1, 2, 3]


def test_no_more_chunks_are_unacknowledged_than_the_receive_maximum_less_two() -> None:
    bench = SenderBench(connect=False, window_first_bytes=10**7, chunk_max_bytes=4 * KIB)
    bench.tell(io.Connected(io.LinkLimits(2_000_000, 10)))
    bench.capture(1, BIG)
    bench.read(bench.claim(bench.offers()[0].attempt))
    assert len(bench.messages(m.Chunk)) == 8
    chunk = next(e for e in bench.of(io.Publish) if "ingest" in e.topic)
    bench.read(bench.tell(io.Published(chunk.token, 0)))
    assert len(bench.messages(m.Chunk)) == 9


def test_no_more_is_in_flight_than_the_window() -> None:
    bench = SenderBench(window_first_bytes=20 * KIB, chunk_first_bytes=4 * KIB)
    bench.capture(1, BIG)
    bench.read(bench.claim(bench.offers()[0].attempt))
    assert sum(len(c.data) for c in bench.messages(m.Chunk)) == 20 * KIB


@pytest.mark.parametrize(
    ("packet", "max_chunk", "expected"),
    [(2_000_000, 98_304, 16 * KIB), (6 * KIB, 98_304, 5 * KIB), (2_000_000, 1000, 1000)],
)
def test_a_chunk_is_clamped_by_broker_and_worker(
    packet: int, max_chunk: int, expected: int
) -> None:
    bench = SenderBench(connect=False)
    bench.tell(io.Connected(io.LinkLimits(packet, 20)))
    bench.capture(1, BIG)
    bench.read(bench.claim(bench.offers()[0].attempt, max_chunk=max_chunk))
    assert {len(c.data) for c in bench.messages(m.Chunk)} == {expected}


def test_bytes_stay_below_the_limit_and_follow_it_up() -> None:
    bench = SenderBench()
    bench.capture(1, BIG)
    attempt = bench.offers()[0].attempt
    bench.read(bench.claim(attempt, limit=10_000))
    assert sum(len(c.data) for c in bench.messages(m.Chunk)) == 10_000
    bench.read(bench.hear(m.Progress(attempt, 1, 10_000, (), 15_000)))
    assert sum(len(c.data) for c in bench.messages(m.Chunk)) == 15_000


def test_a_gap_may_be_filled_whatever_the_limit() -> None:
    bench = SenderBench(chunk_first_bytes=4 * KIB)
    bench.capture(1, BIG)
    attempt = bench.offers()[0].attempt
    bench.read(bench.claim(attempt, limit=12 * KIB))
    gap = ((0, 4 * KIB),)
    effects = bench.read(bench.hear(m.Progress(attempt, 1, 12 * KIB, gap, 12 * KIB)))
    assert [c.offset for c in bench.messages(m.Chunk, effects)] == [0]


def test_the_wait_for_an_answer_doubles_to_five_seconds() -> None:
    bench = SenderBench()
    bench.capture(1, BIG)
    times = []
    for _ in range(9):
        times.append(bench.now)
        bench.tell(*[io.Published(e.token, 0) for e in bench.of(io.Publish)[-1:]])
        deadline = bench.sender.deadline
        assert deadline is not None
        bench.now = deadline
        bench.tell(io.Tick())
    waits = [round(b - a, 3) for a, b in pairwise(times)]
    assert waits == [0.3, 0.6, 1.2, 2.4, 4.8, 5.0, 5.0, 5.0]
    assert len({o.attempt for o in bench.offers()}) == len(bench.offers())


def test_nobody_there_is_tried_again_and_a_worker_that_comes_ends_the_pause() -> None:
    bench = SenderBench()
    bench.capture(1, BIG)
    bench.tell(io.Published(bench.of(io.Publish)[-1].token, 0x10))
    assert len(bench.offers()) == 1
    bench.tell(io.WorkerStatus("w1", online=True))
    assert len(bench.offers()) == 2


def test_offers_expire_with_the_wait_for_them() -> None:
    bench = SenderBench()
    bench.capture(1, BIG)
    assert [e.expiry_s for e in bench.of(io.Publish) if "offer" in e.topic] == [1]


def test_busy_holds_all_offers_and_doubles() -> None:
    bench = SenderBench()
    bench.capture(1, BIG)
    for pause in (1.0, 2.0, 2.0, 2.0):
        before = len(bench.offers())
        bench.hear(m.Busy(attempt=bench.offers()[-1].attempt, retry_after_s=1.0))
        bench.capture(len(bench.sizes) + 1, BIG)
        bench.pass_time(pause * 0.99)
        assert len(bench.offers()) == before
        bench.pass_time(pause * 0.52)
        assert len(bench.offers()) > before
        for offer in bench.offers()[before + 1 :]:
            bench.hear(m.Unknown(attempt=offer.attempt))


def test_after_busy_one_image_is_offered_at_a_time_until_one_is_taken() -> None:
    bench = SenderBench()
    for seq in (1, 2, 3):
        bench.capture(seq, 200_000)
    first, second = bench.offers()
    for offer in (first, second):
        bench.hear(m.Busy(attempt=offer.attempt, retry_after_s=0.2))
    asked = bench.offers(bench.pass_time(0.9))
    assert {offer.manifest.seq for offer in asked} == {1}
    [more] = bench.offers(bench.claim(asked[-1].attempt))
    assert more.manifest.seq == 2


def test_a_paused_transfer_probes_that_it_is_held() -> None:
    bench = SenderBench(window_first_bytes=8 * KIB, chunk_first_bytes=4 * KIB)
    bench.capture(1, BIG)
    bench.claim(bench.offers()[0].attempt, limit=0)
    bench.capture(2, BIG, priority=Priority.STAT)
    stat = bench.offers()[1].attempt
    bench.read(bench.claim(stat))
    bench.hear(m.Progress(bench.offers()[0].attempt, 1, 0, (), BIG))
    probes = bench.messages(m.Probe, bench.pass_time(4))
    assert {(p.attempt == stat, p.held) for p in probes} == {(True, False), (False, True)}


def test_a_refusal_is_rejected_on_the_device_and_asked_about() -> None:
    bench = SenderBench()
    bench.capture(1, BIG)
    image = manifest(1, BIG)
    bench.hear(
        m.Refused(
            attempt=bench.offers()[0].attempt,
            image_id=image.image_id,
            reason="too_large",
            detail="limit 1",
        )
    )
    [rejected] = bench.of(io.RejectOnDevice)
    assert (rejected.reason, rejected.detail) == ("too_large", "limit 1")
    bench.records_online()
    bench.pass_time(6)
    inquiry = bench.messages(m.Inquiry)[-1]
    effects = bench.answer(inquiry, known=False)
    assert bench.of(io.RepublishRejection, effects) == [io.RepublishRejection(image.image_id)]
    assert len(bench.offers()) == 1


def test_a_reason_that_is_not_in_the_list_is_told_in_words() -> None:
    bench = SenderBench()
    bench.capture(1, BIG)
    bench.hear(
        m.Refused(
            attempt=bench.offers()[0].attempt,
            image_id=manifest(1, BIG).image_id,
            reason="moon_phase",
            detail="full",
        )
    )
    [rejected] = bench.of(io.RejectOnDevice)
    assert (rejected.reason, rejected.detail) == ("refused", "moon_phase: full")


def test_recorded_for_other_bytes_frees_nothing() -> None:
    bench = SenderBench()
    bench.capture(1, BIG)
    other = m.Recorded(
        image_id=manifest(1, BIG).image_id,
        sha256="0" * 64,
        outcome=m.Outcome.DIAGNOSED,
        store_id=STORE,
    )
    bench.hear(other)
    assert bench.sender.held_images == 1
    stored = m.Stored(attempt=1, image_id=manifest(1, BIG).image_id, sha256="0" * 64)
    bench.hear(stored)
    assert bench.sender.state_of(stored.image_id) is OutboxState.WAITING


def test_a_withdrawn_image_leaves_nothing_behind() -> None:
    bench = SenderBench()
    effects = bench.capture(1, BIG)
    effects = bench.claim(bench.offers()[0].attempt)
    reads = bench.of(io.ReadChunk, effects)
    effects = bench.tell(io.Withdrawn(manifest(1, BIG).image_id))
    assert [r.reason for r in bench.messages(m.DeviceRelease, effects)] == [
        m.Reason.NO_LONGER_NEEDED
    ]
    assert bench.read(reads) == []
    assert bench.sender.held_images == 0
    assert bench.sender.pace.in_flight == 0
    assert bench.sender.deadline is None


def test_a_row_that_is_shorter_than_it_should_be_is_checked() -> None:
    bench = SenderBench()
    bench.capture(1, BIG)
    [read, *_] = bench.of(io.ReadChunk, bench.claim(bench.offers()[0].attempt))
    effects = bench.tell(io.ChunkRead(read.image_id, read.offset, b"short"))
    assert bench.of(io.CheckRow, effects) == [io.CheckRow(read.image_id)]
    effects = bench.tell(io.RowChecked(read.image_id, intact=False))
    assert [e.reason for e in bench.of(io.RejectOnDevice, effects)] == ["damaged_on_device"]


def test_inquiries_hold_at_most_two_hundred_ids_and_follow_each_other() -> None:
    bench = SenderBench(connect=False)
    for seq in range(1, 451):
        bench.sizes[f"{seq:032x}"] = (seq, 10)
        bench.tell(io.Queued(io.OutboxItem(manifest(seq, 10), OutboxState.STORED)))
    bench.tell(io.Connected(LIMITS))
    assert not bench.messages(m.Inquiry)
    bench.records_online()
    for count in (1, 2, 3):
        inquiries = bench.messages(m.Inquiry)
        assert len(inquiries) == count
        bench.answer(inquiries[-1], known=True)
    assert [len(i.image_ids) for i in bench.messages(m.Inquiry)] == [200, 200, 50]
    assert bench.sender.held_images == 0


def test_inquiries_pause_while_the_records_are_away_and_grow_rarer() -> None:
    bench = SenderBench()
    bench.store(1, 10)
    bench.records_online()
    times: list[float] = []
    for _ in range(9):
        while len(bench.messages(m.Inquiry)) == len(times):
            deadline = bench.sender.deadline
            assert deadline is not None
            bench.now = max(bench.now, deadline)
            bench.tell(io.Tick())
        times.append(bench.now)
        answer = m.InquiryAnswer(
            inquiry_id=bench.messages(m.Inquiry)[-1].inquiry_id, store_id=STORE
        )
        bench.hear(answer)
    pauses = [b - a for a, b in pairwise(times)]
    for pause, base in zip(pauses, (5, 10, 20, 40, 80, 160, 300, 300), strict=True):
        assert base * 0.8 <= pause <= base * 1.2
    bench.tell(io.RecordsStatus(online=False))
    bench.pass_time(1000)
    assert len(bench.messages(m.Inquiry)) == len(times)
    bench.records_online()
    assert len(bench.messages(m.Inquiry)) == len(times) + 1


def test_unknown_soon_after_stored_offers_nothing() -> None:
    bench = SenderBench()
    bench.store(1, BIG)
    offers = len(bench.offers())
    bench.pass_time(10)
    bench.records_online()
    bench.answer(bench.messages(m.Inquiry)[-1], known=False)
    assert len(bench.offers()) == offers
    bench.pass_time(20)
    for _ in range(4):
        if len(bench.offers()) > offers:
            break
        bench.pass_time(15)
        bench.answer(bench.messages(m.Inquiry)[-1], known=False)
    assert bench.offers()[-1].stored
    assert bench.offers()[-1].inline is None


def test_new_images_go_before_stored_ones() -> None:
    bench = SenderBench(connect=False)
    bench.sizes[f"{1:032x}"] = (1, BIG)
    bench.tell(io.Queued(io.OutboxItem(manifest(1, BIG), OutboxState.STORED)))
    bench.now += 60
    bench.tell(io.Connected(LIMITS))
    bench.records_online()
    for seq in (2, 3, 4):
        bench.capture(seq, BIG)
    bench.answer(bench.messages(m.Inquiry)[-1], known=False)
    assert [o.manifest.seq for o in bench.offers()] == [2, 3]


def test_a_known_tombstone_is_forgotten() -> None:
    bench = SenderBench()
    bench.sizes[f"{1:032x}"] = (1, 10)
    bench.records_online()
    bench.tell(io.Queued(io.OutboxItem(manifest(1, 10), OutboxState.RECORDED)))
    bench.answer(bench.messages(m.Inquiry)[-1], known=True)
    assert bench.sender.held_images == 0
    assert not bench.of(io.Persist)


def test_two_claims_of_one_offer_leave_one_worker() -> None:
    bench = SenderBench()
    bench.capture(1, BIG)
    attempt = bench.offers()[0].attempt
    bench.claim(attempt, worker="w1")
    effects = bench.claim(attempt, worker="w2")
    [release] = [e for e in bench.of(io.Publish, effects) if "ingest" in e.topic]
    assert release.topic == "hemowire/v1/ingest/w2/d"


def test_nothing_is_published_while_disconnected() -> None:
    bench = SenderBench()
    bench.capture(1, BIG)
    bench.claim(bench.offers()[0].attempt)
    bench.tell(io.Disconnected())
    effects = bench.capture(2, BIG)
    effects += bench.capture(3, 100)
    effects += bench.pass_time(100)
    assert not bench.of(io.Publish, effects)
    assert bench.sender.deadline is None


def test_after_a_reconnect_no_chunk_goes_before_the_worker_has_spoken() -> None:
    bench = SenderBench(chunk_first_bytes=4 * KIB, window_first_bytes=16 * KIB)
    bench.capture(1, BIG)
    attempt = bench.offers()[0].attempt
    bench.read(bench.claim(attempt))
    bench.tell(io.Disconnected())
    effects = bench.tell(io.Connected(LIMITS))
    [probe] = bench.messages(m.Probe, effects)
    assert probe.sent_through == 16 * KIB
    assert not bench.of(io.ReadChunk, effects)
    have_half = m.Progress(attempt, 1, 16 * KIB, ((4 * KIB, 16 * KIB),), BIG)
    effects = bench.read(bench.hear(have_half))
    assert [c.offset for c in bench.messages(m.Chunk, effects)][:3] == [4096, 8192, 12288]


def test_a_suspect_image_says_so() -> None:
    bench = SenderBench()
    bench.tell(io.Queued(io.OutboxItem(manifest(1, BIG), OutboxState.WAITING, vanished=2)))
    bench.tell(io.Queued(io.OutboxItem(manifest(2, BIG), OutboxState.WAITING, vanished=1)))
    assert [o.suspect for o in bench.offers()] == [True, False]


def test_the_same_row_told_twice_is_one_image() -> None:
    bench = SenderBench()
    bench.capture(1, BIG)
    bench.capture(1, BIG)
    assert len(bench.offers()) == 1
