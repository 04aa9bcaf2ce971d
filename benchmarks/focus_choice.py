"""Which focus measure ranks good above blurred frames best, and what a limit learned on it catches; it chooses none."""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np

from benchmarks.focus_measures import MEASURES, Seen, noise
from benchmarks.gate_conditions import CONDITIONS
from benchmarks.gate_frames import BLURS, Frame
from benchmarks.gate_statistics import auc, ranks
from edge_device.calibration.limits import calibrate_limits
from edge_device.calibration.stored import CalibrationError
from edge_device.gate import GateSettings, Scores

FOLDS: Final = 5
AS_TAKEN: Final = "as taken"
#: Scale that the measures are compared at; 0: the camera's own pixels, for the first of them.
SCALE_UM, OWN = 0.25, 0.0
_AT_OWN: Final = tuple(MEASURES)[:9]
_FINE: Final = Scores(230, 0.0, 0.0, 12.0, 0.0, 90.0, 0.0, 0.2)

Key = tuple[str, float]
Spent = dict[Key, list[float]]


@dataclass(frozen=True, slots=True)
class Scored:
    """A frame's labels, the gate's scores and, of blurred and good frames, every focus measure."""

    device: str
    slide: str
    name: str
    bad: str
    condition: str
    scores: Scores
    focus: dict[Key, float]


def fold_of(slide: str) -> int:
    """The fold that judges this slide."""
    return int(hashlib.sha256(slide.encode()).hexdigest(), 16) % FOLDS


def focus_of(frame: Frame, condition: str, spent: Spent) -> dict[Key, float]:
    """Every measure of a frame; adds chula's CPU seconds to `spent`."""
    found: dict[Key, float] = {}
    for scale in (OWN, SCALE_UM) if condition == AS_TAKEN else (SCALE_UM,):
        seen = see(frame, scale)
        for name in MEASURES if scale else _AT_OWN:
            start = time.process_time()
            found[name, scale] = MEASURES[name](seen)
            if frame.device == "chula":
                spent[name, scale].append(time.process_time() - start)
    return found


def see(frame: Frame, scale_um: float) -> Seen:
    """The field at this scale with 100 as its white."""
    grey = cv2.cvtColor(frame.image, cv2.COLOR_BGR2GRAY)
    white = max(float(np.percentile(grey, 95)), 1.0)
    factor = min(1.0, frame.um_per_px / scale_um) if scale_um else 1.0
    own = noise(np.asarray(grey, np.float32)) * 100 / white * factor
    if factor < 1:
        grey = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return Seen(np.asarray(grey, np.float32) * np.float32(100 / white), own, white)


def choice_table(
    taken: Sequence[Scored], others: Sequence[Scored], devices: Sequence[str], spent: Spent
) -> list[str]:
    """AUC as taken and over all conditions, and what a limit learned as taken does over them all."""
    varied = [f for f in others if f.focus]
    names = ", ".join(condition.name for condition in CONDITIONS)
    lines = [
        "## Focus measures",
        "",
        "Good: fields as they are. Bad: Gaussian and disc blurs of "
        + "; ".join(f"{d} {', '.join(f'{s:g}' for s in BLURS[d])} px" for d in devices)
        + ", with the field's own noise after the blur. Spearman: mean over fields of the rank"
        " correlation with the blur, mild ones included. AUC: good against blurred frames of a"
        " device, *as taken* (chula / ball4 / pbc) and *varied*: as taken and under each of "
        + names
        + ", all ranked together; *all*: of all devices. *Limit*: learned as `calibrate` does on"
        " frames as taken of other slides; false alarms and caught, % of the varied frames. `-`:"
        " good and bad overlap too much to calibrate. L: energy of the Laplacian after softening.",
        "",
        "| measure | at um/px | Spearman | AUC as taken | AUC varied chula | ball4 | pbc | all |"
        " limit: chula | ball4 | pbc | ms |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for scale, measures in ((OWN, _AT_OWN), (SCALE_UM, tuple(MEASURES))):
        for name in measures:
            key = (name, scale)
            plain = [f for f in taken if f.focus and not f.bad.startswith("mild")]
            cells = [f"{_spearman(taken, key):.3f}"]
            cells.append(" / ".join(f"{_auc(plain, key, device):.4f}" for device in devices))
            if scale:
                both = [*plain, *varied]
                cells += [f"{_auc(both, key, device):.4f}" for device in (*devices, None)]
                cells += [_caught(plain, varied, key, device) for device in devices]
            else:
                cells += [""] * 7
            cost = 1000 * float(np.mean(spent[key]))
            at = f"{scale:g}" if scale else "own"
            lines.append(f"| {name} | {at} | {' | '.join(cells)} | {cost:.1f} |")
    return [*lines, ""]


def _auc(frames: Sequence[Scored], key: Key, device: str | None) -> float:
    of = [f for f in frames if device in (None, f.device)]
    return auc([f.focus[key] for f in of if not f.bad], [f.focus[key] for f in of if f.bad])


def _caught(taken: Sequence[Scored], varied: Sequence[Scored], key: Key, device: str) -> str:
    """False alarms and caught, in percent, by limits learned from other slides as they were taken."""
    learned = [f for f in taken if f.device == device]
    judged = [f for f in (*taken, *varied) if f.device == device]
    usual = float(np.median([f.focus[key] for f in learned if not f.bad]))
    counts = {True: [0, 0], False: [0, 0]}
    for fold in range(FOLDS):
        others = [f for f in learned if fold_of(f.slide) != fold]
        good = [replace(_FINE, focus=30 * f.focus[key] / usual) for f in others if not f.bad]
        bad = [replace(_FINE, focus=30 * f.focus[key] / usual) for f in others if f.bad]
        try:
            limits = calibrate_limits(good, bad, GateSettings(min_focus=0))
        except CalibrationError:
            return "-"
        for frame in judged:
            if fold_of(frame.slide) == fold:
                refused = 30 * frame.focus[key] / usual < limits["min_focus"].limit
                counts[bool(frame.bad)][0] += refused
                counts[bool(frame.bad)][1] += 1
    return " / ".join(f"{100 * counts[bad][0] / counts[bad][1]:.1f}" for bad in (False, True))


def _spearman(scored: Sequence[Scored], key: Key) -> float:
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
    return float(np.mean(found))
