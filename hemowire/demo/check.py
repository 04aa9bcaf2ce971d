"""Counts what became of every captured image, from the durable parties' own files; it never asks the running programs.

The camera's source list says what should be there, the outboxes what was captured, the archive
which bytes are safe, the records store which outcome each image has. Nothing of the demo's screen
or of its MQTT messages enters here.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dashboard.outcomes import OutcomeRow, read_outcomes
from edge_device.outbox.reading import read_snapshot
from edge_device.outbox.rows import Snapshot
from wire_protocol.archive_layout import blob_key
from wire_protocol.messages import Outcome


@dataclass(frozen=True, slots=True)
class DeviceFiles:
    """One microscope's share: its outbox folder, and what its camera was to capture.

    Files by name, or the number of simulated fields; None where the camera was stopped before it
    had taken all of them, so that only what it did capture can be counted.
    """

    device: str
    outbox: Path
    sources: Sequence[str] | None
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class CheckedImage:
    """A recorded image with the file or slide that it came from."""

    source: str
    outcome: OutcomeRow


@dataclass(frozen=True, slots=True)
class Verdict:
    """The counts, and in words what is wrong."""

    captured: int
    recorded: int
    rejected: int
    dropped: int
    held: int
    lost: int
    duplicates: int
    problems: tuple[str, ...]
    images: tuple[CheckedImage, ...]

    @property
    def is_clean(self) -> bool:
        """Every captured image ended as recorded or rejected, exactly once."""
        settled = self.recorded + self.rejected == self.captured
        return settled and self.lost == 0 and self.duplicates == 0 and not self.problems


def check(devices: Sequence[DeviceFiles], archive: Path, records_url: str) -> Verdict:
    """Reads all files and counts; an unreadable one raises its own error."""
    snapshots = {item.device: read_snapshot(item.outbox) for item in devices}
    return compare(devices, snapshots, read_outcomes(records_url), archive)


def compare(
    devices: Sequence[DeviceFiles],
    snapshots: Mapping[str, Snapshot],
    outcomes: Sequence[OutcomeRow],
    archive: Path,
) -> Verdict:
    """The verdict over what was read; only blobs are still looked at on disk."""
    problems: list[str] = []
    images: list[CheckedImage] = []
    counts: Counter[str] = Counter()
    by_place: dict[tuple[str, str], list[OutcomeRow]] = {}
    for outcome in outcomes:
        by_place.setdefault((outcome.device, outcome.image_id), []).append(outcome)
    for device in devices:
        snapshot = snapshots[device.device]
        _check_sources(device, snapshot, counts, problems)
        _check_seqs(device, snapshot, outcomes, counts, problems)
        for row in snapshot.rows:
            counts["captured"] += 1
            found = by_place.pop((device.device, row.image_id), [])
            if not found:
                place = "held" if row.bytes_held else "lost"
                counts[place] += 1
                problems.append(
                    f"{device.device} image {row.image_id[-6:]} (seq {row.seq}, {row.state}) has "
                    f"no record; its bytes are {'in the outbox' if row.bytes_held else 'gone'}"
                )
                continue
            counts["duplicates"] += len(found) - 1
            outcome = found[0]
            counts[outcome.outcome] += 1
            images.append(CheckedImage(row.source, outcome))
            if outcome.sha256 != row.sha256:
                counts["lost"] += 1
                problems.append(f"{device.device} image {row.image_id[-6:]}: recorded other bytes")
            elif outcome.outcome == Outcome.DIAGNOSED and not _blob_is_whole(archive, row.sha256):
                counts["lost"] += 1
                problems.append(
                    f"{device.device} image {row.image_id[-6:]}: archive lacks its bytes"
                )
    for (name, image_id), rows in by_place.items():
        counts["duplicates"] += len(rows)
        problems.append(f"{name} image {image_id[-6:]} is recorded but was never captured")
    return Verdict(
        captured=counts["captured"],
        recorded=counts[Outcome.DIAGNOSED],
        rejected=counts[Outcome.REJECTED],
        dropped=counts[Outcome.DROPPED],
        held=counts["held"],
        lost=counts["lost"],
        duplicates=counts["duplicates"],
        problems=tuple(problems),
        images=tuple(images),
    )


def _check_sources(
    device: DeviceFiles, snapshot: Snapshot, counts: Counter[str], problems: list[str]
) -> None:
    """Every source of the list is in the outbox exactly once."""
    captured = Counter(row.source for row in snapshot.rows)
    for source, times in captured.items():
        if times > 1:
            counts["duplicates"] += times - 1
            problems.append(f"{device.device} captured {source} {times} times")
    short = (device.expected or 0) - len(snapshot.rows)
    if short > 0:
        counts["captured"] += short
        counts["lost"] += short
        problems.append(f"{device.device} captured {len(snapshot.rows)} of {device.expected}")
    if device.sources is None:
        return
    for source in device.sources:
        if source not in captured:
            counts["captured"] += 1
            counts["lost"] += 1
            problems.append(f"{device.device} never captured {source}")


def _check_seqs(
    device: DeviceFiles,
    snapshot: Snapshot,
    outcomes: Sequence[OutcomeRow],
    counts: Counter[str],
    problems: list[str],
) -> None:
    """Seqs 1 to next_seq - 1 are all there, and no two records share one."""
    gaps = set(range(1, snapshot.next_seq)) - {row.seq for row in snapshot.rows}
    if gaps:
        counts["captured"] += len(gaps)
        counts["lost"] += len(gaps)
        problems.append(f"{device.device} lacks seqs {sorted(gaps)[:10]}")
    used = Counter(o.seq for o in outcomes if o.outbox_id == snapshot.outbox_id)
    for seq, times in used.items():
        if times > 1:
            counts["duplicates"] += times - 1
            problems.append(f"{device.device} seq {seq} is recorded {times} times")


def _blob_is_whole(archive: Path, sha256: str) -> bool:
    blob = archive / blob_key(sha256)
    return blob.is_file() and hashlib.sha256(blob.read_bytes()).hexdigest() == sha256
