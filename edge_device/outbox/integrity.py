"""What opening an outbox checks and mends: the structure, each row's facts, each file's size; it deletes no image.

One damaged row or file is quarantined and the rest goes on; a database that is damaged as a whole
is not touched: `rescue` makes a new one, and only where a person asks for it. Bytes are hashed
later, before they are sent, shown or exported: reading them all here would keep a microscope waiting.
Files without a row are moved aside and never deleted unread: where a card lied about an fsync they
are all that is left of an image.
Longer than most files: one check after the other, in the order in which they must run.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter, ValidationError

from edge_device.outbox.image_files import sync_folder
from edge_device.outbox.reading import ROW_COLUMNS, row_from
from edge_device.outbox.schema import DATABASE_NAME, OutboxError
from service_runtime.boot import new_id
from wire_protocol.json_messages import Reason
from wire_protocol.machine_io import OutboxState
from wire_protocol.manifest import UNFILED, Manifest, Priority

if TYPE_CHECKING:
    from edge_device.outbox.outbox import Outbox

#: The structure check is given up after this; what it had not reached shows when it is used.
CHECK_S: Final = 2.0
STRAYS: Final = "strays"
#: Files without a row that are kept; the oldest go first.
STRAYS_KEPT_BYTES: Final = 256 * 1024 * 1024
#: Python's sqlite3 fails to decode SQLite's own message where that quotes damaged text.
DAMAGED: Final = (sqlite3.DatabaseError, UnicodeDecodeError)
#: What SQLite says of a file that is not what we wrote. SQLITE_ERROR stands for "unsupported file
#: format" and missing tables, SQLITE_CONSTRAINT for rows that disagree with their own index.
_DAMAGE: Final = (
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CONSTRAINT,
)
_TO_SEND: Final = (OutboxState.WAITING, OutboxState.SENDING, OutboxState.STORED)
_EPOCH: Final = "1970-01-01T00:00:00.000Z"

#: What a column that holds nonsense is set to; the row ends here, so only its identity matters.
_DEFAULTS: Final[dict[str, Callable[[], object]]] = {
    "image_id": new_id,
    "sha256": lambda: "0" * 64,
    "size_bytes": lambda: 1,
    "content_type": lambda: None,
    "width_px": lambda: 0,
    "height_px": lambda: 0,
    "um_per_px": lambda: None,
    "case_id": lambda: UNFILED,
    "captured_at": lambda: _EPOCH,
    "captured_ns": lambda: 0,
    "boot_id": lambda: "0" * 32,
    "clock_synced": lambda: 0,
    "priority": lambda: Priority.ROUTINE,
    "gate_override": lambda: 0,
    "override_reason": lambda: "",
}
#: Stand-ins that `OutboxRow.item` puts where a refused capture has no size or format.
_MAY_BE_EMPTY: Final = ("size_bytes", "width_px", "height_px", "content_type")


@dataclass(frozen=True, slots=True)
class Mended:
    """What was found and set right."""

    files_removed: int = 0
    strays: int = 0
    damaged: int = 0


class DamagedDatabaseError(OutboxError):
    """The database as a whole cannot be used; the message names the command that rescues its images."""


@contextmanager
def damage_is_named(folder: Path) -> Iterator[None]:
    """Turns SQLite's word for a damaged file into ours, which names the way out."""
    try:
        yield
    except DAMAGED as error:
        if not _is_damage(error, folder / DATABASE_NAME):
            raise
        raise DamagedDatabaseError(
            f"{folder}: the outbox's database is damaged ({error}). Its images lie in"
            f" {folder / 'images'}. `hemowire edge outbox rescue` puts the damaged database aside"
            " and takes the images into a new one."
        ) from error


def _is_damage(error: Exception, path: Path) -> bool:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code == sqlite3.SQLITE_READONLY:  # a version in its header that SQLite only reads
        return os.access(path, os.W_OK)
    return code in _DAMAGE


def damaged(words: str) -> sqlite3.DatabaseError:
    """The error that SQLite raises for a damaged file, in our words."""
    error = sqlite3.DatabaseError(words)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def check_structure(connection: sqlite3.Connection, *, budget_s: float = CHECK_S) -> bool:
    """PRAGMA quick_check within the budget; raises DatabaseError, returns whether it got through."""
    ends = time.monotonic() + budget_s
    connection.set_progress_handler(lambda: time.monotonic() > ends, 20_000)
    try:
        words = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return False
        raise
    finally:
        connection.set_progress_handler(None, 0)
    if words != "ok":
        raise damaged(words)
    return True


