"""A kill in the middle of a signature leaves all of it or nothing: event, case, change and audit entry agree."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from dashboard.audit.book import verify
from dashboard.audit.tables import AuditRow
from dashboard.cases.tables import CaseRow, ChangeRow, FeedRow
from dashboard.engine import open_engine
from dashboard.review.machine import Opinion
from dashboard.review.tables import ReviewEventRow
from dashboard.store import RecordsStore
from tests.dashboard.reports_for_tests import AT
from tests.dashboard.review.desk_for_tests import ANNA, BERT, CASE, KEY, Lab


@pytest.mark.parametrize(
    ("moment", "stored"), [("after_event", 0), ("after_audit", 0), ("after_commit", 1)]
)
def test_a_kill_leaves_a_signature_whole_or_not_at_all(lab: Lab, moment: str, stored: int) -> None:
    lab.file(1)
    killed = subprocess.run(
        [sys.executable, "-m", "tests.dashboard.review.desk_that_dies", moment, lab.url],
        cwd=Path(__file__).parents[3], timeout=50, check=False,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    engine = open_engine(lab.url, read_only=True)
    with engine.begin() as connection:
        events = connection.execute(select(func.count()).select_from(ReviewEventRow)).scalar_one()
        case = connection.execute(select(CaseRow.review_version, CaseRow.held_by)).one()
        changes = connection.execute(
            select(func.count()).select_from(ChangeRow).where(ChangeRow.kind == "review")
        ).scalar_one()
        audited = connection.execute(
            select(func.count()).select_from(AuditRow).where(AuditRow.action == "sign")
        ).scalar_one()
        last, rows = connection.execute(
            select(FeedRow.last_id, select(func.count(ChangeRow.id)).scalar_subquery())
        ).one()
    engine.dispose()
    assert (events, changes, audited) == (stored, stored, stored)
    assert tuple(case) == ((1, "anna") if stored else (0, ""))
    assert last == rows
    assert verify(lab.url, KEY)[1] is None
    desk = lab.desk()  # and the next one goes on
    lab.now_ms = 2_000_000_000_000
    version = desk.case(CASE, BERT).summary.version
    deed = desk.amend if stored else desk.sign
    deed(CASE, Opinion(), by=BERT, expected_version=version)
    desk.close()


def test_a_store_of_version_2_gets_its_cases_and_tells_nobody_old_news(lab: Lab) -> None:
    lab.file(1, 2)
    lab.file(3, case_id="unfiled")
    engine = open_engine(lab.url)
    with engine.begin() as connection:  # as a program of version 2 left it
        for table in ("reading", "review_event", "smear_case", "change", "feed", "audit",
                      "audit_head", "session", "sign_in_link", "sign_in_failure", "account"):  # fmt: skip
            connection.execute(text(f"DROP TABLE {table}"))
        connection.execute(text("UPDATE store SET schema_version = 2"))
    engine.dispose()
    RecordsStore(lab.url, AT).close()
    desk = lab.desk()
    assert sorted(row.fields for row in desk.worklist(ANNA).cases) == [1, 2]
    assert desk.case(CASE, ANNA).summary.result == "aml"
    desk.close()
    engine = open_engine(lab.url, read_only=True)
    with engine.begin() as connection:
        feed = connection.execute(select(FeedRow.last_id, FeedRow.told_id)).one()
    engine.dispose()
    assert tuple(feed) == (2, 2)
