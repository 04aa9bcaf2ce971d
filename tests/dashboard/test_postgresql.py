"""The store on a real PostgreSQL: the one that HEMOWIRE_TEST_POSTGRESQL names, or one that is started here."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher

from dashboard.accounts.passwords import Passwords
from dashboard.accounts.roles import Actor, Role
from dashboard.accounts.store import AccountStore, SignInRefusedError
from dashboard.audit.book import AuditBook, verify
from dashboard.engine import open_engine
from dashboard.identity import Verdict
from dashboard.outcomes import read_outcomes, read_set_aside
from dashboard.reports import report_of_diagnosis, report_of_rejection
from dashboard.review.desk import Desk
from dashboard.review.machine import Opinion, ReviewConflictError, ReviewRefusedError
from dashboard.store import Filed, Judged, RecordsStore
from tests.dashboard.postgresql import started_postgresql
from tests.dashboard.reports_for_tests import AT, diagnosis, digest, rejection
from tests.dashboard.review.desk_for_tests import ANNA, CLASSES, KEY
from wire_protocol.case_messages import Finding


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """An empty database."""
    with started_postgresql() as found:
        yield found


def test_the_same_rules_hold(url: str) -> None:
    store = RecordsStore(url, AT)
    batch = [
        Filed(report_of_diagnosis(diagnosis(1), "lab", "scope-1"), True),
        Filed(report_of_diagnosis(diagnosis(1), "lab", "scope-1"), True),
        Filed(report_of_rejection(rejection(2), "lab", "scope-1"), False),
        Filed(report_of_diagnosis(diagnosis(1, image_sha256=digest(9)), "lab", "scope-1"), True),
    ]
    verdicts = [r.verdict for r in store.commit(batch, AT).results if isinstance(r, Judged)]
    assert verdicts == [Verdict.FIRST, Verdict.AGAIN, Verdict.FIRST, Verdict.CONFLICT_IMAGE]
    # A text that PostgreSQL cannot hold stops none of the others.
    nul = Filed(report_of_diagnosis(diagnosis(3, text="a\0b"), "lab", "scope-1"), True)
    good = Filed(report_of_diagnosis(diagnosis(4), "lab", "scope-1"), True)
    verdicts = [r.verdict for r in store.commit([nul, good], AT).results if isinstance(r, Judged)]
    assert verdicts == [Verdict.UNSTORABLE, Verdict.FIRST]
    again = RecordsStore(url, AT)
    assert again.store_id == store.store_id
    again.close()
    store.close()
    assert [row.seq for row in read_outcomes(url)] == [2, 3, 5]
    assert [row.times for row in read_set_aside(url)] == [1]


def test_people_sign_at_once_while_fields_arrive_and_the_feed_has_no_gaps(url: str) -> None:
    """Readers sign the same cases while the store commits more fields of them, all at once."""
    cases = [f"P{n:03}" for n in range(4)]
    store = RecordsStore(url, AT)
    file(store, [(100 + n, case_id) for n, case_id in enumerate(cases)])
    start, outcomes = threading.Barrier(4), list[str]()

    def read(name: str) -> None:
        desk = Desk.open(url, None, audit_key=KEY)
        start.wait(20)
        for case_id in cases:
            try:
                actor = Actor(name, Role.HEMATOLOGIST)
                version = desk.case(f"lab.{case_id}", actor).summary.version
                desk.sign(
                    f"lab.{case_id}", Opinion(Finding.CLL), by=actor, expected_version=version
                )
                outcomes.append(f"{case_id} won")
            except ReviewConflictError:
                outcomes.append(f"{case_id} lost")
            except ReviewRefusedError as refused:
                outcomes.append(f"{case_id} {refused.code}")
        desk.close()

    readers = [threading.Thread(target=read, args=(f"reader-{n}",)) for n in range(3)]
    for reader in readers:
        reader.start()
    start.wait(20)
    for n in range(20):
        file(store, [(200 + n, cases[n % 4])])
    for reader in readers:
        reader.join(30)
    store.close()
    desk = Desk.open(url, None, audit_key=KEY)
    changes = desk.changes(0, ANNA).changes
    assert [change.id for change in changes] == list(range(1, len(changes) + 1))
    for case_id in cases:
        assert outcomes.count(f"{case_id} won") == 1
        found = desk.case(f"lab.{case_id}", ANNA)
        assert found.summary.fields == 6 and len(found.review.events) == 1
    assert len(outcomes) == 12
    head, finding = verify(url, KEY)
    assert finding is None and head is not None and head.number >= 28
    desk.close()


def test_accounts_links_and_previews_work_there_too(url: str) -> None:
    store = RecordsStore(url, AT)
    small = diagnosis(300, **(CLASSES | {"case_id": "PREV1", "status": "preview"}))
    store.commit([Filed(report_of_diagnosis(small, "lab", "scope-1"), False)], AT)
    desk = Desk.open(url, None, audit_key=KEY)
    assert desk.case("lab.PREV1", ANNA).summary.status == "preview"
    file(store, [(300, "PREV1")])
    assert desk.case("lab.PREV1", ANNA).summary.fields == 1
    desk.close()
    store.close()
    quick = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    reader = open_engine(url, read_only=True)
    accounts = AccountStore(open_engine(url), reader, AuditBook(KEY), passwords=quick)
    accounts.add("anna", Role.HEMATOLOGIST, by=ANNA, password="correct horse battery")
    token = accounts.sign_in("anna", "correct horse battery", "192.0.2.7")
    found = accounts.session(token)
    assert found is not None and found.actor.account == "anna"
    link = accounts.make_link("anna", by=ANNA)
    assert accounts.session(accounts.enter(link, "192.0.2.7")) is not None
    with pytest.raises(SignInRefusedError):
        accounts.enter(link, "")
    with pytest.raises(SignInRefusedError):
        accounts.sign_in("a\0b", "x", "")
    assert accounts.list()[0].sessions == 2
    accounts.remove("anna", by=ANNA)
    assert accounts.session(token) is None
    accounts.close()
    assert verify(url, KEY)[1] is None


def file(store: RecordsStore, images: list[tuple[int, str]]) -> None:
    batch = [
        Filed(
            report_of_diagnosis(diagnosis(n, **(CLASSES | {"case_id": case_id})), "lab", "scope-1"),
            True,
        )
        for n, case_id in images
    ]
    store.commit(batch, AT)
