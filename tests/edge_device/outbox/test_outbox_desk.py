"""What people do to images: retried, purged, sent anyway, refiled, restamped; by a name, and nothing else touched.

Longer than most: each wish of a person is a short test.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from edge_device.outbox import Outbox, OutboxRow, Refusal, desk
from edge_device.outbox.retention import (
    RECORDED_KEPT_S,
    REJECTED_KEPT_S,
    TOMBSTONE_KEPT_S,
    keep_house,
)
from edge_device.outbox.schema import open_to_read
from edge_device.rejections import rejection_of
from tests.edge_device.outbox.outbox_steps import new_capture
from wire_protocol.json_messages import Reason
from wire_protocol.machine_io import OutboxState, Persist
from wire_protocol.manifest import ContentType, OverrideReason, Priority
from wire_protocol.messages import Outcome

BLURRED = Refusal(Reason.FOCUS, "Out of focus: score 3, at least 12 needed.", 3.0, 12.0)
ROOMY = {"min_free_bytes": 0, "max_held_bytes": 10**12}


@pytest.fixture
def outbox(tmp_path: Path):  # type: ignore[no-untyped-def]  # a generator fixture
    """An empty outbox."""
    outbox = Outbox(tmp_path / "outbox")
    yield outbox
    outbox.close()


def take(outbox: Outbox, *names: str, **changes: object) -> list[OutboxRow]:
    """Captures with these sources."""
    captures = [
        replace(new_capture(name), content_type=ContentType.JPEG, **changes)  # type: ignore[arg-type]
        for name in names
    ]
    return [row for row in outbox.add(captures) if row is not None]


def record(outbox: Outbox, row: OutboxRow, outcome: Outcome = Outcome.DIAGNOSED) -> None:
    """The records store has it."""
    outbox.apply([Persist(row.image_id, OutboxState.RECORDED, outcome=outcome)])


def held(outbox: Outbox) -> list[int]:
    """Seqs whose bytes are there, by rows and by files alike."""
    rows = [one.row for one in desk.list_rows(outbox.db)]
    by_row = {row.image_id for row in rows if row.bytes_held}
    assert by_row == set(outbox.files.sizes())
    return [row.seq for row in rows if row.bytes_held]


def test_a_refused_image_is_sent_anyway_as_a_new_one_with_the_same_bytes(outbox: Outbox) -> None:
    (refused,) = take(outbox, "a", refusal=BLURRED, warnings=("debris",), flat_field=3)
    row = desk.send_anyway(outbox, refused.image_id, "Kim", OverrideReason.ONLY_FIELD)
    assert (row.seq, row.state, row.copy_of) == (2, OutboxState.WAITING, refused.image_id)
    assert (row.gate_override, row.override_reason) == (True, OverrideReason.ONLY_FIELD)
    assert (row.warnings, row.flat_field, row.case_id) == (("debris",), 3, refused.case_id)
    assert row.image_id != refused.image_id and row.refusal is None
    assert outbox.read(row.image_id) == outbox.read(refused.image_id)
    manifest = row.item().manifest
    assert (manifest.gate_override, manifest.override_reason) == (True, "only_field")
    after = outbox.row(refused.image_id)
    assert (after.state, after.sent_again_as) == (OutboxState.REJECTED, row.image_id)
    (line,) = desk.read_audit(outbox.db)
    assert (line.operator, line.action, line.image_id) == ("Kim", "send_anyway", refused.image_id)
    assert line.detail == {"as": row.image_id, "reason": "only_field"}


def test_sending_anyway_twice_makes_one_copy(outbox: Outbox) -> None:
    (refused,) = take(outbox, "a", refusal=BLURRED)
    once = desk.send_anyway(outbox, refused.image_id, "Kim", OverrideReason.URGENT)
    again = desk.send_anyway(outbox, refused.image_id, "Lee", OverrideReason.TEACHING)
    assert once.image_id == again.image_id
    assert outbox.totals().next_seq == 3


def test_the_copy_outlives_the_bytes_of_the_refused_one(outbox: Outbox) -> None:
    (refused,) = take(outbox, "a", refusal=BLURRED)
    copy = desk.send_anyway(outbox, refused.image_id, "Kim", OverrideReason.URGENT)
    record(outbox, refused, Outcome.REJECTED)
    keep_house(outbox, elapsed_s=REJECTED_KEPT_S + 1, **ROOMY)
    assert held(outbox) == [2]
    assert outbox.read(copy.image_id) == new_capture("a").content


def test_a_refused_image_can_be_sent_after_its_rejection_is_recorded_while_its_bytes_are_there(
    outbox: Outbox,
) -> None:
    first, second = take(outbox, "a", "b", refusal=BLURRED)
    record(outbox, first, Outcome.REJECTED)
    record(outbox, second, Outcome.REJECTED)
    keep_house(outbox, elapsed_s=REJECTED_KEPT_S - 1, **ROOMY)
    assert desk.send_anyway(outbox, first.image_id, "Kim", OverrideReason.URGENT).bytes_held
    keep_house(outbox, elapsed_s=2, **ROOMY)
    with pytest.raises(desk.DeskError, match=f"{second.image_id}: its bytes were let go"):
        desk.send_anyway(outbox, second.image_id, "Kim", OverrideReason.URGENT)


def test_what_cannot_be_sent_anyway_says_why(outbox: Outbox) -> None:
    (waiting,) = take(outbox, "a")
    (unreadable,) = take(outbox, "b", refusal=Refusal(Reason.DECODE, "Cannot be read."))
    (damaged,) = take(outbox, "c", refusal=BLURRED)
    outbox.files.path(damaged.image_id).write_bytes(b"other bytes")
    for image_id, words in (
        (waiting.image_id, "was not refused"),
        (unreadable.image_id, "Cannot be read"),
        (damaged.image_id, "sha256"),
        ("f" * 32, "not in this outbox"),
    ):
        with pytest.raises(desk.DeskError, match=words):
            desk.send_anyway(outbox, image_id, "Kim", OverrideReason.URGENT)
    with pytest.raises(desk.DeskError, match="name"):
        desk.send_anyway(outbox, damaged.image_id, " ", OverrideReason.URGENT)
    assert outbox.totals().next_seq == 4 and not desk.read_audit(outbox.db)
    assert held(outbox) == [1, 2, 3]


def test_diagnosed_bytes_stay_a_day_and_refused_ones_fourteen(outbox: Outbox) -> None:
    done, refused = take(outbox, "a")[0], take(outbox, "b", refusal=BLURRED)[0]
    record(outbox, done)
    record(outbox, refused, Outcome.REJECTED)
    keep_house(outbox, elapsed_s=RECORDED_KEPT_S, **ROOMY)
    assert held(outbox) == [2]
    keep_house(outbox, elapsed_s=REJECTED_KEPT_S - RECORDED_KEPT_S - 1, **ROOMY)
    assert held(outbox) == [2]
    keep_house(outbox, elapsed_s=1, **ROOMY)
    assert held(outbox) == []
    keep_house(outbox, elapsed_s=TOMBSTONE_KEPT_S, **ROOMY)
    assert not desk.list_rows(outbox.db)


def test_refused_bytes_go_early_too_where_space_is_short_the_oldest_first(outbox: Outbox) -> None:
    refused = take(outbox, "a", refusal=BLURRED)[0]
    record(outbox, refused, Outcome.REJECTED)
    keep_house(outbox, elapsed_s=1, **ROOMY)
    for row in take(outbox, "b", "c"):
        record(outbox, row)
    keep_house(outbox, elapsed_s=1, min_free_bytes=0, max_held_bytes=2500)
    assert held(outbox) == [2, 3]


def test_purge_drops_what_is_named_and_nothing_else(outbox: Outbox) -> None:
    first, second, third = take(outbox, "a", "b", "c")
    outbox.apply([Persist(second.image_id, OutboxState.STORED)])
    purged = desk.purge(outbox, "Kim", image_ids=[second.image_id, second.image_id])
    assert [row.image_id for row in purged.dropped] == [second.image_id]
    row = outbox.row(second.image_id)
    assert (row.state, row.bytes_held, row.source) == (OutboxState.REJECTED, False, "")
    message = rejection_of(row, "lab", "scope-1")
    assert message is not None
    assert (message.outcome, message.operator) == (Outcome.DROPPED, "Kim")
    assert held(outbox) == [1, 3]
    assert [r.image_id for r in outbox.unfinished()] == [
        first.image_id,
        second.image_id,
        third.image_id,
    ], "owed until the records store has it"
    outbox.apply([Persist(second.image_id, OutboxState.STORED)])
    assert outbox.row(second.image_id).state is OutboxState.REJECTED, (
        "a late Stored changes nothing"
    )
    record(outbox, second, Outcome.DROPPED)
    assert outbox.totals().unrecorded == 2
    (line,) = desk.read_audit(outbox.db)
    assert (line.operator, line.action) == ("Kim", "outbox_purge")


def test_purge_of_refused_ones_frees_bytes_and_leaves_their_outcome(outbox: Outbox) -> None:
    (waiting,) = take(outbox, "a")
    owed, recorded = take(outbox, "b", "c", refusal=BLURRED)
    record(outbox, recorded, Outcome.REJECTED)
    purged = desk.purge(outbox, "Kim", rejected=True)
    assert purged.freed == (owed.image_id, recorded.image_id) and not purged.dropped
    assert held(outbox) == [waiting.seq]
    message = rejection_of(outbox.row(owed.image_id), "lab", "scope-1")
    assert message is not None and message.outcome is Outcome.REJECTED
    again = desk.purge(outbox, "Kim", image_ids=[owed.image_id])
    assert "gone already" in again.left[owed.image_id]


def test_purge_by_age_leaves_what_is_on_its_way(outbox: Outbox) -> None:
    old, going = take(outbox, "a", "b")
    outbox.apply([Persist(going.image_id, OutboxState.STORED)])
    keep_house(outbox, elapsed_s=100, **ROOMY)
    (young,) = take(outbox, "c")
    purged = desk.purge(outbox, "Kim", older_than_s=60)
    assert [row.image_id for row in purged.dropped] == [old.image_id]
    assert list(purged.left) == [going.image_id]
    assert held(outbox) == [going.seq, young.seq]


def test_purge_of_an_unknown_image_does_nothing_at_all(outbox: Outbox) -> None:
    (row,) = take(outbox, "a")
    with pytest.raises(desk.DeskError, match="not in this outbox"):
        desk.purge(outbox, "Kim", image_ids=[row.image_id, "f" * 32])
    with pytest.raises(desk.DeskError, match="name"):
        desk.purge(outbox, "", image_ids=[row.image_id])
    assert held(outbox) == [1]


def test_the_rule_drops_the_oldest_routine_and_never_stat_nor_one_begun(outbox: Outbox) -> None:
    (stat,) = take(outbox, "a", priority=Priority.STAT)
    begun, stored, oldest, second, third = take(outbox, *"bcdef")
    outbox.apply([Persist(stored.image_id, OutboxState.STORED)])
    dropped = desk.drop_oldest(outbox, "Kim", images=1, size_bytes=1001, in_flight={begun.image_id})
    assert [row.image_id for row in dropped] == [oldest.image_id, second.image_id]
    assert all(row.refusal is not None and row.refusal.operator == "Kim" for row in dropped)
    rest = desk.drop_oldest(outbox, "Kim", images=9, size_bytes=0, in_flight={begun.image_id})
    assert [row.image_id for row in rest] == [third.image_id]
    assert held(outbox) == [stat.seq, begun.seq, stored.seq]
    assert [line.action for line in desk.read_audit(outbox.db)] == ["outbox_drop"] * 3


def test_the_rule_drops_what_waited_too_long_in_running_time(outbox: Outbox) -> None:
    take(outbox, "stat", priority=Priority.STAT)
    old = take(outbox, "a")[0]
    keep_house(outbox, elapsed_s=100, **ROOMY)
    take(outbox, "b")
    keep_house(outbox, elapsed_s=1, **ROOMY)
    dropped = desk.drop_aged(outbox, "Kim", max_age_s=100)
    assert [row.image_id for row in dropped] == [old.image_id]
    assert held(outbox) == [1, 3]


def test_retry_makes_a_stored_image_offerable_with_its_bytes(outbox: Outbox) -> None:
    waiting, stored = take(outbox, "a", "b")
    outbox.apply([Persist(stored.image_id, OutboxState.STORED, vanished=1)])
    rows = desk.retry(outbox, [stored.image_id, waiting.image_id], "Kim")
    assert [(row.seq, row.state) for row in rows] == [
        (2, OutboxState.WAITING),
        (1, OutboxState.WAITING),
    ]
    assert outbox.row(stored.image_id).vanished == 1, "a suspect stays one"
    assert [line.action for line in desk.read_audit(outbox.db)] == ["outbox_retry"] * 2


def test_retry_of_what_has_ended_says_so_and_changes_nothing(outbox: Outbox) -> None:
    stored, done = take(outbox, "a", "b")
    outbox.apply([Persist(stored.image_id, OutboxState.STORED)])
    record(outbox, done)
    with pytest.raises(desk.DeskError, match="is recorded"):
        desk.retry(outbox, [stored.image_id, done.image_id], "Kim")
    assert outbox.row(stored.image_id).state is OutboxState.STORED


def test_a_field_is_filed_elsewhere_and_the_audit_says_from_where(outbox: Outbox) -> None:
    (row,) = take(outbox, "a")
    assert desk.set_case(outbox, row.image_id, "CASE-7", "Kim").case_id == "CASE-7"
    (line,) = desk.read_audit(outbox.db)
    assert line.detail == {"from": "unfiled", "to": "CASE-7"}


def test_captures_of_this_boot_get_their_time_once_the_clock_is_set(outbox: Outbox) -> None:
    early = {
        "clock_synced": False,
        "captured_ns": 5 * 10**9,
        "captured_at": "1970-01-01T00:00:05.000Z",
    }
    here, sent = take(outbox, "a", "b", **early, boot_id="1" * 32)
    (other,) = take(outbox, "c", **early, boot_id="2" * 32)
    (synced,) = take(outbox, "d", boot_id="1" * 32)
    outbox.apply([Persist(sent.image_id, OutboxState.STORED)])
    rows = desk.restamp(outbox, "1" * 32, 1_767_225_600.0)  # 2026-01-01 at monotonic 0
    assert [row.image_id for row in rows] == [here.image_id]
    assert (rows[0].captured_at, rows[0].clock_synced) == ("2026-01-01T00:00:05.000Z", True)
    for row in (sent, other, synced):
        assert outbox.row(row.image_id).captured_at == row.captured_at
    assert desk.restamp(outbox, "1" * 32, 0.0) == []
    assert len(desk.read_audit(outbox.db)) == 1


def test_exported_images_are_checked_and_carry_their_facts(outbox: Outbox, tmp_path: Path) -> None:
    good, damaged, gone = take(outbox, "a", "b", "c")
    outbox.files.path(damaged.image_id).write_bytes(b"x")
    desk.purge(outbox, "Kim", image_ids=[gone.image_id])
    reader = open_to_read(outbox.folder)
    listed = desk.list_rows(reader)
    reader.close()
    out = tmp_path / "out"
    done = desk.export(outbox.folder / "images", listed, out)
    assert [one.path is not None for one in done] == [True, False, False]
    assert "sha256" in done[1].error and "not held" in done[2].error
    assert done[0].path is not None and done[0].path.read_bytes() == new_capture("a").content
    facts = json.loads(done[0].path.with_suffix(".json").read_text())
    assert facts["image_id"] == good.image_id and facts["sha256"] == good.sha256
    assert "source" not in facts
    assert sorted(path.suffix for path in out.iterdir()) == [".jpg", ".json"]
    again = desk.export(outbox.folder / "images", listed[:1], out)
    assert again[0].path is None and "exists" in again[0].error
    (named,) = desk.export(
        outbox.folder / "images", listed[:1], tmp_path / "named", with_source=True
    )
    assert named.path is not None
    assert json.loads(named.path.with_suffix(".json").read_text())["source"] == "a"


def test_the_list_tells_state_and_age_of_those_asked_for(outbox: Outbox) -> None:
    first, second = take(outbox, "a", "b")
    outbox.apply([Persist(second.image_id, OutboxState.STORED)])
    keep_house(outbox, elapsed_s=60, **ROOMY)
    assert [one.age_s for one in desk.list_rows(outbox.db)] == [60.0, 60.0]
    (one,) = desk.list_rows(outbox.db, states=[OutboxState.STORED])
    assert one.row.image_id == second.image_id
    (one,) = desk.list_rows(outbox.db, image_ids=[first.image_id])
    assert one.as_json()["image_id"] == first.image_id
    assert "source" not in one.as_json()
    json.dumps(one.as_json(with_source=True))


def test_totals_stay_right_through_every_deed_and_every_rollback(outbox: Outbox) -> None:
    rows = take(outbox, *"abcdef")
    refused = take(outbox, "g", refusal=BLURRED)[0]
    desk.send_anyway(outbox, refused.image_id, "Kim", OverrideReason.URGENT)
    record(outbox, rows[0])
    desk.purge(outbox, "Kim", image_ids=[rows[1].image_id], rejected=True)
    outbox.quarantine(rows[2].image_id, Refusal(Reason.DAMAGED_ON_DEVICE, "x"))
    keep_house(outbox, elapsed_s=RECORDED_KEPT_S + TOMBSTONE_KEPT_S, **ROOMY)

    def broken(name: str) -> None:
        if name == "states_updated":
            raise OSError(28, "No space left on device")

    outbox.step = broken
    with pytest.raises(OSError, match="No space"):
        record(outbox, rows[3])
    counted: dict[str, int] = {}
    size = 0
    for one in desk.list_rows(outbox.db):
        counted[one.row.state.value] = counted.get(one.row.state.value, 0) + 1
        if one.row.state is not OutboxState.RECORDED and one.row.bytes_held:
            size += one.row.size_bytes
    totals = outbox.totals()
    assert totals.counts == counted == {"waiting": 4, "rejected": 2, "quarantined": 1}
    assert (totals.unrecorded_bytes, totals.recorded_bytes) == (size, 0)
    assert totals.oldest_unrecorded_seq == 2
    assert totals.oldest_unrecorded_s == RECORDED_KEPT_S + TOMBSTONE_KEPT_S


NO_SPACE = OSError(28, "No space left on device")
FULL = sqlite3.OperationalError("database or disk is full")


@pytest.mark.parametrize("error", [NO_SPACE, FULL], ids=["os", "sqlite"])
@pytest.mark.parametrize(
    "place",
    [
        "linked",
        "folder_synced",
        "copy_inserted",
        "retry_updated",
        "purge_updated",
        "case_updated",
        "restamp_updated",
        "audit_written",
    ],
)
def test_a_full_disk_leaves_a_deed_undone_and_the_next_try_does_it(
    outbox: Outbox, place: str, error: Exception
) -> None:
    waiting, other = take(outbox, "a", "b", clock_synced=False)
    (refused,) = take(outbox, "c", refusal=BLURRED)
    deeds: dict[str, Callable[[], object]] = {
        "retry": lambda: desk.retry(outbox, [waiting.image_id], "kim"),
        "case": lambda: desk.set_case(outbox, waiting.image_id, "CASE-7", "kim"),
        "restamp": lambda: desk.restamp(outbox, waiting.boot_id, 1.0),
        "copy": lambda: desk.send_anyway(outbox, refused.image_id, "kim", OverrideReason.URGENT),
        "drop": lambda: desk.drop_oldest(outbox, "kim", images=1, size_bytes=0),
        "purge": lambda: desk.purge(outbox, "kim", image_ids=[other.image_id]),
    }
    reached = 0

    def refuse(name: str) -> None:
        nonlocal reached
        if name == place:
            reached += 1
            raise error

    for deed in deeds.values():
        before = [one.row for one in desk.list_rows(outbox.db)]
        lines, files, totals = desk.read_audit(outbox.db), outbox.files.sizes(), outbox.totals()
        outbox.step = outbox.files._step = refuse
        already = reached
        with suppress(OSError, sqlite3.OperationalError):
            deed()
        outbox.step = outbox.files._step = lambda _name: None
        if reached == already:
            continue  # this deed does not come by there, so it was done
        assert [one.row for one in desk.list_rows(outbox.db)] == before
        assert desk.read_audit(outbox.db) == lines
        assert outbox.files.sizes() == files
        assert outbox.totals() == totals
        deed()
    assert reached > 0, f"no deed comes by {place}"
    rows = {one.row.seq: one.row for one in desk.list_rows(outbox.db)}
    assert (rows[1].case_id, rows[1].clock_synced, rows[4].copy_of) == (
        "CASE-7",
        True,
        refused.image_id,
    )
    assert [rows[n].refusal is not None and not rows[n].bytes_held for n in (1, 2)] == [True, True]
    assert len(desk.read_audit(outbox.db)) == 6
