"""The window's bookkeeping under any order of publishes, PUBACKs and ends."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from service_runtime.mqtt_types import LOST, QUEUE_FULL, TOO_LARGE, LinkLimits, SessionOptions
from service_runtime.publish_window import Outgoing, PublishWindow


def limits(receive_maximum: int) -> LinkLimits:
    return LinkLimits(
        maximum_packet_size=2000,
        receive_maximum=receive_maximum,
        shared_subscriptions=True,
        wildcard_subscriptions=True,
        maximum_qos=2,
        retain_available=True,
        keepalive_s=10,
        topic_alias_maximum=0,
    )


@given(seed=st.integers(0, 2**32), receive_maximum=st.integers(1, 5), window=st.integers(1, 8))
def test_every_publish_is_answered_once_and_the_window_holds(
    seed: int, receive_maximum: int, window: int
) -> None:
    rng = random.Random(seed)
    options = SessionOptions("w", window=window, queue_messages=6, queue_bytes=900)
    on_wire: dict[int, int] = {}
    sent_order: list[int] = []
    answers: dict[int, list[int]] = {}

    def hand_over(message: Outgoing) -> int:
        mid = len(sent_order) + 1
        sent_order.append(int(message.topic))
        if message.qos:
            on_wire[mid] = int(message.topic)
        assert len(on_wire) <= min(receive_maximum, window)
        return mid

    publish_window = PublishWindow(options, limits(receive_maximum), hand_over)
    for number in range(rng.randrange(80)):
        if rng.random() < 0.6:
            answers[number] = []
            size = rng.choice((10, 300, 5000))
            publish_window.publish(
                Outgoing(str(number), bytes(size), answers[number].append, 1, False, None, None)
            )
            if size == 5000:
                assert answers[number] == [TOO_LARGE]
        elif on_wire:
            mid = rng.choice(sorted(on_wire))
            del on_wire[mid]
            publish_window.published(mid, 0)
            publish_window.settle()
    publish_window.end()
    last: list[int] = []
    publish_window.publish(Outgoing("0", b"", last.append, 1, False, None, None))
    assert last == [LOST]
    assert all(len(codes) == 1 for codes in answers.values())
    assert sent_order == sorted(sent_order)


def test_qos0_beyond_the_socket_is_refused_until_it_is_written() -> None:
    options = SessionOptions("w", queue_messages=2)
    publish_window = PublishWindow(options, limits(20), lambda _: 7)
    codes: list[int] = []
    for _ in range(3):
        publish_window.publish(Outgoing("t", b"x", codes.append, 0, False, None, None))
    assert codes == [0, 0, QUEUE_FULL]
    publish_window.published(7, 0)
    publish_window.publish(Outgoing("t", b"x", codes.append, 0, False, None, None))
    assert codes[-1] == 0
