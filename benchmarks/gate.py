"""The quality gate against labelled real fields: which focus measure ranks best, what is caught at what false alarms.

    HEMOWIRE_REAL_DATA=... python -m benchmarks.gate --out benchmarks/results/gate.md

Limits are chosen per device on some slides and judged on others: five folds for each set, split by
slide, every frame judged once by limits that never saw its slide.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.focus_measures import MEASURES
from benchmarks.gate_frames import BLURS, Frame, Image, labelled
from benchmarks.gate_side_tables import cost_table, duplicates_table, white_cell_table
from benchmarks.gate_statistics import auc, ranks, share_words
from edge_device.calibration.limits import calibrate_limits
from edge_device.calibration.stored import Calibration, effective_gate
from edge_device.gate import GateSettings, Scores, judge, measure

DEVICES = ("chula", "ball4", "pbc")
MOST = {"chula": 40, "ball4": 300, "pbc": 150}
FOLDS = 5
#: Working scales that the measures are compared at; 0: the camera's own pixels.
SCALES_UM = (0.0, 0.25)


@dataclass(frozen=True, slots=True)
class Scored:
    """A frame's labels, the gate's scores and, of blurred and good frames, every focus measure."""

    device: str
    slide: str
    name: str
    bad: str
    scores: Scores
    focus: dict[tuple[str, float], float]


def fold_of(slide: str) -> int:
    """The fold that judges this slide."""
    return int(hashlib.sha256(slide.encode()).hexdigest(), 16) % FOLDS


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
    spent: dict[tuple[str, float], list[float]] = defaultdict(list)
    scored = [
        _score(frame, spent)
        for device in DEVICES
        for frame in labelled(root, device, most=MOST[device], seed=args.seed)
    ]
    lines = ["# The quality gate on real fields", "", *_command(args)]
    lines += _focus_table(scored, spent)
    lines += _gate_table(scored)
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


def _score(frame: Frame, spent: dict[tuple[str, float], list[float]]) -> Scored:
    focus: dict[tuple[str, float], float] = {}
    if frame.bad == "" or "blur" in frame.bad:
        for scale in SCALES_UM:
            plane = _plane(frame.image, frame.um_per_px, scale)
            for name, function in MEASURES.items():
                start = time.process_time()
                focus[name, scale] = function(plane)
                if frame.device == "chula":
                    spent[name, scale].append(time.process_time() - start)
    scores = measure(frame.image, frame.um_per_px)
    return Scored(frame.device, frame.slide, frame.name, frame.bad, scores, focus)


def _plane(image: Image, um_per_px: float, scale: float) -> npt.NDArray[np.float32]:
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    white = float(np.percentile(grey, 95))
    factor = um_per_px / scale if scale else 1.0
    if factor < 1:
        grey = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return np.asarray(grey.astype(np.float32) * np.float32(100 / max(white, 1)), np.float32)


# --- focus ---------------------------------------------------------------------------------------


def _focus_table(
    scored: Sequence[Scored], spent: dict[tuple[str, float], list[float]]
) -> list[str]:
    """Spearman within a field, AUC within a device and over all devices, ms."""
    lines = [
        "## Focus measures",
        "",
        "Good: as they are. Bad: Gaussian and disc blurs of "
        + "; ".join(f"{d} {', '.join(f'{s:g}' for s in BLURS[d])} px" for d in DEVICES)
        + ", with the field's own noise after the blur. Spearman: mean over fields of the rank"
        " correlation with the blur, mild ones included. AUC: over all good and bad frames of a"
        " device, and of all devices together (what one limit for all would have to rank).",
        "",
        "| measure | at um/px | Spearman | AUC chula | AUC ball4 | AUC pbc | AUC all | ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for scale in SCALES_UM:
        for name in MEASURES:
            key = (name, scale)
            cells = [f"{_spearman(scored, key):.3f}"]
            for device in (*DEVICES, None):
                frames = [f for f in scored if f.focus and device in (None, f.device)]
                good = [f.focus[key] for f in frames if f.bad == ""]
                bad = [f.focus[key] for f in frames if f.bad.startswith("blur")]
                cells.append(f"{auc(good, bad):.4f}")
            cost = 1000 * float(np.mean(spent[key]))
            at = f"{scale:g}" if scale else "own"
            lines.append(f"| {name} | {at} | {' | '.join(cells)} | {cost:.1f} |")
    return [*lines, ""]


def _spearman(scored: Sequence[Scored], key: tuple[str, float]) -> float:
    fields: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for frame in scored:
        if frame.focus:
            blur = float(frame.bad.split()[-2]) if frame.bad else 0.0
            fields[frame.device, frame.name].append((blur, frame.focus[key]))
    found = []
    for pairs in fields.values():
        blurs, values = ranks([p[0] for p in pairs]), ranks([-p[1] for p in pairs])
        if np.std(values) > 0 and np.std(blurs) > 0:
            found.append(float(np.corrcoef(blurs, values)[0, 1]))
        else:
            found.append(0.0)
    return float(np.mean(found))


# --- the gate ------------------------------------------------------------------------------------


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


def _judged_by_fold(frames: Sequence[Scored]) -> list[bool]:
    """Whether each frame is refused by limits learned from the other folds' slides."""
    refused = [False] * len(frames)
    for fold in range(FOLDS):
        good = [f.scores for f in frames if f.bad == "" and fold_of(f.slide) != fold]
        bad = [
            f.scores
            for f in frames
            if f.bad and not f.bad.startswith("mild") and fold_of(f.slide) != fold
        ]
        found = calibrate_limits(good, bad, GateSettings())
        limits = effective_gate(GateSettings(), Calibration(version=1, limits=found))
        for index, frame in enumerate(frames):
            if fold_of(frame.slide) == fold:
                refused[index] = judge(frame.scores, limits).refusal is not None
    return refused


if __name__ == "__main__":
    raise SystemExit(main())
