"""First bytes that follow an offer without waiting for its Claim: only where one worker alone can take it."""

from __future__ import annotations

from typing import Any

from tests.wire_protocol.bench import LIMITS, SenderBench
from wire_protocol import machine_io as io
from wire_protocol import messages as m
from wire_protocol.ahead import PAUSE_S

KIB = 1024
BIG = 300 * KIB


def a_known_worker(*others: str) -> SenderBench:
    """One that took an image on this connection, and others that are online."""
    bench = SenderBench()
    for worker in ("w1", *others):
        bench.tell(io.WorkerStatus(worker, online=True))
    assert bench.read(bench.capture(1, BIG)) == []
    stores(bench, 1)
    return bench


def stores(bench: SenderBench, seq: int) -> None:
    """The worker claims the last offer, takes everything and stores it."""
    offer = bench.offers()[-1]
    bench.read(bench.claim(offer.attempt, limit=256 * KIB))
    manifest = offer.manifest
    bench.hear(m.Stored(attempt=offer.attempt, image_id=manifest.image_id, sha256=manifest.sha256))
    assert manifest.seq == seq


def chunks(bench: SenderBench, effects: list[Any] | None = None) -> list[m.Chunk]:
    """Those of the last offer."""
    attempt = bench.offers()[-1].attempt
    return [c for c in bench.messages(m.Chunk, effects) if c.attempt == attempt]


def test_the_only_worker_is_sent_the_first_bytes_with_the_offer_and_none_of_them_twice() -> None:
    bench = a_known_worker()
    effects = bench.capture(2, BIG)
    bench.read(effects)
    ahead = chunks(bench)
    topics = {e.topic for e in bench.of(io.Publish) if "ingest" in e.topic}
    assert ahead and topics == {"hemowire/v1/ingest/w1/d"}
    sent = sum(len(c.data) for c in ahead)
    attempt = bench.offers()[-1].attempt
    assert bench.read(bench.claim(attempt, limit=256 * KIB)) == []  # the window is full already
    bench.read(bench.hear(m.Progress(attempt, 1, sent, (), BIG)))
    offsets = [c.offset for c in chunks(bench)]
    assert len(offsets) > len(ahead)
    assert len(set(offsets)) == len(offsets)


def test_no_more_is_sent_ahead_than_the_worker_granted_last_time() -> None:
    bench = SenderBench(window_first_bytes=10**7, chunk_first_bytes=4 * KIB)
    bench.tell(io.WorkerStatus("w1", online=True))
    bench.capture(1, BIG)
    bench.claim(bench.offers()[-1].attempt, limit=20 * KIB)
    bench.read(bench.capture(2, BIG))
    assert sum(len(c.data) for c in chunks(bench)) == 20 * KIB


def test_where_several_workers_could_take_it_nothing_is_sent_ahead() -> None:
    bench = a_known_worker("w2")
    bench.read(bench.capture(2, BIG))
    assert chunks(bench) == []


def test_a_worker_that_never_claimed_is_sent_nothing_ahead() -> None:
    bench = SenderBench()
    bench.tell(io.WorkerStatus("w1", online=True))
    bench.read(bench.capture(1, BIG))
    assert chunks(bench) == []


def test_a_new_connection_knows_no_worker() -> None:
    bench = a_known_worker()
    bench.tell(io.Disconnected(), io.Connected(LIMITS))
    bench.read(bench.capture(2, BIG))
    assert chunks(bench) == []


def test_a_busy_worker_is_sent_the_bytes_again_and_for_a_while_none_ahead() -> None:
    bench = a_known_worker()
    bench.read(bench.capture(2, BIG))
    bench.hear(m.Busy(attempt=bench.offers()[-1].attempt, retry_after_s=0.1))
    bench.read(bench.pass_time(0.25))
    assert [o.manifest.seq for o in bench.offers()] == [1, 2, 2]
    assert chunks(bench) == []
    stores(bench, 2)
    assert chunks(bench)[0].offset == 0
    bench.read(bench.capture(3, BIG))
    assert chunks(bench) == []
    stores(bench, 3)
    bench.now += PAUSE_S
    bench.read(bench.capture(4, BIG))
    assert chunks(bench)[0].offset == 0


def test_another_worker_that_claims_is_released_and_the_image_offered_again() -> None:
    bench = a_known_worker()
    bench.read(bench.capture(2, BIG))
    attempt = bench.offers()[-1].attempt
    bench.read(bench.claim(attempt, worker="w2"))
    assert [r.attempt for r in bench.messages(m.DeviceRelease)] == [attempt]
    assert [o.manifest.seq for o in bench.offers()] == [1, 2, 2]
    assert chunks(bench) == []
    # What the first worker says of bytes without an offer is of an attempt that is over.
    bench.hear(m.Unknown(attempt=attempt))
    bench.read(bench.claim(bench.offers()[-1].attempt, worker="w2"))
    assert chunks(bench)[0].offset == 0


def test_bytes_that_come_before_their_offer_do_not_end_the_attempt() -> None:
    bench = a_known_worker()
    bench.read(bench.capture(2, BIG))
    attempt = bench.offers()[-1].attempt
    bench.hear(m.Unknown(attempt=attempt))
    bench.claim(attempt)
    assert len(bench.offers()) == 2
    assert not bench.messages(m.DeviceRelease)
    # They are missed, and sent again.
    bench.read(bench.hear(m.Progress(attempt, 1, 16 * KIB, ((0, 16 * KIB),), BIG)))
    bench.now += 1
    bench.read(bench.hear(m.Progress(attempt, 2, 16 * KIB, ((0, 16 * KIB),), BIG)))
    assert [c.offset for c in chunks(bench)].count(0) == 2


def test_a_chunk_that_the_broker_refuses_waits_for_the_claim() -> None:
    bench = a_known_worker()
    bench.read(bench.capture(2, BIG))
    attempt = bench.offers()[-1].attempt
    before = len(chunks(bench))
    first = next(
        e
        for e in bench.of(io.Publish)
        if "ingest" in e.topic and bench.messages(m.Chunk, [e])[0].attempt == attempt
    )
    bench.read(bench.tell(io.Published(first.token, 0x97)))
    assert len(chunks(bench)) == before
    bench.read(bench.claim(attempt))
    assert [c.offset for c in chunks(bench)].count(0) == 2