def mend(outbox: Outbox) -> Mended:
    """Quarantines rows that make no sense and unrecorded ones without their file; clears the folder."""
    broken = _broken_rows(outbox)
    if broken:
        outbox.db.execute("REINDEX images")  # a flipped bit in a row is not in its index
    sizes = outbox.files.sizes()
    seqs = {row["seq"] for row, _ in broken}
    lost = [row for row in _without_file(outbox, sizes) if row["seq"] not in seqs]
    if broken or lost:  # a sound outbox opens on a full disk too: nothing is written then
        with outbox.transaction():
            for row, columns in broken:
                _quarantine_broken(outbox, row, columns, sizes)
            for row in lost:
                _lose_file(outbox, row, sizes)
            outbox.step("mended")
        outbox.step("mended_committed")
    held = {row[0] for row in outbox.db.execute("SELECT image_id FROM images WHERE bytes_held")}
    removed, strays = _sweep(outbox, sizes.keys() - held)
    return Mended(removed, strays, len(broken) + sum(row["state"] in _TO_SEND for row in lost))


def _broken_rows(outbox: Outbox) -> list[tuple[sqlite3.Row, list[str]]]:
    """Rows that no manifest can be made of, with the columns at fault; read past any index."""
    found = []
    query = f"SELECT {ROW_COLUMNS} FROM images NOT INDEXED WHERE state <> 'recorded'"
    for row in outbox.db.execute(query):
        try:
            row_from(row).item()
        except (ValueError, TypeError):  # pydantic's errors are ValueErrors
            found.append((row, [name for name in _DEFAULTS if not _makes_sense(name, row[name])]))
    return found


def _makes_sense(name: str, value: Any) -> bool:
    if name in _MAY_BE_EMPTY and not value:
        return True
    field = Manifest.model_fields[name]
    kind: Any = field.annotation
    adapter: TypeAdapter[Any] = TypeAdapter(_annotated(kind, field.metadata))
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


def _annotated(kind: Any, metadata: list[Any]) -> Any:
    from typing import Annotated

    return Annotated[(kind, *metadata)] if metadata else kind


def _quarantine_broken(
    outbox: Outbox, row: sqlite3.Row, columns: list[str], sizes: dict[str, int]
) -> None:
    values: dict[str, object] = {name: _DEFAULTS[name]() for name in columns}
    image_id = values.get("image_id", row["image_id"])
    values |= {
        "state": OutboxState.QUARANTINED,
        "outcome": None,
        "recorded_clock_s": None,
        "reason": Reason.DAMAGED_ON_DEVICE,
        "text": "Damaged on the device: its line in the outbox makes no sense"
        f" ({', '.join(columns) or 'state'}). Take the field again.",
        "score": None,
        "limit": None,
        "vanished": 0,
        "bytes_held": int(image_id in sizes),
    }
    names = ", ".join(f'"{name}" = ?' for name in values)
    outbox.db.execute(f"UPDATE images SET {names} WHERE seq = ?", (*values.values(), row["seq"]))


def _without_file(outbox: Outbox, sizes: dict[str, int]) -> list[sqlite3.Row]:
    """Rows that hold bytes whose file is gone or has another size."""
    query = "SELECT seq, image_id, size_bytes, state FROM images WHERE bytes_held"
    return [
        row for row in outbox.db.execute(query) if sizes.get(row["image_id"]) != row["size_bytes"]
    ]


def _lose_file(outbox: Outbox, row: sqlite3.Row, sizes: dict[str, int]) -> None:
    size = sizes.get(row["image_id"])
    if row["state"] in _TO_SEND:
        what = "is gone" if size is None else f"has {size} of {row['size_bytes']} bytes"
        outbox.db.execute(
            "UPDATE images SET state = ?, reason = ?, text = ? WHERE seq = ?",
            (
                OutboxState.QUARANTINED,
                Reason.DAMAGED_ON_DEVICE,
                f"Damaged on the device: the file {what}. Take the field again.",
                row["seq"],
            ),
        )
    if size is None:
        outbox.db.execute("UPDATE images SET bytes_held = 0 WHERE seq = ?", (row["seq"],))


def _sweep(outbox: Outbox, names: set[str]) -> tuple[int, int]:
    """Files that no row holds: half-written and freed ones are removed, others moved aside."""
    removed = strays = 0
    for name in sorted(names):
        known = outbox.db.execute("SELECT 1 FROM images WHERE image_id = ?", (name,)).fetchone()
        if known is not None or name.endswith(".tmp"):
            outbox.files.remove(name)
            removed += 1
        else:
            outbox.files.move_away(name, outbox.folder / STRAYS)
            strays += 1
        outbox.step("swept")
    if strays:
        _bound(outbox.folder / STRAYS)
    return removed, strays


def _bound(folder: Path) -> None:
    entries = sorted(
        (
            (entry.stat().st_mtime_ns, entry.stat().st_size, entry.path)
            for entry in os.scandir(folder)
        ),
        reverse=True,
    )
    total = 0
    for _, size, path in entries:
        total += size
        if total > STRAYS_KEPT_BYTES:
            Path(path).unlink()
    sync_folder(folder)
