"""An outbox of an older version is brought up to date: nothing is lost, and a death leaves the one or the other."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from edge_device.outbox import Outbox
from edge_device.outbox.memory import known_store, stored_reply
from edge_device.outbox.schema import SCHEMA_VERSION
from tests.edge_device.outbox.outbox_steps import new_capture
from tests.edge_device.outbox.outbox_version_1 import (
    OUTBOX_ID,
    ROWS,
    content,
    image_id,
    make_version_1,
)


def version_of(folder: Path) -> int:
    """The schema's version in the file."""
    db = sqlite3.connect(folder / "outbox.sqlite")
    try:
        found: int = db.execute("PRAGMA user_version").fetchone()[0]
        return found
    finally:
        db.close()


def check_all_there(folder: Path) -> None:
    """Every row of version 1 with its state, words and bytes."""
    outbox = Outbox(folder)
    try:
        assert outbox.outbox_id == OUTBOX_ID
        assert outbox.totals().next_seq == len(ROWS) + 1
        for seq, (state, outcome, held, reason, text) in enumerate(ROWS, 1):
            row = outbox.row(image_id(seq))
            assert (row.seq, row.state, row.outcome) == (seq, state, outcome)
            assert (row.case_id, row.priority, row.source) == ("CASE-1", "stat", f"frame-{seq}")
            assert row.bytes_held == bool(held)
            if held:
                assert outbox.read(row.image_id) == content(seq)
            if text:
                assert row.refusal is not None
                assert (row.refusal.reason, row.refusal.text) == (reason, text)
            assert (row.override_reason, row.warnings, row.flat_field) == ("", (), 0)
            assert (row.copy_of, row.sent_again_as) == ("", "")
            assert outbox.is_captured(f"frame-{seq}")
        assert stored_reply(outbox, "command") == b"reply" and known_store(outbox) == "store"
    finally:
        outbox.close()


def test_an_outbox_of_version_1_keeps_everything_and_takes_captures(tmp_path: Path) -> None:
    make_version_1(tmp_path)
    check_all_there(tmp_path)
    assert version_of(tmp_path) == SCHEMA_VERSION
    outbox = Outbox(tmp_path)
    (row,) = outbox.add([new_capture("new")])
    assert row is not None and row.seq == len(ROWS) + 1
    outbox.close()


@pytest.mark.parametrize(
    ("step", "times", "expected"),
    [
        ("schema_statement", 1, 1),
        ("schema_statement", 6, 1),
        ("schema_statement", 13, 1),
        ("schema_version", 1, 1),
        ("schema_committed", 1, SCHEMA_VERSION),
    ],
)
def test_a_death_inside_leaves_the_one_version_or_the_other(
    tmp_path: Path, step: str, times: int, expected: int
) -> None:
    make_version_1(tmp_path)
    module = "tests.edge_device.outbox.outbox_version_1"
    child = subprocess.run(
        [sys.executable, "-m", module, str(tmp_path), step, str(times)],
        check=False,
        cwd=Path(__file__).parents[3],
        timeout=50,
    )
    assert child.returncode == -9, f"{step} is never reached {times} times"
    assert version_of(tmp_path) == expected
    check_all_there(tmp_path)


def test_a_migrated_outbox_has_the_tables_of_a_new_one(tmp_path: Path) -> None:
    def tables(folder: Path) -> dict[str, list[tuple[object, ...]]]:
        db = sqlite3.connect(folder / "outbox.sqlite")
        names = [
            row[0]
            for row in db.execute("SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'")
        ]
        found = {name: db.execute(f"PRAGMA table_xinfo({name})").fetchall() for name in names}
        db.close()
        return found

    make_version_1(tmp_path / "old")
    Outbox(tmp_path / "old").close()
    Outbox(tmp_path / "new").close()
    assert tables(tmp_path / "old") == tables(tmp_path / "new")
