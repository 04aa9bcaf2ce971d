"""What the outbox costs with 10,000 waiting images against an empty one, and bytes written per image byte.

    python -m benchmarks.outbox --folder DIR --out benchmarks/results/outbox.md

DIR is on the disk to be measured (not tmpfs). CPU is the thread's own time, of a run in which fsync
does nothing; wall times are medians of the same run and of one with every fsync. (Over 250 lines:
each operation is measured beside the others, in one order.)
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from edge_device.outbox import NewCapture, Outbox, Refusal, desk
from edge_device.outbox.retention import keep_house
from wire_protocol import machine_io as io
from wire_protocol import messages as m
from wire_protocol.codec import decode
from wire_protocol.json_messages import Reason
from wire_protocol.machine_io import OutboxState, Persist
from wire_protocol.manifest import ContentType, OverrideReason, Priority
from wire_protocol.messages import Outcome
from wire_protocol.sender import Sender
from wire_protocol.topics import Kind, Topics
from wire_protocol.words import RESEARCH_USE_ONLY

WAITING = 10_000
REPEATS = 200
#: Calls before the first that counts: caches and allocators, the same for either outbox.
WARM_UP = 50
#: Of the added image in the operations' table, and of each size in the table of bytes written.
ADDED_BYTES = 100_000
SIZES = (20_000, 100_000, 850_000)
IMAGES = 2_000
STATES = (OutboxState.SENDING, OutboxState.STORED, OutboxState.RECORDED)
_names = count()


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians in ms."""

    cpu: float
    wall: float
    wall_with_fsync: float


def capture(content: bytes, **changes: object) -> NewCapture:
    """A capture that no other is like."""
    name = f"frame-{next(_names)}"
    fields: dict[str, object] = {
        "source": name,
        "source_key": name,
        "content": content,
        "captured_at": "2026-01-01T00:00:00.000Z",
        "captured_ns": 1,
        "boot_id": "0" * 32,
        "clock_synced": True,
        "content_type": ContentType.JPEG,
        "width_px": 1440,
        "height_px": 900,
    }
    return NewCapture(**(fields | changes))  # type: ignore[arg-type]  # names are NewCapture's own


def _no_fsync(fd: object) -> None:
    """In place of os.fsync."""


@contextmanager
def fsync_as(real: bool) -> Iterator[None]:
    """Every fsync of this process does its work, or nothing."""
    fsync = os.fsync
    try:
        if not real:
            os.fsync = _no_fsync
        yield
    finally:
        os.fsync = fsync


def fill(folder: Path, waiting: int) -> None:
    """Small files: how many there are matters, not their size."""
    with fsync_as(real=False):
        outbox = Outbox(folder)
        outbox.db.execute("PRAGMA synchronous = OFF")
        for first in range(0, waiting, 500):
            outbox.add([capture(os.urandom(200)) for _ in range(min(500, waiting - first))])
        outbox.close()


def operations(outbox: Outbox) -> dict[str, Callable[[], object]]:
    """What an agent does for one image, by name; each call does it once."""
    content = os.urandom(ADDED_BYTES)
    rows = [
        row for row in outbox.add([capture(os.urandom(200)) for _ in range(600)]) if row is not None
    ]
    refused = outbox.add(
        [capture(os.urandom(200), refusal=Refusal(Reason.FOCUS, "Blurred.")) for _ in range(600)]
    )
    ids = iter([row.image_id for row in rows])
    gone = iter([row.image_id for row in refused if row is not None])
    next_offer = offers(outbox)
    return {
        f"add (an image of {ADDED_BYTES // 1000} KB)": lambda: outbox.add([capture(content)]),
        "apply (one state change)": lambda: outbox.apply([Persist(next(ids), OutboxState.STORED)]),
        "row": lambda: outbox.row(rows[0].image_id),
        "totals, for health": outbox.totals,
        "housekeeping with nothing to free": lambda: keep_house(
            outbox, elapsed_s=1.0, min_free_bytes=0, max_held_bytes=10**12
        ),
        "next to send (sender: claimed, stored, next offer)": lambda: next(next_offer),
        "retry": lambda: desk.retry(outbox, [rows[-1].image_id], "bench"),
        "send anyway": lambda: desk.send_anyway(outbox, next(gone), "bench", OverrideReason.URGENT),
        "drop the oldest routine": lambda: desk.drop_oldest(
            outbox, "bench", images=1, size_bytes=0
        ),
    }


