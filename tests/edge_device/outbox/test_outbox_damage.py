"""Damage: one row or file is quarantined, the rest goes on; a damaged database is named, kept, rescued when asked.

Longer than most: each kind of damage is a short test.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_device.outbox import Outbox, OutboxError, OutboxRow, Refusal
from edge_device.outbox import integrity as outbox_integrity
from edge_device.outbox.desk import list_rows
from edge_device.outbox.integrity import check_structure
from edge_device.outbox.rescue import Inspected, rescue
from edge_device.rejections import rejection_of
from tests.edge_device.outbox.outbox_steps import new_capture
from wire_protocol.json_messages import Reason
from wire_protocol.machine_io import OutboxState, Persist
from wire_protocol.manifest import ContentType, Priority
from wire_protocol.messages import Outcome


def fill(folder: Path, count: int = 3) -> list[OutboxRow]:
    """An outbox with so many waiting images, closed."""
    outbox = Outbox(folder)
    captures = [
        replace(
            new_capture(f"frame-{n}"),
            content_type=ContentType.JPEG,
            case_id="CASE-1",
            priority=Priority.STAT,
        )
        for n in range(count)
    ]
    rows = [row for row in outbox.add(captures) if row is not None]
    outbox.close()
    return rows


def inspect(_content: bytes) -> Inspected:
    """What a decoder would see."""
    return Inspected(ContentType.JPEG, 10, 10, None)


def states(folder: Path) -> list[OutboxState]:
    """The states after another opening, in the order of seq."""
    outbox = Outbox(folder)
    try:
        return [one.row.state for one in list_rows(outbox.db)]
    finally:
        outbox.close()


WAITING, QUARANTINED = OutboxState.WAITING, OutboxState.QUARANTINED


@pytest.mark.parametrize(
    "damage",
    [
        Path.unlink,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes() + b"x"),
    ],
    ids=["gone", "empty", "short", "long"],
)
def test_an_image_without_its_whole_file_is_quarantined_at_opening_and_the_rest_goes_on(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    rows = fill(tmp_path)
    damage(tmp_path / "images" / rows[1].image_id)
    outbox = Outbox(tmp_path)
    assert outbox.opening.damaged == 1
    row = outbox.row(rows[1].image_id)
    message = rejection_of(row, "lab", "scope-1")
    assert message is not None and message.reason is Reason.DAMAGED_ON_DEVICE
    assert row.bytes_held == outbox.files.path(row.image_id).exists()
    assert [r.state for r in outbox.unfinished()] == [WAITING, QUARANTINED, WAITING]
    assert outbox.read(rows[2].image_id)
    outbox.close()
    again = Outbox(tmp_path)
    assert again.opening.damaged == 0, "said once"
    again.close()


def test_a_refused_image_without_its_file_keeps_its_own_words(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    refusal = Refusal(Reason.FOCUS, "Out of focus.", 3.0, 12.0)
    (row,) = outbox.add([replace(new_capture("a"), refusal=refusal)])
    outbox.close()
    assert row is not None
    (tmp_path / "images" / row.image_id).unlink()
    outbox = Outbox(tmp_path)
    after = outbox.row(row.image_id)
    assert (after.refusal, after.bytes_held, outbox.opening.damaged) == (refusal, False, 0)
    outbox.close()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("state", "waitinF"),
        ("priority", "rout\x00ne"),
        ("case_id", "Müller, Anna"),
        ("content_type", "image/jpfg"),
        ("sha256", "xyz"),
        ("image_id", "?" * 32),
        ("captured_at", "yesterday"),
        ("captured_ns", -5),
        ("boot_id", ""),
        ("override_reason", "because"),
    ],
)
def test_a_row_that_makes_no_sense_is_quarantined_and_still_owed(
    tmp_path: Path, column: str, value: object
) -> None:
    rows = fill(tmp_path)
    db = sqlite3.connect(tmp_path / "outbox.sqlite")
    db.execute(f"UPDATE images SET {column} = ? WHERE seq = 2", (value,))
    db.commit()
    db.close()
    outbox = Outbox(tmp_path)
    assert outbox.opening.damaged == 1
    unfinished = outbox.unfinished()
    assert [row.seq for row in unfinished] == [1, 2, 3], "its seq is accounted for"
    assert [row.state for row in unfinished] == [WAITING, QUARANTINED, WAITING]
    message = rejection_of(unfinished[1], "lab", "scope-1")
    assert message is not None and message.reason is Reason.DAMAGED_ON_DEVICE
    assert str(value) not in message.text or column in ("boot_id",)
    outbox.apply([Persist(unfinished[1].image_id, OutboxState.RECORDED, outcome=Outcome.REJECTED)])
    assert [row.image_id for row in outbox.unfinished()] == [rows[0].image_id, rows[2].image_id]
    outbox.close()


def test_a_bit_that_flipped_behind_the_index_is_found(tmp_path: Path) -> None:
    """The database's own check does not compare rows with indexes; a scan past them does."""
    fill(tmp_path)
    path = tmp_path / "outbox.sqlite"
    data = path.read_bytes()
    db = sqlite3.connect(path)
    page = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'images'").fetchone()[0]
    size = db.execute("PRAGMA page_size").fetchone()[0]
    db.close()
    start = (page - 1) * size
    at = data.index(b"waiting", start, start + size)
    path.write_bytes(data[:at] + b"vaiting" + data[at + 7 :])
    outbox = Outbox(tmp_path)
    assert outbox.opening.damaged == 1
    assert sorted(row.state for row in outbox.unfinished()) == [QUARANTINED, WAITING, WAITING]
    assert outbox.totals().counts == {"waiting": 2, "quarantined": 1}
    assert outbox.db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    outbox.close()


