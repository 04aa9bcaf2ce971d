"""The quality gate against labelled real fields: which focus measure ranks best, what is caught at what false alarms.

    HEMOWIRE_REAL_DATA=... python -m benchmarks.gate --out benchmarks/results/gate.md

Limits are chosen per device on some slides and judged on others: five folds for each set, split by
slide, every frame judged once by limits that never saw its slide. Frames under other noise, stain
and light (`benchmarks/gate_conditions.py`) are only judged, never learned from.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2

from benchmarks.focus_choice import AS_TAKEN, FOLDS, Scored, Spent, choice_table, focus_of, fold_of
from benchmarks.gate_conditions import CONDITIONS, varied
from benchmarks.gate_frames import BLURS, Frame, labelled
from benchmarks.gate_side_tables import cost_table, duplicates_table, white_cell_table
from benchmarks.gate_statistics import share_words
from edge_device.calibration.limits import calibrate_limits
from edge_device.calibration.stored import Calibration, effective_gate
from edge_device.gate import GateSettings, judge, measure

DEVICES = ("chula", "ball4", "pbc")
MOST = {"chula": 40, "ball4": 300, "pbc": 150}
#: Pictures that are also judged under each other condition.
MOST_VARIED = {"chula": 40, "ball4": 80, "pbc": 40}


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the report; 2 without real data."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(arguments)
    data = os.environ.get("HEMOWIRE_REAL_DATA")
    if data is None:
        print("HEMOWIRE_REAL_DATA is not set: there are no real fields to judge", file=sys.stderr)
        return 2
    cv2.setNumThreads(1)
    root = Path(data)
    spent: Spent = defaultdict(list)
    scored = [
        _score(frame, AS_TAKEN, spent)
        for device in DEVICES
        for frame in labelled(root, device, most=MOST[device], seed=args.seed)
    ]
    others = [
        _score(frame, condition, spent)
        for device in DEVICES
        for condition, frame in varied(root, device, most=MOST_VARIED[device], seed=args.seed)
    ]
    lines = ["# The quality gate on real fields", "", *_command(args)]
    lines += choice_table(scored, others, DEVICES, spent)
    lines += _gate_table(scored)
    lines += _conditions_table(scored, others)
    areas = [(each.device, each.bad, each.scores.nucleus_um2) for each in scored]
    lines += white_cell_table(areas, DEVICES)
    lines += duplicates_table(root, DEVICES)
    lines += cost_table(root)
    args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    return 0


def _command(args: argparse.Namespace) -> list[str]:
    return [
        f"`python -m benchmarks.gate --out {args.out}`, seed {args.seed}. CPU times of one core of"
        " the machine that ran it. What each kind of bad frame is stands in"
        " `benchmarks/gate_frames.py`.",
        "",
    ]


def _score(frame: Frame, condition: str, spent: Spent) -> Scored:
    focus = focus_of(frame, condition, spent) if frame.bad == "" or "blur" in frame.bad else {}
    scores = measure(frame.image, frame.um_per_px)
    return Scored(frame.device, frame.slide, frame.name, frame.bad, condition, scores, focus)


def _gate_table(scored: Sequence[Scored]) -> list[str]:
    """Caught and false alarms with limits of other slides, and with the defaults."""
    lines = [
        "## The gate, limits learned on other slides",
        "",
        "Refused by limits that `calibrate` learned from the frames of four fifths of the slides,"
        " judged on the fifth, five times. In brackets 95 % Wilson intervals. `all bad` are the"
        " kinds above it, mild blur left out; `defaults` are the limits without any calibration.",
        "",
        "| device | frames | count | refused | default limits refuse |",
        "|---|---|---|---|---|",
    ]
    total_bad, total_good = [0, 0], [0, 0]
    for device in DEVICES:
        frames = [frame for frame in scored if frame.device == device]
        learned = _judged_by_fold(frames)
        plain = [judge(frame.scores, GateSettings()).refusal is not None for frame in frames]
        kinds = sorted({frame.bad for frame in frames if frame.bad})
        counted = [kind for kind in kinds if not kind.startswith("mild")]
        rows: list[tuple[str, list[str]]] = [("good", [""])]
        rows += [(kind, [kind]) for kind in counted]
        rows += [("**all bad**", counted)]
        rows += [(kind, [kind]) for kind in kinds if kind.startswith("mild")]
        for title, members in rows:
            at = [i for i, frame in enumerate(frames) if frame.bad in members]
            hits, default = sum(learned[i] for i in at), sum(plain[i] for i in at)
            if title == "good":
                total_good = [total_good[0] + hits, total_good[1] + len(at)]
            if title == "**all bad**":
                total_bad = [total_bad[0] + hits, total_bad[1] + len(at)]
            lines.append(
                f"| {device} | {title} | {len(at)} | {share_words(hits, len(at))} |"
                f" {share_words(default, len(at))} |"
            )
    lines += [
        f"| all | good | {total_good[1]} | {share_words(*total_good)} | |",
        f"| all | **all bad** | {total_bad[1]} | {share_words(*total_bad)} | |",
        "",
    ]
    return lines


def _conditions_table(scored: Sequence[Scored], others: Sequence[Scored]) -> list[str]:
    lines = [
        "## The gate under other noise, stain and light than it was calibrated in",
        "",
        "The same limits, learned on the other slides from frames as they were taken. Noise: grey"
        " levels added to the camera's own. Stain: density times. `slightest`: chula and pbc 4 px,"
        " ball4 1.5 px.",
        "",
        "| device | condition | good refused | slightest blur caught | all blurs caught |",
        "|---|---|---|---|---|",
    ]
    for device in DEVICES:
        taken = [frame for frame in scored if frame.device == device]
        judged = [frame for frame in others if frame.device == device]
        refused = _judged_by_fold(taken, judged)
        slightest = f"blur {BLURS[device][0]:g} px"
        for condition in (*(each.name for each in CONDITIONS), "**all of these**"):
            cells = []
            for kinds in ({""}, {slightest}, {f"blur {s:g} px" for s in BLURS[device]}):
                at = [
                    hit
                    for frame, hit in zip(judged, refused, strict=True)
                    if frame.bad in kinds and condition in (frame.condition, "**all of these**")
                ]
                cells.append(share_words(sum(at), len(at)))
            lines.append(f"| {device} | {condition} | {' | '.join(cells)} |")
    return [*lines, ""]


def _judged_by_fold(frames: Sequence[Scored], judged: Sequence[Scored] | None = None) -> list[bool]:
    """Whether each frame (of `judged`, else of `frames`) is refused by limits learned from the
    frames of the other folds' slides."""
    judged = frames if judged is None else judged
    refused = [False] * len(judged)
    for fold in range(FOLDS):
        good = [f.scores for f in frames if f.bad == "" and fold_of(f.slide) != fold]
        bad = [
            f.scores
            for f in frames
            if f.bad and not f.bad.startswith("mild") and fold_of(f.slide) != fold
        ]
        found = calibrate_limits(good, bad, GateSettings())
        limits = effective_gate(GateSettings(), Calibration(version=1, limits=found))
        for index, frame in enumerate(judged):
            if fold_of(frame.slide) == fold:
                refused[index] = judge(frame.scores, limits).refusal is not None
    return refused


if __name__ == "__main__":
    raise SystemExit(main())
