"""Measures both questions and writes the page."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
from pathlib import Path
from typing import Final

from benchmarks.links import find_profile
from benchmarks.preview import agreement, first_draft
from benchmarks.preview.fields import Source, ball4, chula, real_data, simulated
from cloud_worker.models.bundle import default_bundle, load_bundle
from edge_device.encoding.preview import JPEG_QUALITY
from wire_protocol.messages import MAX_PREVIEW_BYTES
from wire_protocol.words import RESEARCH_USE_ONLY

QUALITIES: Final = (30, 50, 70)
TARGET: Final = ("256kbit", 4 * 1024 * 1024)
TARGET_S: Final = 2.5
CASES: Final = (TARGET, ("256kbit", 850_000), ("2mbit_lossy", 4 * 1024 * 1024))


def sources(args: argparse.Namespace) -> list[Source]:
    """The sets that can be had here."""
    packaged = default_bundle()
    found = [simulated(packaged, args.simulated)]
    root = real_data()
    if root is not None:
        found.append(chula(root, packaged, args.chula))
        if args.bundle is not None:
            found.append(ball4(root, load_bundle(args.bundle), args.mosaics))
    return found


def agreement_part(args: argparse.Namespace) -> list[str]:
    """How often drafts agree."""
    ways = [agreement.Way(MAX_PREVIEW_BYTES, quality) for quality in QUALITIES]
    ways.append(agreement.Way(MAX_PREVIEW_BYTES // 2, JPEG_QUALITY))
    lines = ["## How often draft and final result agree", ""]
    for source in sources(args):
        part = agreement.table(source, agreement.measure(source, ways))
        print("\n".join(part), flush=True)
        lines += part
    return [
        *lines,
        "`same class`: the same class is largest; `same answer`: the same result and urgency, which is",
        "what a person reads, with the shares' 95 % intervals (Wilson). `acute missed`: the final result",
        "suspects acute leukemia and the draft does not; `acute raised`: the other way round. `draft",
        "abstains`: cannot_say of the draft only. `logit change`: the largest of the classes' logits.",
        f"Devices make previews of JPEG quality {JPEG_QUALITY} and at most {MAX_PREVIEW_BYTES // 1024} KiB.",
        "",
    ]


def draft_part(args: argparse.Namespace) -> list[str]:
    """How soon drafts come."""
    found = []
    for name, size in CASES:
        case = first_draft.Case(find_profile(name), size)
        told = asyncio.run(first_draft.measure(case, previews=True))
        bare = asyncio.run(first_draft.measure(case, previews=False)) if args.bare else []
        found.append((case, told, bare))
        print("\n".join(first_draft.table(found[-1:])), flush=True)
    target = [t.preview_s for c, told, _ in found for t in told if _is_target(c)]
    worst = max((s if s is not None else float("inf") for s in target[:2]), default=float("inf"))
    met = "met" if worst <= TARGET_S else "missed"
    return [
        "## How soon the first draft is there",
        "",
        *first_draft.table(found),
        "",
        f"- {find_profile(TARGET[0]).title}, {TARGET[1] // 1024} KiB: first draft after {worst:.2f} s, at "
        f"most {TARGET_S} s: {met} (load average of the machine meanwhile: {first_draft.load_now():.0f} "
        f"on {os.cpu_count()} cores)",
        "",
        "Seconds from the file's being before the agent's camera to the diagnosis' being with a reader",
        "beside the broker: gate, outbox, preview, link, decoding, network and publishing included. Synthetic",
        "fields; device behind the link, worker and reader not. `first image`: no rate is known yet.",
        "",
    ]


def _is_target(case: first_draft.Case) -> bool:
    return (case.profile.name, case.size_bytes) == TARGET


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description="First drafts from previews.")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", choices=["agreement", "draft"])
    parser.add_argument("--bundle", help="trained on the four-class set, for its held-out images")
    parser.add_argument("--simulated", type=int, default=40)
    parser.add_argument("--chula", type=int, default=40)
    parser.add_argument("--mosaics", type=int, default=40)
    parser.add_argument(
        "--bare", action="store_true", help="the final results without previews too"
    )
    args = parser.parse_args()
    parts = [] if args.only == "agreement" else draft_part(args)
    parts += [] if args.only == "draft" else agreement_part(args)
    text = "\n".join(
        [
            "# A first draft while the image is on its way",
            "",
            f"{RESEARCH_USE_ONLY} `python -m benchmarks.preview` on {platform.machine()}, "
            f"{os.cpu_count()} cores, Linux {platform.release()}.",
            "",
            *parts,
        ]
    )
    if args.out:
        args.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
