"""Reads what is durable with SQL and sha256 alone, and what the operator sees with his own commands; judges nothing.

Nothing here is the code that wrote it: what says that nothing was lost must not be what could have
lost it.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hemowire.chaos.history import (
    ArchiveRead,
    AsideImage,
    Blob,
    Finding,
    ListedImage,
    OperatorRead,
    OutboxImage,
    OutboxRead,
    RecordedImage,
    RecordsRead,
)

_COMMAND_S = 120.0
_WORDS_OF_RECONCILE = 2000


@contextmanager
def _reading(file: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=5)
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("BEGIN")
        yield connection
    finally:
        connection.close()


def read_outbox(device: str, folder: Path) -> OutboxRead:
    """The outbox in `folder`; raises sqlite3.Error where there is none."""
    with _reading(folder / "outbox.sqlite") as connection:
        outbox_id, next_seq = connection.execute("SELECT outbox_id, next_seq FROM meta").fetchone()
        rows = connection.execute("SELECT * FROM images ORDER BY seq").fetchall()
    images = tuple(
        OutboxImage(
            image_id=row["image_id"],
            seq=row["seq"],
            sha256=row["sha256"],
            state=row["state"],
            source=Path(row["source"]).name,
            bytes_held=bool(row["bytes_held"]),
        )
        for row in rows
    )
    return OutboxRead(device=device, outbox_id=outbox_id, next_seq=next_seq, images=images)


def read_records(database: Path) -> RecordsRead:
    """Every image row of the records store; raises sqlite3.Error where there is none."""
    query = (
        "SELECT image.*, (SELECT count(*) FROM diagnosis"
        " WHERE diagnosis.image_id = image.image_id) AS reports FROM image ORDER BY id"
    )
    aside = "SELECT * FROM set_aside WHERE verdict LIKE 'conflict_%' ORDER BY id"
    with _reading(database) as connection:
        rows = connection.execute(query).fetchall()
        conflicts = connection.execute(aside).fetchall()
    names = ("device", "image_id", "outbox_id", "seq", "sha256")
    return RecordsRead(
        images=tuple(
            RecordedImage(**{name: row[name] for name in (*names, "outcome", "reports")})
            for row in rows
        ),
        set_aside=tuple(AsideImage(**{name: row[name] for name in names}) for row in conflicts),
    )


def is_told(database: Path, outboxes: Sequence[tuple[str, Path]]) -> bool:
    """Whether the records store has the last word of every one of these outboxes."""
    try:
        with _reading(database) as connection:
            rows = connection.execute(
                "SELECT outbox_id, next_seq, oldest_unrecorded_seq FROM outbox"
            )
            said = {outbox_id: (seq, oldest) for outbox_id, seq, oldest in rows}
        for device, folder in outboxes:
            outbox = read_outbox(device, folder)
            owed = [image.seq for image in outbox.images if image.state != "recorded"]
            if said.get(outbox.outbox_id) != (outbox.next_seq, min(owed, default=None)):
                return False
    except sqlite3.Error:
        return False
    return True


def is_done(device: str, outbox: Path, camera_folder: Path, database: Path) -> bool:
    """Whether all files of the camera are recorded to the outbox's knowledge and to the store's.

    A device that says that it owes nothing is not enough: the store may have come back from a backup
    a moment ago. So people are told to flash where `hemowire records reconcile` is clean.
    """
    try:
        images = read_outbox(device, outbox).images
        known = {image.image_id for image in read_records(database).images}
    except sqlite3.Error:
        return False
    if not known >= {image.image_id for image in images}:
        return False
    recorded = {image.source for image in images if image.state == "recorded"}
    files = {file.name for file in camera_folder.iterdir()}
    is_owed = any(image.state != "recorded" for image in images)
    return not is_owed and files <= recorded and is_told(database, [(device, outbox)])


def read_archive(folder: Path) -> ArchiveRead:
    """Every blob with the digest of its bytes."""
    files = sorted(
        file
        for file in (folder / "blobs" / "sha256").glob("*/*")
        if file.is_file() and not file.name.startswith(".")
    )
    return ArchiveRead(
        blobs=tuple(
            Blob(name=file.name, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
            for file in files
        )
    )


def read_as_operator(records_config: Path) -> OperatorRead:
    """What `hemowire records list` and `reconcile` say; raises CalledProcessError by name."""
    command = [sys.executable, "-m", "hemowire", "records"]
    config = ["--config", str(records_config)]
    listing = subprocess.run(
        [*command, "list", "--json", *config],
        capture_output=True,
        text=True,
        check=True,
        timeout=_COMMAND_S,
    )
    reconciling = subprocess.run(
        [*command, "reconcile", "--json", *config],
        capture_output=True,
        text=True,
        check=False,
        timeout=_COMMAND_S,
    )
    names = ("device", "image_id", "outcome", "reason", "text")
    findings: tuple[Finding, ...] = ()
    said = reconciling.stderr.strip()
    if reconciling.returncode in (0, 1):
        found = json.loads(reconciling.stdout)
        findings = tuple(_findings(found))
        said = "; ".join(f"{f.what} {f.outbox_id[:8]} {f.image_id[-6:]}".strip() for f in findings)
    return OperatorRead(
        images=tuple(
            ListedImage(**{name: image[name] for name in names})
            for image in json.loads(listing.stdout)["images"]
        ),
        reconcile_code=reconciling.returncode,
        reconcile_text="" if reconciling.returncode == 0 else said[:_WORDS_OF_RECONCILE],
        findings=findings,
    )


def _findings(reconciled: dict[str, Any]) -> Iterator[Finding]:
    """Everything in its JSON that is not clean."""
    for account in reconciled["outboxes"]:
        if not account["clean"]:
            wrong = ("gaps", "unaccounted", "went_back", "copied_to", "is_silent")
            said = ", ".join(f"{name} {account[name]}" for name in wrong if account.get(name))
            yield Finding(
                what=f"outbox of {account['device']}: {said}", outbox_id=account["outbox_id"]
            )
    for name in ("conflicts", "unrecorded", "records_without_blob"):
        for image in reconciled[name]:
            yield Finding(
                what=f"{name}: {image['device']} seq {image['seq']}",
                outbox_id=image["outbox_id"],
                image_id=image["image_id"],
            )
