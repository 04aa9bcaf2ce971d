"""Batches lose nothing, keep order, put urgent first and never wait past the deadline."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_worker.batching import Batcher, BatchLimits

LIMITS = BatchLimits(batch_size=4, max_wait_s=0.01, capacity=16)


def test_a_full_batch_closes_at_once() -> None:
    batcher = Batcher[int](LIMITS)
    batcher.add([1, 2, 3], is_urgent=False, now=0.0)
    assert batcher.take(0.0) == []
    batcher.add([4, 5], is_urgent=False, now=0.001)
    assert batcher.take(0.001) == [1, 2, 3, 4]
    assert batcher.take(0.001) == []


def test_a_part_batch_closes_when_its_oldest_has_waited() -> None:
    batcher = Batcher[int](LIMITS)
    batcher.add([1], is_urgent=False, now=1.0)
    batcher.add([2], is_urgent=False, now=1.005)
    assert batcher.deadline == pytest.approx(1.01)
    assert batcher.take(1.009) == []
    assert batcher.take(1.01) == [1, 2]
    assert batcher.deadline is None


def test_an_urgent_item_overtakes_and_the_oldest_routine_one_still_sets_the_deadline() -> None:
    batcher = Batcher[str](LIMITS)
    batcher.add(["routine"], is_urgent=False, now=0.0)
    batcher.add(["stat"], is_urgent=True, now=0.009)
    assert batcher.take(0.01) == ["stat", "routine"]


def test_it_says_when_it_is_full_and_takes_a_group_whole_or_not_at_all() -> None:
    batcher = Batcher[int](LIMITS)
    assert batcher.add(list(range(15)), is_urgent=False, now=0.0)
    assert not batcher.add([15, 16], is_urgent=False, now=0.0)
    assert batcher.add([15], is_urgent=True, now=0.0)
    assert len(batcher) == 16


def test_a_group_larger_than_the_capacity_enters_an_empty_queue() -> None:
    batcher = Batcher[int](LIMITS)
    assert batcher.add(list(range(50)), is_urgent=False, now=0.0)
    assert not batcher.add([50], is_urgent=False, now=0.0)
    assert sum(len(batch) for batch in iter(lambda: batcher.take(math.inf), [])) == 50


def test_previews_wait_for_all_whole_images_and_share_no_batch_with_them() -> None:
    batcher = Batcher[str](LIMITS)
    batcher.add(["preview"] * 3, is_urgent=True, is_preview=True, now=0.0)
    batcher.add(["whole"], is_urgent=False, now=0.008)
    assert batcher.deadline == pytest.approx(0.018)
    assert batcher.take(0.011) == [], "a preview that is due would delay what comes meanwhile"
    assert batcher.take(0.019) == ["whole"]
    assert batcher.take(0.019) == ["preview"] * 3


def test_previews_take_no_room_of_whole_images() -> None:
    batcher = Batcher[int](LIMITS)
    assert batcher.add(list(range(16)), is_urgent=False, is_preview=True, now=0.0)
    assert not batcher.add([16], is_urgent=False, is_preview=True, now=0.0)
    assert batcher.add(list(range(16)), is_urgent=False, now=0.0)
    assert not batcher.add([16], is_urgent=False, now=0.0)


@pytest.mark.parametrize("limits", [(0, 0.1, 4), (4, -1.0, 4), (4, 0.1, 3)])
def test_limits_that_cannot_work_are_refused(limits: tuple[int, float, int]) -> None:
    with pytest.raises(ValueError, match="batch limits"):
        BatchLimits(*limits)


@given(st.integers(0, 2**32), st.integers(1, 9), st.floats(0, 0.1))
@settings(deadline=None)
def test_nothing_is_lost_reordered_or_late(seed: int, batch_size: int, max_wait_s: float) -> None:
    rng = random.Random(seed)
    limits = BatchLimits(batch_size, max_wait_s, capacity=batch_size * 3)
    batcher = Batcher[tuple[bool, int]](limits)
    now, number = 0.0, 0
    arrived: dict[tuple[bool, int], float] = {}
    taken: list[tuple[bool, int]] = []

    def collect() -> None:
        while batch := batcher.take(now):
            assert len(batch) <= batch_size
            oldest = min(arrived[item] for item in batch)
            waited = now - min([oldest, *(arrived[i] for i in arrived if i not in taken)])
            assert len(batch) == batch_size or waited >= max_wait_s - 1e-9
            assert batch == sorted(batch, key=lambda item: (not item[0], item[1]))
            taken.extend(batch)

    for _ in range(rng.randrange(1, 60)):
        step = rng.random() * 0.05
        if batcher.deadline is not None and batcher.deadline <= now + step:
            step = max(0.0, batcher.deadline - now)  # a timer fires at the deadline
        now += step
        collect()
        assert batcher.deadline is None or batcher.deadline >= now
        is_urgent = rng.random() < 0.3
        group = [(is_urgent, number + i) for i in range(rng.randrange(1, 2 * batch_size + 1))]
        had_room = batcher.has_room(len(group))
        assert batcher.add(group, is_urgent=is_urgent, now=now) == had_room
        if had_room:
            number += len(group)
            arrived.update((item, now) for item in group)
        collect()
        assert len(batcher) <= max(limits.capacity, 2 * batch_size)
    while batch := batcher.take(math.inf):
        taken.extend(batch)
    assert sorted(taken) == sorted(arrived)
    assert len(taken) == len(set(taken))
    for kind in (True, False):
        of_kind = [n for u, n in taken if u == kind]
        assert of_kind == sorted(of_kind)
