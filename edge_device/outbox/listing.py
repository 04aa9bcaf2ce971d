"""The outbox's images as a table, and out of it as files; it reads only, beside a running agent too.

Exported bytes are checked against the digest of the capture. The source's name may name a patient:
it is written only where it is asked for.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from edge_device.outbox.image_files import DamagedError, ImageFiles, sync_folder
from edge_device.outbox.reading import ROW_COLUMNS, row_from
from edge_device.outbox.rows import OutboxRow
from edge_device.outbox.schema import SCHEMA_VERSION, OutboxError
from wire_protocol.machine_io import OutboxState
from wire_protocol.manifest import ContentType

_ENDINGS: Final = {
    ContentType.JPEG: ".jpg",
    ContentType.PNG: ".png",
}


@dataclass(frozen=True, slots=True)
class Listed:
    """A row and its age in running time."""

    row: OutboxRow
    age_s: float

    def as_json(self, *, with_source: bool = False) -> dict[str, Any]:
        """Everything that is known of the image, as plain values."""
        fields = asdict(self.row)
        if not with_source:
            del fields["source"]
        return {**fields, "age_s": round(self.age_s, 3)}


@dataclass(frozen=True, slots=True)
class Exported:
    """One image on its way out: its file, or why there is none."""

    image_id: str
    path: Path | None
    error: str = ""


def list_rows(
    connection: sqlite3.Connection,
    *,
    states: Collection[OutboxState] = (),
    image_ids: Collection[str] = (),
    limit: int = -1,
) -> list[Listed]:
    """Rows in the order of capture, of these states, of these ids; all where none are named."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != SCHEMA_VERSION:
        raise OutboxError(
            f"outbox version {version}, this program reads {SCHEMA_VERSION}:"
            " start the agent once, it brings the outbox up to date"
        )
    wanted: list[str] = []
    if states:
        wanted.append(f"state IN ({', '.join('?' * len(states))})")
    if image_ids:
        wanted.append(f"image_id IN ({', '.join('?' * len(image_ids))})")
    where = f" WHERE {' AND '.join(wanted)}" if wanted else ""
    found = connection.execute(
        f"SELECT {ROW_COLUMNS}, (SELECT clock_s FROM meta) AS now_s FROM images{where}"
        " ORDER BY seq LIMIT ?",
        (*states, *image_ids, limit),
    )
    return [Listed(row_from(row), row["now_s"] - row["captured_clock_s"]) for row in found]


def export(
    images: Path, listed: Iterable[Listed], folder: Path, *, with_source: bool = False
) -> list[Exported]:
    """Writes the bytes and a JSON file beside them into `folder`; a damaged image stops no other.

    `images` is the outbox's folder of files. A file that is there already is not replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = ImageFiles(images)
    done = []
    for one in listed:
        row = one.row
        try:
            done.append(Exported(row.image_id, _export(files, one, folder, with_source)))
        except (DamagedError, FileExistsError) as error:
            detail = error.detail if isinstance(error, DamagedError) else str(error)
            done.append(Exported(row.image_id, None, detail))
    sync_folder(folder)
    return done


def _export(files: ImageFiles, one: Listed, folder: Path, with_source: bool) -> Path:
    row = one.row
    if not row.bytes_held:
        raise DamagedError(row.image_id, "its bytes are not held any more")
    content = files.read(row.image_id, row.sha256)
    ending = ".bin" if row.content_type is None else _ENDINGS.get(row.content_type, ".img")
    name = f"{row.seq:06d}-{row.image_id}"
    path = folder / f"{name}{ending}"
    facts = json.dumps(one.as_json(with_source=with_source), indent=2, sort_keys=True)
    _write_new(path, content)
    _write_new(folder / f"{name}.json", f"{facts}\n".encode())
    return path


def _write_new(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
