"""The clock exchange: its error is never smaller than the truth, and only our own questions' answers count."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service_runtime.boot import monotonic_ns
from service_runtime.clock import BURST, ClockExchange, OffsetFilter
from wire_protocol.clock_legs import DRIFT_NS_PER_S
from wire_protocol.codec import PeerError, decode, encode
from wire_protocol.messages import ClockReply, ClockRequest

S = 1_000_000_000
STORE, OTHER_STORE = "a" * 32, "b" * 32


def reply(
    sent: int, received: int, replied: int, store: str = STORE, boot: str = "c" * 32
) -> ClockReply:
    return ClockReply(
        boot_id=boot, records_boot_id=store, sent_ns=sent, received_ns=received, replied_ns=replied
    )


@given(st.integers(0, 2**32), st.integers(-(10**15), 10**15))
def test_the_true_offset_lies_within_the_error_whatever_the_link_and_the_drift(
    seed: int, start_offset: int
) -> None:
    draw = random.Random(seed)
    drift = draw.uniform(-1, 1) * DRIFT_NS_PER_S / S
    clock = OffsetFilter()
    now = 10**12

    def true_offset(at: int) -> int:
        return start_offset + round(drift * (at - 10**12))

    for _ in range(draw.randint(1, 30)):
        now += draw.randint(0, 100 * S)
        there, held, back = (draw.randint(0, 2 * S) for _ in range(3))
        received = now + there + true_offset(now + there)
        replied = now + there + held + true_offset(now + there + held)
        heard = now + there + held + back
        assert clock.add(reply(now, received, replied), heard)
        now = heard
        found = clock.offset(now)
        assert found is not None
        assert abs(found.offset_ns - true_offset(now)) <= found.error_ns
        leg = clock.leg()
        assert leg is not None
        for earlier in (0, draw.randint(0, 86_400 * S)):
            at = now - earlier
            assert abs(leg.offset_ns - true_offset(at)) <= leg.error_at(at)


def test_the_quickest_exchange_counts_until_its_age_outweighs_it() -> None:
    clock = OffsetFilter()
    clock.add(reply(0, 500, 500), 1000)
    clock.add(reply(2000, 2000 + 400_000 + 77, 2000 + 400_000 + 77), 2000 + 800_000)
    found = clock.offset(2000 + 800_000)
    assert found is not None and found.offset_ns == 0
    later = 2000 + 800_000 + 1000 * S
    clock.add(reply(later, later + 400_000 + 77, later + 400_000 + 77), later + 800_000)
    found = clock.offset(later + 800_000)
    assert found is not None and (found.offset_ns, found.error_ns) == (77, 400_082)


def test_another_boot_of_the_store_forgets_the_offset_to_the_one_before() -> None:
    clock = OffsetFilter()
    clock.add(reply(0, 10**9, 10**9), 10)
    clock.add(reply(100, 5000, 5000, OTHER_STORE), 8_000_100)
    found = clock.offset(8_000_100)
    assert found is not None and found.offset_ns < 10**8


@pytest.mark.parametrize(
    ("sent", "received", "replied", "heard"),
    [(100, 50, 49, 200), (100, 50, 60, 99), (0, 0, 0, 11 * S), (100, 0, 500, 200)],
)
def test_stamps_that_cannot_be_are_left_out(
    sent: int, received: int, replied: int, heard: int
) -> None:
    clock = OffsetFilter()
    assert not clock.add(reply(sent, received, replied), heard)
    assert clock.offset(heard) is None


def test_a_sure_exchange_outlives_many_unsure_ones() -> None:
    clock = OffsetFilter()
    clock.add(reply(0, 0, 0), 0)
    for n in range(1, 20):
        clock.add(reply(n * S, n * S, n * S), n * S + 10_000_000)
    found = clock.offset(20 * S)
    assert found is not None and (found.offset_ns, found.error_ns) == (0, 20 * DRIFT_NS_PER_S + 2)


def test_a_clock_that_slept_is_believed_at_once_though_it_answers_slowly() -> None:
    """A monotonic clock stands still while its machine sleeps: what was known before is wrong."""
    clock = OffsetFilter()
    clock.add(reply(0, 0, 0), 0)
    slept = 3600 * S
    clock.add(reply(S, S + slept, S + slept), S + 200_000_000)
    found = clock.offset(S + 200_000_000)
    assert found is not None
    assert abs(found.offset_ns - slept) <= found.error_ns < 101_000_000


def test_a_clock_is_never_compared_with_another_than_it_says() -> None:
    clock = OffsetFilter()
    clock.add(reply(0, 5, 5, STORE, boot="d" * 32), 10)
    leg = clock.leg()
    assert leg is not None
    assert (leg.boot_id, leg.records_boot_id, leg.at_ns) == ("d" * 32, STORE, 10)


def answer(asked: bytes, **changes: object) -> bytes:
    request = decode(asked)
    assert isinstance(request, ClockRequest)
    now = monotonic_ns()
    made = reply(request.sent_ns, now, now, boot=request.boot_id)
    return encode(made.model_copy(update=changes))


def test_a_burst_is_asked_at_each_connection_and_nothing_without_one() -> None:
    async def main() -> None:
        sent: list[bytes] = []
        news = asyncio.Event()

        def send(payload: bytes) -> None:
            sent.append(payload)
            news.set()

        async def until(count: int) -> None:
            while len(sent) < count:
                news.clear()
                await news.wait()

        exchange = ClockExchange("scope-1", send)
        asking = asyncio.create_task(exchange.run())
        async with asyncio.timeout(20):
            await asyncio.sleep(0)
            assert sent == []
            exchange.connected()
            await until(BURST)
            exchange.disconnected()
            exchange.connected()
            await until(2 * BURST)
        assert exchange.receive(answer(sent[-1]), monotonic_ns())
        found = exchange.offset()
        assert found is not None and abs(found.offset_ns) <= found.error_ns
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    asyncio.run(main())


def test_each_life_of_the_records_store_is_asked_at_once() -> None:
    async def main() -> None:
        sent: list[bytes] = []
        news = asyncio.Event()

        def send(payload: bytes) -> None:
            sent.append(payload)
            news.set()

        exchange = ClockExchange("scope-1", send)
        asking = asyncio.create_task(exchange.run())

        async def until(count: int) -> None:
            while len(sent) < count:
                news.clear()
                await news.wait()

        async with asyncio.timeout(20):
            exchange.connected()
            await until(BURST)
            exchange.records_online("1" * 32)
            await until(2 * BURST)
            exchange.records_online("1" * 32)  # a retained status comes again: not another life
            assert not exchange._begin_anew.is_set()
            exchange.records_online("2" * 32)
            await until(3 * BURST)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert len(sent) == 3 * BURST

    asyncio.run(main())


def test_an_answer_to_nothing_that_we_asked_is_refused() -> None:
    sent: list[bytes] = []
    exchange = ClockExchange("scope-1", sent.append)
    exchange.connected()
    exchange._ask()
    assert not exchange.receive(answer(sent[0], boot_id="d" * 32), monotonic_ns())
    assert not exchange.receive(answer(sent[0], sent_ns=1), monotonic_ns())
    assert not exchange.receive(sent[0], monotonic_ns()), "a request is no reply"
    with pytest.raises(PeerError):
        exchange.receive(b"\xff", monotonic_ns())
    assert exchange.offset() is None
    assert exchange.receive(answer(sent[0]), monotonic_ns())
    assert not exchange.receive(answer(sent[0]), monotonic_ns()), "the same answer twice"