def offers(outbox: Outbox) -> Iterator[str]:
    """A sender that holds the whole outbox: each step ends one transfer and begins the next."""
    topics = Topics("hemowire/v1")
    numbers = count(1)
    sender = Sender(
        site="lab",
        device="bench",
        outbox_id=outbox.outbox_id,
        topics=topics,
        random64=lambda: next(numbers),
    )
    for row in outbox.unfinished():
        if row.state is OutboxState.WAITING:
            sender.handle(io.Queued(large(row.item())), 0.0)
    extra = capture(b"x" * 200)
    outbox.add([extra])
    effects = sender.handle(io.Connected(io.LinkLimits(1_000_000, 100)), 0.0)
    topic = topics.build(Kind.OFFER, site="lab", device="bench")
    found: list[m.Offer] = []
    now = 0.0
    while True:
        for effect in effects:
            if isinstance(effect, io.Publish) and effect.topic == topic:
                offer = decode(effect.payload)
                assert isinstance(offer, m.Offer)
                found.append(offer)
        offer = found.pop(0)
        now += 0.001
        claim = m.Claim(
            attempt=offer.attempt,
            worker="w",
            lease_s=30.0,
            limit=0,
            max_chunk=65_536,
            have=(),
        )
        effects = sender.handle(io.FromWorker(claim), now)
        manifest = offer.manifest
        stored = m.Stored(image_id=manifest.image_id, sha256=manifest.sha256, attempt=offer.attempt)
        effects += sender.handle(io.FromWorker(stored), now)
        yield manifest.image_id


def large(item: io.OutboxItem) -> io.OutboxItem:
    """As if its image were too large to ride in the offer."""
    return io.OutboxItem(item.manifest.model_copy(update={"size_bytes": 500_000}))


def measure(outbox: Outbox, *, repeats: int) -> dict[str, tuple[float, float]]:
    """Median CPU and wall of each operation, in ms."""
    found = {}
    for name, operate in operations(outbox).items():
        cpus, walls = [], []
        for _ in range(WARM_UP):
            operate()
        for _ in range(repeats):
            cpu, wall = time.thread_time(), time.perf_counter()
            operate()
            cpus.append(time.thread_time() - cpu)
            walls.append(time.perf_counter() - wall)
        found[name] = (statistics.median(cpus) * 1e3, statistics.median(walls) * 1e3)
    return found


def costs(folder: Path, waiting: int, *, repeats: int) -> dict[str, Cost]:
    """Of an outbox with so many waiting images, without and with fsync."""
    runs = []
    for real in (False, True):
        place = folder / f"{waiting}-{real}"
        fill(place, waiting)
        with fsync_as(real=real):
            outbox = Outbox(place)
            if not real:
                outbox.db.execute("PRAGMA synchronous = OFF")
            runs.append(measure(outbox, repeats=repeats))
            outbox.close()
    without, with_fsync = runs
    return {name: Cost(without[name][0], without[name][1], with_fsync[name][1]) for name in without}


def whole_table(folder: Path, waiting: int) -> dict[str, float]:
    """CPU ms of what reads every row: at start, and when a person lists."""
    fill(folder, waiting)
    found = {}
    with fsync_as(real=False):
        cpu = time.thread_time()
        outbox = Outbox(folder)
        found["opening with all its checks"] = time.thread_time() - cpu
        for name, read in (
            ("unfinished, at start", outbox.unfinished),
            ("list", lambda: desk.list_rows(outbox.db)),
        ):
            cpu = time.thread_time()
            read()
            found[name] = time.thread_time() - cpu
        outbox.close()
    return {name: seconds * 1e3 for name, seconds in found.items()}


