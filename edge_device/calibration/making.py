"""Makes a device's next calibration from frames and scale pictures; it writes nothing and keeps what it is not given.

Frames are scored at the scale that will hold. Limits that were learned at another scale mean
something else at the new one: where the scale changes and no frames come with it, they are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from edge_device.calibration.limits import calibrate_limits
from edge_device.calibration.scale import ScaleUnknownError, estimate_um_per_px
from edge_device.calibration.stored import (
    Calibration,
    CalibrationError,
    LearnedLimit,
    MeasuredScale,
    effective_scale,
)
from edge_device.gate.scores import measure
from edge_device.gate.settings import GateSettings

Image = npt.NDArray[np.uint8]

#: Fields of red cells may disagree by this much; more is another objective or not red cells.
LARGEST_DISAGREEMENT = 0.15
#: A scale that changes by less leaves the learned limits what they are.
_SAME_SCALE = 0.03


@dataclass(frozen=True, slots=True)
class Material:
    """What a calibration is made from; frames by their names, as people will read them."""

    good: Mapping[str, Image] = field(default_factory=dict)
    bad: Mapping[str, Image] = field(default_factory=dict)
    scale: MeasuredScale | None = None
    #: What edge.toml says of the scale; it wins.
    um_per_px_setting: float | None = None


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
        probe = Calibration(version=1, scale=scale)
        at = effective_scale(material.um_per_px_setting, probe)
        um_per_px = at if isinstance(at, float) else None
        limits = calibrate_limits(
            [measure(image, um_per_px) for image in material.good.values()],
            [measure(image, um_per_px) for image in material.bad.values()],
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
    )


def scale_of_red_cells(images: Sequence[Image]) -> MeasuredScale:
    """The scale from fields of red cells (7.2 um): the median field, with the fields' spread.

    Raises CalibrationError where too few fields show red cells or they disagree.
    """
    found, cells, spreads, reasons = [], 0, [], []
    for image in images:
        try:
            rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
            estimate = estimate_um_per_px(rgb)
        except ScaleUnknownError as error:
            reasons.append(str(error))
            continue
        found.append(estimate.um_per_px)
        spreads.append(estimate.spread)
        cells += estimate.red_cells
    if not found:
        raise CalibrationError(f"no field shows clear red cells: {'; '.join(reasons[:3])}")
    middle = float(np.median(found))
    low, high = np.percentile(found, (25, 75))
    between = float((high - low) / 2 / middle)
    if between > LARGEST_DISAGREEMENT:
        raise CalibrationError(
            f"the fields disagree: {min(found):.3f} to {max(found):.3f} um per pixel, half of them"
            f" within {between:.0%}, at most {LARGEST_DISAGREEMENT:.0%} allowed."
            " Were all taken with one objective?"
        )
    spread = max(between, float(np.median(spreads)))
    return MeasuredScale(um_per_px=middle, spread=spread, source="red_cells", count=cells)


def _is_same(one: MeasuredScale | None, other: MeasuredScale | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one.um_per_px / other.um_per_px - 1) < _SAME_SCALE
