"""Measures a capture for the gate: exposure, empty field, focus; it judges nothing and changes no pixel.

All scores come from the grey image, in its levels (0 to 255):
- exposure: the white level (95th percentile), and the shares of pixels clipped white and black;
- empty field: the standard deviation of the band between 2 and 16 px, where cells are;
- focus: the energy of the finest band (1 to 2 px) in percent of that of a coarser one (4 to 8 px),
  after taking away the energy that the camera's noise alone would have there. Sharp cells have
  both; out of focus the fine one goes first. The ratio asks neither for contrast nor for stain.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

#: Variance that white noise of variance 1 keeps in the band between sigma 1 and 2 px.
_NOISE_IN_FINE_BAND = 0.0357
#: Keeps the ratio of two nearly empty bands from being anything.
_LEAST_COARSE_ENERGY = 0.5
#: Its response to smooth structure is zero, to white noise 6 sigma (Immerkaer 1996).
_NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
#: Side of the windows that are measured in a large image.
_WINDOW_PX = 256
#: Fields smaller than this have no room for the coarse band.
_LEAST_SIDE_PX = 32


@dataclass(frozen=True, slots=True)
class Scores:
    """What was measured; health shows the last ones."""

    white_level: float
    clipped_white_percent: float
    clipped_black_percent: float
    contrast: float
    focus: float

    def by_name(self) -> dict[str, float]:
        """Rounded for people."""
        return {name: round(getattr(self, name), 2) for name in self.__slots__}


def measure(bgr: npt.NDArray[np.uint8]) -> Scores:
    """Scores of an 8-bit image (H, W, 3)."""
    grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
    histogram = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel().cumsum() / grey.size
    white_level = float(np.searchsorted(histogram, 0.95))
    white = 100 * float(np.count_nonzero(cv2.inRange(bgr, (254, 254, 254), (255, 255, 255))))
    black = 100 * float(np.count_nonzero(cv2.inRange(bgr, (0, 0, 0), (5, 5, 5))))
    contrast, focus = 0.0, 0.0
    if min(grey.shape) >= _LEAST_SIDE_PX:
        contrast, focus = _contrast_and_focus(_windows(np.asarray(grey, np.uint8)))
    return Scores(white_level, white / grey.size, black / grey.size, contrast, focus)


def _windows(grey: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
    """The whole image, or of a large one nine windows spread over it: the cost stays that of 0.6
    megapixels whatever the camera, and no corner is left out."""
    side = _WINDOW_PX
    height, width = grey.shape
    if height * width <= 9 * side * side or min(height, width) < side:
        return [grey.astype(np.float32)]
    return [
        grey[y : y + side, x : x + side].astype(np.float32)
        for y in np.linspace(0, height - side, 3).astype(int)
        for x in np.linspace(0, width - side, 3).astype(int)
    ]


def _contrast_and_focus(windows: list[npt.NDArray[np.float32]]) -> tuple[float, float]:
    """Energies are means over the windows, so that empty ones weigh as little as they hold."""
    responses, fine, coarse, contrast = [], 0.0, 0.0, 0.0
    for grey in windows:
        response = cv2.filter2D(grey, -1, _NOISE_KERNEL)
        responses.append(np.abs(response[1::4, 1::3]).ravel())
        fine += _energy(_blur(grey, 1), _blur(grey, 2)) / len(windows)
        half = _halve(grey)
        coarse += _energy(_blur(half, 2), _blur(half, 4)) / len(windows)
        quarter = _halve(half)
        contrast += _energy(_blur(quarter, 0.5), _blur(quarter, 4)) / len(windows)
    # The median ignores edges; a Gaussian's median magnitude is 0.6745 sigma.
    noise = float(np.median(np.concatenate(responses))) / 0.6745 / 6
    corrected = max(0.0, fine - _NOISE_IN_FINE_BAND * noise * noise)
    return contrast**0.5, 100 * corrected / (coarse + _LEAST_COARSE_ENERGY)


def _energy(finer: npt.NDArray[np.float32], coarser: npt.NDArray[np.float32]) -> float:
    """Variance of the band between two blurs."""
    _, deviation = cv2.meanStdDev(cv2.subtract(finer, coarser))
    return float(deviation[0, 0]) ** 2


def _blur(image: npt.NDArray[np.float32], sigma: float) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)


def _halve(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    small = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)
