"""A field that was moved to another case: kept with who and when, applied once, in any order, before its image too."""

from __future__ import annotations

import io
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from dashboard.intake import Intake
from dashboard.outcome_lines import outcome_lines, refile_lines
from dashboard.outcomes import read_outcomes
from dashboard.refiles import RefileVerdict, read_refiles
from dashboard.reports import report_of_diagnosis, report_of_rejection
from dashboard.store import Filed, RecordsStore, Work
from service_runtime.boot import new_id
from tests.dashboard.reports_for_tests import AT, diagnosis, hex_id, rejection
from wire_protocol.codec import PeerError
from wire_protocol.json_messages import Refile
from wire_protocol.topics import Kind, Topics


def refile(number: int, to_case: str, image: int = 1, **changes: Any) -> Refile:
    """The `number`th change of case of image `image`."""
    values: dict[str, Any] = {
        "site": "lab",
        "device": "scope-1",
        "refile_id": hex_id(f"refile{image}-", number),
        "image_id": hex_id("image", image),
        "outbox_id": hex_id("outbox", 0),
        "number": number,
        "from_case": "C7F3K2",
        "to_case": to_case,
        "operator": "tech-04",
        "refiled_at": AT,
    }
    return Refile.model_validate(values | changes)


def recorded(number: int, **changes: Any) -> Filed:
    return Filed(report_of_diagnosis(diagnosis(number, **changes), "lab", "scope-1"), True)


def verdicts(store: RecordsStore, *work: Work) -> list[object]:
    return [store.commit([item], AT).results[0] for item in work]


def cases(url: str) -> dict[str, str]:
    return {row.image_id: row.case_id for row in read_outcomes(url)}


def test_a_recorded_image_gets_its_new_case_and_the_audit_says_who(
    store: RecordsStore, url: str
) -> None:
    store.commit([recorded(1), recorded(2)], AT)
    assert verdicts(store, refile(1, "S-0002")) == [RefileVerdict.APPLIED]
    assert cases(url) == {hex_id("image", 1): "S-0002", hex_id("image", 2): "C7F3K2"}
    [kept] = read_refiles(url)
    assert (kept.from_case, kept.to_case, kept.operator) == ("C7F3K2", "S-0002", "tech-04")
    assert (kept.refiled_at, kept.received_at) == (AT, AT)
    assert (kept.is_pending, kept.is_conflict) == (False, False)


def test_a_refile_that_comes_before_its_image_waits_for_it(store: RecordsStore, url: str) -> None:
    assert verdicts(store, refile(1, "S-0002")) == [RefileVerdict.PENDING]
    assert read_refiles(url)[0].is_pending
    store.commit([recorded(1)], AT)
    assert cases(url) == {hex_id("image", 1): "S-0002"}
    assert not read_refiles(url)[0].is_pending


def test_a_refile_in_the_batch_of_its_image_is_applied(store: RecordsStore, url: str) -> None:
    committed = store.commit([refile(1, "S-0002"), recorded(1)], AT)
    assert committed.results[0] is RefileVerdict.APPLIED
    assert cases(url) == {hex_id("image", 1): "S-0002"}


def test_a_rejected_image_is_moved_too(store: RecordsStore, url: str) -> None:
    store.commit([refile(1, "S-0002")], AT)
    report = report_of_rejection(rejection(1, case_id="C7F3K2"), "lab", "scope-1")
    store.commit([Filed(report, False)], AT)
    assert cases(url) == {hex_id("image", 1): "S-0002"}


def test_the_same_refile_again_is_answered_and_changes_nothing(
    store: RecordsStore, url: str
) -> None:
    store.commit([recorded(1)], AT)
    first, second = refile(1, "S-0002"), refile(2, "S-0003")
    assert verdicts(store, first, second, first) == [
        RefileVerdict.APPLIED,
        RefileVerdict.APPLIED,
        RefileVerdict.AGAIN,
    ]
    assert cases(url) == {hex_id("image", 1): "S-0003"}
    assert len(read_refiles(url)) == 2