@pytest.mark.parametrize("first_seed", [0, 10, 20, 30])
def test_flipped_bytes_anywhere_in_the_database_lose_no_image(
    tmp_path: Path, first_seed: int
) -> None:
    """Opened: every image is held or owed. Not opened: the words name the command, and it helps."""
    whole = tmp_path / "whole"
    rows = fill(whole, 20)
    contents = {(whole / "images" / row.image_id).read_bytes() for row in rows}
    size = (whole / "outbox.sqlite").stat().st_size
    refused = 0
    for seed in range(first_seed, first_seed + 10):
        folder = tmp_path / f"flipped-{seed}"
        shutil.copytree(whole, folder)
        rng = random.Random(seed)
        path = folder / "outbox.sqlite"
        data = bytearray(path.read_bytes())
        at = rng.randrange(100) if seed < 10 else rng.randrange(size)
        for n in range(at, min(at + rng.choice((1, 8, 512, 4096)), size)):
            data[n] ^= rng.randrange(1, 256)
        path.write_bytes(data)
        try:
            outbox = Outbox(folder)
        except OutboxError as error:
            refused += 1
            assert "hemowire edge outbox rescue" in str(error) or "version" in str(error)
            if "version" in str(error):
                continue
            done = rescue(folder, inspect, "kim")
            assert done.put_aside is not None
            outbox = Outbox(folder)
        on_disk = {
            p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.stat().st_size < 99_999
        }
        assert contents <= on_disk, f"seed {seed}: bytes are gone"
        outbox.unfinished()
        outbox.close()
        shutil.rmtree(folder)
    assert refused > 0, "never was the database damaged as a whole"


def test_a_database_that_is_none_is_named_and_nothing_is_touched(tmp_path: Path) -> None:
    fill(tmp_path)
    path = tmp_path / "outbox.sqlite"
    path.write_bytes(b"?" * path.stat().st_size)
    before = {p.name for p in (tmp_path / "images").iterdir()}
    for _ in range(2):
        with pytest.raises(OutboxError, match="hemowire edge outbox rescue"):
            Outbox(tmp_path)
    assert {p.name for p in (tmp_path / "images").iterdir()} == before
    assert path.read_bytes()[:1] == b"?"


def test_a_rescue_takes_every_image_into_a_new_outbox(tmp_path: Path) -> None:
    rows = fill(tmp_path)
    path = tmp_path / "outbox.sqlite"
    path.write_bytes(b"?" * path.stat().st_size)
    done = rescue(tmp_path, inspect, "kim")
    assert (done.taken_in, done.known, done.recorded) == (3, 0, 0)
    assert (
        done.put_aside is not None and (done.put_aside / "outbox.sqlite").read_bytes()[:1] == b"?"
    )
    outbox = Outbox(tmp_path)
    assert outbox.outbox_id == done.outbox_id != rows[0].outbox_id
    unfinished = outbox.unfinished()
    assert {outbox.read(row.image_id) for row in unfinished} == {
        new_capture(f"frame-{n}").content for n in range(3)
    }
    assert {row.case_id for row in unfinished} == {"unfiled"}
    assert not any(row.clock_synced for row in unfinished)
    for row in unfinished:
        row.item()
    outbox.close()
    again = rescue(tmp_path, inspect, "kim")
    assert (again.put_aside, again.taken_in) == (None, 0)


