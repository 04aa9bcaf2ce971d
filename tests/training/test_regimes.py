"""Honest regimes share nothing; the papers' own share what they are known to share, and it is counted."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data import DataError, Sample
from training.reading import LabelRules, read_samples
from training.recipe import Regime, SplitShares
from training.regimes import HONEST, fifths_of, overlap, split_samples, with_copies

REAL_DATA = os.environ.get("HEMOWIRE_REAL_DATA")
ENLARGE = {"a": 4.0, "b": 5.5}


def shares(regime: Regime, **more: float) -> SplitShares:
    facts = {"calibration": 0.15, "validation": 0.1, "test": 0.2, "seed": 3, **more}
    return SplitShares.model_validate({**facts, "regime": regime})


def images(seed: int, per_label: int, largest_group: int = 3) -> list[Sample]:
    """Two labels in file order, neighbours now and then in one group."""
    draw = random.Random(seed)
    made: list[Sample] = []
    for label in "ab":
        group = 0
        for number in range(per_label):
            group += draw.random() < 1 / largest_group
            name = f"{label}{number:04d}"
            made.append(Sample(Path(name), label, f"{label}-{group}", f"{number:04d}{ord(label)}"))
    return made


@pytest.mark.parametrize("regime", sorted(HONEST))
@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6))
def test_an_honest_regime_shares_no_group_and_no_file(regime: Regime, seed: int) -> None:
    parts = split_samples(images(seed, 120), shares(regime))
    assert overlap(parts).test_images_with_sibling == 0
    named = parts.named()
    groups = [{s.group for s in part} for part in named.values()]
    assert sum(map(len, groups)) == len(set.union(*groups))
    assert set(named) == {"train", "validation", "calibration", "test"}


@pytest.mark.parametrize("regime", get_args(Regime))
def test_the_seed_decides_every_regime(regime: Regime) -> None:
    samples = images(1, 100)
    first, again = (split_samples(samples, shares(regime), ENLARGE) for _ in range(2))
    assert first == again


def test_augmenting_before_the_split_gives_nearly_every_test_image_a_sibling_in_training() -> None:
    samples = images(2, 100, largest_group=1)
    leaky = split_samples(samples, shares("paper"), ENLARGE)
    found = overlap(leaky)
    assert found.test_images_with_sibling > 0.8 * len(leaky.test)
    assert found.files > 0
    honest = split_samples(samples, shares("by_group"), ENLARGE)
    assert overlap(honest).test_images_with_sibling == 0
    assert all(sample.copy == 0 for part in honest.named().values() for sample in part)


def test_by_image_tears_groups_apart_and_counts_it() -> None:
    parts = split_samples(images(5, 120, largest_group=6), shares("by_image"))
    assert overlap(parts).groups > 0
    assert sum(map(len, parts.named().values())) == 240


def test_a_label_grows_by_its_factor() -> None:
    grown = with_copies(images(4, 400), ENLARGE, seed=1)
    counts = {label: sum(s.label == label for s in grown) / 400 for label in "ab"}
    assert counts == pytest.approx(ENLARGE, rel=0.05)
    assert len({(s.path, s.copy) for s in grown}) == len(grown)


@pytest.mark.parametrize("fifth", [1, 2, 3, 4, 5])
def test_a_contiguous_fifth_is_one_run_of_files_per_label(fifth: int) -> None:
    samples = images(7, 100, largest_group=1)
    parts = split_samples(samples, shares("contiguous_fifths", fifth=fifth))
    for label in "ab":
        numbers = sorted(int(s.path.name[1:]) for s in parts.test if s.label == label)
        expected = range((fifth - 1) * 20, fifth * 20)
        assert set(numbers) <= set(expected)
        assert len(numbers) >= 18


def test_a_group_across_the_cut_stays_out_of_training() -> None:
    samples = [
        Sample(Path(f"{label}{n:03d}"), label, f"{label}{n // 7}", f"{label}{n}")
        for label in "ab"
        for n in range(100)
    ]
    parts = split_samples(samples, shares("contiguous_fifths", fifth=3))
    torn = {s.group for s in parts.test}
    assert not torn & {s.group for s in parts.train}
    assert len(parts.test) == 40


def test_each_file_is_of_the_fifth_that_would_hold_it_out() -> None:
    samples = images(7, 100)
    found = fifths_of(samples)
    assert len(found) == len(samples)
    for fifth in range(1, 6):
        held = split_samples(samples, shares("contiguous_fifths", fifth=fifth)).test
        assert {sample.path for sample in held} == {p for p, n in found.items() if n == fifth}


@pytest.mark.parametrize("regime", ["by_group", "contiguous_fifths"])
def test_a_class_of_one_group_is_refused_with_a_file_and_the_number_of_groups(
    regime: Regime,
) -> None:
    samples = [
        *images(8, 100),
        *(Sample(Path(f"c/{n}"), "c", "one", f"c{n}") for n in range(9)),
    ]
    with pytest.raises(DataError, match=r"c/0: class c has 9 images in 1 groups, too few"):
        split_samples(samples, shares(regime))


@pytest.mark.slow
@pytest.mark.skipif(REAL_DATA is None, reason="HEMOWIRE_REAL_DATA is not set")
@pytest.mark.parametrize("regime", sorted(HONEST))
def test_no_near_duplicate_of_the_four_class_set_straddles_though_its_own_groups_miss_ten_pairs(
    regime: Regime,
) -> None:
    root = Path(str(REAL_DATA)) / "ball4"
    names = ("Benign", "Early", "Pre", "Pro")
    samples, index = read_samples(root, LabelRules(names, {}, ()), um_per_px=0.48)
    assert index is not None
    agreement = index.agreement()
    assert agreement is not None
    assert len(agreement.only_ours) >= 10
    assert not agreement.only_given
    parts = split_samples(samples, shares(regime))
    part_of = {s.path: name for name, part in parts.named().items() for s in part}
    for first, second in agreement.only_ours:
        found = {part_of[path] for path in (first, second) if path in part_of}
        assert len(found) <= 1  # one of a pair across a cut may have been left out
