"""The clock exchange: its error is never smaller than the truth, and only our own questions' answers count."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service_runtime.boot import monotonic_ns
from service_runtime.clock import BURST, DRIFT_NS_PER_S, KEPT, ClockExchange, OffsetFilter
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
        # Drift within one exchange moves its stamps by at most its length times 50 ppm.
        slack = 6 * DRIFT_NS_PER_S + 2
        assert abs(found.offset_ns - true_offset(now)) <= found.error_ns + slack


def test_the_quickest_exchange_counts_until_its_age_outweighs_it() -> None:
    clock = OffsetFilter()
    clock.add(reply(0, 500, 500), 1000)
    clock.add(reply(2000, 2000 + 400_000 + 77, 2000 + 400_000 + 77), 2000 + 800_000)
    found = clock.offset(2000 + 800_000)
    assert found is not None and found.offset_ns == 0
    later = 2000 + 800_000 + 1000 * S
    clock.add(reply(later, later + 400_000 + 77, later + 400_000 + 77), later + 800_000)
    found = clock.offset(later + 800_000)
    assert found is not None and (found.offset_ns, found.error_ns) == (77, 400_000)


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


def test_only_the_last_exchanges_are_kept() -> None:
    clock = OffsetFilter()
    clock.add(reply(0, 111, 111), 0)
    for n in range(1, KEPT + 1):
        clock.add(reply(n * S, n * S, n * S), n * S + 10_000_000)
    found = clock.offset(KEPT * S + 10_000_000)
    assert found is not None and found.error_ns == 5_000_000


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
