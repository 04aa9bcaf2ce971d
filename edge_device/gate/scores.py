"""Measures a capture for the gate, each score by itself; it judges nothing and changes no pixel.

- exposure: the white level (95th percentile of grey), and the shares of pixels clipped white and black;
- empty field: the standard deviation of the band between 2 and 16 px, where cells are;
- focus: see focus.py; nuclei and debris: see stain.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_device.gate.focus import measure_focus
from edge_device.gate.stain import measure_stain

#: Pixels that exposure looks at are at most this many, in even steps over the field.
_MOST_EXPOSURE_PX = 1_000_000
_QUARTER_SIDE_PX = 480
#: Fields smaller than this have no room for the band of cells.
_LEAST_SIDE_PX = 32


@dataclass(frozen=True, slots=True)
class Scores:
    """What was measured; health shows the last ones."""

    white_level: float
    clipped_white_percent: float
    clipped_black_percent: float
    contrast: float
    focus: float
    #: Largest nucleus-like and debris-like areas; as if, where `um_per_px` is None.
    nucleus_um2: float = 0.0
    debris_um2: float = 0.0
    um_per_px: float | None = None

    def by_name(self) -> dict[str, float]:
        """Rounded for people."""
        return {
            name: round(value, 3 if name == "um_per_px" else 2)
            for name in self.__slots__
            if (value := getattr(self, name)) is not None
        }


def measure(bgr: npt.NDArray[np.uint8], um_per_px: float | None = None) -> Scores:
    """Scores of an 8-bit image (H, W, 3); the scale, where it is known, makes areas and focus
    mean the same on every camera."""
    step = max(1, int((bgr.shape[0] * bgr.shape[1] / _MOST_EXPOSURE_PX) ** 0.5))
    sample = np.ascontiguousarray(bgr[::step, ::step])
    grey = cv2.cvtColor(sample, cv2.COLOR_BGR2GRAY)
    histogram = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel().cumsum() / grey.size
    white_level = float(np.searchsorted(histogram, 0.95))
    white = 100 * float(np.count_nonzero(cv2.inRange(sample, (254, 254, 254), (255, 255, 255))))
    black = 100 * float(np.count_nonzero(cv2.inRange(sample, (0, 0, 0), (5, 5, 5))))
    # Before the whole field is grey: of 12 megapixels both together would be the agent's peak.
    stain = measure_stain(bgr, um_per_px)
    full = np.asarray(grey if step == 1 else cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), np.uint8)
    return Scores(
        white_level=white_level,
        clipped_white_percent=white / grey.size,
        clipped_black_percent=black / grey.size,
        contrast=_contrast(full),
        focus=measure_focus(full, white_level, um_per_px),
        nucleus_um2=stain.nucleus_um2,
        debris_um2=stain.debris_um2,
        um_per_px=um_per_px,
    )


def _contrast(grey: npt.NDArray[np.uint8]) -> float:
    """Standard deviation of the band where cells are, of the field at a quarter of its size."""
    if min(grey.shape) < _LEAST_SIDE_PX:
        return 0.0
    factor = min(0.25, _QUARTER_SIDE_PX / max(grey.shape))
    quarter = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    quarter = quarter.astype(np.float32)
    finer, coarser = cv2.GaussianBlur(quarter, (0, 0), 0.5), cv2.GaussianBlur(quarter, (0, 0), 4)
    _, deviation = cv2.meanStdDev(cv2.subtract(finer, coarser))
    return float(deviation[0, 0])
