"""The option --um-per-px of the commands that read image files: a number, or an estimate from red cells."""

from __future__ import annotations

import argparse
import math

import numpy as np
from numpy.typing import NDArray

ESTIMATE = "estimate"
LARGEST_UM_PER_PX = 100.0


def read_scale(text: str) -> float | str:
    """What the option says; argparse shows the error."""
    if text == ESTIMATE:
        return text
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= LARGEST_UM_PER_PX:
        raise argparse.ArgumentTypeError(
            f"{text}: a number above 0 and at most {LARGEST_UM_PER_PX:g}, or '{ESTIMATE}'"
        )
    return value


def estimated_scale(rgb: NDArray[np.uint8]) -> float | str:
    """The scale by the field's red cells, or in words why they do not give one."""
    from edge_device.calibration.scale import ScaleUnknownError, estimate_um_per_px

    try:
        return estimate_um_per_px(rgb).um_per_px
    except ScaleUnknownError as problem:
        return f"scale unknown: {problem}"
