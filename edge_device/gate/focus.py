"""How sharp a field is: its fine detail against its edges, at one physical scale; it judges nothing.

Laplacian energy over gradient energy, both after a slight softening and both less what the camera's
noise has of them: the mean square spatial frequency of what the optics drew. Stain and light change
both energies alike and leave the ratio; benchmarks/gate.py compares it with other measures under
other noise, stain and light (docs/quality-gate.md has the figures). The scale matters as much as the
measure: a camera that samples 0.1 um has its finest octaves full of noise, which no blur before the
camera takes away; at 0.25 um the finest octave is the one that the optics just resolve. Where the
scale is unknown, the longer side is brought to 480 px instead. The noise is measured at the camera's
own pixels, where nothing else is as fine (Immerkaer 1996).
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

#: Names this measure and its scale in a calibration: a limit learned with another does not hold.
FOCUS_MEASURE: Final = "laplacian_over_gradient_0.75px"
#: Working scale: half of what an oil immersion lens resolves.
WORKING_UM_PER_PX = 0.25
_WORKING_SIDE_PX = 480
#: Three quarters of a working pixel: less lets noise rule, more hides the slightest blur.
_SOFTENING_PX = 0.75
#: Its response to smooth structure is zero, to white noise 6 sigma.
_NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
#: Energy that white noise of variance 1 has after the softening, in Laplacian and gradients.
_NOISE_OF_DETAIL, _NOISE_OF_EDGES = 0.526, 5.44
#: Gradient energy under which there is nothing to be sharp, only a camera's steps of grey.
_LEAST_EDGES = 5.0
#: A Sobel filter gives 8 times the slope: the score is in hundredths of (radian per pixel)^2.
_SCORE = 100 * 8 * 8
#: Side of the windows that are measured in a large image.
_WINDOW_PX = 256
#: A field has room for a Laplacian of its cells from this side on.
_LEAST_SIDE_PX = 32


def measure_focus(
    grey: npt.NDArray[np.uint8], white_level: float, um_per_px: float | None
) -> float:
    """The higher the sharper, of one camera; 0 for too small or too empty a field."""
    if min(grey.shape) < _LEAST_SIDE_PX:
        return 0.0
    factor = (
        um_per_px / WORKING_UM_PER_PX
        if um_per_px is not None
        else _WORKING_SIDE_PX / max(grey.shape)
    )
    factor = max(min(1.0, factor), _LEAST_SIDE_PX / min(grey.shape))
    small = grey
    if factor < 1:
        small = np.asarray(
            cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8
        )
    to_white = np.float32(100 / max(white_level, 1.0))
    fine, edges = 0.0, 0.0
    windows = _windows(small)
    for window in windows:
        bright = window.astype(np.float32) * to_white
        soft = cv2.GaussianBlur(bright, (0, 0), _SOFTENING_PX)
        fine += _energy(cv2.Laplacian(soft, cv2.CV_32F)) / len(windows)
        for x, y in ((1, 0), (0, 1)):
            edges += _energy(cv2.Sobel(soft, cv2.CV_32F, x, y)) / len(windows)
    # Averaging over factor^-2 pixels leaves so much of white noise.
    noise = (_noise(grey) * float(to_white) * factor) ** 2
    detail = max(0.0, fine - _NOISE_OF_DETAIL * noise)
    edges = max(0.0, edges - _NOISE_OF_EDGES * noise)
    return float(_SCORE * detail / (edges + _LEAST_EDGES))


def _noise(grey: npt.NDArray[np.uint8]) -> float:
    """Standard deviation of white noise in grey levels; the median ignores edges."""
    responses = [
        np.abs(cv2.filter2D(window, cv2.CV_32F, _NOISE_KERNEL)[1::4, 1::3]).ravel()
        for window in _windows(grey)
    ]
    # A Gaussian's median magnitude is 0.6745 sigma.
    return float(np.median(np.concatenate(responses))) / 0.6745 / 6


def _energy(response: cv2.typing.MatLike) -> float:
    """Mean of the squares."""
    return cv2.norm(response, cv2.NORM_L2SQR) / response.size


def _windows(grey: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
    """The whole image, or of a large one nine windows spread over it: the cost stays that of 0.6
    megapixels whatever the camera, and no corner is left out."""
    side = _WINDOW_PX
    height, width = grey.shape
    if height * width <= 9 * side * side or min(height, width) < side:
        return [grey]
    return [
        grey[y : y + side, x : x + side]
        for y in np.linspace(0, height - side, 3).astype(int)
        for x in np.linspace(0, width - side, 3).astype(int)
    ]
