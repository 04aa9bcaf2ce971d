"""What reconcile calls lost, and what it does not."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.identity import Verdict
from dashboard.reconcile import (
    AsideFact,
    Facts,
    ImageFact,
    ManifestFact,
    OutboxAccount,
    OutboxFact,
    missing_ranges,
    reconcile,
)
from tests.dashboard.reports_for_tests import digest, hex_id
from wire_protocol.messages import Outcome

OUTBOX = hex_id("outbox", 0)


def image(seq: int, outcome: Outcome = Outcome.DIAGNOSED) -> ImageFact:
    has_blob = outcome is Outcome.DIAGNOSED
    return ImageFact("scope-1", hex_id("image", seq), digest(seq), OUTBOX, seq, outcome, has_blob)


def manifest(seq: int) -> ManifestFact:
    return ManifestFact("scope-1", hex_id("image", seq), digest(seq), OUTBOX, seq)


def said(next_seq: int, held: int = 0, oldest: int | None = None) -> OutboxFact:
    return OutboxFact(OUTBOX, "lab", "scope-1", next_seq, next_seq, oldest, held, 2.0, True)


def facts(outbox: OutboxFact | None, *images: ImageFact, archived: tuple[int, ...] = ()) -> Facts:
    return Facts(
        store_id=hex_id("store", 0),
        outboxes=() if outbox is None else (outbox,),
        images=images,
        set_aside=(),
        blobs=frozenset({i.sha256 for i in images if i.has_blob} | {digest(n) for n in archived}),
        manifests=tuple(manifest(n) for n in archived),
        silent_after_s=60,
    )


def account(given: Facts) -> OutboxAccount:
    [only] = reconcile(given).outboxes
    return only


def test_every_seq_with_an_outcome_or_held_is_clean() -> None:
    found = reconcile(
        facts(
            said(6, held=2, oldest=4),
            image(1),
            image(2, Outcome.REJECTED),
            image(3, Outcome.DROPPED),
        )
    )
    [only] = found.outboxes
    assert (only.diagnosed, only.rejected, only.dropped, only.held) == (1, 1, 1, 2)
    assert found.is_clean


def test_a_seq_that_the_device_let_go_of_without_a_record_is_lost() -> None:
    found = reconcile(facts(said(5), image(1), image(4)))
    assert found.outboxes[0].gaps == ((2, 3),)
    assert not found.is_clean


def test_a_missing_seq_below_the_oldest_that_is_held_is_lost() -> None:
    only = account(facts(said(5, held=1, oldest=4), image(1), image(3)))
    assert (only.gaps, only.held, only.unaccounted) == (((2, 2),), 1, 0)


def test_more_missing_than_held_is_unaccounted() -> None:
    only = account(facts(said(6, held=1, oldest=2), image(1)))
    assert (only.gaps, only.held, only.unaccounted) == ((), 1, 3)
    assert not only.is_clean


def test_what_was_recorded_after_the_devices_last_word_is_fine() -> None:
    only = account(facts(said(3, held=2, oldest=1), image(1), image(2), image(3), image(4)))
    assert only.is_clean
    assert only.held == 0


@pytest.mark.parametrize("change", [{"online": False}, {"age_s": 61.0}])
def test_a_silent_device_that_holds_images_is_alarmed(change: dict[str, object]) -> None:
    holding = replace(said(3, held=1, oldest=2), **change)  # type: ignore[arg-type]  # one field
    assert account(facts(holding, image(1))).is_silent
    empty = replace(said(2), **change)  # type: ignore[arg-type]  # one field
    assert reconcile(facts(empty, image(1))).is_clean


def test_an_outbox_that_went_back_in_time_is_alarmed() -> None:
    outbox = replace(said(2), highest_next_seq=9)
    assert not reconcile(facts(outbox, image(1))).is_clean


def test_images_of_an_outbox_that_was_never_heard_of_must_be_gapless() -> None:
    assert reconcile(facts(None, image(1), image(2))).is_clean
    assert account(facts(None, image(1), image(3))).gaps == ((2, 2),)


def test_a_conflict_is_never_clean_and_a_missing_blob_alone_is_the_devices_to_bring() -> None:
    aside = AsideFact(Verdict.CONFLICT_SEQ, "scope-1", hex_id("image", 9), digest(9), OUTBOX, 1, 3)
    given = facts(said(2), image(1))
    assert not reconcile(replace(given, set_aside=(aside,))).is_clean
    blob_missing = replace(aside, verdict=Verdict.BLOB_MISSING)
    assert reconcile(replace(given, set_aside=(blob_missing,))).is_clean


def test_a_record_whose_blob_is_gone_is_alarmed() -> None:
    found = reconcile(replace(facts(said(2), image(1)), blobs=frozenset()))
    assert [i.seq for i in found.records_without_blob] == [1]
    assert not found.is_clean


def test_a_blob_that_no_image_names_is_listed_and_clean() -> None:
    given = facts(said(2), image(1))
    found = reconcile(replace(given, blobs=given.blobs | {digest(77)}))
    assert found.orphan_blobs == (digest(77),)
    assert found.is_clean


def test_an_archived_image_without_record_is_on_its_way_only_while_its_device_is_there() -> None:
    holding = said(3, held=1, oldest=2)
    assert reconcile(facts(holding, image(1), archived=(1, 2))).is_clean
    gone = replace(holding, online=False)
    assert [m.seq for m in reconcile(facts(gone, image(1), archived=(1, 2))).unrecorded] == [2]
    let_go = said(3)
    assert [m.seq for m in reconcile(facts(let_go, image(1), archived=(1, 2))).unrecorded] == [2]
    captured_since = said(2)
    assert reconcile(facts(captured_since, image(1), archived=(1, 2))).is_clean


@given(st.integers(min_value=0, max_value=2**32))
def test_losing_any_one_record_of_a_finished_outbox_is_seen(seed: int) -> None:
    chance = random.Random(seed)
    count = chance.randint(1, 40)
    images = [image(n, chance.choice(list(Outcome))) for n in range(1, count + 1)]
    assert reconcile(facts(said(count + 1), *images)).is_clean
    lost = images.pop(chance.randrange(count))
    assert account(facts(said(count + 1), *images)).gaps == ((lost.seq, lost.seq),)


@given(st.sets(st.integers(min_value=1, max_value=60)), st.integers(min_value=1, max_value=60))
def test_missing_ranges_are_exactly_the_missing_seqs(seqs: set[int], next_seq: int) -> None:
    listed = [n for first, last in missing_ranges(seqs, next_seq) for n in range(first, last + 1)]
    assert listed == sorted(set(range(1, next_seq)) - seqs)


def test_an_absurd_next_seq_costs_no_memory() -> None:
    assert missing_ranges([2], 2**62) == [(1, 1), (3, 2**62 - 1)]


def test_two_devices_that_give_images_the_same_place_are_named() -> None:
    """A card was copied: what the copy brings is set aside, and the operator is told whose it is."""
    aside = AsideFact(
        Verdict.CONFLICT_SEQ, "scope-9", hex_id("image", 99), digest(99), OUTBOX, 2, 1
    )
    found = account(replace(facts(said(3), image(1), image(2)), set_aside=(aside,)))
    assert found.copied_to == ("scope-1", "scope-9")
    assert not found.is_clean


def test_a_conflict_within_one_device_is_no_copied_card() -> None:
    aside = AsideFact(
        Verdict.CONFLICT_SEQ, "scope-1", hex_id("image", 99), digest(99), OUTBOX, 2, 1
    )
    given = replace(facts(said(3), image(1), image(2)), set_aside=(aside,))
    assert account(given).copied_to == ()
    assert not reconcile(given).is_clean