def test_a_rescue_takes_over_what_can_still_be_read(tmp_path: Path) -> None:
    rows = fill(tmp_path, 4)
    outbox = Outbox(tmp_path)
    outbox.apply([Persist(rows[0].image_id, OutboxState.RECORDED, outcome=Outcome.DIAGNOSED)])
    outbox.quarantine(rows[1].image_id, Refusal(Reason.CRASHES_DECODER, "Crashes the decoder."))
    outbox.close()
    (tmp_path / "images" / rows[2].image_id).write_bytes(b"other bytes")
    db = sqlite3.connect(tmp_path / "outbox.sqlite")
    page = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'replies'").fetchone()[0]
    size = db.execute("PRAGMA page_size").fetchone()[0]
    db.close()
    path = tmp_path / "outbox.sqlite"
    data = bytearray(path.read_bytes())
    data[(page - 1) * size : page * size] = b"\xff" * size
    path.write_bytes(data)
    with pytest.raises(OutboxError, match="rescue"):
        Outbox(tmp_path)
    done = rescue(tmp_path, inspect, "kim")
    assert (done.taken_in, done.known, done.recorded) == (3, 3, 1)
    outbox = Outbox(tmp_path)
    found = {row.source: row for row in outbox.unfinished()}
    assert set(found) == {"frame-1", "frame-2", "frame-3"}
    assert {row.case_id for row in found.values()} == {"CASE-1"}
    assert found["frame-3"].priority is Priority.STAT
    refusals = [found[f"frame-{n}"].refusal for n in (1, 2)]
    assert [refusal.reason for refusal in refusals if refusal is not None] == [
        Reason.CRASHES_DECODER,
        Reason.DAMAGED_ON_DEVICE,
    ]
    assert all(outbox.is_captured(f"frame-{n}") for n in range(4)), "not captured a second time"
    outbox.close()


@pytest.mark.parametrize("dies_at", range(1, 12))
def test_a_rescue_that_died_is_finished_by_the_next(
    tmp_path: Path, dies_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)
    path = tmp_path / "outbox.sqlite"
    path.write_bytes(b"?" * path.stat().st_size)
    left = dies_at
    rename, unlink = Path.rename, Path.unlink

    class DeathError(BaseException):
        pass

    def dying(real: Callable[..., object]) -> Callable[..., object]:
        def change(*args: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                raise DeathError
            return real(*args, **options)

        return change

    monkeypatch.setattr(Path, "rename", dying(rename))
    monkeypatch.setattr(Path, "unlink", dying(unlink))
    try:
        rescue(tmp_path, inspect, "kim")
    except DeathError:
        monkeypatch.undo()
        # An agent that starts in between refuses, or finds an outbox with nothing to sweep.
        try:
            Outbox(tmp_path).close()
        except OutboxError as error:
            assert "rescue" in str(error)
        assert not (tmp_path / "strays").exists()
        rescue(tmp_path, inspect, "kim")
    monkeypatch.undo()
    outbox = Outbox(tmp_path)
    found = [outbox.read(row.image_id) for row in outbox.unfinished()]
    assert sorted(found) == sorted(new_capture(f"frame-{n}").content or b"" for n in range(3))
    outbox.close()


def test_a_file_without_a_row_is_kept_aside_and_can_be_taken_in(tmp_path: Path) -> None:
    rows = fill(tmp_path)
    (tmp_path / "images" / ("a" * 32)).write_bytes(b"an image whose row was lost")
    same = (tmp_path / "images" / rows[0].image_id).read_bytes()
    (tmp_path / "images" / ("b" * 32)).write_bytes(same)
    (tmp_path / "images" / f"{'c' * 32}.tmp").write_bytes(b"half")
    outbox = Outbox(tmp_path)
    assert (outbox.opening.files_removed, outbox.opening.strays) == (1, 2)
    outbox.close()
    done = rescue(tmp_path, inspect, "kim")
    assert (done.put_aside, done.taken_in) == (None, 1), "one of them was captured again already"
    outbox = Outbox(tmp_path)
    assert outbox.read(outbox.unfinished()[-1].image_id) == b"an image whose row was lost"
    assert not list((tmp_path / "strays").iterdir())
    outbox.close()


def test_files_kept_aside_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_integrity, "STRAYS_KEPT_BYTES", 250)
    fill(tmp_path)
    for n in range(4):
        (tmp_path / "images" / f"{n:032x}").write_bytes(bytes(100))
    Outbox(tmp_path).close()
    assert len(list((tmp_path / "strays").iterdir())) == 2


def test_the_check_of_the_structure_ends_in_time(tmp_path: Path) -> None:
    fill(tmp_path)
    outbox = Outbox(tmp_path)
    outbox.db.executemany(
        "INSERT INTO audit (clock_s, wall, operator, action, image_id, detail)"
        " VALUES (0, '', '', '', '', ?)",
        [("x" * 500,) for _ in range(3000)],
    )
    assert check_structure(outbox.db)
    assert not check_structure(outbox.db, budget_s=0.0)
    outbox.close()


def test_no_outbox_is_rescued_while_an_agent_has_it(tmp_path: Path) -> None:
    fill(tmp_path)
    outbox = Outbox(tmp_path)
    with pytest.raises(OutboxError, match="another agent"):
        rescue(tmp_path, inspect, "kim")
    outbox.close()
    with pytest.raises(OutboxError, match="no outbox"):
        rescue(tmp_path / "elsewhere", inspect, "kim")
