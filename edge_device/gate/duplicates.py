"""Tells a picture of a field that was just taken from a new one; it remembers hashes, no pixels, and drops the oldest.

A stage that did not move gives the same picture with new noise and a few pixels of drift. The hash
is 576 bits: whether each cell of a 24 x 24 grid is brighter than its surroundings. What is
slower than a few cells is left out, because light that falls off towards the corners is the same
in every field of a camera. Unrelated fields differ in 30 % of the bits and more.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from edge_device.gate.verdict import GateWarning, WarningKind

#: Captures that a new one is compared with.
REMEMBERED: Final = 32
#: Bits in percent that a repeated picture may differ in.
MOST_DIFFERENT_PERCENT: Final = 22.0
_GRID = 24
_SURROUNDINGS = 2.0


class Duplicates:
    """The last captures of one camera; belongs to the capture thread."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._recent: deque[npt.NDArray[np.uint8]] = deque(maxlen=remembered)

    def check(self, bgr: npt.NDArray[np.uint8]) -> GateWarning | None:
        """A warning where this field was just taken; it is remembered from now on."""
        new = perceptual_hash(bgr)
        differences = [_differs_percent(new, old) for old in reversed(self._recent)]
        self._recent.append(new)
        if not differences or min(differences) > MOST_DIFFERENT_PERCENT:
            return None
        nearest = min(differences)
        back = differences.index(nearest) + 1
        which = "the picture before" if back == 1 else f"the picture {back} before"
        return GateWarning(
            WarningKind.DUPLICATE,
            f"Same field as {which}: it differs in {nearest:.0f} % of its pattern, a new field in"
            f" more than {MOST_DIFFERENT_PERCENT:.0f} %. Move the stage.",
            nearest,
            MOST_DIFFERENT_PERCENT,
        )

    def forget(self) -> None:
        """Starts anew, as for another slide."""
        self._recent.clear()


def perceptual_hash(bgr: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """72 bytes of bits that small shifts and noise hardly change."""
    small = cv2.resize(bgr, (_GRID, _GRID), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)
    around = cv2.GaussianBlur(grey, (0, 0), _SURROUNDINGS, borderType=cv2.BORDER_REFLECT)
    return np.packbits(grey > around)


def _differs_percent(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    return 100 * float(np.count_nonzero(np.unpackbits(one ^ other))) / (one.size * 8)
