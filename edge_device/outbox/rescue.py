"""A new outbox where the old one's database is damaged, only when a person asks: no image file is deleted for it.

The damaged database and the image files move to `damaged-N` beside it, files first: an agent that
starts in between refuses or finds nothing to sweep, and the command can be given again after any
death. What the old database still tells of an image (case, time, refusal) goes with it; what was
recorded stays in `damaged-N`; the rest are new captures of a new outbox. Of an image of which nothing
is known the case is `unfiled` and the gate looks again.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from edge_device.outbox import NewCapture, Outbox, OutboxError, OutboxRow, Refusal
from edge_device.outbox.audit import audit
from edge_device.outbox.image_files import sync_folder
from edge_device.outbox.integrity import DAMAGED, STRAYS, DamagedDatabaseError
from edge_device.outbox.reading import ROW_COLUMNS, row_from
from edge_device.outbox.schema import DATABASE_NAME, open_to_read
from service_runtime.boot import wall_time
from wire_protocol.json_messages import Reason
from wire_protocol.machine_io import OutboxState
from wire_protocol.manifest import ContentType

#: Tables that are taken over as far as they can be read, beside the images.
_TAKEN_OVER: Final = ("sources", "refiles")
_DATABASE_FILES: Final = tuple(f"{DATABASE_NAME}{end}" for end in ("-wal", "-shm", ""))


@dataclass(frozen=True, slots=True)
class Inspected:
    """What can be seen of bytes of which nothing is known."""

    content_type: ContentType | None
    width_px: int
    height_px: int
    refusal: Refusal | None


Inspect = Callable[[bytes], Inspected]


@dataclass(frozen=True, slots=True)
class Rescued:
    """What a rescue did."""

    #: Where the damaged database lies now; None where the database was sound.
    put_aside: Path | None
    outbox_id: str
    #: Taken in as new captures; of so many of them the old database still told the case.
    taken_in: int
    known: int
    #: Left in `put_aside`, as the old database says the records store has them.
    recorded: int


def rescue(folder: Path, inspect: Inspect, operator: str) -> Rescued:
    """Puts a damaged database aside and takes every image in `folder` in; strays too where it is sound.

    Raises OutboxError where an agent runs, or where there is no outbox.
    """
    aside = _unfinished_rescue(folder)
    if aside is None and not (folder / DATABASE_NAME).exists():
        raise OutboxError(f"{folder}: no outbox here")
    if aside is None:
        try:
            Outbox(folder).close()
        except DamagedDatabaseError:
            aside = _new_name(folder)
    if aside is not None:
        _put_aside(folder, aside)
    with closing(Outbox(folder)) as outbox:
        known = {} if aside is None else _take_over(outbox, aside)
        source = folder / STRAYS if aside is None else aside / "images"
        counts = _take_in(outbox, source, known, inspect)
        if aside is not None:
            (aside / "images").rename(aside / "images-done")
            sync_folder(aside)
        audit(outbox, "outbox_rescue", operator, detail=counts)
        return Rescued(
            put_aside=aside,
            outbox_id=outbox.outbox_id,
            taken_in=counts["taken_in"],
            known=counts["known"],
            recorded=counts["recorded"],
        )


def _unfinished_rescue(folder: Path) -> Path | None:
    found = sorted(path.parent for path in folder.glob("damaged-*/images"))
    return found[0] if found else None


def _new_name(folder: Path) -> Path:
    number = 1
    while (folder / f"damaged-{number}").exists():
        number += 1
    return folder / f"damaged-{number}"


def _put_aside(folder: Path, aside: Path) -> None:
    """Files first, then the database: see the module's first lines."""
    aside.mkdir(exist_ok=True)
    if not (aside / "images").exists():
        (folder / "images").rename(aside / "images")
    sync_folder(aside)
    sync_folder(folder)
    if not (aside / DATABASE_NAME).exists():
        for name in _DATABASE_FILES:
            if (folder / name).exists():
                (folder / name).rename(aside / name)
    sync_folder(aside)
    sync_folder(folder)


