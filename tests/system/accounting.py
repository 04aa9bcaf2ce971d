"""Counts a run's images from the files alone: plain SQL and sha256, nothing of the programs that wrote them.

It is kept apart from `hemowire.demo.check` on purpose: what says that nothing was lost must not be
the code that could have lost it.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Account:
    """What the files say of one run."""

    sources: int
    captured: int
    diagnosed: int
    rejected: int
    lost: list[str]
    duplicates: list[str]
    results: Counter[str]
    reasons: Counter[str]


def rows(path: Path, query: str) -> list[sqlite3.Row]:
    """The rows of `query` in the SQLite file at `path`."""
    assert path.is_file(), f"{path} is not there"
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        connection.row_factory = sqlite3.Row
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def account(sources: list[str], outboxes: list[Path], archive: Path, records: Path) -> Account:
    """Compares the camera's source list with the outboxes, the archive and the records store."""
    captured: dict[str, sqlite3.Row] = {}
    by_source: Counter[str] = Counter()
    lost: list[str] = []
    duplicates: list[str] = []
    for outbox in outboxes:
        found = rows(outbox / "outbox.sqlite", "SELECT * FROM images ORDER BY seq")
        if [row["seq"] for row in found] != list(range(1, len(found) + 1)):
            lost.append(f"{outbox}: seqs are not 1..{len(found)}")
        for row in found:
            captured[row["image_id"]] = row
            by_source[row["source"]] += 1
    for source in sources:
        if not by_source[source]:
            lost.append(f"{source} was never captured")
    duplicates += [f"{name} was captured {n} times" for name, n in by_source.items() if n > 1]
    recorded = rows(
        records,
        "SELECT image.*, diagnosis.result, diagnosis.reason FROM image"
        " JOIN diagnosis ON diagnosis.id = image.shown_id",
    )
    outcomes: Counter[str] = Counter()
    times = Counter(row["image_id"] for row in recorded)
    duplicates += [f"{image_id} is recorded {n} times" for image_id, n in times.items() if n > 1]
    for row in recorded:
        outcomes[row["outcome"]] += 1
        origin = captured.get(row["image_id"])
        if origin is None:
            duplicates.append(f"{row['image_id']} is recorded but was never captured")
            continue
        if origin["sha256"] != row["sha256"]:
            lost.append(f"{row['image_id']}: recorded with other bytes")
        if row["outcome"] == "diagnosed":
            digest = row["sha256"]
            blob = archive / "blobs" / "sha256" / digest[:2] / digest
            if not blob.is_file() or hashlib.sha256(blob.read_bytes()).hexdigest() != digest:
                lost.append(f"{row['image_id']}: the archive does not have its bytes")
    lost += [f"{image_id} has no outcome" for image_id in captured if image_id not in times]
    return Account(
        sources=len(sources),
        captured=len(captured),
        diagnosed=outcomes["diagnosed"],
        rejected=outcomes["rejected"],
        lost=lost,
        duplicates=duplicates,
        results=Counter(row["result"] for row in recorded),
        reasons=Counter(row["reason"] for row in recorded),
    )