def written_bytes() -> int:
    """What this process had the kernel write to disks so far (pages made dirty, less none)."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])


def written(
    folder: Path, size: int, images: int, commits: tuple[tuple[OutboxState, ...], ...]
) -> float:
    """Bytes written per image byte over the whole life of so many images, freed as they age."""
    place = folder / f"written-{size}-{len(commits)}"
    outbox = Outbox(place)
    content = os.urandom(size - 8)
    before = written_bytes()
    for n in range(images):
        (row,) = outbox.add([capture(content + n.to_bytes(8, "big"))])
        assert row is not None
        for states in commits:
            outbox.apply([change(row.image_id, state) for state in states])
        if n % 100 == 99:
            keep_house(outbox, elapsed_s=60.0, min_free_bytes=0, max_held_bytes=300 * size)
    outbox.close()
    total = written_bytes() - before
    shutil.rmtree(place)
    return total / (images * size)


def change(image_id: str, state: OutboxState) -> Persist:
    """The change as the sender orders it."""
    outcome = Outcome.DIAGNOSED if state is OutboxState.RECORDED else None
    return Persist(image_id, state, outcome=outcome)


def stat_position(outbox: Outbox) -> int:
    """How many offers go out before a stat image that was captured behind everything else."""
    (row,) = outbox.add([capture(os.urandom(200), priority=Priority.STAT)])
    assert row is not None
    for position, image_id in enumerate(offers(outbox)):
        if image_id == row.image_id:
            return position
    raise AssertionError


def report(folder: Path, arguments: list[str], images: int, repeats: int) -> str:
    """The page."""
    empty, full = (costs(folder, n, repeats=repeats) for n in (0, WAITING))
    tables = {n: whole_table(folder / f"whole-{n}", n) for n in (0, WAITING)}
    each = tuple((state,) for state in STATES)
    agent = ((OutboxState.SENDING, OutboxState.STORED), (OutboxState.RECORDED,))
    rows = [
        (size, written(folder, size, images, each), written(folder, size, images, agent))
        for size in SIZES
    ]
    fill(folder / "stat", 50)
    outbox = Outbox(folder / "stat")
    position = stat_position(outbox)
    outbox.close()
    revision = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    lines = [
        "# The outbox: cost per operation, bytes written",
        "",
        f"    python -m benchmarks.outbox {' '.join(arguments)}",
        "",
        f"At {revision}, on {platform.machine()} with {os.cpu_count()} cores shared with other work,"
        f" Python {platform.python_version()}. {RESEARCH_USE_ONLY}",
        "",
        f"## One operation, with {WAITING:,} waiting images and with none",
        "",
        f"Medians of {repeats} after {WARM_UP} that do not count, in ms. CPU and wall are of a run"
        " in which fsync does nothing; the last columns are the wall time with every fsync, on this machine's disk.",
        "",
        "| operation | CPU, empty | CPU, 10,000 | wall, empty | wall, 10,000 | with fsync, empty"
        " | with fsync, 10,000 |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, cost in full.items():
        base = empty[name]
        figures = (
            base.cpu,
            cost.cpu,
            base.wall,
            cost.wall,
            base.wall_with_fsync,
            cost.wall_with_fsync,
        )
        lines.append(f"| {name} | " + " | ".join(f"{value:.3f}" for value in figures) + " |")
    lines += [
        "",
        "What reads every row, once at start or when a person asks (CPU, ms):",
        "",
        "| | empty | 10,000 waiting |",
        "|---|---|---|",
    ]
    for name, value in tables[WAITING].items():
        lines.append(f"| {name} | {tables[0][name]:.1f} | {value:.1f} |")
    lines += [
        "",
        f"A stat image captured behind 50 routine ones is offered after {position} of them (those"
        " whose offers are out already).",
        "",
        f"## Bytes written to disk per image byte, {images:,} images each",
        "",
        "The whole life: capture, sending, stored, recorded, freed. `write_bytes` of"
        " /proc/self/io: every page cache page made dirty, so a commit of 1 KiB counts as 4; the"
        " file system's own journal is not in it. `each` commits every state by itself; `agent` as"
        " an agent does that sends one image after another: `sending` rides with `stored`.",
        "",
        "| image | bytes written per image byte, each | agent | beside the image, agent |",
        "|---|---|---|---|",
    ]
    for size, ratio, ratio_agent in rows:
        beside = (ratio_agent - 1) * size / 1000
        lines.append(
            f"| {size // 1000} KB | {ratio:.2f} | {ratio_agent:.2f} | {beside:.0f} KB an image |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=None, help="on the disk to be measured")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    args = parser.parse_args()
    shown = ["DIR" if part == str(args.folder) else part for part in sys.argv[1:]]
    folder = Path(tempfile.mkdtemp(dir=args.folder))
    try:
        text = report(folder, shown, args.images, args.repeats)
    finally:
        shutil.rmtree(folder)
    print(text)
    if args.out is not None:
        args.out.write_text(text)


if __name__ == "__main__":
    main()
