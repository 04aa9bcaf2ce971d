"""Limits of the gate from a few good and a few bad frames of one device; refuses where these overlap.

Each bad frame counts for the one score that sets it apart best. A limit then lies halfway (as a
ratio) between the worst good frame and the least bad one that counts for it, drawn towards the
default where that also lies between them: three frames do not know how good or bad the next will be.
Scores that no bad frame was bad by keep their default, or give way where a good frame needs it.
From 50 good frames on 2 % of them may be worse than a limit, and from 20 bad ones on 5 % may pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge_device.calibration.stored import CalibrationError, LearnedLimit
from edge_device.gate.scores import Scores
from edge_device.gate.settings import GateSettings

FEWEST_FRAMES: Final = 3
#: A default that would refuse a good frame gives way to this share beyond the worst good one.
_ROOM = 1.15
#: Spread (of the logarithm) that good frames have even where these few agree better.
_LEAST_SPREAD = 0.05
#: Good and bad must lie this far apart (as a ratio) to be told apart.
_LEAST_GAP = 1.05
_GOOD_LEFT_OUT, _BAD_LEFT_OUT = 0.02, 0.05


@dataclass(frozen=True, slots=True)
class _Limited:
    """A limit, its score, whether it is a minimum, and what keeps a score of 0 finite."""

    limit: str
    score: str
    is_minimum: bool
    offset: float
    #: How loose and how tight the limit may get.
    lowest: float
    highest: float

    def badness(self, value: float) -> float:
        """Grows with how bad; differences are logarithms of ratios."""
        height = math.log(value + self.offset)
        return -height if self.is_minimum else height

    def value(self, badness: float) -> float:
        """The score that is this bad."""
        height = -badness if self.is_minimum else badness
        return min(max(math.exp(height) - self.offset, self.lowest), self.highest)


_LIMITED: Final = (
    _Limited("min_focus", "focus", True, 0.05, 0, 1e3),
    _Limited("min_white_level", "white_level", True, 10, 0, 255),
    _Limited("max_clipped_white_percent", "clipped_white_percent", False, 2, 0, 100),
    _Limited("max_clipped_black_percent", "clipped_black_percent", False, 2, 0, 100),
    _Limited("min_contrast", "contrast", True, 0.2, 0, 255),
    _Limited("min_nucleus_um2", "nucleus_um2", True, 3, 0, 1e6),
)


def calibrate_limits(
    good: Sequence[Scores],
    bad: Sequence[Scores],
    defaults: GateSettings,
    *,
    bad_names: Sequence[str] = (),
) -> dict[str, LearnedLimit]:
    """Limits by name, as GateSettings has them.

    Raises CalibrationError, which names the frames, where a bad frame looks like a good one.
    """
    if len(good) < FEWEST_FRAMES or len(bad) < FEWEST_FRAMES:
        raise CalibrationError(
            f"{len(good)} good and {len(bad)} bad frames: at least {FEWEST_FRAMES} of each needed"
        )
    worst = {limited.limit: _worst(limited, good) for limited in _LIMITED}
    counted: dict[str, list[float]] = {limited.limit: [] for limited in _LIMITED}
    alike: list[int] = []
    for index, scores in enumerate(bad):
        apart = [
            (_apart(limited, scores, good, worst[limited.limit]), limited) for limited in _LIMITED
        ]
        distance, limited = max(apart, key=lambda item: item[0])
        if distance <= 0:
            alike.append(index)
        else:
            counted[limited.limit].append(_badness(limited, scores))
    if len(alike) > (_BAD_LEFT_OUT * len(bad) if len(bad) >= 20 else 0):
        raise CalibrationError(_overlap(alike, bad, good, bad_names))
    found = {}
    for limited in _LIMITED:
        learned = _learn(limited, worst[limited.limit], counted[limited.limit], defaults)
        if learned is not None:
            found[limited.limit] = learned
    return found


def _badness(limited: _Limited, scores: Scores) -> float:
    return limited.badness(float(getattr(scores, limited.score)))


def _worst(limited: _Limited, good: Sequence[Scores]) -> float:
    """Badness of the worst good frame; of many, those few that are worse than the rest left out."""
    ranked = sorted((_badness(limited, scores) for scores in good), reverse=True)
    return ranked[int(_GOOD_LEFT_OUT * len(ranked))]


def _apart(limited: _Limited, scores: Scores, good: Sequence[Scores], worst: float) -> float:
    """How far beyond the worst good frame, in spreads of the good frames; 0 or less: not apart."""
    beyond = _badness(limited, scores) - worst
    if beyond < math.log(_LEAST_GAP):
        return 0.0
    ranked = sorted(_badness(limited, each) for each in good)
    spread = (ranked[(3 * len(ranked)) // 4] - ranked[len(ranked) // 4]) / 2
    return beyond / max(spread, _LEAST_SPREAD)


def _learn(
    limited: _Limited, worst: float, bad: list[float], defaults: GateSettings
) -> LearnedLimit | None:
    default = limited.badness(float(getattr(defaults, limited.limit)))
    if not bad:
        needed = worst + math.log(_ROOM)
        if default >= worst:
            return None
        return LearnedLimit(limit=_round(limited.value(needed)), worst_good=limited.value(worst))
    ranked = sorted(bad)
    least = ranked[int(_BAD_LEFT_OUT * len(ranked))] if len(ranked) >= 20 else ranked[0]
    middle = (worst + least) / 2
    if worst < default < least:
        middle = (middle + default) / 2
    return LearnedLimit(
        limit=_round(limited.value(middle)),
        worst_good=limited.value(worst),
        best_bad=limited.value(least),
    )


def _overlap(
    alike: Sequence[int], bad: Sequence[Scores], good: Sequence[Scores], names: Sequence[str]
) -> str:
    listed = []
    for index in alike[:5]:
        name = names[index] if index < len(names) else f"bad frame {index + 1}"
        listed.append(f"{name} (focus {bad[index].focus:.2f}, contrast {bad[index].contrast:.1f})")
    least_focus = min(scores.focus for scores in good)
    return (
        f"good and bad frames overlap: {len(alike)} of {len(bad)} bad frames score as good ones do:"
        f" {'; '.join(listed)}. The good frames' focus starts at {least_focus:.2f}."
        " Leave these frames out, or take clearer ones; the limits stay as they were."
    )


def _round(value: float) -> float:
    return float(f"{value:.4g}")
