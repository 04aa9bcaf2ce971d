"""Power goes at any moment and takes with it whatever was not synced: every image that was taken in is whole.

A disk that forgets is simulated: what the outbox does to its files is recorded, and replayed up to
any point with everything lost, torn, zeroed or out of order that no fsync had made safe. Of the
database the log is cut at every 512 bytes.
Longer than most: the recording disk and what is judged on it belong together.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from edge_device.outbox import Outbox, Refusal, desk
from edge_device.outbox.listing import list_rows
from edge_device.outbox.retention import RECORDED_KEPT_S, keep_house
from tests.edge_device.outbox.outbox_steps import new_capture
from wire_protocol.json_messages import Reason
from wire_protocol.machine_io import OutboxState, Persist
from wire_protocol.manifest import ContentType, OverrideReason
from wire_protocol.messages import Outcome

DATABASE = ("outbox.sqlite", "outbox.sqlite-wal")


def content_of(name: str) -> bytes:
    """The bytes of the capture with this name."""
    content = new_capture(name).content
    assert content is not None
    return content


# --- the log of the database, cut ------------------------------------------------------------------


@pytest.mark.parametrize("tail", ["gone", "zeros"])
def test_a_log_cut_anywhere_leaves_what_was_committed_before_and_loses_no_bytes(
    tmp_path: Path, tail: str
) -> None:
    folder = tmp_path / "whole"
    outbox = Outbox(folder)
    log = folder / DATABASE[1]
    safe: list[int] = []
    for n in range(4):
        outbox.add([new_capture(f"frame-{n}")])
        safe.append(log.stat().st_size)
    whole = tmp_path / "copy"
    shutil.copytree(folder, whole, ignore=shutil.ignore_patterns("*-shm"))
    outbox.close()
    data = (whole / DATABASE[1]).read_bytes()
    assert len(data) == safe[-1] > 512 * 40
    counts = set()
    for cut in (*range(0, len(data), 512), len(data)):
        place = tmp_path / "cut"
        shutil.copytree(whole, place)
        rest = bytes(len(data) - cut) if tail == "zeros" else b""
        (place / DATABASE[1]).write_bytes(data[:cut] + rest)
        after = Outbox(place)
        rows = after.unfinished()
        counts.add(len(rows))
        assert len(rows) >= sum(cut >= length for length in safe), f"cut at {cut}"
        assert [after.read(row.image_id) for row in rows] == [
            content_of(f"frame-{n}") for n in range(len(rows))
        ]
        kept = [p.read_bytes() for p in place.rglob("*") if p.parent.name in ("images", "strays")]
        assert sorted(kept) == sorted(content_of(f"frame-{n}") for n in range(4))
        after.close()
        shutil.rmtree(place)
    assert counts == {0, 1, 2, 3, 4}


# --- the files, forgotten --------------------------------------------------------------------------


@dataclass
class Recording:
    """What was done, in order; the database as it was after each commit."""

    folder: Path
    done: list[tuple[str, ...]] = field(default_factory=list)
    written: dict[str, bytes] = field(default_factory=dict)
    databases: list[dict[str, bytes]] = field(default_factory=list)

    def step(self, name: str) -> None:
        """The outbox's step hook."""
        if name == "temporary_written":
            for path in (self.folder / "images").glob("*.tmp"):
                if path.name not in self.written:
                    self.written[path.name] = path.read_bytes()
                    self.done.append(("create", path.name))
        if name.endswith("_committed"):
            self.commit()

    def commit(self) -> None:
        """The database is durable as it is now."""
        found = {name: (self.folder / name).read_bytes() for name in DATABASE}
        self.done.append(("commit", str(len(self.databases))))
        self.databases.append(found)


