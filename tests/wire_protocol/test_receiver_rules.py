"""The worker's rules one by one: answers, bounds, leases, grants and its end.

Longer than most: one short test per rule.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire_protocol.bench import ReceiverBench, image_bytes, manifest
from wire_protocol import machine_io as io
from wire_protocol import messages as m

KIB = 1024
SIZE = 100 * KIB
ANSWERS = (m.Claim, m.Busy, m.Refused, m.Stored, m.Mismatch)


def test_an_image_in_chunks_is_stored_and_freed() -> None:
    bench = ReceiverBench()
    bench.offer(7, 1, SIZE)
    for start in range(0, SIZE, 10 * KIB):
        bench.chunk(7, 1, SIZE, start, start + 10 * KIB)
    [store] = bench.of(io.Store)
    assert bytes(store.data) == image_bytes(1, SIZE)
    assert not bench.messages(m.Stored)
    bench.tell(io.Put(store.key))
    assert [s.sha256 for s in bench.messages(m.Stored)] == [manifest(1, SIZE).sha256]
    assert bench.receiver.pool.used == SIZE
    bench.tell(io.Freed(store.key))
    assert bench.receiver.pool.used == 0
    assert bench.receiver.images_in_memory == 0


def test_an_inline_image_is_claimed_whole_and_stored() -> None:
    bench = ReceiverBench()
    bench.offer(7, 1, 1000, inline=True)
    assert [c.have for c in bench.messages(m.Claim)] == [((0, 1000),)]
    assert [bytes(s.data) for s in bench.of(io.Store)] == [image_bytes(1, 1000)]


def test_inline_bytes_with_another_digest_are_a_mismatch() -> None:
    bench = ReceiverBench()
    offer = m.Offer(attempt=7, manifest=manifest(1, 1000), inline=bytes(1000))
    bench.hear(offer)
    assert len(bench.messages(m.Mismatch)) == 1
    assert bench.receiver.pool.used == 0


def test_a_stored_offer_reads_the_archive() -> None:
    bench = ReceiverBench()
    bench.offer(7, 1, SIZE, stored=True)
    [fetch] = bench.of(io.Fetch)
    assert not bench.messages(m.Stored)
    bench.tell(io.Fetched(fetch.key, SIZE))
    assert len(bench.messages(m.Stored)) == 1
    bench.tell(io.Freed(fetch.key))
    assert bench.receiver.images_in_memory == 0


def test_a_blob_that_is_not_there_is_unknown() -> None:
    bench = ReceiverBench()
    bench.offer(7, 1, SIZE, stored=True)
    [fetch] = bench.of(io.Fetch)
    bench.tell(io.PutFailed(fetch.key, permanent=True, reason="unknown_blob"))
    assert [u.attempt for u in bench.messages(m.Unknown)] == [7]
    assert bench.receiver.pool.used == 0


@pytest.mark.parametrize(
    "more", [{"max_image_bytes": SIZE - 1}, {"device_pool_bytes": 64 * KIB}, {"max_side_px": 63}]
)
def test_what_can_never_be_taken_is_refused_before_a_byte_travels(more: dict[str, Any]) -> None:
    bench = ReceiverBench(**more)
    bench.offer(7, 1, SIZE)
    [refused] = bench.messages(m.Refused)
    assert refused.reason == "too_large"
    assert refused.detail
    assert not bench.messages(m.Claim)


def test_a_permanent_failure_of_the_archive_is_a_refusal() -> None:
    bench = ReceiverBench()
    bench.offer(7, 1, 1000, inline=True)
    [store] = bench.of(io.Store)
    bench.tell(io.PutFailed(store.key, permanent=True, reason="outside_scope", detail="why"))
    assert [(r.reason, r.detail) for r in bench.messages(m.Refused)] == [("outside_scope", "why")]
    bench.tell(io.Freed(store.key))
    assert bench.receiver.images_in_memory == 0


def test_bytes_beyond_the_limit_are_dropped() -> None:
    bench = ReceiverBench(grant_bytes=16 * KIB)
    bench.offer(7, 1, SIZE)
    assert bench.messages(m.Claim)[0].limit == 16 * KIB
    bench.chunk(7, 1, SIZE, 10 * KIB, 20 * KIB)
    assert bench.receiver.buffered_bytes() == 0
    assert bench.receiver.counts.over_limit_chunks == 1


def test_the_limit_runs_ahead_and_never_shrinks() -> None:
    bench = ReceiverBench(grant_bytes=16 * KIB)
    bench.offer(7, 1, SIZE)
    at = 0
    while not bench.of(io.Store):
        limit = max([16 * KIB, *(p.limit for p in bench.messages(m.Progress))])
        assert limit > at, "the device could not go on"
        end = min(limit, at + 5 * KIB)
        bench.chunk(7, 1, SIZE, at, end)
        at = end
    limits = [p.limit for p in bench.messages(m.Progress)]
    assert limits == sorted(limits)


def test_two_devices_share_a_pool_that_holds_one_image_and_a_bit() -> None:
    bench = ReceiverBench(pool_bytes=130 * KIB, device_pool_bytes=130 * KIB, grant_bytes=20 * KIB)
    bench.offer(1, 1, SIZE, device="a")
    bench.offer(2, 2, SIZE, device="b")
    assert len(bench.messages(m.Claim)) == 2
    at = {"a": 0, "b": 0}
    plan = {"a": (1, 1), "b": (2, 2)}
    stored = 0
    for _ in range(100):
        for device, (attempt, seq) in plan.items():
            effects = bench.hear(m.Probe(attempt, at[device]), device)
            for progress in bench.messages(m.Progress, effects):
                if progress.attempt == attempt and at[device] < progress.limit:
                    bench.chunk(attempt, seq, SIZE, at[device], progress.limit, device=device)
                    at[device] = progress.limit
            for store in bench.of(io.Store)[stored:]:
                stored += 1
                bench.tell(io.Put(store.key), io.Freed(store.key))
        assert bench.receiver.pool.used <= 130 * KIB
    assert stored == 2
    assert bench.receiver.pool.used == 0


def test_a_probe_gets_its_answer_and_the_lost_tail_shows() -> None:
    bench = ReceiverBench()
    bench.offer(7, 1, SIZE)
    bench.chunk(7, 1, SIZE, 0, 10 * KIB)
    effects = bench.hear(m.Probe(7, 30 * KIB))
    [progress] = bench.messages(m.Progress, effects)
    assert (progress.upto, progress.missing) == (30 * KIB, ((10 * KIB, 30 * KIB),))


def test_progress_is_coalesced_but_a_gap_is_told_at_once() -> None:
    bench = ReceiverBench()
    bench.offer(7, 1, SIZE)
    counts = [
        len(bench.messages(m.Progress, bench.chunk(7, 1, SIZE, at, at + KIB)))
        for at in range(0, 6 * KIB, KIB)
    ]
    assert counts == [1, 0, 1, 0, 1, 0]
    assert bench.messages(m.Progress, bench.pass_time(0.02))[0].upto == 6 * KIB
    effects = bench.chunk(7, 1, SIZE, 7 * KIB, 8 * KIB)
    assert bench.messages(m.Progress, effects)[0].missing == ((6 * KIB, 7 * KIB),)


def test_every_n_is_greater_than_the_one_before() -> None:
    bench = ReceiverBench()
    bench.offer(7, 1, SIZE)
    for at in range(0, SIZE, 4 * KIB):
        bench.chunk(7, 1, SIZE, at, at + 4 * KIB)
        bench.hear(m.Probe(7, at))
    numbers = [p.n for p in bench.messages(m.Progress)]
    assert numbers == sorted(set(numbers))


def test_an_attempt_nobody_knows_is_unknown_once_for_a_burst_of_chunks() -> None:
    bench = ReceiverBench()
    for at in range(10):
        bench.chunk(99, 1, SIZE, at, at + 1)
    assert len(bench.messages(m.Unknown)) == 1
    bench.hear(m.Probe(99, 0))
    assert len(bench.messages(m.Unknown)) == 2


def test_an_attempt_of_another_device_is_unknown() -> None:
    bench = ReceiverBench()
    bench.offer(7, 1, SIZE, device="a")
    bench.chunk(7, 1, SIZE, 0, 10, device="b")
    assert len(bench.messages(m.Unknown)) == 1
    assert bench.receiver.buffered_bytes() == 0


def test_the_last_word_is_repeated_to_a_late_probe() -> None:
    bench = ReceiverBench()
    bench.offer(7, 1, 1000, inline=True)
    [store] = bench.of(io.Store)
    bench.tell(io.Put(store.key), io.Freed(store.key))
    bench.hear(m.Probe(7, 1000))
    assert len(bench.messages(m.Stored)) == 2
    bench.now += 30
    bench.hear(m.Probe(7, 1000))
    assert len(bench.messages(m.Unknown)) == 1


def test_an_image_stored_a_moment_ago_is_not_taken_again() -> None:
    bench = ReceiverBench()
    bench.offer(7, 1, 1000, inline=True)
    [store] = bench.of(io.Store)
    bench.tell(io.Put(store.key), io.Freed(store.key))
    bench.offer(8, 1, 1000, inline=True)
    assert [s.attempt for s in bench.messages(m.Stored)] == [7, 8]
    assert len(bench.of(io.Store)) == 1


def test_the_same_offer_twice_is_one_transfer() -> None:
    bench = ReceiverBench()
    bench.offer(7, 1, SIZE)
    bench.chunk(7, 1, SIZE, 0, KIB)
    bench.offer(7, 1, SIZE)
    assert bench.messages(m.Claim)[-1].have == ((0, KIB),)
    assert bench.receiver.images_in_memory == 1


def test_the_lease_ends_grants_and_keeps_the_bytes_for_ten_minutes() -> None:
    bench = ReceiverBench()
    bench.offer(7, 1, SIZE)
    bench.chunk(7, 1, SIZE, 0, 50 * KIB)
    bench.pass_time(60)
    assert bench.receiver.unfinished == 0
    assert bench.receiver.buffered_bytes() == 50 * KIB
    effects = bench.hear(m.Probe(7, 50 * KIB))
    assert bench.messages(m.Progress, effects)[0].upto == 50 * KIB
    bench.pass_time(700)
    assert bench.receiver.pool.used == 0
    bench.hear(m.Probe(7, 50 * KIB))
    assert [u.attempt for u in bench.messages(m.Unknown)] == [7]


def test_a_lease_does_not_run_out_while_the_worker_is_cut_off() -> None:
    bench = ReceiverBench()
    bench.offer(7, 1, SIZE)
    bench.tell(io.Disconnected())
    bench.pass_time(60)
    assert bench.receiver.unfinished == 1


def test_kept_bytes_make_room_the_longest_absent_first() -> None:
    bench = ReceiverBench(
        pool_bytes=256 * KIB, device_pool_bytes=256 * KIB, grant_bytes=256 * KIB, device_transfers=9
    )
    # One step is a quarter of a device's memory.
    for number in (1, 2, 3, 4):
        bench.offer(number, number, 60 * KIB, device=f"d{number}")
        bench.chunk(number, number, 60 * KIB, 0, KIB, device=f"d{number}")
        bench.tell(io.DeviceGone(f"d{number}"))
        bench.now += 1
    bench.offer(9, 9, 60 * KIB, device="new")
    assert bench.messages(m.Claim)[-1].attempt == 9
    for number in (1, 2, 3, 4):
        bench.hear(m.Probe(number, KIB), device=f"d{number}")
    assert [u.attempt for u in bench.messages(m.Unknown)] == [1]
    assert bench.receiver.pool.used <= 256 * KIB


def test_a_transfer_that_goes_on_is_never_put_out_for_another() -> None:
    bench = ReceiverBench(pool_bytes=128 * KIB, device_pool_bytes=128 * KIB)
    bench.offer(1, 1, 120 * KIB, device="a")
    bench.chunk(1, 1, 120 * KIB, 0, 20 * KIB, device="a")
    for attempt in range(2, 6):
        bench.offer(attempt, attempt, 120 * KIB, device="b", inline=attempt == 99)
    probe = bench.hear(m.Probe(1, 20 * KIB), device="a")
    assert bench.messages(m.Progress, probe)[0].upto == 20 * KIB


def test_no_transfer_lasts_longer_than_its_age() -> None:
    bench = ReceiverBench(age_s=100.0)
    bench.offer(7, 1, SIZE)
    for _ in range(30):
        bench.hear(m.Probe(7, 0))
        bench.pass_time(4)
    assert {r.reason for r in bench.messages(m.WorkerRelease)} == {m.Reason.LEASE_EXPIRED}
    assert bench.receiver.pool.used == 0


def test_transfers_are_counted_per_device() -> None:
    bench = ReceiverBench(device_transfers=2)
    for attempt in (1, 2, 3):
        bench.offer(attempt, attempt, SIZE)
    assert [b.attempt for b in bench.messages(m.Busy)] == [3]
    bench.offer(4, 4, SIZE, device="other")
    assert bench.messages(m.Claim)[-1].attempt == 4


def test_while_not_healthy_every_offer_is_busy() -> None:
    bench = ReceiverBench()
    bench.tell(io.Readiness(healthy=False, reason="archive"))
    bench.offer(1, 1, SIZE)
    assert [b.retry_after_s for b in bench.messages(m.Busy)] == [5.0]
    bench.tell(io.Readiness(healthy=True))
    bench.offer(2, 1, SIZE)
    assert len(bench.messages(m.Claim)) == 1


def test_a_drain_finishes_what_is_here_and_releases_the_rest() -> None:
    bench = ReceiverBench()
    bench.offer(1, 1, SIZE)
    bench.offer(2, 2, SIZE)
    bench.tell(io.Drain(until=bench.now + 30))
    bench.offer(3, 3, SIZE)
    assert [b.attempt for b in bench.messages(m.Busy)] == [3]
    bench.chunk(1, 1, SIZE, 0, SIZE // 2)
    bench.chunk(1, 1, SIZE, SIZE // 2, SIZE)
    [store] = bench.of(io.Store)
    bench.tell(io.Put(store.key), io.Freed(store.key))
    assert bench.receiver.unfinished == 1
    for _ in range(8):
        bench.hear(m.Probe(2, 0))
        bench.pass_time(4)
    assert [(r.attempt, r.reason) for r in bench.messages(m.WorkerRelease)] == [
        (2, m.Reason.DRAINING)
    ]
    assert bench.receiver.unfinished == 0
    assert bench.receiver.pool.used == 0


def test_a_release_frees_the_memory_at_once() -> None:
    bench = ReceiverBench()
    bench.offer(1, 1, SIZE)
    bench.hear(m.DeviceRelease(attempt=1, reason=m.Reason.STALE))
    assert bench.receiver.pool.used == 0


def test_a_thousand_holes_cost_no_more_than_sixty_three() -> None:
    bench = ReceiverBench()
    size = 60 * KIB
    bench.offer(1, 1, size)
    for at in range(0, size, 20):
        bench.chunk(1, 1, size, at, at + 10)
    progress = bench.messages(m.Progress)[-1]
    assert len(progress.missing) == 63
    while not bench.of(io.Store):
        effects = bench.hear(m.Probe(1, size))
        now = bench.messages(m.Progress, effects)[0]
        for start, end in [*now.missing, *([(now.upto, size)] if now.upto < size else [])]:
            bench.chunk(1, 1, size, start, end)
    assert bytes(bench.of(io.Store)[0].data) == image_bytes(1, size)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_offer_is_answered_at_once_and_the_memory_stays_bounded(seed: int) -> None:
    rng = random.Random(seed)
    bench = ReceiverBench(
        pool_bytes=128 * KIB,
        device_pool_bytes=96 * KIB,
        grant_bytes=8 * KIB,
        transfers=8,
        device_transfers=4,
    )
    keys: list[int] = []
    for attempt in range(1, 80):
        device = rng.choice("abc")
        seq, size = rng.choice(((1, 500), (2, 20 * KIB), (3, 60 * KIB), (4, 90 * KIB)))
        bench.now += rng.choice((0.0, 0.1, 5.0, 60.0))
        what = rng.randrange(8)
        effects: list[Any] = []
        if what < 3:
            effects = bench.offer(
                attempt, seq, size, device, inline=size == 500, stored=what == 2 and size != 500
            )
            assert len([x for kind in ANSWERS for x in bench.messages(kind, effects)]) == 1
        elif what < 6:
            start = rng.randrange(size)
            end = min(size, start + 8 * KIB)
            effects = bench.chunk(rng.randint(1, attempt), seq, size, start, end, device=device)
        elif what == 6:
            effects = bench.hear(m.Probe(rng.randint(1, attempt), rng.randrange(size)), device)
        elif keys:
            key = keys.pop()
            effects = bench.tell(rng.choice((io.Put(key), io.PutFailed(key, False, "away"))))
            effects += bench.tell(io.Freed(key))
        keys += [e.key for e in bench.of(io.Store, effects) + bench.of(io.Fetch, effects)]
        receiver = bench.receiver
        assert receiver.pool.used <= 128 * KIB
        assert receiver.pool.of_device(device) <= 96 * KIB
        assert receiver.buffered_bytes() <= receiver.pool.used
        assert receiver.images_in_memory <= 8
        bench.tell(io.Tick())
    for key in keys:
        bench.tell(io.Put(key), io.Freed(key))
    bench.pass_time(4000)
    assert bench.receiver.pool.used == 0
    assert bench.receiver.images_in_memory == 0
