"""How far a picture is from another, in the two usual measures: pure arithmetic on pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
_LARGEST = 255.0


def psnr_db(one: Rgb, other: Rgb) -> float:
    """Peak signal to noise ratio over all channels; infinite for equal pictures."""
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return float("inf") if error == 0 else float(10 * np.log10(_LARGEST**2 / error))


def ssim(one: Rgb, other: Rgb) -> float:
    """Mean structural similarity of the grey pictures (Wang 2004: window of sigma 1.5, 11 px)."""
    a, b = (cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) for rgb in (one, other))

    def blurred(image: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.GaussianBlur(image, (11, 11), 1.5), np.float32)

    mean_a, mean_b = blurred(a), blurred(b)
    var_a, var_b = blurred(a * a) - mean_a**2, blurred(b * b) - mean_b**2
    both = blurred(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * _LARGEST) ** 2, (0.03 * _LARGEST) ** 2
    top = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    bottom = (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    inner = (slice(5, -5), slice(5, -5)) if min(a.shape) > 20 else (slice(None), slice(None))
    return float(np.mean((top / bottom)[inner]))
