"""The queue of signed cases for a FHIR server: nothing forgotten, nothing doubled, nothing newer overwritten."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from dashboard.engine import open_engine
from dashboard.exchange import deliveries
from dashboard.exchange.posting import FhirPost
from dashboard.exchange.retrying import RetryRule
from dashboard.exchange.tables import FhirDeliveryRow, FhirServerRow
from dashboard.review.machine import Opinion
from tests.dashboard.exchange.report_cases import answer, file
from tests.dashboard.exchange.sender_that_dies import SENDER, open_post
from tests.dashboard.exchange.small_fhir_server import SmallFhirServer, small_fhir_server
from tests.dashboard.exchange.test_sending_a_case import fhir_table
from tests.dashboard.review.desk_for_tests import ANNA, BERT, Lab
from wire_protocol.case_messages import Finding

HOUR_MS = 3_600_000


@pytest.fixture
def server() -> Iterator[SmallFhirServer]:
    with small_fhir_server() as running:
        yield running


def post_of(lab: Lab, server: SmallFhirServer, *, later_ms: int = 0) -> FhirPost:
    return open_post(lab.url, str(lab.folder / "archive"), server.url, later_ms=later_ms)


def send_all(post: FhirPost) -> list[str]:
    """One round of what is due; the problems."""
    post.follow()
    done = [post.attempt(one.server_id, one.smear_case_id, SENDER) for one in post.due()]
    return [one.problem for one in done if one is not None]


def test_only_what_is_signed_from_now_on_is_queued_and_once(
    lab: Lab, server: SmallFhirServer
) -> None:
    file(lab, 1)
    file(lab, 2, case_id="C8AAAA")
    answer(lab, None)
    post = post_of(lab, server)
    assert send_all(post) == []  # it was signed before anything was sent from here
    file(lab, 3, case_id="C9AAAA")  # a draft
    answer(lab, Finding.ALL, by=BERT)
    assert send_all(post) == [""]
    assert statuses(server) == ["amended"]
    assert send_all(post) == []
    assert post.next_try_s() is None
    answer(lab, None, withdraw=True)
    assert send_all(post) == [""]
    assert statuses(server) == ["entered-in-error"]
    assert server.posts == 2


def test_an_undone_answer_is_not_sent(lab: Lab, server: SmallFhirServer) -> None:
    file(lab, 1)
    post = post_of(lab, server)
    send_all(post)
    desk = lab.desk()
    version = desk.case("lab.C7F3K2", ANNA).summary.version
    desk.sign("lab.C7F3K2", Opinion(Finding.CML), by=ANNA, expected_version=version)
    desk.undo("lab.C7F3K2", by=ANNA, expected_version=version + 1)
    lab.wait(11)
    desk.settle()
    desk.close()
    assert send_all(post) == []
    assert server.posts == 0


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("moment", "there"), [("after_lease", 0), ("before_writing_down", 1)])
def test_a_kill_in_the_middle_of_sending_loses_and_doubles_nothing(
    lab: Lab, server: SmallFhirServer, moment: str, there: int
) -> None:
    file(lab, 1)
    send_all(post_of(lab, server))
    answer(lab, None)
    killed = subprocess.run(
        [sys.executable, "-m", "tests.dashboard.exchange.sender_that_dies", moment, lab.url,
         str(lab.folder / "archive"), server.url],
        cwd=Path(__file__).parents[3], timeout=50, check=False,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    assert len(server.of_kind("DiagnosticReport")) == there
    assert send_all(post_of(lab, server)) == []  # the dead one's lease still holds
    next_one = post_of(lab, server, later_ms=HOUR_MS)
    assert send_all(next_one) == [""]
    assert send_all(next_one) == []
    for kind, count in {"DiagnosticReport": 1, "Observation": 3, "Provenance": 2}.items():
        assert len(server.of_kind(kind)) == count


def test_two_senders_do_not_send_one_case_at_once(lab: Lab, server: SmallFhirServer) -> None:
    file(lab, 1)
    first, second = post_of(lab, server), post_of(lab, server)
    send_all(first)
    answer(lab, None)
    first.follow()
    (due,) = first.due()
    with first._engine.begin() as connection:
        taken = deliveries.lease(
            connection, due.server_id, due.smear_case_id, now_ms=2**41, until_ms=2**42
        )
    assert taken is not None
    assert second.attempt(due.server_id, due.smear_case_id, SENDER) is None
    assert server.posts == 0


@pytest.mark.parametrize("fault", ["", "this one we refuse"])
def test_a_signature_that_comes_while_one_is_being_sent_is_sent_next(
    lab: Lab, server: SmallFhirServer, fault: str
) -> None:
    file(lab, 1)
    post = post_of(lab, server)
    send_all(post)
    answer(lab, None)
    post.follow()
    (due,) = post.due()
    send = post._client.post

    def send_while_somebody_signs(transaction: dict[str, object]) -> tuple[int, int]:
        answer(lab, Finding.CML, by=BERT)
        assert post_of(lab, server).follow()
        if fault:
            server.faults.append(fault)
        return send(transaction)

    post._client.post = send_while_somebody_signs  # type: ignore[method-assign]
    done = post.attempt(due.server_id, due.smear_case_id, SENDER)
    assert done is not None
    assert fault in done.problem
    post._client.post = send  # type: ignore[method-assign]
    assert statuses(server) == ([] if fault else ["final"])
    assert send_all(post) == [""]
    assert statuses(server) == ["amended"]


def test_a_refused_report_waits_for_the_next_signature_and_others_go_on(
    lab: Lab, server: SmallFhirServer
) -> None:
    file(lab, 1)
    post = post_of(lab, server)
    send_all(post)
    answer(lab, None)
    server.faults.append("no such laboratory")
    assert "no such laboratory" in send_all(post)[0]
    assert send_all(post_of(lab, server, later_ms=HOUR_MS)) == []
    answer(lab, Finding.CML, by=BERT)
    assert send_all(post) == [""]


def test_waits_double_to_a_limit_and_a_server_s_wish_is_heard() -> None:
    rule = RetryRule(attempts=6, first_wait_s=2, longest_wait_s=10)
    assert [rule.wait_s(n) for n in range(1, 7)] == [2, 4, 8, 10, 10, None]
    assert rule.wait_s(1, share=0.0) == 1
    assert rule.wait_s(1, retry_after_s=40) == 40
    assert rule.wait_s(1, retry_after_s=1e9) == 3600
    assert RetryRule(10**6, 1, 1800).wait_s(5000) == 1800


def statuses(server: SmallFhirServer) -> list[str]:
    return [one["status"] for one in server.of_kind("DiagnosticReport")]


def start_page(config: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hemowire", "dashboard", "--config", config]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip


def until_open(page: subprocess.Popen[str]) -> None:
    assert page.stdout is not None
    for line in page.stdout:
        if "the page is at" in line:
            return
    raise AssertionError("the page did not open")


@pytest.mark.timeout(240)
def test_the_page_s_program_sends_each_signed_case_also_after_it_was_away(
    lab: Lab, config: str, server: SmallFhirServer
) -> None:
    file(lab, 1)
    with Path(config).open("a") as out:
        out.write("[page]\nport = 0\n")
    fhir_table(config, url=server.url)
    server.faults.extend(["503", "cut after"])
    page = start_page(config)
    try:
        until_open(page)
        until_in_store(lab, FhirServerRow.followed_change_id)  # it follows from here
        answer(lab, None)
        server.until(lambda: statuses(server) == ["final"] and server.posts >= 3, 50)
        until_in_store(lab, FhirDeliveryRow.sent)
    finally:
        page.kill()
        page.communicate(timeout=20)
    answer(lab, Finding.CLL, by=BERT)  # while nobody sends
    page = start_page(config)
    try:
        server.until(lambda: statuses(server) == ["amended"], 50)
    finally:
        page.terminate()
        page.communicate(timeout=40)
    assert page.returncode == 0
    assert len(server.of_kind("Observation")) == 3


def until_in_store(lab: Lab, what: Any) -> None:
    """The program has written something down."""
    engine = open_engine(lab.url, read_only=True)
    deadline = time.monotonic() + 50
    found = None
    while found is None:
        assert time.monotonic() < deadline, f"{what} stayed empty"
        with engine.begin() as connection:
            found = connection.execute(select(what)).scalar()
        threading.Event().wait(0.02)
    engine.dispose()