@contextmanager
def recorded(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Notes every fsync, rename, link and unlink in the folder of images."""
    images = recording.folder / "images"
    fsync, link, rename, unlink = os.fsync, os.link, Path.rename, Path.unlink

    def note_fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path == images:
            recording.done.append(("sync_folder",))
        elif path.parent == images:
            recording.done.append(("sync", path.name))
        fsync(descriptor)

    def note_link(old: Path, new: Path) -> None:
        link(old, new)
        recording.done.append(("link", old.name, new.name))

    def note_rename(old: Path, new: Path) -> Path:
        recording.done.append(("rename", old.name, new.name))
        return rename(old, new)

    def note_unlink(path: Path, missing_ok: bool = False) -> None:
        if path.exists():
            recording.done.append(("unlink", path.name))
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", note_fsync)
        patch.setattr(os, "link", note_link)
        patch.setattr(Path, "rename", note_rename)
        patch.setattr(Path, "unlink", note_unlink)
        yield


def live(recording: Recording) -> None:
    """Captures, a copy, a purge and a freeing; notes each capture that was acknowledged."""
    outbox = Outbox(recording.folder, recording.step)
    recording.commit()

    def add(*names: str, refusal: Refusal | None = None) -> list[str]:
        captures = [
            replace(new_capture(name), content_type=ContentType.JPEG, refusal=refusal)
            for name in names
        ]
        rows = [row for row in outbox.add(captures) if row is not None]
        recording.done.extend(("taken", row.image_id, row.source) for row in rows)
        return [row.image_id for row in rows]

    first, second = add("a")[0], add("b")[0]
    add("c", "d")
    (refused,) = add("e", refusal=Refusal(Reason.FOCUS, "Out of focus."))
    copy = desk.send_anyway(outbox, refused, "kim", OverrideReason.URGENT)
    recording.done.append(("taken", copy.image_id, "e"))
    recording.done.append(("let_go", first))
    desk.purge(outbox, "kim", image_ids=[first])
    outbox.apply([Persist(second, OutboxState.RECORDED, outcome=Outcome.DIAGNOSED)])
    recording.done.append(("let_go", second))
    keep_house(outbox, elapsed_s=RECORDED_KEPT_S, min_free_bytes=0, max_held_bytes=10**9)
    add("f")
    outbox.close()


def torn(content: bytes, rng: random.Random) -> bytes:
    """What may be left of bytes that were not synced."""
    cut = rng.randrange(len(content) + 1)
    return rng.choice(
        [b"", content[:cut], bytes(len(content)), content[:cut] + bytes(512), content]
    )


def after_power_loss(recording: Recording, until: int, rng: random.Random, place: Path) -> None:
    """Writes what the disk may hold when the power goes after so many doings."""
    durable: dict[str, str] = {}  # name to the file's first name
    pending: list[tuple[str, ...]] = []
    synced: set[str] = set()
    current: dict[str, str] = {}
    database = 0

    def enter(names: dict[str, str], doing: tuple[str, ...]) -> None:
        match doing:
            case ("create", name):
                names[name] = name
            case ("rename", old, new):
                if old in names or old in current_names:
                    names[new] = names.pop(old, current_names.get(old, old))
            case ("link", old, new):
                names[new] = names.get(old, current_names.get(old, old))
            case ("unlink", name):
                names.pop(name, None)

    current_names: dict[str, str] = {}
    for doing in recording.done[:until]:
        match doing:
            case ("create" | "rename" | "link" | "unlink", *_):
                pending.append(doing)
                enter(current, doing)
                for name, file in current.items():
                    current_names[name] = file
            case ("sync", name):
                synced.add(current.get(name, name))
            case ("sync_folder",):
                for entry in pending:
                    enter(durable, entry)
                pending.clear()
            case ("commit", number):
                database = int(number)
    for entry in pending:
        if rng.random() < 0.5:  # the disk may have done any of them, in any order
            enter(durable, entry)
    (place / "images").mkdir(parents=True)
    for name, file in durable.items():
        whole = recording.written[file]
        content = whole if file in synced else torn(whole, rng)
        (place / "images" / name).write_bytes(content)
    for name, content in recording.databases[database].items():
        (place / name).write_bytes(content)


def test_whatever_a_disk_forgets_every_image_taken_in_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = Recording(tmp_path / "outbox")
    with recorded(recording, monkeypatch):
        live(recording)
    kinds = {doing[0] for doing in recording.done}
    assert kinds >= {"create", "sync", "rename", "sync_folder", "commit", "link", "unlink"}
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)  # of the checks below
    begins = recording.done.index(("commit", "0")) + 1
    for until in range(begins, len(recording.done) + 1):
        for seed in range(3):
            place = tmp_path / "after"
            after_power_loss(recording, until, random.Random(1000 * until + seed), place)
            check(recording, until, place)
            shutil.rmtree(place)


def check(recording: Recording, until: int, place: Path) -> None:
    """Nothing that was acknowledged is missing or torn, and no row holds other bytes than its own."""
    taken = {d[1]: d[2] for d in recording.done[:until] if d[0] == "taken"}
    let_go = {d[1] for d in recording.done[:until] if d[0] == "let_go"}
    outbox = Outbox(place)
    try:
        doings = f"after {recording.done[until - 1]}"
        assert outbox.opening.damaged == 0, doings
        rows = {one.row.image_id: one.row for one in list_rows(outbox.db)}
        for image_id, name in taken.items():
            if image_id not in let_go:
                assert outbox.read(image_id) == content_of(name), doings
        for row in rows.values():
            if row.bytes_held and row.image_id not in let_go:
                assert outbox.read(row.image_id) == content_of(row.source), doings
        assert set(outbox.files.sizes()) == {r.image_id for r in rows.values() if r.bytes_held}
    finally:
        outbox.close()
