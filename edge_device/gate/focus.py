"""How sharp a field is: fine detail against its edges, at one physical scale; it judges nothing.

Laplacian energy over a power of gradient energy, compared with twelve other measures and variants
by benchmarks/gate.py (docs/quality-gate.md has the figures). The scale matters more than the measure:
a camera that samples 0.1 um has its finest octaves full of noise, which no blur before the camera
takes away; at 0.25 um the finest octave is the one that the optics just resolve. Where the scale
is unknown, the longer side is brought to 480 px instead. Dividing by the gradients makes a hazy
slide and a contrasty one comparable; dividing by them in full would hand the score to noise. What
noise is left is measured where nothing else is (Immerkaer 1996) and taken away, so that a blurred
picture of a grainy camera does not pass for a sharp one.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

#: Working scale: half of what an oil immersion lens resolves.
WORKING_UM_PER_PX = 0.25
_WORKING_SIDE_PX = 480
_SOFTENING_PX = 0.5
#: Its response to smooth structure is zero, to white noise 6 sigma.
_NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
#: Variance that white noise of variance 1 has after the softening and the Laplacian.
_NOISE_GAIN = 5.04
#: Power of the gradient energy that the Laplacian's is divided by.
_GRADIENT_POWER = 0.7
#: Gradient energy below which there is nothing to be sharp, only a camera's steps of grey.
_LEAST_EDGES = 20.0
#: Side of the windows that are measured in a large image.
_WINDOW_PX = 256
#: A field has room for a Laplacian of its cells from this side on.
_LEAST_SIDE_PX = 32


def measure_focus(
    grey: npt.NDArray[np.uint8], white_level: float, um_per_px: float | None
) -> float:
    """From 18 up for sharp fields, less for blurred ones; 0 for too small or too empty a field."""
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
    fine, edges, responses = 0.0, 0.0, []
    windows = _windows(small)
    for window in windows:
        sharp = window.astype(np.float32) * np.float32(100 / max(white_level, 1.0))
        response = cv2.filter2D(sharp, -1, _NOISE_KERNEL)
        responses.append(np.abs(response[1::4, 1::3]).ravel())
        soft = cv2.GaussianBlur(sharp, (0, 0), _SOFTENING_PX)
        fine += _energy(cv2.Laplacian(soft, cv2.CV_32F)) / len(windows)
        for x, y in ((1, 0), (0, 1)):
            edges += _energy(cv2.Sobel(soft, cv2.CV_32F, x, y)) / len(windows)
    # The median ignores edges; a Gaussian's median magnitude is 0.6745 sigma.
    noise = float(np.median(np.concatenate(responses))) / 0.6745 / 6
    detail = max(0.0, fine - _NOISE_GAIN * noise * noise)
    return float(100 * (detail / (edges + _LEAST_EDGES) ** _GRADIENT_POWER) ** 0.5)


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
