"""Makes a device's next calibration from scores and scale pictures; it touches no file and keeps what it is not given.

Frames are scored at the scale that will hold. Limits that were learned at another scale mean
something else at the new one: where the scale changes and no frames come with it, they are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from edge_device.calibration.limits import calibrate_limits
from edge_device.calibration.scale import ScaleEstimate, ScaleUnknownError, estimate_um_per_px
from edge_device.calibration.stored import (
    Calibration,
    CalibrationError,
    LearnedLimit,
    MeasuredScale,
    effective_gate,
    effective_scale,
)
from edge_device.gate.focus import FOCUS_MEASURE
from edge_device.gate.scores import Scores
from edge_device.gate.settings import GateSettings
from edge_device.gate.verdict import judge

Image = npt.NDArray[np.uint8]

#: Fields of red cells may disagree by this much; more is another objective or not red cells.
LARGEST_DISAGREEMENT = 0.15
#: A scale that changes by less leaves the learned limits what they are.
_SAME_SCALE = 0.03


@dataclass(frozen=True, slots=True)
class Material:
    """What a calibration is made from; scores by the frames' names, as people will read them."""

    good: Mapping[str, Scores] = field(default_factory=dict)
    bad: Mapping[str, Scores] = field(default_factory=dict)
    scale: MeasuredScale | None = None
    #: What edge.toml says of the scale; it wins.
    um_per_px_setting: float | Literal["estimate"] | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """Frames that the limits which hold now judge otherwise than the person who gave them."""

    good_refused: tuple[str, ...]
    bad_passed: tuple[str, ...]


def scale_to_score_at(
    before: Calibration | None,
    measured: MeasuredScale | None,
    setting: float | Literal["estimate"] | None,
) -> float | None:
    """um per pixel that will hold after this calibration; None where it is not known beforehand."""
    scale = measured or (None if before is None else before.scale)
    holds = effective_scale(setting, Calibration(version=1, scale=scale))
    return holds if isinstance(holds, float) else None


def next_calibration(
    before: Calibration | None,
    material: Material,
    defaults: GateSettings,
    *,
    operator: str,
    made_at: str,
) -> Calibration:
    """The calibration after `before`. Raises CalibrationError where frames or scale do not allow it."""
    scale = material.scale or (None if before is None else before.scale)
    limits: Mapping[str, LearnedLimit] = {} if before is None else before.limits
    good, bad = len(material.good), len(material.bad)
    if good or bad:
        limits = calibrate_limits(
            list(material.good.values()),
            list(material.bad.values()),
            defaults,
            bad_names=list(material.bad),
        )
    elif before is not None:
        good, bad = before.good_frames, before.bad_frames
        if material.um_per_px_setting is None and not _is_same(before.scale, scale):
            limits, good, bad = {}, 0, 0
    return Calibration(
        version=1 if before is None else before.version + 1,
        made_at=made_at,
        operator=operator,
        good_frames=good,
        bad_frames=bad,
        limits=limits,
        scale=scale,
        focus_measure=FOCUS_MEASURE,
        # Nothing was learned of the focus: what the file could not say remains to be said.
        outdated_min_focus=None if before is None or material.good else before.outdated_min_focus,
    )


def check(material: Material, settings: GateSettings, calibration: Calibration) -> Check:
    """Whether the limits that hold, edge.toml's among them, tell the given frames apart."""
    limits = effective_gate(settings, calibration)

    def refused(scores: Scores) -> bool:
        return judge(scores, limits).refusal is not None

    return Check(
        tuple(name for name, scores in material.good.items() if refused(scores)),
        tuple(name for name, scores in material.bad.items() if not refused(scores)),
    )


def red_cells_of(bgr: Image) -> ScaleEstimate | ScaleUnknownError:
    """What one field says of the scale, or why it says nothing."""
    try:
        return estimate_um_per_px(np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8))
    except ScaleUnknownError as error:
        return error


def scale_of_red_cells(images: Iterable[Image]) -> MeasuredScale:
    """The scale from fields of red cells (7.2 um): the median field, with the fields' spread."""
    return scale_of_fields([red_cells_of(image) for image in images])


def scale_of_fields(fields: Sequence[ScaleEstimate | ScaleUnknownError]) -> MeasuredScale:
    """The median field; fields that say nothing are left out.

    Raises CalibrationError where too few fields show red cells or they disagree.
    """
    clear = [each for each in fields if isinstance(each, ScaleEstimate)]
    if not clear:
        reasons = dict.fromkeys(str(each) for each in fields)
        raise CalibrationError(f"no field shows clear red cells: {'; '.join(list(reasons)[:3])}")
    found = [each.um_per_px for each in clear]
    middle = float(np.median(found))
    low, high = np.percentile(found, (25, 75))
    between = float((high - low) / 2 / middle)
    if between > LARGEST_DISAGREEMENT:
        raise CalibrationError(
            f"the fields disagree: {min(found):.3f} to {max(found):.3f} um per pixel, half of them"
            f" within {between:.0%}, at most {LARGEST_DISAGREEMENT:.0%} allowed."
            " Were all taken with one objective, and in focus?"
        )
    return MeasuredScale(
        um_per_px=middle,
        spread=max(between, float(np.median([each.spread for each in clear]))),
        source="red_cells",
        count=sum(each.red_cells for each in clear),
        pictures=len(clear),
    )


def _is_same(one: MeasuredScale | None, other: MeasuredScale | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one.um_per_px / other.um_per_px - 1) < _SAME_SCALE
