"""The store on PostgreSQL, where one is given: HEMOWIRE_TEST_POSTGRESQL=postgresql+psycopg://user@host/an_empty_database."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

from dashboard.identity import Verdict
from dashboard.outcomes import read_outcomes, read_set_aside
from dashboard.reports import report_of_diagnosis, report_of_rejection
from dashboard.store import Filed, Judged, RecordsStore
from tests.dashboard.reports_for_tests import AT, diagnosis, digest, rejection

URL = os.environ.get("HEMOWIRE_TEST_POSTGRESQL", "")
pytestmark = [
    pytest.mark.skipif(not URL, reason="HEMOWIRE_TEST_POSTGRESQL names no database"),
    pytest.mark.skipif(find_spec("psycopg") is None, reason="psycopg is not installed"),
]


def test_the_same_rules_hold() -> None:
    store = RecordsStore(URL, AT)
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
    again = RecordsStore(URL, AT)
    assert again.store_id == store.store_id
    again.close()
    store.close()
    assert [row.seq for row in read_outcomes(URL)] == [2, 3, 5]
    assert [row.times for row in read_set_aside(URL)] == [1]
