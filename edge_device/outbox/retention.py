"""Letting go of what the records store has: bytes after a day, refused ones after 14, tombstones after 90.

Nothing unrecorded is ever freed here. Rows change first and files go after the commit: a crash between
leaves a file that no row holds, which the next opening removes. With the bytes goes the source's name.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from edge_device.outbox.outbox import Outbox

RECORDED_KEPT_S = 24 * 3600.0
#: What the gate or a worker refused stays longer: a person may look at it, or send it anyway.
REJECTED_KEPT_S = 14 * 24 * 3600.0
TOMBSTONE_KEPT_S = 90 * 24 * 3600.0
#: Rows freed in one transaction.
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Freed:
    """What one housekeeping let go of."""

    images: int
    size_bytes: int
    tombstones: int


def keep_house(
    outbox: Outbox, *, elapsed_s: float, min_free_bytes: int, max_held_bytes: int
) -> Freed:
    """Advances the outbox's clock by `elapsed_s` of running time and frees what has aged.

    Recorded bytes go early, oldest first and refused ones among them, while the disk has less than
    `min_free_bytes` free or the outbox holds more than `max_held_bytes`.
    """
    with outbox.transaction():
        outbox.db.execute("UPDATE meta SET clock_s = clock_s + ?", (elapsed_s,))
    images = size_bytes = 0
    while True:
        count, size = _free_recorded(outbox, _AGED, (RECORDED_KEPT_S, REJECTED_KEPT_S))
        images, size_bytes = images + count, size_bytes + size
        if count < _BATCH:
            break
    while True:
        held = outbox.totals()
        wanted = max(
            held.recorded_bytes + held.unrecorded_bytes - max_held_bytes,
            min_free_bytes - shutil.disk_usage(outbox.folder).free,
        )
        if wanted <= 0 or held.recorded_bytes == 0:
            break
        count, size = _free_recorded(outbox, _ANY, (), enough_bytes=wanted)
        images, size_bytes = images + count, size_bytes + size
    return Freed(images, size_bytes, _forget_tombstones(outbox))


#: The index `images_to_free` answers each by itself.
_FREEABLE = "SELECT image_id, size_bytes, recorded_clock_s, seq FROM images WHERE bytes_held"
_AGED = (
    f"{_FREEABLE} AND outcome = 'diagnosed'"
    " AND recorded_clock_s <= (SELECT clock_s FROM meta) - ?"
    f" UNION ALL {_FREEABLE} AND outcome <> 'diagnosed'"
    " AND recorded_clock_s <= (SELECT clock_s FROM meta) - ?"
)
_ANY = f"{_FREEABLE} AND recorded_clock_s IS NOT NULL"


def _free_recorded(
    outbox: Outbox, query: str, values: tuple[float, ...], *, enough_bytes: int | None = None
) -> tuple[int, int]:
    """Frees the oldest recorded bytes, at most one batch; returns how many images and bytes."""
    chosen: list[str] = []
    size_bytes = 0
    with outbox.transaction():
        for row in outbox.db.execute(
            f"{query} ORDER BY recorded_clock_s, seq LIMIT {_BATCH}", values
        ).fetchall():
            if enough_bytes is not None and size_bytes >= enough_bytes:
                break
            chosen.append(row["image_id"])
            size_bytes += row["size_bytes"]
        outbox.db.executemany(
            "UPDATE images SET bytes_held = 0, source = '' WHERE image_id = ?",
            [(image_id,) for image_id in chosen],
        )
        outbox.step("freed_updated")
    outbox.step("freed_committed")
    for image_id in chosen:
        outbox.files.remove(image_id)
        outbox.step("file_removed")
    return len(chosen), size_bytes


def _forget_tombstones(outbox: Outbox) -> int:
    with outbox.transaction():
        cursor = outbox.db.execute(
            "DELETE FROM images WHERE NOT bytes_held"
            " AND recorded_clock_s <= (SELECT clock_s FROM meta) - ?",
            (TOMBSTONE_KEPT_S,),
        )
        outbox.step("tombstones_deleted")
    return cursor.rowcount
