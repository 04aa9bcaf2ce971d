"""The outbox's tables, how the database is opened, and how an older one is brought up to date; it changes no image.

`images` is gapless in seq from the oldest tombstone on. `sources` outlives the rows, as a digest of
each capture's key, so that a file that still lies in its folder is not captured a second time.
Ages are counted on the outbox's own clock (`clock_s`, time that the agent ran): a Pi has no clock
battery, and a wall clock that jumps must not free anything.

`audit` is what people did to images and cases; `cases` and `refiles` belong to `edge_device.cases`.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from edge_device.outbox.image_files import Step, no_step
from service_runtime.boot import new_id

SCHEMA_VERSION = 2
DATABASE_NAME = "outbox.sqlite"
#: Small pages: a commit writes whole pages twice (log, then checkpoint), and an image's commits touch
#: five or so each; of 1 KiB instead of 4 they nearly halve what a card bears beside the image itself
#: (benchmarks/results/outbox.md). An outbox that was made before keeps its own.
PAGE_BYTES = 1024
#: Checkpoints come every 4 MiB of log: pages that many commits touched are then written once.
CHECKPOINT_PAGES = 4000

_TABLES = """
CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    outbox_id TEXT NOT NULL,
    next_seq INTEGER NOT NULL,
    clock_s REAL NOT NULL,
    store_id TEXT NOT NULL
) STRICT;
CREATE TABLE images (
    seq INTEGER PRIMARY KEY,
    image_id TEXT NOT NULL UNIQUE,
    sha256 TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    content_type TEXT,
    width_px INTEGER NOT NULL,
    height_px INTEGER NOT NULL,
    um_per_px REAL,
    case_id TEXT NOT NULL,
    captured_at TEXT NOT NULL,
    captured_ns INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    clock_synced INTEGER NOT NULL,
    priority TEXT NOT NULL,
    gate_override INTEGER NOT NULL,
    state TEXT NOT NULL,
    vanished INTEGER NOT NULL DEFAULT 0,
    outcome TEXT,
    reason TEXT NOT NULL DEFAULT '',
    text TEXT NOT NULL DEFAULT '',
    score REAL,
    "limit" REAL,
    operator TEXT NOT NULL DEFAULT '',
    source TEXT NOT NULL,
    bytes_held INTEGER NOT NULL,
    recorded_clock_s REAL,
    override_reason TEXT NOT NULL DEFAULT '',
    warnings TEXT NOT NULL DEFAULT '',
    flat_field INTEGER NOT NULL DEFAULT 0,
    copy_of TEXT,
    sent_again_as TEXT,
    captured_clock_s REAL NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE sources (key_sha256 BLOB PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE replies (
    command_id TEXT PRIMARY KEY, payload BLOB NOT NULL, clock_s REAL NOT NULL
) STRICT, WITHOUT ROWID;
"""

#: The same for a new outbox and for one that was brought up from version 1.
_SINCE_2 = """
CREATE INDEX images_by_state ON images (state, seq);
CREATE INDEX images_to_free ON images (outcome, recorded_clock_s)
    WHERE bytes_held AND recorded_clock_s IS NOT NULL;
CREATE INDEX images_to_forget ON images (recorded_clock_s)
    WHERE NOT bytes_held AND recorded_clock_s IS NOT NULL;
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    clock_s REAL NOT NULL,
    wall TEXT NOT NULL,
    operator TEXT NOT NULL,
    action TEXT NOT NULL,
    image_id TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE TABLE cases (
    case_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    opened_wall TEXT NOT NULL,
    opened_clock_s REAL NOT NULL,
    opened_by TEXT NOT NULL,
    operator TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    opened_ns INTEGER NOT NULL,
    opened_seq INTEGER NOT NULL,
    closed_wall TEXT,
    closed_by TEXT,
    fields INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (case_id, number)
) STRICT;
CREATE TABLE refiles (
    refile_id TEXT PRIMARY KEY,
    image_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    from_case TEXT NOT NULL,
    to_case TEXT NOT NULL,
    operator TEXT NOT NULL,
    wall TEXT NOT NULL,
    store_id TEXT NOT NULL DEFAULT '',
    UNIQUE (image_id, number)
) STRICT;
"""

_FROM_1 = """
ALTER TABLE images ADD COLUMN override_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE images ADD COLUMN warnings TEXT NOT NULL DEFAULT '';
ALTER TABLE images ADD COLUMN flat_field INTEGER NOT NULL DEFAULT 0;
ALTER TABLE images ADD COLUMN copy_of TEXT;
ALTER TABLE images ADD COLUMN sent_again_as TEXT;
ALTER TABLE images ADD COLUMN captured_clock_s REAL NOT NULL DEFAULT 0;
UPDATE images SET captured_clock_s = (SELECT clock_s FROM meta);
DROP INDEX images_by_state;
DROP INDEX images_to_free;
"""


class OutboxError(Exception):
    """The outbox cannot be opened; the message says which and why."""


def open_database(folder: Path, step: Step = no_step) -> sqlite3.Connection:
    """The database in `folder`, made if it is not there; raises OutboxError for another version."""
    connection = sqlite3.connect(
        folder / DATABASE_NAME, isolation_level=None, check_same_thread=False
    )
    try:
        return _prepare(connection, folder, step)
    except BaseException:
        connection.close()
        raise


def _prepare(connection: sqlite3.Connection, folder: Path, step: Step) -> sqlite3.Connection:
    _read_rows(connection)
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")  # of a new file only
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise OutboxError(f"{folder}: this file system cannot hold a write-ahead log ({mode})")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    connection.execute("PRAGMA busy_timeout = 5000")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        first = f"INSERT INTO meta VALUES (1, '{new_id()}', 1, 0.0, '')"
        _run(connection, f"{_TABLES}{_SINCE_2}{first}", step)
    elif version == 1:
        _run(connection, f"{_FROM_1}{_SINCE_2}", step)
    elif version != SCHEMA_VERSION:
        raise OutboxError(
            f"{folder}: outbox version {version}, this program knows {SCHEMA_VERSION}"
        )
    return connection


def open_to_read(folder: Path) -> sqlite3.Connection:
    """The database of a living or dead agent, to look only."""
    path = folder / DATABASE_NAME
    if not path.is_file():
        raise OutboxError(f"{folder}: no outbox here")
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False
    )
    _read_rows(connection)
    return connection


def _read_rows(connection: sqlite3.Connection) -> None:
    """Rows by name; text that is none any more is read as nonsense, which is noticed, not as an error."""
    connection.row_factory = sqlite3.Row
    connection.text_factory = _text


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _run(connection: sqlite3.Connection, statements: str, step: Step) -> None:
    """All statements and the version in one transaction: a crash leaves none of it."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in statements.split(";"):
        if statement.strip():
            connection.execute(statement)
            step("schema_statement")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    step("schema_version")
    connection.execute("COMMIT")
    step("schema_committed")
