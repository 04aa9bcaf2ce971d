"""What an agent costs a small machine: start-up, memory, idle CPU, bytes written; against bare imports.

    python -m benchmarks.edge_footprint --out benchmarks/results/edge_footprint.md

Runs the real programs (broker, records store, worker, agent) on this machine, one agent at a time.
Without `--images DIR` the fields are simulated.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.edge_house import Agent, agent, house
from benchmarks.process_facts import ProcessFacts
from edge_device.outbox import read_snapshot
from hemowire.demo.toml_text import Value
from wire_protocol.machine_io import OutboxState
from wire_protocol.words import RESEARCH_USE_ONLY

#: The interpreter with the two libraries that no agent can do without: the baseline of every memory figure.
_BARE = "import numpy, cv2; print(next(l.split()[1] for l in open('/proc/self/status') if l.startswith('VmRSS')))"


def recorded(data_dir: Path) -> tuple[int, int]:
    """How many images of this outbox are recorded, and their bytes."""
    rows = read_snapshot(data_dir / "outbox").rows
    done = [row for row in rows if row.state is OutboxState.RECORDED]
    return len(done), sum(row.size_bytes for row in done)


async def until_recorded(running: Agent, count: int, marks: list[int]) -> list[tuple[int, float]]:
    """Waits until `count` images are recorded; the memory (MB) when each of `marks` was reached."""
    seen: list[tuple[int, float]] = []
    while True:
        done, _size = recorded(running.data_dir)
        while marks and done >= marks[0]:
            seen.append((marks.pop(0), running.facts().rss_mb))
            print(f"  {seen[-1][0]} images: {seen[-1][1]:.0f} MB", file=sys.stderr, flush=True)
        if done >= count:
            return seen
        if running.process.poll() is not None:
            raise SystemExit(f"the agent ended with {running.process.returncode}")
        await asyncio.sleep(0.5)


def bare_mb() -> float:
    """MB of a Python that imports numpy and OpenCV and nothing else."""
    out = subprocess.run([sys.executable, "-c", _BARE], capture_output=True, check=True).stdout
    return int(out) / 1024


def render(folder: Path, count: int, width_px: int, height_px: int) -> Path:
    """Simulated fields as JPEG files."""
    from edge_device.simulator import draw_slide, encode_field, render_field

    folder.mkdir(parents=True)
    for n in range(count):
        scaled = render_field(draw_slide(n), "ALL", n, width_px=width_px, height_px=height_px)
        (folder / f"field-{n:03d}.jpg").write_bytes(encode_field(scaled, 90))
    return folder


def loop(images: Path, count: int) -> dict[str, Value]:
    """A folder camera that goes round until `count` images."""
    return {"kind": "folder", "folder": images, "mode": "loop", "count": count, "settle_s": 0}


@dataclass(frozen=True, slots=True)
class Figures:
    """Memory in MB, times in seconds."""

    bare_mb: float
    starts_s: list[float]
    idle: ProcessFacts
    idle_percent: float
    idle_written_bytes: int
    #: Images recorded so far, and the memory then.
    memory: list[tuple[int, float]]
    end: ProcessFacts
    image_bytes: int
    large: ProcessFacts


def measure(args: argparse.Namespace) -> Figures:
    """All of it, one agent after the other."""
    bare = bare_mb()
    with house() as built:
        images = args.images or render(built.folder / "fields", 12, 1440, 900)
        empty = built.folder / "empty"
        empty.mkdir()
        watched: dict[str, Value] = {"kind": "folder", "folder": empty, "mode": "watch"}
        starts = []
        for n in range(args.starts):
            with agent(built, f"start-{n}", watched) as one:
                starts.append(one.ready_after_s)
        with agent(built, "idle", watched) as one:
            time.sleep(5)
            before = one.facts()
            time.sleep(args.idle_s)
            idle = one.facts()
        steps = [n for n in (50, 100, 250, 500, 1000, 1500, 2000) if n <= args.count]
        with agent(built, "many", loop(images, args.count)) as one:
            memory = asyncio.run(until_recorded(one, args.count, steps))
            end, (_, size) = one.facts(), recorded(one.data_dir)
        pictures = render(built.folder / "large", 2, 4056, 3040)
        with agent(built, "large", loop(pictures, args.large), um_per_px=0.2) as one:
            asyncio.run(until_recorded(one, args.large, []))
            large = one.facts()
    return Figures(
        bare_mb=bare,
        starts_s=sorted(starts),
        idle=idle,
        idle_percent=100 * (idle.cpu_s - before.cpu_s) / args.idle_s,
        idle_written_bytes=(idle.written_bytes or 0) - (before.written_bytes or 0),
        memory=memory,
        end=end,
        image_bytes=size,
        large=large,
    )


def as_markdown(found: Figures, args: argparse.Namespace) -> str:
    """The report."""
    rows = [
        ("a Python with numpy and OpenCV (the baseline)", found.bare_mb),
        ("agent, idle", found.idle.rss_mb),
        *((f"agent after {n} fields of 1440x900", mb) for n, mb in found.memory),
        ("agent, peak", found.end.peak_rss_mb),
        ("agent, peak with fields of 4056x3040", found.large.peak_rss_mb),
    ]
    table = "\n".join(f"| {name} | {mb:.0f} | {mb / found.bare_mb:.2f} |" for name, mb in rows)
    kind = "simulated" if args.images is None else "given"
    idle = f"{found.idle_percent:.2f} % of one core, {found.idle_written_bytes} bytes written"
    written = "not counted by this kernel"
    if found.end.written_bytes is not None:
        ratio = found.end.written_bytes / found.image_bytes
        written = f"{ratio:.2f} ({found.end.written_bytes:,} for {found.image_bytes:,})"
    return f"""# What the agent costs a small machine

    {args.command}

{args.count} {kind} fields through broker, worker and records store on one machine of
{os.cpu_count()} cores, not on a Raspberry Pi. {RESEARCH_USE_ONLY}

| resident memory | MB | times the baseline |
|---|---:|---:|
{table}

- Start to READY (outbox open, capturing): median {found.starts_s[len(found.starts_s) // 2]:.2f} s of
  {len(found.starts_s)}, slowest {found.starts_s[-1]:.2f} s.
- Idle and connected, over {args.idle_s:.0f} s: {idle}.
- Bytes written to disk per image byte over {args.count} images: {written}.
"""


def main() -> int:
    """Measures and writes the report."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.edge_footprint", description=__doc__
    )
    parser.add_argument(
        "--images", type=Path, help="a folder of 1440x900 fields; simulated if not given"
    )
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--large", type=int, default=20, help="fields of 12 megapixels")
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--idle-s", type=float, default=60.0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    args.command = "python -m benchmarks.edge_footprint " + " ".join(
        "DIR" if args.images and part == str(args.images) else part for part in sys.argv[1:]
    )
    figures = measure(args)
    text = as_markdown(figures, args)
    if args.out is not None:
        args.out.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
