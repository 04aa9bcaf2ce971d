"""A sender that is killed with SIGKILL at a named moment of an attempt.

python -m tests.dashboard.exchange.sender_that_dies after_lease|before_writing_down DATABASE ARCHIVE SERVER
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from dashboard.accounts.roles import Actor
from dashboard.audit.book import AuditBook
from dashboard.blobs import BlobArchive
from dashboard.engine import open_engine
from dashboard.exchange import deliveries, posting
from dashboard.exchange.fhir_client import FhirClient
from dashboard.exchange.posting import FhirPost
from dashboard.exchange.retrying import RetryRule
from dashboard.page.models import NoModels
from tests.dashboard.review.desk_for_tests import KEY

SENDER = Actor("fhir-sender", None)


def open_post(database_url: str, archive: str, server: str, *, later_ms: int = 0) -> FhirPost:
    """A sender as the page has one; `later_ms`: its clock is so far ahead."""
    engine = open_engine(database_url)
    return FhirPost(
        FhirClient(server, timeout_s=20),
        engine=engine,
        reader=open_engine(database_url, read_only=True),
        archive=BlobArchive(archive),
        models=NoModels(),
        book=AuditBook(KEY),
        rule=RetryRule(9, 0.01, 0.02),
        timeout_s=20,
        now_ms=lambda: time.time_ns() // 1_000_000 + later_ms,
    )


def die(*_arguments: Any, **_options: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(moment: str, database_url: str, archive: str, server: str) -> None:
    post = open_post(database_url, archive, server)
    if moment == "after_lease":
        vars(posting)["read_facts"] = die
    else:
        vars(deliveries)["arrived"] = die
    post.follow()
    (due,) = post.due()
    post.attempt(due.server_id, due.smear_case_id, SENDER)


if __name__ == "__main__":
    main(*sys.argv[1:])
