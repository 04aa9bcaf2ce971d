"""Runs the trials and writes their page."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.fleet.trial import Result, Trial, run_trial
from wire_protocol.words import RESEARCH_USE_ONLY

LEAST_JAIN: Final = 0.95
#: Beside its pool: 4 decoded fields, bytes in the archive's threads, the allocator's own.
WORKER_ROOM_MB: Final = 64.0
#: What memory may differ by between the second and the last quarter of a soak.
FLAT_MB: Final = 8.0
FLAT_SHARE: Final = 0.05
FLAT_FDS: Final = 3


def trials(args: argparse.Namespace) -> list[Trial]:
    """Those that were asked for."""
    load = Trial(
        name="load",
        devices=args.devices,
        captures=args.captures,
        every_s=0.5,
        at_once=True,
        width_px=480,
        height_px=360,
        processes=4,
        pool_mib=8,
        classified=args.classified,
        limit_s=args.limit_s,
    )
    soak = Trial(
        name="soak",
        devices=50,
        captures=args.soak_images // 50,
        every_s=args.soak_every_s,
        at_once=False,
        width_px=400,
        height_px=300,
        processes=2,
        pool_mib=256,
        classified=args.classified,
        limit_s=args.limit_s,
    )
    return [trial for trial in (load, soak) if args.only in (None, trial.name)]


def report(trial: Trial, result: Result) -> list[str]:
    """A trial's part of the page."""
    image = result.image_bytes / 1000
    how = "all at the same moment" if trial.at_once else "in turn"
    engine = (
        "classified by the packaged bundle"
        if trial.classified
        else "without a scale, so that each is archived, decoded and refused, no cell is counted and no engine runs"
    )
    lines = [
        f"## {trial.name}",
        "",
        f"{trial.devices} light devices in {trial.processes} processes, {trial.captures} captures each "
        f"every {trial.every_s:g} s, {how}: {trial.images} synthetic images of {image:.0f} kB, "
        f"{trial.images * image / 1000:.0f} MB; {engine}. One broker, one worker with a pool of "
        f"{trial.pool_mib} MiB, one records store. It took {result.took_s:.0f} s, "
        f"{trial.images / result.took_s:.1f} images a second.",
        "",
        *(f"- {line}" for line in verdicts(trial, result)),
        "",
        "| process | MB before | second quarter | last quarter | most | descriptors, second quarter "
        "| last quarter |",
        "|" + "---|" * 7,
    ]
    for name, series in result.series.items():
        rss, fds = series.rss_mb, series.fds
        lines.append(
            f"| {name} | {series.first_mb:.0f} | {series.part(rss, 0.25, 0.5):.1f} "
            f"| {series.part(rss, 0.75, 1.0):.1f} | {series.peak_mb:.0f} "
            f"| {series.part(fds, 0.25, 0.5):.0f} | {series.part(fds, 0.75, 1.0):.0f} |"
        )
    return [*lines, ""]


def verdicts(trial: Trial, result: Result) -> list[str]:
    """Each target with what was measured."""
    found = [
        _verdict(
            "images recorded once, with the outboxes' agreement",
            result.recorded - result.twice - result.set_aside - result.unsettled,
            result.recorded == trial.images
            and not (result.twice or result.set_aside or result.unsettled),
            f"all {trial.images}",
        ),
        _verdict(
            "$SYS/broker/publish/messages/dropped",
            result.broker.publish_dropped,
            result.broker.publish_dropped == 0,
            "0",
        ),
    ]
    if trial.at_once:
        least = min((index for _, index in result.fairness), default=0.0)
        worker = result.series["worker"]
        grown = worker.peak_mb - worker.first_mb
        most = trial.pool_mib * 1.048576 + WORKER_ROOM_MB
        found += [
            _verdict(
                "fairness between devices (Jain's index of images recorded, least of "
                f"{len(result.fairness)} looks from two fifths to four fifths of the way)",
                f"{least:.3f}",
                least >= LEAST_JAIN,
                f"at least {LEAST_JAIN}",
            ),
            _verdict(
                "times a device was told to wait (Busy), all of whose images arrived",
                result.worker_busy,
                result.worker_busy > 0,
                "more than 0",
            ),
            _verdict(
                "growth of the worker, MB", f"{grown:.0f}", grown <= most, f"at most {most:.0f}"
            ),
        ]
        return found
    for name, series in result.series.items():
        rss, fds = series.rss_mb, [float(count) for count in series.fds]
        early, late = series.part(rss, 0.25, 0.5), series.part(rss, 0.75, 1.0)
        allowed = max(FLAT_MB, FLAT_SHARE * early)
        more = series.part(fds, 0.75, 1.0) - series.part(fds, 0.25, 0.5)
        found.append(
            _verdict(
                f"{name}: growth from the second to the last quarter",
                f"{late - early:+.1f} MB, {more:+.0f} descriptors",
                late - early <= allowed and more <= FLAT_FDS,
                f"at most {allowed:.0f} MB, {FLAT_FDS} descriptors",
            )
        )
    return found


def _verdict(text: str, measured: object, met: bool, wanted: str) -> str:
    return f"{text}: {measured}, wanted {wanted}: {'met' if met else 'missed'}"


def main() -> None:
    """Reads the command line, runs, writes."""
    parser = argparse.ArgumentParser(description="Hundreds of devices, and a soak.")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", choices=["load", "soak"])
    parser.add_argument("--devices", type=int, default=500)
    parser.add_argument("--captures", type=int, default=8, help="of each device, of the load")
    parser.add_argument("--soak-images", type=int, default=10_000)
    parser.add_argument("--soak-every-s", type=float, default=2.0)
    parser.add_argument("--classified", action="store_true", help="run the engine on every image")
    parser.add_argument("--limit-s", type=float, default=3600.0)
    args = parser.parse_args()
    parts: list[str] = []
    for trial in trials(args):
        with tempfile.TemporaryDirectory(prefix="hemowire-fleet-") as folder:
            result = asyncio.run(run_trial(trial, Path(folder)))
        part = report(trial, result)
        print("\n" + "\n".join(part), flush=True)
        parts += part
    text = "\n".join(
        [
            "# Hundreds of devices, and a long run",
            "",
            f"{RESEARCH_USE_ONLY} `python -m benchmarks.fleet` on {platform.machine()}, "
            f"{os.cpu_count()} cores, Linux {platform.release()}; devices, broker, worker and records "
            "store share them. Figures are of the programs' own files and the kernel's counters.",
            "",
            *parts,
        ]
    )
    if args.out:
        args.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
