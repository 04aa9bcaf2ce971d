"""The outbox: gapless, durable, each source once, damage noticed, ages by running time.

Longer than most: one promise of the outbox after the other.
"""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from edge_device.outbox import (
    DamagedError,
    Outbox,
    OutboxError,
    OutboxRow,
    Refusal,
    read_snapshot,
)
from edge_device.outbox.audit import read_audit
from edge_device.outbox.listing import list_rows
from edge_device.outbox.memory import known_store, remember_reply, remember_store, stored_reply
from edge_device.outbox.retention import RECORDED_KEPT_S, TOMBSTONE_KEPT_S, keep_house
from tests.edge_device.outbox.outbox_steps import SOURCES, STEPS, live, new_capture
from wire_protocol.json_messages import Reason
from wire_protocol.machine_io import OutboxState, Persist
from wire_protocol.messages import Outcome

ROOMY = {"min_free_bytes": 0, "max_held_bytes": 10**12}


def check(folder: Path) -> None:
    """The promises that hold after any death: gapless, sources once, every held byte as captured."""
    outbox = Outbox(folder)
    try:
        snapshot = read_snapshot(folder)
        assert [row.seq for row in snapshot.rows] == list(range(1, snapshot.next_seq))
        rows = [one.row for one in list_rows(outbox.db)]
        names = [row.source for row in rows if row.bytes_held and not row.copy_of]
        assert len(names) == len(set(names))
        for row in rows:
            if row.bytes_held:
                assert outbox.read(row.image_id) == row.source.encode() * 1000
            else:
                dropped_by = "" if row.refusal is None else row.refusal.operator
                assert row.state is OutboxState.RECORDED or dropped_by == "kim"
        check_audit(outbox, rows)
        on_disk = {path.name for path in (folder / "images").iterdir()}
        assert on_disk == {row.image_id for row in snapshot.rows if row.bytes_held}
    finally:
        outbox.close()


def check_audit(outbox: Outbox, rows: list[OutboxRow]) -> None:
    """A deed and its line in the audit are both there or both not."""
    lines = [(line.action, line.image_id) for line in read_audit(outbox.db)]
    dropped = {row.image_id for row in rows if row.refusal is not None and row.refusal.operator}
    assert {
        image for action, image in lines if action in ("outbox_drop", "outbox_purge")
    } == dropped
    copied = {row.copy_of for row in rows if row.copy_of}
    assert {image for action, image in lines if action == "send_anyway"} == copied
    assert copied == {row.image_id for row in rows if row.sent_again_as}
    moved = {row.image_id for row in rows if row.case_id == "CASE-7"}
    assert {image for action, image in lines if action == "move_field"} == moved


#: Steps that come more than once in the life: killed at the second time as well.
AGAIN = (
    "temporary_synced",
    "folder_synced",
    "rows_inserted",
    "states_committed",
    "schema_statement",
    "purge_committed",
    "audit_written",
)


@pytest.mark.parametrize(
    ("step", "times"), [*((step, 1) for step in STEPS), *((step, 2) for step in AGAIN)]
)
def test_survives_a_kill_at_every_step(tmp_path: Path, step: str, times: int) -> None:
    child = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.edge_device.outbox.outbox_steps",
            str(tmp_path),
            step,
            str(times),
        ],
        check=False,
        cwd=Path(__file__).parents[3],
        timeout=50,
    )
    assert child.returncode == -9, f"{step} is never reached"
    check(tmp_path)
    live(tmp_path, lambda _name: None)
    check(tmp_path)
    snapshot = read_snapshot(tmp_path)
    assert len(snapshot.rows) == len(SOURCES) + 2, "a source was captured twice or lost"


def test_seqs_are_gapless_over_restarts_and_the_id_stays(tmp_path: Path) -> None:
    first = Outbox(tmp_path)
    rows = first.add([new_capture("a"), new_capture("b")])
    first.close()
    second = Outbox(tmp_path)
    rows += second.add([new_capture("c")])
    assert [row.seq for row in rows if row] == [1, 2, 3]
    assert {row.outbox_id for row in rows if row} == {first.outbox_id} == {second.outbox_id}
    second.close()