def _take_over(outbox: Outbox, aside: Path) -> dict[str, OutboxRow]:
    """Copies what can be read beside the images, and returns the rows that can be read."""
    try:
        with closing(open_to_read(aside)) as old:
            for table in _TAKEN_OVER:
                with outbox.transaction():
                    for row in _readable(old, f"SELECT * FROM {table}"):
                        marks = ", ".join("?" * len(row))
                        outbox.db.execute(
                            f"INSERT OR IGNORE INTO {table} VALUES ({marks})", tuple(row)
                        )
            return dict(_known_rows(old))
    except DAMAGED:
        return {}


def _known_rows(old: sqlite3.Connection) -> Iterator[tuple[str, OutboxRow]]:
    """From both ends, as one broken page ends each walk."""
    for order in ("ASC", "DESC"):
        query = f"SELECT {ROW_COLUMNS} FROM images NOT INDEXED ORDER BY seq {order}"
        for row in _readable(old, query):
            try:
                found = row_from(row)
                found.item()
            except (ValueError, TypeError, IndexError):
                continue
            yield found.image_id, found


def _readable(connection: sqlite3.Connection, query: str) -> Iterator[sqlite3.Row]:
    try:
        yield from connection.execute(query)
    except DAMAGED:
        return


def _take_in(
    outbox: Outbox, source: Path, known: dict[str, OutboxRow], inspect: Inspect
) -> dict[str, int]:
    counts = {"taken_in": 0, "known": 0, "recorded": 0}
    if not source.is_dir():
        return counts
    for path in sorted(source.iterdir()):
        if path.name.endswith(".tmp"):
            continue
        row = known.get(path.name)
        if row is not None and row.state is OutboxState.RECORDED:
            counts["recorded"] += 1
            continue
        content = path.read_bytes()
        if not _is_held(outbox, content):
            outbox.add([_capture(path, content, row, inspect)])
            counts["taken_in"] += 1
            counts["known"] += row is not None
        path.unlink()
    return counts


def _is_held(outbox: Outbox, content: bytes) -> bool:
    """Whether these bytes are an image of this outbox already: captured again after a death."""
    digest = hashlib.sha256(content).hexdigest()
    found = outbox.db.execute("SELECT 1 FROM images WHERE sha256 = ? AND bytes_held", (digest,))
    return found.fetchone() is not None


def _capture(path: Path, content: bytes, row: OutboxRow | None, inspect: Inspect) -> NewCapture:
    key = f"rescued:{path.name}"
    if row is None:
        seen = inspect(content)
        return NewCapture(
            source=path.name,
            source_key=key,
            content=content,
            captured_at=wall_time(datetime.fromtimestamp(path.stat().st_mtime, UTC)),
            captured_ns=0,
            boot_id="0" * 32,
            clock_synced=False,
            content_type=seen.content_type,
            width_px=seen.width_px,
            height_px=seen.height_px,
            refusal=seen.refusal,
        )
    refusal = row.refusal
    if hashlib.sha256(content).hexdigest() != row.sha256:
        refusal = Refusal(
            Reason.DAMAGED_ON_DEVICE,
            "Damaged on the device: the bytes are not those captured. Take the field again.",
        )
    return NewCapture(
        source=row.source,
        source_key=key,
        content=content,
        captured_at=row.captured_at,
        captured_ns=row.captured_ns,
        boot_id=row.boot_id,
        clock_synced=row.clock_synced,
        content_type=row.content_type,
        width_px=row.width_px,
        height_px=row.height_px,
        um_per_px=row.um_per_px,
        case_id=row.case_id,
        priority=row.priority,
        gate_override=row.gate_override,
        override_reason=row.override_reason,
        warnings=row.warnings,
        flat_field=row.flat_field,
        refusal=refusal,
    )
