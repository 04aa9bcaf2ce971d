"""The identity rules of the store, on the real database: any order and any duplication of reports.

(Over 250 lines: every pair of reports that can contradict each other.)
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from dashboard.identity import SET_ASIDE, Mode, Verdict
from dashboard.outcomes import read_outcomes, read_set_aside
from dashboard.reports import Report, report_of_diagnosis, report_of_rejection
from dashboard.store import Asked, Committed, Filed, Judged, RecordsStore
from tests.dashboard.reports_for_tests import (
    AT,
    BUNDLE,
    diagnosis,
    digest,
    hex_id,
    refusal,
    rejection,
)
from wire_protocol.json_messages import Diagnosis, DiagnosisStatus, Rejection
from wire_protocol.messages import Inquiry, InquiryAnswer, Outcome


def report(message: Diagnosis | Rejection) -> Report:
    if isinstance(message, Rejection):
        return report_of_rejection(message, message.site, message.device)
    return report_of_diagnosis(message, message.site, message.device)


def commit(
    store: RecordsStore, *messages: Diagnosis | Rejection, blob_seen: bool = True
) -> list[Judged]:
    return judged(store.commit([Filed(report(m), blob_seen) for m in messages], AT))


def judged(committed: Committed) -> list[Judged]:
    found = [result for result in committed.results if isinstance(result, Judged)]
    assert len(found) == len(committed.results)
    return found


def every_report(number: int) -> list[Report]:
    """All kinds of reports that may come about one image, none of which contradicts another."""
    return [
        report(message)
        for message in (
            diagnosis(number),
            diagnosis(number, model=f"{BUNDLE}/torch-f32"),
            diagnosis(number, model="other@00000000/openvino-f32", result="cll"),
            diagnosis(number, status=DiagnosisStatus.PREVIEW),
            refusal(number),
            rejection(number),
            rejection(number, outcome=Outcome.DROPPED, operator="op-3"),
        )
    ]


@settings(max_examples=25, deadline=None)
@given(st.integers(min_value=0, max_value=2**32))
def test_any_order_and_duplication_gives_the_same_images_with_one_outcome_each(seed: int) -> None:
    chance = random.Random(seed)
    kinds = {
        number: chance.sample(every_report(number), chance.randint(1, 7)) for number in range(4)
    }
    stream = [item for reports in kinds.values() for item in reports]
    stream += chance.choices(stream, k=len(stream))
    chance.shuffle(stream)
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/records.sqlite"
        store = RecordsStore(url, AT)
        answers: dict[str, set[Outcome | None]] = {}
        remaining = list(stream)
        while remaining:
            size = chance.randint(1, 6)
            batch, remaining = remaining[:size], remaining[size:]
            if chance.random() < 0.2:  # a process that dies here has committed all it answered
                store.close()
                store = RecordsStore(url, AT)
            for item, result in zip(
                batch, judged(store.commit([Filed(r, True) for r in batch], AT)), strict=True
            ):
                if item.mode is not Mode.PREVIEW:
                    answers.setdefault(item.identity.image_id, set()).add(result.outcome)
                else:
                    assert result.outcome is None
        store.close()
        rows = {row.image_id: row for row in read_outcomes(url)}
        assert not read_set_aside(url)
    first: dict[str, Outcome] = {}
    for item in stream:
        if item.outcome is not None:
            first.setdefault(item.identity.image_id, item.outcome)
    assert {image_id: row.outcome for image_id, row in rows.items()} == first
    assert answers == {image_id: {outcome} for image_id, outcome in first.items()}
    for image_id, row in rows.items():
        keys = {item.key for item in stream if item.identity.image_id == image_id}
        assert row.reports == len(keys)
        number = row.seq - 1
        assert (row.image_id, row.sha256) == (hex_id("image", number), digest(number))


@settings(max_examples=25, deadline=None)
@given(st.integers(min_value=0, max_value=2**32))
def test_a_contradiction_never_changes_a_row_nor_is_answered(seed: int) -> None:
    chance = random.Random(seed)
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/records.sqlite"
        store = RecordsStore(url, AT)
        fixed: dict[str, tuple[str, str, int]] = {}
        places: dict[tuple[str, int], str] = {}
        contradicted = 0
        for _ in range(25):
            image = hex_id("image", chance.randrange(3))
            sha, outbox, seq = (
                digest(chance.randrange(2)),
                hex_id("outbox", chance.randrange(2)),
                chance.randint(1, 2),
            )
            message = diagnosis(0, image_id=image, image_sha256=sha, outbox_id=outbox, seq=seq)
            [result] = commit(store, message)
            is_free = (outbox, seq) not in places
            agrees = fixed[image] == (sha, outbox, seq) if image in fixed else is_free
            if agrees:
                fixed[image] = (sha, outbox, seq)
                places[outbox, seq] = image
                assert result.outcome is Outcome.DIAGNOSED
            else:
                contradicted += 1
                assert result.outcome is None
                assert result.verdict in SET_ASIDE
        store.close()
        rows = read_outcomes(url)
        assert {r.image_id: (r.sha256, r.outbox_id, r.seq) for r in rows} == fixed
        assert sum(row.times for row in read_set_aside(url)) == contradicted


def test_the_first_full_diagnosis_is_shown_and_a_later_one_is_an_alternative(
    store: RecordsStore, url: str
) -> None:
    commit(store, diagnosis(1))
    [later] = commit(store, diagnosis(1, model="newer@11111111/openvino-f32", result="cll"))
    assert later == Judged(Verdict.ALTERNATIVE, Outcome.DIAGNOSED)
    [row] = read_outcomes(url)
    assert (row.result, row.bundle, row.engine, row.reports) == ("aml", BUNDLE, "openvino-bf16", 2)
    assert row.probabilities == {"all": 0.001, "aml": 0.998}


def test_a_rejection_that_came_first_stands_when_a_diagnosis_follows(
    store: RecordsStore, url: str
) -> None:
    results = commit(store, rejection(1), diagnosis(1))
    assert [r.outcome for r in results] == [Outcome.REJECTED, Outcome.REJECTED]
    [row] = read_outcomes(url)
    assert (row.outcome, row.reason, row.reports) == ("rejected", "focus", 2)


def test_a_preview_is_kept_and_answers_nothing(store: RecordsStore, url: str) -> None:
    preview = diagnosis(1, status=DiagnosisStatus.PREVIEW)
    results = commit(store, preview, preview)
    assert [r.verdict for r in results] == [Verdict.PREVIEW, Verdict.PREVIEW_AGAIN]
    refused = preview.model_copy(update={"outcome": Outcome.REJECTED})
    assert commit(store, refused)[0].verdict is Verdict.PREVIEW_AGAIN, "whatever else it says"
    assert [r.outcome for r in results] == [None, None]
    assert read_outcomes(url) == []


def test_without_its_blob_nothing_is_recorded_until_the_blob_is_there(
    store: RecordsStore, url: str
) -> None:
    for message in (diagnosis(1), refusal(2)):
        [result] = commit(store, message, blob_seen=False)
        assert result == Judged(Verdict.BLOB_MISSING)
    assert read_outcomes(url) == []
    assert [row.verdict for row in read_set_aside(url)] == ["blob_missing", "blob_missing"]
    [result] = commit(store, diagnosis(1))
    assert result.outcome is Outcome.DIAGNOSED


def test_an_image_that_ended_on_its_device_needs_no_blob(store: RecordsStore, url: str) -> None:
    dropped = rejection(2, outcome=Outcome.DROPPED, operator="op-3")
    commit(store, rejection(1), dropped, blob_seen=False)
    assert [(r.outcome, r.has_blob, r.operator) for r in read_outcomes(url)] == [
        ("rejected", False, ""),
        ("dropped", False, "op-3"),
    ]


def test_an_inquiry_is_answered_with_what_is_known_to_that_outbox_alone(
    store: RecordsStore,
) -> None:
    commit(store, diagnosis(1), rejection(2))
    ids = tuple(hex_id("image", number) for number in (1, 2, 3, 1))
    inquiry = Inquiry(inquiry_id=hex_id("q", 0), outbox_id=hex_id("outbox", 0), image_ids=ids)
    [answer] = store.commit([Asked("scope-1", inquiry)], AT).results
    assert isinstance(answer, InquiryAnswer)
    assert [(r.image_id, r.outcome) for r in answer.known] == [
        (ids[0], Outcome.DIAGNOSED),
        (ids[1], Outcome.REJECTED),
    ]
    assert answer.unknown == (ids[2],)
    stranger = inquiry.model_copy(update={"outbox_id": hex_id("outbox", 9)})
    [answer] = store.commit([Asked("scope-2", stranger)], AT).results
    assert isinstance(answer, InquiryAnswer)
    assert not answer.known


def test_the_store_id_survives_a_restart_and_changes_when_asked(url: str) -> None:
    store = RecordsStore(url, AT)
    made = store.store_id
    store.close()
    store = RecordsStore(url, AT)
    other = RecordsStore(url, AT)
    assert store.store_id == made
    renewed = other.new_store_id(AT)
    other.close()
    assert renewed != made
    committed = store.commit([Filed(report(diagnosis(1)), True)], AT)
    assert committed.store_id == renewed, "a running store notices that it was renewed"
    store.close()


def test_one_report_that_the_database_cannot_hold_does_not_stop_the_others(
    store: RecordsStore, url: str
) -> None:
    poison = replace(report(diagnosis(2)), text="\ud800")
    results = judged(
        store.commit(
            [
                Filed(report(diagnosis(1)), True),
                Filed(poison, True),
                Filed(report(diagnosis(3)), True),
            ],
            AT,
        )
    )
    assert [r.verdict for r in results] == [Verdict.FIRST, Verdict.UNSTORABLE, Verdict.FIRST]
    assert [row.seq for row in read_outcomes(url)] == [2, 4]


def test_commits_are_synchronous_and_queries_use_indexes(
    store: RecordsStore, tmp_path: Path
) -> None:
    with store._engine.begin() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        plan = connection.execute(
            text(
                "EXPLAIN QUERY PLAN SELECT * FROM image WHERE (outbox_id, seq) IN (VALUES ('a', 1))"
            )
        ).all()
    assert all("SCAN image" not in row[3] for row in plan)


def test_an_override_and_its_reason_are_recorded(url: str, store: RecordsStore) -> None:
    commit(
        store,
        diagnosis(1),
        diagnosis(2, gate_override=True),
        diagnosis(3, gate_override=True, override_reason="urgent"),
        rejection(4),
    )
    assert overrides(url) == [(0, ""), (1, ""), (1, "urgent"), (0, "")]


def test_a_store_of_version_1_is_brought_up_with_the_overrides_of_its_messages(
    url: str, store: RecordsStore
) -> None:
    commit(store, diagnosis(1), diagnosis(2, gate_override=True))
    store.close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE diagnosis DROP COLUMN gate_override"))
        connection.execute(text("ALTER TABLE diagnosis DROP COLUMN override_reason"))
        connection.execute(text("UPDATE store SET schema_version = 1"))
    engine.dispose()
    for _ in range(2):  # the second opening finds nothing to do
        opened = RecordsStore(url, AT)
        assert opened.store_id == store.store_id
        opened.close()
    assert overrides(url) == [(0, ""), (1, "")]
    opened = RecordsStore(url, AT)
    commit(opened, diagnosis(3, gate_override=True, override_reason="teaching"))
    opened.close()
    assert overrides(url)[-1] == (1, "teaching")


def overrides(url: str) -> list[tuple[int, str]]:
    """The columns of each diagnosis row, in order."""
    engine = create_engine(url)
    with engine.begin() as connection:
        rows = connection.execute(
            text("SELECT gate_override, override_reason FROM diagnosis ORDER BY id")
        ).all()
    engine.dispose()
    return [(int(row[0]), str(row[1])) for row in rows]


def test_a_store_of_another_schema_version_is_refused_by_name(
    url: str, store: RecordsStore
) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE store SET schema_version = 99"))
    engine.dispose()
    with pytest.raises(Exception, match="schema version 99"):
        RecordsStore(url, AT)