def test_a_source_is_captured_once_also_within_one_batch(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    rows = outbox.add([new_capture("a"), new_capture("a"), new_capture("b")])
    assert [row is None for row in rows] == [False, True, False]
    assert outbox.add([new_capture("b")]) == [None]
    assert outbox.totals().next_seq == 3
    outbox.close()


def test_a_disk_that_refuses_leaves_neither_files_nor_rows(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)

    def fail_at(place: str) -> None:
        def step(name: str) -> None:
            if name == place:
                raise OSError(28, "No space left on device")

        outbox.step = outbox.files._step = step

    for place in ("temporary_written", "renamed", "folder_synced", "rows_inserted"):
        fail_at(place)
        with pytest.raises(OSError, match="No space"):
            outbox.add([new_capture("a"), new_capture("b")])
        assert not list((tmp_path / "images").iterdir())
    fail_at("nowhere")
    rows = outbox.add([new_capture("a"), new_capture("b")])
    assert [row.seq for row in rows if row] == [1, 2]
    outbox.close()
    check(tmp_path)


def test_a_database_that_refuses_leaves_no_files_however_often_it_is_tried(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)

    def full(name: str) -> None:
        if name == "rows_inserted":
            raise sqlite3.OperationalError("database or disk is full")

    outbox.step = full
    for _ in range(3):
        with pytest.raises(sqlite3.OperationalError, match="full"):
            outbox.add([new_capture("a"), new_capture("b")])
        assert not list((tmp_path / "images").iterdir())
    outbox.step = lambda _name: None
    assert [row.seq for row in outbox.add([new_capture("a")]) if row] == [1]
    outbox.close()
    check(tmp_path)


def test_an_error_after_the_commit_keeps_the_files(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)

    def late(name: str) -> None:
        if name == "capture_committed":
            raise OSError(28, "No space left on device")

    outbox.step = late
    with pytest.raises(OSError, match="No space"):
        outbox.add([new_capture("a")])
    outbox.step = lambda _name: None
    assert outbox.add([new_capture("a")]) == [None]
    outbox.close()
    check(tmp_path)


def test_a_second_agent_is_refused(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    with pytest.raises(OutboxError, match="another agent"):
        Outbox(tmp_path)
    outbox.close()


def test_an_outbox_of_another_version_is_refused(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.db.execute("PRAGMA user_version = 99")
    outbox.close()
    with pytest.raises(OutboxError, match="version 99"):
        Outbox(tmp_path)


def test_settings_of_the_database_are_the_durable_ones(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    assert outbox.db.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
    assert outbox.db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    outbox.close()


def test_damaged_or_missing_bytes_are_noticed_on_read(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    first, second = outbox.add([new_capture("a"), new_capture("b")])
    assert first is not None and second is not None
    path = outbox.files.path(first.image_id)
    path.write_bytes(b"X" + path.read_bytes()[1:])
    outbox.files.remove(second.image_id)
    for row in (first, second):
        with pytest.raises(DamagedError, match=row.image_id):
            outbox.read(row.image_id)
    outbox.close()


def test_a_recorded_image_goes_back_for_a_new_store_only(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    (row,) = outbox.add([new_capture("a")])
    assert row is not None
    outbox.apply([Persist(row.image_id, OutboxState.RECORDED, outcome=Outcome.DIAGNOSED)])
    outbox.apply([Persist(row.image_id, OutboxState.WAITING, vanished=1)])
    after = outbox.row(row.image_id)
    assert (after.state, after.outcome) == (OutboxState.RECORDED, Outcome.DIAGNOSED)
    assert outbox.quarantine(row.image_id, Refusal(Reason.DAMAGED_ON_DEVICE, "x")) is None
    outbox.apply([Persist(row.image_id, OutboxState.STORED)])
    after = outbox.row(row.image_id)
    assert (after.state, after.outcome) == (OutboxState.STORED, None)
    keep_house(outbox, elapsed_s=10 * RECORDED_KEPT_S, **ROOMY)
    assert outbox.read(row.image_id), "owed again, so kept again"
    outbox.close()


def test_what_ended_here_can_only_become_recorded(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    (row,) = outbox.add([new_capture("a")])
    assert row is not None
    assert outbox.quarantine(row.image_id, Refusal(Reason.DAMAGED_ON_DEVICE, "x")) is not None
    outbox.apply([Persist(row.image_id, OutboxState.SENDING)])
    assert outbox.row(row.image_id).state is OutboxState.QUARANTINED
    outbox.apply([Persist(row.image_id, OutboxState.RECORDED, outcome=Outcome.REJECTED)])
    assert outbox.row(row.image_id).state is OutboxState.RECORDED
    outbox.close()


def test_refused_captures_keep_their_bytes_and_their_words(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    refusal = Refusal(Reason.FOCUS, "Out of focus: score 3, at least 12 needed.", 3.0, 12.0)
    capture = new_capture("a")
    (row,) = outbox.add(
        [
            type(capture)(
                **{f: getattr(capture, f) for f in capture.__slots__} | {"refusal": refusal}
            )
        ]
    )
    assert row is not None
    assert (row.state, row.refusal) == (OutboxState.REJECTED, refusal)
    assert outbox.read(row.image_id)
    assert [r.image_id for r in outbox.refused()] == [row.image_id]
    assert row.item().state is OutboxState.REJECTED
    outbox.close()


def test_a_capture_too_large_to_hold_has_a_row_without_bytes(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    capture = new_capture("big")
    fields = {name: getattr(capture, name) for name in capture.__slots__}
    digest = hashlib.sha256(b"big").hexdigest()
    fields |= {
        "content": None,
        "sha256": digest,
        "size_bytes": 10**10,
        "refusal": Refusal(Reason.TOO_LARGE, "Too large."),
    }
    (row,) = outbox.add([type(capture)(**fields)])
    assert row is not None
    assert (row.sha256, row.size_bytes, row.bytes_held) == (digest, 10**10, False)
    assert row.item().manifest.sha256 == digest
    outbox.close()


def test_recorded_bytes_stay_a_day_of_running_time_and_tombstones_ninety(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    done, waiting = outbox.add([new_capture("a"), new_capture("b")])
    assert done is not None and waiting is not None
    outbox.apply([Persist(done.image_id, OutboxState.RECORDED, outcome=Outcome.DIAGNOSED)])
    assert keep_house(outbox, elapsed_s=RECORDED_KEPT_S - 1, **ROOMY).images == 0
    assert keep_house(outbox, elapsed_s=2, **ROOMY).images == 1
    kept = outbox.row(done.image_id)
    assert (kept.bytes_held, kept.source, kept.sha256) == (False, "", done.sha256)
    assert keep_house(outbox, elapsed_s=TOMBSTONE_KEPT_S, **ROOMY).tombstones == 1
    assert outbox.read(waiting.image_id), "an unrecorded image is never freed"
    assert outbox.is_captured("a"), "its file may still lie in the folder"
    outbox.close()


def test_recorded_bytes_go_early_where_space_is_short(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    rows = outbox.add([new_capture(name) for name in "abcd"])
    for row in rows[:3]:
        assert row is not None
        outbox.apply([Persist(row.image_id, OutboxState.RECORDED, outcome=Outcome.DIAGNOSED)])
    freed = keep_house(outbox, elapsed_s=1, min_free_bytes=0, max_held_bytes=2500)
    assert freed.images == 2, "the oldest two of three, and only as many as needed"
    assert [row.bytes_held for row in read_snapshot(tmp_path).rows] == [False, False, True, True]
    outbox.close()


def test_totals_tell_what_is_owed(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    rows = outbox.add([new_capture(name) for name in "abc"])
    assert rows[0] is not None
    outbox.apply([Persist(rows[0].image_id, OutboxState.RECORDED, outcome=Outcome.DIAGNOSED)])
    totals = outbox.totals()
    assert (totals.next_seq, totals.oldest_unrecorded_seq, totals.unrecorded) == (4, 2, 2)
    assert totals.counts == {"recorded": 1, "waiting": 2}
    assert (totals.recorded_bytes, totals.unrecorded_bytes) == (1000, 2000)
    outbox.close()


def test_replies_and_the_store_are_remembered(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    assert stored_reply(outbox, "c") is None and known_store(outbox) == ""
    remember_reply(outbox, "c", b"first")
    remember_reply(outbox, "c", b"second")
    remember_store(outbox, "s")
    assert stored_reply(outbox, "c") == b"first" and known_store(outbox) == "s"
    keep_house(outbox, elapsed_s=25 * 3600, **ROOMY)
    remember_reply(outbox, "d", b"d")
    assert stored_reply(outbox, "c") is None
    outbox.close()


def test_a_snapshot_of_no_outbox_says_so(tmp_path: Path) -> None:
    with pytest.raises(OutboxError, match="no outbox"):
        read_snapshot(tmp_path)
