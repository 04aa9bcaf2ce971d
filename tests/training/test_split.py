"""Splits never share a group or a file."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data import DataError, Sample
from training.split import Parts, check_disjoint, describe, split_by_group


def samples_of(seed: int, groups: int, largest: int) -> list[Sample]:
    draw = random.Random(seed)
    return [
        Sample(Path(f"{group}-{i}"), draw.choice("ab"), str(group), f"{group}-{i}")
        for group in range(groups)
        for i in range(draw.randint(1, largest))
    ]


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(30, 120), st.integers(1, 6))
def test_parts_are_disjoint_and_complete(seed: int, groups: int, largest: int) -> None:
    samples = samples_of(seed, groups, largest)
    parts = split_by_group(samples, calibration=0.2, test=0.2, seed=seed)
    dealt = [sample for part in parts.named().values() for sample in part]
    assert sorted(s.sha256 for s in dealt) == sorted(s.sha256 for s in samples)
    owners = {(s.group, name) for name, part in parts.named().items() for s in part}
    assert len(owners) == len({s.group for s in samples})


def test_shares_are_kept_roughly_and_the_seed_decides() -> None:
    samples = samples_of(1, 400, 2)
    parts = split_by_group(samples, calibration=0.15, test=0.2, seed=1)
    assert len(parts.test) / len(samples) == pytest.approx(0.2, abs=0.03)
    assert len(parts.calibration) / len(samples) == pytest.approx(0.15, abs=0.03)
    assert split_by_group(samples, calibration=0.15, test=0.2, seed=1) == parts
    assert split_by_group(samples, calibration=0.15, test=0.2, seed=2) != parts


def test_a_common_group_is_an_error() -> None:
    first, second = Sample(Path("1"), "a", "g", "d1"), Sample(Path("2"), "a", "g", "d2")
    other = Sample(Path("3"), "a", "h", "d3")
    with pytest.raises(DataError, match="train and test share 1 values of group, such as g"):
        check_disjoint(Parts((first,), (other,), (second,)))


def test_a_common_file_is_an_error() -> None:
    first, second = Sample(Path("1"), "a", "g", "d"), Sample(Path("2"), "a", "h", "d")
    other = Sample(Path("3"), "a", "i", "d3")
    with pytest.raises(DataError, match="share 1 values of sha256"):
        check_disjoint(Parts((first,), (second,), (other,)))


def test_too_few_groups_to_split_is_an_error() -> None:
    with pytest.raises(DataError, match="too few groups"):
        split_by_group(samples_of(0, 1, 1), calibration=0.2, test=0.2, seed=0)


def test_the_digest_of_a_part_does_not_depend_on_its_order() -> None:
    samples = samples_of(3, 9, 3)
    assert describe(samples) == describe(samples[::-1])
    assert describe(samples) != describe(samples[1:])
