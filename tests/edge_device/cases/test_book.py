"""The open case: never two, never one idle too long; no capture goes to a case closed before it."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_device.cases.book import By, CaseBook, ClosedCase, OpenCase

IDLE_S = 100.0


def case(case_id: str, at_s: float, by: By = By.OPERATOR) -> OpenCase:
    return OpenCase(case_id, 1, by, "tech-04", "2026-11-21T09:14:03.120Z", at_s, at_s)


def test_a_new_case_closes_the_old_one_by_the_same_cause() -> None:
    book = CaseBook(IDLE_S)
    assert book.open(case("S-0001", 0)) is None
    closed = book.open(case("S-0002", 10, By.CODE))
    assert closed is not None
    assert (closed.case.case_id, closed.by, closed.closed_s) == ("S-0001", By.CODE, 10)
    assert book.current is not None
    assert book.current.case_id == "S-0002"


def test_a_case_is_closed_at_its_deadline_and_not_a_moment_before() -> None:
    book = CaseBook(IDLE_S)
    assert book.deadline is None
    book.open(case("S-0001", 0))
    assert book.deadline == IDLE_S
    assert book.close_if_idle(IDLE_S - 0.001) is None
    closed = book.close_if_idle(IDLE_S + 50)
    assert closed is not None
    assert (closed.by, closed.closed_s) == (By.IDLE, IDLE_S)


def test_work_puts_the_deadline_off_and_old_news_does_not_bring_it_nearer() -> None:
    book = CaseBook(IDLE_S)
    book.open(case("S-0001", 0))
    book.seen(60)
    book.seen(30)
    assert book.deadline == 60 + IDLE_S


def test_a_capture_belongs_to_the_case_that_was_open_when_it_was_taken() -> None:
    book = CaseBook(IDLE_S)
    book.open(case("S-0001", 10))
    book.open(case("S-0002", 20))
    found = {at: book.case_at(at) for at in (9, 10, 19.9, 20, 50)}
    assert {at: c and c.case_id for at, c in found.items()} == {
        9: None, 10: "S-0001", 19.9: "S-0001", 20: "S-0002", 50: "S-0002"
    }  # fmt: skip


def test_a_capture_after_the_deadline_is_unfiled_though_nobody_closed_the_case_yet() -> None:
    book = CaseBook(IDLE_S)
    book.open(case("S-0001", 0))
    assert book.case_at(IDLE_S - 1) is not None
    assert book.case_at(IDLE_S) is None


def test_fields_and_refusals_of_the_open_case_are_counted_apart() -> None:
    book = CaseBook(IDLE_S)
    book.open(case("S-0001", 0))
    for case_id, refused in (("S-0001", False), ("S-0001", True), ("S-0009", False)):
        book.count(case_id, refused=refused)
    assert book.current is not None
    assert (book.current.fields, book.current.refused) == (1, 1)


@pytest.mark.parametrize("by", [By.OPERATOR, By.STAGE])
def test_closing_where_nothing_is_open_does_nothing(by: By) -> None:
    book = CaseBook(IDLE_S)
    assert book.close(by, "", 5) is None
    assert book.close_if_idle(500) is None
    assert book.case_at(5) is None


@given(st.integers(0, 2**32 - 1))
def test_any_story_keeps_the_rules(seed: int) -> None:
    """Against the plain list of what was open from when to when."""
    rng = random.Random(seed)
    book = CaseBook(IDLE_S)
    now_s, opened = 0.0, 0
    spans: list[tuple[str, float, float]] = []
    last_seen_s = 0.0

    def ended(closed: ClosedCase | None) -> None:
        if closed is not None:
            spans.append((closed.case.case_id, closed.case.opened_s, closed.closed_s))

    for _ in range(rng.randint(1, 40)):
        now_s += rng.choice((0.0, 1.0, 30.0, 99.0, 100.0, 250.0))
        match rng.randrange(5):
            case 0:
                ended(book.close_if_idle(now_s))
                opened += 1
                ended(book.open(case(f"S-{opened:04d}", now_s)))
                last_seen_s = now_s
            case 1:
                ended(book.close_if_idle(now_s))
                ended(book.close(By.OPERATOR, "", now_s))
            case 2:
                ended(book.close_if_idle(now_s))
            case 3:
                ended(book.close_if_idle(now_s))
                book.seen(now_s)
                last_seen_s = now_s
            case _:
                found = book.case_at(now_s)
                is_open = book.current is not None and now_s < last_seen_s + IDLE_S
                assert (found is not None) == is_open
    assert all(start <= end for _, start, end in spans)
    assert all(a[2] <= b[1] for a, b in itertools.pairwise(spans)), "two were open"
    assert len({case_id for case_id, _, _ in spans}) == len(spans), "closed twice"
