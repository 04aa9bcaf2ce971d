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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.focus_measures import MEASURES
from benchmarks.gate_frames import BLURS, Frame, Image, labelled, paths_of, read
from edge_device.calibration.limits import calibrate_limits
from edge_device.calibration.stored import Calibration, effective_gate
from edge_device.gate import Duplicates, Gate, GateSettings, Scores, judge, measure
from edge_device.simulator import DiagnosisClass, draw_slide, render_field

DEVICES = ("chula", "ball4", "pbc")
MOST = {"chula": 40, "ball4": 300, "pbc": 150}
FOLDS = 5
#: Working scales that the measures are compared at; 0: the camera's own pixels.
SCALES_UM = (0.0, 0.25)
SIMULATED_SLIDES = 100


@dataclass(frozen=True, slots=True)
class Scored:
    """A frame's labels, the gate's scores and, of blurred and good frames, every focus measure."""

    device: str
    slide: str
    name: str
    bad: str
    scores: Scores
    focus: dict[tuple[str, float], float]


def wilson(hits: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    if count == 0:
        return 0.0, 1.0
    z, share = 1.96, hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count**2)) / (1 + z * z / count)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def auc(good: Sequence[float], bad: Sequence[float]) -> float:
    """Chance that a good frame scores higher than a bad one."""
    g, b = np.asarray(good)[:, None], np.asarray(bad)[None]
    return float((g > b).mean() + 0.5 * (g == b).mean())


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
    lines += _white_cell_table(scored)
    lines += _duplicates_table(root)
    lines += _cost_table(root)
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
        blurs, values = _ranks([p[0] for p in pairs]), _ranks([-p[1] for p in pairs])
        if np.std(values) > 0 and np.std(blurs) > 0:
            found.append(float(np.corrcoef(blurs, values)[0, 1]))
        else:
            found.append(0.0)
    return float(np.mean(found))


def _ranks(values: Iterable[float]) -> npt.NDArray[np.float64]:
    """Ranks, ties sharing their mean."""
    array = np.asarray(list(values))
    return np.asarray([(array < v).sum() + 0.5 * (array == v).sum() for v in array], np.float64)


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
                f"| {device} | {title} | {len(at)} | {_share(hits, len(at))} |"
                f" {_share(default, len(at))} |"
            )
    lines += [
        f"| all | good | {total_good[1]} | {_share(*total_good)} | |",
        f"| all | **all bad** | {total_bad[1]} | {_share(*total_bad)} | |",
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


def _share(hits: int, count: int) -> str:
    low, high = wilson(hits, count)
    return f"{hits}, {100 * hits / max(count, 1):.1f} % ({100 * low:.1f} to {100 * high:.1f})"


# --- white cells, duplicates, cost ---------------------------------------------------------------


def _white_cell_table(scored: Sequence[Scored]) -> list[str]:
    """The area score by itself: real crops of red cells only, and simulated scenes."""
    limit = GateSettings().min_nucleus_um2
    lines = [
        "## No white cell in view",
        "",
        f"Largest nucleus-like area in um2; below {limit:g} there is none. Real negatives are crops"
        " of red cells only, looked through by eye.",
        "",
        "| set | white cells | count | least | median | most | called empty |",
        "|---|---|---|---|---|---|---|",
    ]
    groups: list[tuple[str, str, list[float]]] = []
    for device in DEVICES:
        for kind, words in (("", "yes"), ("no white cell", "no")):
            values = [f.scores.nucleus_um2 for f in scored if (f.device, f.bad) == (device, kind)]
            if values:
                groups.append((device, words, values))
    for alone in (False, True):
        values = []
        for index in range(SIMULATED_SLIDES):
            kind = list(DiagnosisClass)[index % len(DiagnosisClass)]
            field = render_field(
                draw_slide(7000 + index), kind, 0, white_cells=(2, 6), background_only=alone
            )
            bgr = np.asarray(cv2.cvtColor(field.image, cv2.COLOR_RGB2BGR), np.uint8)
            values.append(measure(bgr, field.truth.um_per_px).nucleus_um2)
        groups.append(("simulated", "no" if alone else "yes", values))
    for device, words, values in groups:
        below = sum(value < limit for value in values)
        lines.append(
            f"| {device} | {words} | {len(values)} | {min(values):.0f} | {np.median(values):.0f} |"
            f" {max(values):.0f} | {_share(below, len(values))} |"
        )
    return [*lines, ""]


def _duplicates_table(root: Path) -> list[str]:
    """A field again with new noise and 5 px of drift, and each against the 32 before it."""
    lines = [
        "## Duplicates",
        "",
        "Again: the same picture with noise of 4 grey levels and 5 px of drift (ball4: 2 px)."
        " chula itself holds four pairs of pictures of one field.",
        "",
        "| set | again: noticed | other fields: warned of |",
        "|---|---|---|",
    ]
    for device in DEVICES:
        images = [read(path) for path, _ in paths_of(root, device, 40)]
        rng = np.random.default_rng(1)
        others = Duplicates()
        warned = sum(others.check(image) is not None for image in images)
        noticed = 0
        for image in images:
            one = Duplicates()
            one.check(image)
            drift = 2 if device == "ball4" else 5
            again = np.roll(image, (drift, -drift), (0, 1)) + rng.normal(0, 4, image.shape)
            noticed += one.check(np.clip(again, 0, 255).astype(np.uint8)) is not None
        lines.append(
            f"| {device} | {_share(noticed, len(images))} | {_share(warned, len(images))} |"
        )
    return [*lines, ""]


def _cost_table(root: Path) -> list[str]:
    lines = [
        "## Cost",
        "",
        "Scores, verdict and duplicates together, CPU ms, median of 20.",
        "",
        "| field | scale | ms |",
        "|---|---|---|",
    ]
    field = read(paths_of(root, "chula", 1)[0][0])
    large = np.asarray(cv2.resize(field, (4056, 3040)), np.uint8)
    for image, um_per_px in ((field, 0.1), (field, None), (large, 0.035), (large, None)):
        gate, spent = Gate(GateSettings()), []
        for _ in range(20):
            start = time.process_time()
            gate.examine(image, um_per_px)
            spent.append(time.process_time() - start)
        size = f"{image.shape[1]}x{image.shape[0]}"
        words = "unknown" if um_per_px is None else f"{um_per_px:g} um/px"
        lines.append(f"| {size} | {words} | {1000 * float(np.median(spent)):.1f} |")
    return [*lines, ""]


if __name__ == "__main__":
    raise SystemExit(main())
