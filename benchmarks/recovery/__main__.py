"""Measures every recovery one after the other and writes a table, each figure beside its target; about half an hour."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.recovery.deaths import Strike, measure_deaths
from benchmarks.recovery.drain import LINK, Drained, measure_drain
from benchmarks.recovery.figures import HEAD, Figure
from benchmarks.recovery.ground import open_ground
from benchmarks.recovery.records_away import CaughtUp, measure_records_away
from benchmarks.recovery.returns import Outage, measure_returns
from service_runtime.log import configure_logging
from wire_protocol.words import RESEARCH_USE_ONLY

PARTS = ("deaths", "returns", "records", "drain")


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where every target was met, 1 where one was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__)
    parser.add_argument("--out", type=Path, help="the Markdown file (default: the screen only)")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may be repeated")
    parser.add_argument(
        "--repeats", type=int, default=20, help="of deaths; half as many of stops and freezes (20)"
    )
    parser.add_argument("--images", type=int, default=300, help="while records is away (300)")
    parser.add_argument(
        "--away", type=float, default=0.0, metavar="S",
        help="records store away for at least so long: 3600 is the hour (default: until all "
        "images are stored)",
    )  # fmt: skip
    parser.add_argument(
        "--diagnoses", choices=("both", "kept", "lost"), default="both",
        help="by the broker, while records is away (both, one after the other)",
    )  # fmt: skip
    parser.add_argument("--backlog", type=int, default=200, help="images of the drain (200)")
    parser.add_argument("--folder", type=Path, help="for the runs' files (default: temporary)")
    args = parser.parse_args(arguments)
    configure_logging("critical")
    with tempfile.TemporaryDirectory(prefix="recovery-") as temporary:
        folder = args.folder or Path(temporary)
        text, is_missed = asyncio.run(_measure(args, folder.resolve()))
    if args.out is not None:
        args.out.write_text(text, encoding="utf-8")
    return int(is_missed)


async def _measure(args: argparse.Namespace, folder: Path) -> tuple[str, bool]:
    wanted = args.only or list(PARTS)
    lines = [_head(args)]
    _say(lines[0])
    is_missed = False
    figures: list[Figure] = []
    if "deaths" in wanted:
        async with open_ground(folder / "deaths", devices=2, workers=3) as ground:
            figures += await measure_deaths(
                ground,
                {
                    Strike.KILL: args.repeats,
                    Strike.STOP: max(1, args.repeats // 2),
                    Strike.FREEZE: max(1, args.repeats // 2),
                },
            )
    if "returns" in wanted:
        outages = [Outage(1, 4), Outage(10, 4), Outage(60, 2), Outage(150, 1)]
        async with open_ground(folder / "returns", devices=5, workers=2) as ground:
            figures += await measure_returns(ground, outages)
    if figures:
        table = "\n".join(["## Death and return\n", HEAD, *(f.row() for f in figures), ""])
        lines.append(table)
        _say(table)
        is_missed |= any(figure.is_missed for figure in figures)
    if "records" in wanted:
        found = []
        for forget in {"both": (False, True), "kept": (False,), "lost": (True,)}[args.diagnoses]:
            where = folder / f"records-{forget}"
            async with open_ground(where, devices=4, workers=2) as ground:
                found.append(
                    await measure_records_away(ground, args.images, away_s=args.away, forget=forget)
                )
        lines.append(_of_records(found))
        _say(lines[-1])
        is_missed |= any(one.is_missed for one in found)
    if "drain" in wanted:
        async with open_ground(folder / "drain", devices=1, workers=2) as ground:
            drained = await measure_drain(ground, args.backlog, new_urgent=8)
        lines.append(_of_drain(drained))
        _say(lines[-1])
        is_missed |= drained.is_missed
    return "\n".join(lines), is_missed


def _say(text: str) -> None:
    print(text, flush=True)


def _head(args: argparse.Namespace) -> str:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    command = " ".join(["python -m benchmarks.recovery", *_given(args)])
    return f"""# Recovery: how long until images flow again

    {command}

At {commit or "no commit"}, on {platform.machine()} with {os.cpu_count()} cores shared with other \
work, Python {platform.python_version()}. The real programs, \
Mosquitto, workers with the packaged network, simulated fields of 640 x 480 pixels; devices behind \
links of 16 Mbit/s and 5 ms each way. {RESEARCH_USE_ONLY}
"""


def _given(args: argparse.Namespace) -> list[str]:
    given = [f"--only {part}" for part in args.only or ()]
    given += [] if args.repeats == 20 else [f"--repeats {args.repeats}"]
    given += [] if args.images == 300 else [f"--images {args.images}"]
    given += [] if args.away == 0 else [f"--away {args.away:g}"]
    given += [] if args.diagnoses == "both" else [f"--diagnoses {args.diagnoses}"]
    given += [] if args.backlog == 200 else [f"--backlog {args.backlog}"]
    return [*given, *([] if args.out is None else [f"--out {args.out}"])]


def _of_records(found: Sequence[CaughtUp]) -> str:
    rows = [
        f"| {one.name} | {one.images} | {one.away_s:.0f} s | {one.took_s:.1f} s | "
        f"{one.before_bytes / one.image_bytes:.3f} | {one.after_bytes / one.image_bytes:.3f} | "
        f"{one.uploads_after} | {one.recorded_twice} | {'missed' if one.is_missed else 'met'} |"
        for one in found
    ]
    head = (
        "| | images | away | all recorded after its return (target: 60 s) | "
        "sent / image bytes, before | and after | uploads after (target: 0) | "
        "recorded twice (target: 0) | |\n|---|---|---|---|---|---|---|---|---|"
    )
    return "\n".join(["## The records store comes back\n", head, *rows, ""])


def _of_drain(found: Drained) -> str:
    slowest = max(found.new_urgent_s)
    return f"""## A device comes back with a full outbox

{found.images} images of {found.image_bytes / found.images / 1000:.0f} KB over {LINK.title}, one in \
fifteen of them urgent, and {len(found.new_urgent_s)} new urgent captures meanwhile: \
{"missed" if found.is_missed else "met"}.

| | found | target |
|---|---|---|
| all stored after | {found.took_s:.1f} s, {found.took_s / found.limit_s:.3f} x what the link takes \
({found.limit_s:.1f} s) | 1.10 x |
| places out of order (urgent first, then oldest), at most | {found.most_out_of_place} | 2: so many \
travel at once |
| a new urgent capture was stored after, slowest | {slowest:.2f} s; {found.overtaken_by} that \
were offered later came before it | 0 |
"""


if __name__ == "__main__":
    sys.exit(main())