def test_a_later_report_of_the_image_does_not_move_it_back(store: RecordsStore, url: str) -> None:
    store.commit([recorded(1), refile(1, "S-0002")], AT)
    store.commit([recorded(1), recorded(1, model="other@1/engine")], AT)
    assert cases(url) == {hex_id("image", 1): "S-0002"}


def test_a_refile_of_another_outbox_moves_nothing_and_is_kept_as_a_contradiction(
    store: RecordsStore, url: str
) -> None:
    store.commit([recorded(1)], AT)
    other = refile(1, "S-0002", outbox_id=hex_id("outbox", 9))
    assert verdicts(store, other) == [RefileVerdict.CONFLICT]
    assert cases(url) == {hex_id("image", 1): "C7F3K2"}
    assert read_refiles(url)[0].is_conflict


def test_nor_does_one_that_came_before_the_image(store: RecordsStore, url: str) -> None:
    store.commit([refile(1, "S-0002", outbox_id=hex_id("outbox", 9))], AT)
    store.commit([recorded(1)], AT)
    assert cases(url) == {hex_id("image", 1): "C7F3K2"}


@given(seed=st.integers(0, 2**32 - 1), moves=st.integers(1, 6))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_last_change_stands_in_whatever_order_things_arrive(
    tmp_path: Path, seed: int, moves: int
) -> None:
    rng = random.Random(seed)
    url = f"sqlite:///{tmp_path}/{new_id()}.sqlite"
    store = RecordsStore(url, AT)
    work: list[Work] = [refile(n, f"S-{n:04d}") for n in range(1, moves + 1)]
    work += [*rng.choices(work, k=2), recorded(1), recorded(1)]
    rng.shuffle(work)
    try:
        while work:
            size = rng.randint(1, 3)
            store.commit(work[:size], AT)
            del work[:size]
        assert cases(url) == {hex_id("image", 1): f"S-{moves:04d}"}
        assert sorted(r.number for r in read_refiles(url)) == list(range(1, moves + 1))
    finally:
        store.close()


def test_a_refile_that_disagrees_with_its_topic_is_refused() -> None:
    topics = Topics()
    intake = Intake(topics)
    message = refile(1, "S-0002")
    topic = topics.build(Kind.REFILE, site="lab", device="scope-1")
    assert intake.read(topic, message.to_bytes()) == message
    for site, device in (("lab", "scope-2"), ("ward", "scope-1")):
        other = topics.build(Kind.REFILE, site=site, device=device)
        with pytest.raises(PeerError, match="refile says lab/scope-1"):
            intake.read(other, message.to_bytes())


def test_a_store_of_an_earlier_version_gets_the_table_and_can_be_read_before(
    store: RecordsStore, url: str
) -> None:
    store.commit([recorded(1)], AT)
    store.close()
    with sqlite3.connect(url.removeprefix("sqlite:///")) as database:
        database.execute("DROP TABLE refile")
    assert read_refiles(url) == []
    again = RecordsStore(url, AT)
    assert again.commit([refile(1, "S-0002")], AT).results == (RefileVerdict.APPLIED,)
    again.close()


def test_the_list_shows_the_present_case_and_who_moved_what(store: RecordsStore, url: str) -> None:
    store.commit([recorded(1), recorded(2, case_id="unfiled")], AT)
    store.commit([refile(1, "S-0002"), refile(1, "S-0009", image=7)], AT)
    console = Console(width=200, record=True, file=io.StringIO())
    for line in (*refile_lines(read_refiles(url)), *outcome_lines(read_outcomes(url))):
        console.print(line)
    shown = console.export_text()
    assert "case S-0002" in shown
    assert "unfiled" in shown
    assert "C7F3K2 to S-0002 by tech-04" in shown
    assert "C7F3K2 to S-0009 by tech-04" in shown
    assert shown.count("not recorded yet") == 1
